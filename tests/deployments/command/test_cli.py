"""The command line as a person meets it: exit codes, sentences, and what an idle run imports."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.conftest import WEATHER_PROJECT
from tests.deployments.conftest import COMMAND, crowd


def kingmaker(
    home: Path,
    *arguments: str,
    project: Path = WEATHER_PROJECT,
    user_home: Path | None = None,
    directory: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command with ``home`` and ``project`` in ``directory``, as a user with ``user_home``,
    and return what it said.
    """
    ours = ("KINGMAKER_", "PREFECT_", "TMPDIR", "MPLCONFIGDIR")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment |= variables or {}
    if user_home is not None:
        environment |= {"HOME": str(user_home)}
    return subprocess.run(
        [
            *COMMAND,
            "--home",
            str(home),
            "--project",
            str(project),
            *arguments,
        ],
        capture_output=True,
        text=True,
        env=environment,
        cwd=directory or user_home,
        timeout=300,
        check=False,
    )


def test_help_teaches_where_to_begin(tmp_path):
    """The first screen names the first command and the exit codes."""
    said = kingmaker(tmp_path, "--help")

    assert said.returncode == 0
    assert "kingmaker demo" in said.stdout
    assert "data was refused" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "wether"], "did you mean 'weather'?"),
        (["history", "wether"], "did you mean 'weather'?"),
        (["replay", "weather", "--start", "2013-05"], "found '2013-05'"),
    ],
)
def test_misuse_is_one_sentence_and_exit_code_2(tmp_path, arguments, sentence):
    """Wrong names, ids and places are told in one line, without a traceback."""
    said = kingmaker(tmp_path, *arguments)

    assert said.returncode == 2
    assert sentence in said.stderr
    assert "Traceback" not in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1


def test_missing_source_is_a_failure_and_not_idleness(tmp_path):
    """A source directory that is not there fails with its path: absent data must not look like no
    news.
    """
    said = kingmaker(tmp_path, "run", "weather")

    assert said.returncode == 1
    assert "sources/weather: no such directory" in said.stderr


def test_misspelt_key_names_file_path_and_right_key(tmp_path):
    """A spec with a misspelt key gets a message with the right key in it."""
    project = tmp_path / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    spec = project / "deployments" / "weather" / "model.yaml"
    spec.write_text(
        spec.read_text(encoding="utf-8").replace("tuning:", "tunning:"), encoding="utf-8"
    )

    said = kingmaker(tmp_path, "check", project=project)

    assert said.returncode == 2
    assert "model.yaml: training.tunning" in said.stderr
    assert "did you mean 'tuning'?" in said.stderr


def test_check_refuses_an_unknown_estimator(tmp_path):
    """An estimator that does not exist is found before anything runs, with the nearest name."""
    project = tmp_path / "project"
    shutil.copytree(WEATHER_PROJECT, project)
    spec = project / "deployments" / "weather" / "model.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace("Ridge", "Rigde"), encoding="utf-8")

    said = kingmaker(tmp_path, "check", project=project)

    assert said.returncode == 2
    assert "training.candidates.0.estimator" in said.stderr
    assert "did you mean 'Ridge'?" in said.stderr


def test_check_passes_the_repository_itself(tmp_path):
    """The built-in project is in order."""
    said = kingmaker(tmp_path, "check", project=Path(__file__).parents[3])

    assert said.returncode == 0, said.stderr
    assert "flights: all is well" in said.stdout


READING = [
    ("status",),
    ("status", "--quiet"),
    ("history", "weather"),
    ("history", "weather", "--scored"),
    ("plan", "weather"),
    ("features", "weather"),
    ("why", "weather", "origin=EWR"),
    ("predictions", "weather", "--batch", "2013-W02"),
    ("score", "weather", "--rows", __file__),
    ("request-retrain", "weather"),
    ("reconcile",),
    ("explain", "1"),
    ("quarantine", "weather", "2013-W02"),
    ("prune", "--yes"),
    ("promote", "weather"),
    ("refuse", "weather"),
    ("rollback", "weather"),
    ("freeze", "weather"),
    ("thaw", "weather"),
    ("retrain", "weather"),
    ("rotate-secrets",),
    ("deploy",),
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_mistyped_home_is_named_and_not_made(tmp_path, arguments):
    """A command that needs what is in a home ends as wrong usage does, and leaves nothing."""
    home = tmp_path / "mistyped"

    said = kingmaker(home, *arguments)

    assert said.returncode == 2
    assert f"{home}: expected" in said.stderr
    assert len(said.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


ABOUT_A_MODEL = [
    ("run",),
    ("replay",),
    *((one[0], *one[2:]) for one in READING if one[1:2] == ("weather",)),
    ("check",),
]


@pytest.mark.parametrize("arguments", ABOUT_A_MODEL, ids=" ".join)
def test_a_mistyped_model_is_the_same_misuse_everywhere(tmp_path, arguments):
    """Whatever is asked of it: one sentence with the nearest name, and exit code 2."""
    said = kingmaker(tmp_path, arguments[0], "wether", *arguments[1:])

    assert said.returncode == 2, said.stderr
    assert "did you mean 'weather'?" in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_check_needs_no_home_and_makes_none(tmp_path):
    """It says the same as JSON."""
    home = tmp_path / "none"

    said, told = kingmaker(home, "check"), kingmaker(home, "check", "--json")

    assert "weather: all is well: 11 columns" in said.stdout
    assert (said.stderr, told.stderr) == ("", "")
    (one,) = json.loads(told.stdout)
    assert (one["model"], one["columns"]) == ("weather", 11)
    assert not home.exists()


def test_version_says_which_code_runs(tmp_path):
    """Without a project, a home or a command."""
    said = kingmaker(tmp_path / "none", "--version", project=tmp_path / "none")

    assert said.returncode == 0, said.stderr
    assert re.fullmatch(r"kingmaker \d+\.\d+\.\d+(, commit [0-9a-f]{12})?\n", said.stdout)


def test_a_shell_completes_commands_and_models_of_the_project(tmp_path):
    """By the means of the shell's own script, which asks the command."""

    def completed(words: str) -> list[str]:
        asked = {"_KINGMAKER_COMPLETE": "complete_bash", "COMP_WORDS": words}
        variables = asked | {"COMP_CWORD": str(len(words.split(" ")) - 1)}
        said = subprocess.run(
            COMMAND, env=os.environ | variables, capture_output=True, text=True, check=False
        )
        return said.stdout.split()

    assert completed("kingmaker rol") == ["rollback"]
    assert completed(f"kingmaker --project {WEATHER_PROJECT} freeze wea") == ["weather"]


def test_a_password_on_the_command_line_is_refused(tmp_path):
    """By name, with the way that keeps it off the process list; nothing is begun."""
    url = "postgresql://user:a-canary-word@127.0.0.1:9"

    said = kingmaker(tmp_path / "home", "up", "--database", url)

    assert said.returncode == 2
    assert "KINGMAKER_DATABASE" in said.stderr
    assert "a-canary-word" not in said.stderr
    assert not (tmp_path / "home" / "servers").exists()


@pytest.mark.parametrize(
    ("model", "sources"), [("weather", ["weather"]), ("bookings", ["bookings", "outcomes"])]
)
def test_idle_run_imports_neither_prefect_nor_pandas(tmp_path, model, sources):
    """With nothing new, the command looks at sources and ledger, says so, and has paid for nothing
    else.
    """
    for source in sources:
        (tmp_path / "sources" / source).mkdir(parents=True)
    code = (
        "import sys, deployments.command.cli as cli\ntry: cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'prefect', 'pandas', 'numpy', 'sklearn', 'mlflow',"
        " 'evidently', 'great_expectations'}\nprint('heavy:', sorted(heavy & set(sys.modules)))\n"
    )

    said = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "--home",
            str(tmp_path),
            "--project",
            str(WEATHER_PROJECT.parent / model),
            "run",
            model,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "nothing is new" in said.stdout, said.stderr
    assert "heavy: []" in said.stdout


@pytest.mark.flow
def test_run_replay_status_and_history_by_command(tmp_path, make_weather_home):
    """A person's first session: run, a refused batch with exit code 3, status, history; nothing
    outside the home.
    """
    home = make_weather_home(1)
    (home / "mlflow.db").unlink()
    user_home = tmp_path / "user"
    user_home.mkdir()

    ran = kingmaker(home, "run", "weather", user_home=user_home)
    assert ran.returncode == 0, ran.stderr
    assert "2013-W02" in ran.stdout
    assert "collecting: 1 of the 4 batches" in " ".join(ran.stdout.split())
    assert "weather 2013-W02: accept" in ran.stderr
    assert "Finished in state" not in ran.stderr, (
        "progress is our own words, not the orchestrator's"
    )
    log = (home / "logs" / "kingmaker.log").read_text(encoding="utf-8")
    assert log.count("weather 2013-W02: accept") == 1, "the whole story, once"

    bad = home / "sources" / "weather" / "2013-W03.csv"
    bad.write_text("time_hour,origin\n2013-01-15T00:00:00Z,EWR\n", encoding="utf-8")
    refused = kingmaker(home, "run", "weather")
    assert refused.returncode == 3
    assert "2013-W03 refused" in refused.stderr
    assert "Traceback" not in refused.stderr

    status = kingmaker(home, "status")
    assert status.returncode == 4, "a refused batch waits for a person"
    lines = status.stdout.splitlines()
    assert lines[1].startswith("  needs     batch 2013-W03 was refused: "), "which is said first"
    assert "champion  none yet" in status.stdout
    assert "waiting   nothing" in status.stdout
    quiet = kingmaker(home, "status", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (4, "", "")

    history = kingmaker(home, "history", "weather", "--all")
    assert history.stdout.count("Hold") == 2

    (model,) = json.loads(kingmaker(home, "status", "--json").stdout)
    assert (model["model"], model["champion"], model["waiting"]["batches"]) == ("weather", None, [])
    assert [one["what"][:21] for one in model["needs"]] == ["batch 2013-W03 was re"]
    decided = json.loads(kingmaker(home, "history", "weather", "--all", "--json").stdout)
    assert [(one["batch"], one["kind"]) for one in decided] == [
        ("2013-W02", "Hold"),
        ("2013-W03", "Hold"),
    ]
    told = json.loads(kingmaker(home, "explain", str(decided[0]["number"]), "--json").stdout)
    assert (told["intact"], told["same"]) == (True, True)
    assert told["decision"]["batch"] == "2013-W02"
    assert list(user_home.rglob("*")) == [], "nothing is written outside the home"


@pytest.mark.flow
def test_a_users_folders_do_not_stand_for_our_packages(tmp_path, quick_project, make_weather_home):
    """In a directory with tasks.py, flows/ and deployments/, a check passes, and a team's own
    estimator, found by PYTHONPATH, is trained, proven in a new interpreter and promoted.
    """
    crowded, home = crowd(tmp_path / "crowded"), make_weather_home(2)
    (crowded / "own").mkdir()
    (crowded / "own" / "estimators.py").write_text(
        "from sklearn.linear_model import Ridge\n\n\nclass OwnRidge(Ridge):\n    pass\n",
        encoding="utf-8",
    )
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"]["candidates"] = [{"estimator": "estimators.OwnRidge"}]
    file.write_text(yaml.safe_dump(spec | {"trust": "pickle"}), encoding="utf-8")

    def here(*arguments: str) -> subprocess.CompletedProcess[str]:
        given = {"project": quick_project, "directory": crowded}
        return kingmaker(home, *arguments, **given, variables={"PYTHONPATH": "own"})

    checked, ran = here("check"), here("run", "weather")

    assert checked.returncode == 0, checked.stderr
    assert ran.returncode == 0, ran.stderr
    assert "Promote version 1" in here("history", "weather").stdout, ran.stderr
