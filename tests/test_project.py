"""The project's own files agree: what is locked, what is installed from which lock, what the image
holds.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUN, DEVELOP = "requirements.lock", "requirements-dev.lock"


def _locked(lock: str) -> dict[str, set[str]]:
    """Return each package of a lock, with its pins; one may have several, each with a marker."""
    pins: dict[str, set[str]] = {}
    for name, pin in re.findall(
        r"^([a-z0-9-]+)==([^\\\n]+)", (ROOT / lock).read_text("utf-8"), re.MULTILINE
    ):
        pins.setdefault(name, set()).add(pin.strip())
    return pins


def _names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", line).group().lower() for line in requirements}


@pytest.mark.parametrize("lock", [RUN, DEVELOP])
def test_locks_pin_by_digest_and_name_no_address(lock):
    """Every line that names a package pins its version and is followed by digests; no registry."""
    text = (ROOT / lock).read_text("utf-8")
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]

    assert len(packages) > 150
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert text.count("--hash=sha256:") > 500
    assert "://" not in text
    assert "index-url" not in text


def test_what_runs_is_locked_without_what_develops():
    """The first lock holds every dependency and none of the extras or of the tools; the second
    holds all of them, at the same versions.
    """
    run, develop = _locked(RUN), _locked(DEVELOP)
    extras = {
        name
        for group in PROJECT["project"]["optional-dependencies"].values()
        for name in _names(group)
    }
    tools = _names(PROJECT["dependency-groups"]["dev"])

    assert _names(PROJECT["project"]["dependencies"]) <= run.keys()
    assert _names(PROJECT["build-system"]["requires"]) <= run.keys()
    assert not run.keys() & (extras | tools)
    assert extras | tools <= develop.keys()
    assert {name: _versions(of) for name, of in run.items()} == {
        name: _versions(develop[name]) for name in run
    }


def _versions(locked: set[str]) -> set[str]:
    """Versions alone: on which interpreters one is wanted depends on what else is installed."""
    return {one.partition(" ;")[0] for one in locked}


def test_each_command_installs_its_lock():
    """``demo``, ``up`` and the image take what runs, the other commands what develops."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    needs = dict(re.findall(r"^([a-z]+): (\.venv/installed(?:-dev)?)$", makefile, re.MULTILINE))
    recipes = dict(re.findall(r"^(\.venv/[\w-]+):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE))
    image = (ROOT / "deployments" / "server" / "Dockerfile").read_text("utf-8")

    assert {name for name, stamp in needs.items() if stamp == ".venv/installed"} == {"demo", "up"}
    assert {"test", "check", "crash", "bench", "docs"} <= needs.keys()
    assert f"-r {RUN}\n" in recipes[".venv/installed"]
    assert DEVELOP not in recipes[".venv/installed"]
    assert f"-r {DEVELOP}\n" in recipes[".venv/installed-dev"]
    assert RUN in image
    assert DEVELOP not in image


def test_image_is_built_from_what_it_copies():
    """.dockerignore leaves everything out but what the Dockerfile copies: no .env, .git, .venv."""
    image = (ROOT / "deployments" / "server" / "Dockerfile").read_text("utf-8")
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = {
        path.removeprefix("./")
        for line in re.findall(r"^COPY (.+)", image, re.MULTILINE)
        for path in line.split()[:-1]
    }

    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert "deployments/server/.env" in ignored


@pytest.mark.parametrize(
    "package",
    [
        init.parent
        for top in ("data_contracts", "tasks", "flows", "deployments", "benchmarks")
        for init in sorted((ROOT / top).rglob("__init__.py"))
        if "Where do I go to change" in init.read_text("utf-8")
    ],
    ids=lambda package: package.relative_to(ROOT).as_posix(),
)
def test_a_package_names_what_is_in_it(package):
    """Each module and package of it stands in its first lines, but for its Prefect tasks."""
    said = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8")))
    modules = {f"{file.stem}.py" for file in package.glob("*.py")} - {"__init__.py", "task.py"}
    packages = {file.parent.name for file in package.glob("*/__init__.py")}
    named = set(re.findall(r"[\w.]+", said))

    assert sorted((modules | packages) - {"flights", "__main__.py"} - named) == []


def test_every_benchmark_is_run_by_make_bench():
    """Each file of benchmarks/ that can be started is named in the Makefile."""
    named = re.search(
        r"^BENCHMARKS := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    ).group(1)

    assert named.split() == sorted(
        file.stem
        for file in (ROOT / "benchmarks").glob("*.py")
        if "\ndef main(" in file.read_text("utf-8")
    )


def test_wheel_holds_only_typed_packages():
    """Every package of the wheel says that it is typed, and nobody can publish it by mistake."""
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert [name for name in packages if not (ROOT / name / "py.typed").exists()] == []
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]
