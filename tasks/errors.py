"""The base of every exception of ours, for tasks and what stands above them.

It is defined in the lowest layer, since contracts raise it too.
"""

from data_contracts.errors import ExitCode, KingmakerError, MisuseError, RefusedError

__all__ = ["ExitCode", "KingmakerError", "MisuseError", "RefusedError"]
