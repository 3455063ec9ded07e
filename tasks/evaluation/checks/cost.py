"""KM007 and KM008: what serving the challenger costs, in bytes and in time."""

from __future__ import annotations

from tasks.evaluation.checks.base import CheckContext, ModelCheck
from tasks.evaluation.scored import Scored
from tasks.records import Guardrail

TIMED_ROWS = 5_000
"""Rows that the limit of the prediction time is for."""


class Size(ModelCheck):
    """KM007: the stored model is not many times the champion's, unless it is small anyway."""

    code = "KM007"

    def check(self, context: CheckContext) -> Guardrail:
        """Compare the bytes of both files."""
        size, champion, config = context.challenger.size, context.champion, context.config
        if not size:
            return self.result("not made", "the stored model has no known size", "some bytes")
        found = f"{size / 1e6:,.2f} MB"
        if champion is None:
            return self.result(True, found, "none: there is no champion to be larger than")
        most = max(config.larger_from, config.larger * champion.size)
        return self.result(size <= most, found, f"at most {most / 1e6:,.1f} MB")


class PredictionTime(ModelCheck):
    """KM008: predicting takes not many times the champion's time, unless it is quick anyway.

    It is the CPU time of the one prediction of the holdout that everything is judged by; of more
    than 5,000 rows, the share of so many. Threads that wait for a busy core count as CPU time too,
    so where it is too much, up to 5,000 rows are predicted once more by one thread, and the lesser
    of both times counts: other work on the machine is no fault.
    """

    code = "KM008"

    def check(self, context: CheckContext) -> Guardrail:
        """Compare the CPU time of both predictions."""
        rows = min(len(context.challenger.rows), TIMED_ROWS)
        taken = _seconds(context.challenger)
        if context.champion is None:
            limit = "none: there is no champion to be slower than"
            return self.result(True, _a_row(taken, rows), limit)
        config = context.config
        most = max(config.slower_from, config.slower * _seconds(context.champion))
        if taken > most:
            taken = min(taken, context.seconds_again(TIMED_ROWS))
        return self.result(taken <= most, _a_row(taken, rows), f"at most {most / rows * 1e6:,.1f}")


def _seconds(scored: Scored) -> float:
    """CPU seconds for at most TIMED_ROWS of the rows."""
    return scored.seconds * min(1.0, TIMED_ROWS / len(scored.rows))


def _a_row(seconds: float, rows: int) -> str:
    return f"{seconds / rows * 1e6:,.1f} microseconds a row"
