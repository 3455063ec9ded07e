"""A new Python interpreter, for what may come out otherwise in one than here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.errors import KingmakerError

TIMEOUT = 300.0
"""Seconds until an interpreter that does not answer is given up."""


class FreshInterpreterError(KingmakerError):
    """A new interpreter failed; the message is its last words."""


class NoAnswerError(FreshInterpreterError):
    """It did not end in time."""


def ask(module: str, arguments: Sequence[str], directory: Path, timeout: float = TIMEOUT) -> str:
    """Run ``python -P -m module arguments`` in ``directory``, and return what it printed.

    It looks for modules where this process does, since code may be a project's, and nowhere else:
    not in the directory that this process was started in, where a user's files may have the names
    of our packages. Hashes of texts are seeded anew, as in every process. Raises NoAnswerError
    after ``timeout`` seconds, and FreshInterpreterError with its last words when it fails.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    environment["PYTHONPATH"] = os.pathsep.join(
        os.path.abspath(place) for place in sys.path if place
    )
    try:
        answer = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-m", module, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=directory,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswerError(f"no answer in {timeout:g} s") from error
    if answer.returncode:
        words = answer.stderr.strip().splitlines()[-1:] or [f"exit code {answer.returncode}"]
        raise FreshInterpreterError(words[0][:300])
    return answer.stdout
