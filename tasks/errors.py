"""The base of every exception of ours, for tasks and what stands above them.

It is defined in the lowest layer, since contracts raise it too.
"""

from data_contracts.errors import ExitCode, KingmakerError, MisuseError, RefusedError

__all__ = ["ExitCode", "KingmakerError", "MisuseError", "RefusedError", "first_line"]


def first_line(error: BaseException) -> str:
    """Return an error of a library as a person can read it: its kind and the first line of its
    text, at most 300 characters.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}{': ' + lines[0] if lines else ''}"[:300]
