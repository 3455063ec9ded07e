"""New interpreters: they find modules where this one does, whatever directory they are started in.

Python looks for modules in the working directory before it looks anywhere else, so that a
``tasks.py`` of a user's would stand for our package. Every interpreter of ours is started here.

    python -P -m tasks.processes MODULE [ARGUMENT ...]

runs a module as ``python -m`` does, after ``collect_seldom``.
"""

from __future__ import annotations

import gc
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import KingmakerError

TIMEOUT = 300.0
"""Seconds until an interpreter that does not answer is given up."""
ALLOCATIONS = 50_000
"""New objects until the garbage collector looks for unreachable ones; Python's own figure is 700.

What modules make when they are imported is no garbage: looking through it again and again took a
fifth of the seconds in which Prefect, scikit-learn, MLflow and Evidently are imported.
"""


def start_module(
    module: str,
    *arguments: str,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    **options: Any,  # noqa: ANN401 - of subprocess.Popen
) -> subprocess.Popen[bytes]:
    """Run a module in a new interpreter, and return its process.

    It has a session of its own: Ctrl-C reaches this process alone, which ends it in order.

    Args:
        module: Its full name.
        arguments: Words for the module; they stand in the process list.
        directory: The process's working directory.
        environment: All of its variables; left out: those of this process. The path for modules is
            added.
        options: What else ``subprocess.Popen`` takes.

    """
    return subprocess.Popen(  # noqa: S603 - an interpreter and a module, no shell
        [sys.executable, "-P", "-m", __name__, module, *arguments],
        cwd=directory,
        env=same_modules(os.environ if environment is None else environment),
        start_new_session=True,
        **options,
    )


class ModuleFailedError(KingmakerError):
    """A module failed in a new interpreter; the message is its last words."""


class NoAnswerError(ModuleFailedError):
    """It did not end in time."""


def ask_module(module: str, *arguments: str, directory: Path, timeout: float = TIMEOUT) -> str:
    """Run a module to its end as ``start_module`` does, and return what it printed.

    Hashes of texts are seeded anew, as in every process, even where this one was given a seed.
    Raises NoAnswerError, its process ended, after ``timeout`` seconds, and ModuleFailedError when
    it fails.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    process = start_module(
        module,
        *arguments,
        directory=directory,
        environment=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        printed, complaint = process.communicate(timeout=timeout)
    except BaseException as error:
        process.kill()
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise NoAnswerError(f"no answer in {timeout:g} s") from error
        raise
    if process.returncode:
        words = complaint.decode(errors="replace").strip().splitlines()[-1:]
        raise ModuleFailedError(words[0][:300] if words else f"exit code {process.returncode}")
    return printed.decode()


def same_modules(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables by which an interpreter, and all that it starts, look for modules where this
    one does, and not in their working directory.
    """
    places = os.pathsep.join(str(Path(place).absolute()) for place in sys.path if place)
    return {**environment, "PYTHONPATH": places, "PYTHONSAFEPATH": "1"}


def collect_seldom() -> None:
    """Have the garbage collector look seldom in this process: before what is large is imported."""
    gc.set_threshold(ALLOCATIONS)


def main() -> None:
    """Run the module that the arguments name."""
    collect_seldom()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
