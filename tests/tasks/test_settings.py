"""Where things live."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

from tasks.settings import REPOSITORY, Settings, code_version, commit_of, prepare_environment


def test_defaults_stay_in_the_working_directory(monkeypatch, tmp_path):
    """Without any setting, everything is written below .kingmaker in the current directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "PROJECT", "LEDGER", "TRACKING"):
        monkeypatch.delenv(f"KINGMAKER_{name}", raising=False)

    settings = Settings()

    assert settings.project == REPOSITORY
    home = tmp_path / ".kingmaker"
    assert settings.lake == home / "lake"
    assert settings.ledger_url == f"sqlite:///{home}/ledger.db"
    assert settings.tracking_uri == f"sqlite:///{home}/mlflow.db"


def test_environment_decides(monkeypatch, tmp_path):
    """KINGMAKER_* moves each of them."""
    monkeypatch.setenv("KINGMAKER_HOME", str(tmp_path / "h"))
    monkeypatch.setenv("KINGMAKER_LEDGER", "postgresql://host/ledger")

    settings = Settings()

    assert settings.reports == tmp_path / "h" / "reports"
    assert settings.ledger_url == "postgresql://host/ledger"


def test_prepared_environment_is_quiet_and_respects_the_user(monkeypatch, tmp_path):
    """Telemetry is off, threads that wait sleep, libraries write below the home, and what the user
    has set stays.
    """
    monkeypatch.setattr(os, "environ", {"PREFECT_HOME": "/elsewhere"})

    prepare_environment(Settings(home=tmp_path))

    assert os.environ["DO_NOT_TRACK"] == "true"
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["PREFECT_HOME"] == "/elsewhere"
    assert os.environ["TMPDIR"].startswith(str(tmp_path))


def test_code_version_is_the_commit_of_the_project(tmp_path, monkeypatch):
    """Of a checkout that the project lies in, without the program git; else what an image was told,
    or the version of the package.
    """
    from git import Repo

    project = tmp_path / "checkout" / "models"
    project.mkdir(parents=True)
    with Repo.init(tmp_path / "checkout") as repository:
        assert commit_of(project) == "", "no commit yet"
        (project / "file").touch()
        repository.index.add([str(project / "file")])
        commit = repository.index.commit("first").hexsha[:12]
    monkeypatch.setenv("PATH", "/nowhere")

    assert code_version(Settings(project=project)) == commit
    assert code_version(Settings(project=tmp_path, commit="abcdef")) == "abcdef"
    assert code_version(Settings(project=tmp_path / "gone")) == version("kingmaker")


def test_importing_everything_has_no_effects(tmp_path):
    """No flow module writes a file, reads a setting or meets a server when it is imported."""
    code = (
        "import sys, deployments.command.cli, flows.monitor, flows.retrain, flows.promote,"
        " flows.replay;"
        " print(sorted({'great_expectations', 'evidently', 'mlflow', 'matplotlib'} &"
        " set(sys.modules)))"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "nowhere"),
        "PREFECT_HOME": str(tmp_path / "p"),
    }

    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )

    assert said.stdout.strip() == "[]", said.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"p", "nowhere"}
