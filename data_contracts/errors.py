"""The base of every exception of ours, and what a command that ends by one exits with."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What kind of end the ``kingmaker`` command came to."""

    WELL = 0
    FAILED = 1
    MISUSE = 2
    """The command line or a file of the user's cannot be used: nothing was done."""
    REFUSED = 3
    """The data was refused."""
    NEEDS_A_PERSON = 4
    """Something waits for a person."""
    STOPPED = 130
    """A person ended it by Ctrl-C; the number is that of shells."""


class KingmakerError(Exception):
    """Something that we promise did not come about; the message says what was expected and found.

    Each room names its own kinds; those that replace a builtin derive from that as well.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class MisuseError(KingmakerError):
    """What the user asked for or configured cannot be done; asking again without a change cannot
    help.
    """

    exit_code = ExitCode.MISUSE


class RefusedError(KingmakerError):
    """The data was refused; it stays so until it is delivered again."""

    exit_code = ExitCode.REFUSED
