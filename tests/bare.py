"""A real virtual environment with the distributions that a requirements file names, what they need
in their turn, and nothing else.

They are linked from the environment of the tests, so that no index has to answer.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement


def bare_environment(directory: Path, requirements: Iterable[str]) -> Path:
    """Make an environment in ``directory``, and return its interpreter."""
    venv.create(directory, with_pip=False, symlinks=True)
    (site,) = directory.glob("lib/python*/site-packages")
    for one in _closure(requirements).values():
        root = Path(str(one.locate_file(""))).resolve()
        for file in one.files or ():
            source = Path(str(one.locate_file(file)))
            # Scripts lie outside; each names the interpreter that it was made for.
            if source.suffix == ".pyc" or not source.resolve().is_relative_to(root):
                continue
            target = site / source.resolve().relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(source, target)
    return directory / "bin" / "python"


def ask(python: Path, *words: str, directory: Path, **environment: str) -> str:
    """Run an interpreter in ``directory`` with nothing of this process's environment that leads to
    the repository, and return what it prints.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    silent = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [str(python), "-P", *words],
        cwd=directory,
        env=kept | silent | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def _closure(requirements: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    """The distributions by name, with those that they need on this machine."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        if wanted.name in found:
            continue
        one = importlib.metadata.distribution(wanted.name)
        assert wanted.specifier.contains(one.version, prereleases=True), (wanted, one.version)
        found[wanted.name] = one
        for text in one.requires or ():
            needed = Requirement(text)
            extras = [{"extra": extra} for extra in wanted.extras] or [{"extra": ""}]
            if needed.marker is None or any(needed.marker.evaluate(extra) for extra in extras):
                waiting.append(needed)
    return found


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # on another disk
        target.write_bytes(source.read_bytes())


if __name__ == "__main__":
    print(bare_environment(Path(sys.argv[1]), Path(sys.argv[2]).read_text().splitlines()))
