"""Says in one line at the end of a run what was left out; with KINGMAKER_NO_SKIPS=1 the run fails.

A plugin of pytest's, loaded by ``addopts`` in pyproject.toml. A test that needs what a machine may
lack skips with a reason that says how to get it.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let an otherwise green run fail where no test may be left out."""
    if _may_not_skip() and _reasons(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print how many tests were left out, and the reasons."""
    if reasons := _reasons(config):
        verdict = "failed, since KINGMAKER_NO_SKIPS is set: " if _may_not_skip() else ""
        told = "; ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items()))
        terminalreporter.write_line(
            f"{verdict}left out {reasons.total()} tests: {told}",
            red=_may_not_skip(),
            yellow=not _may_not_skip(),
        )


def _may_not_skip() -> bool:
    return os.environ.get("KINGMAKER_NO_SKIPS") == "1"


def _reasons(config: pytest.Config) -> Counter[str]:
    """Return how often each reason was given; none in a worker of xdist, which reports nothing."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    return Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
