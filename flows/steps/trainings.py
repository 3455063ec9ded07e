"""A decision to retrain, carried out: now, or by the run after one that died."""

from __future__ import annotations

from prefect import get_run_logger

from flows.retrain import retrain
from flows.steps.run import ModelRun
from tasks.records import Hold, LedgerEntry, Record
from tasks.training.search import SearchFailedError
from tasks.training.split import NoTrainingRowsError


class Attempted(Record):
    """The evidence that a Retrain could not be carried out."""

    retrain: int
    """The ledger's number of the decision."""


async def finish_trainings(m: ModelRun) -> None:
    """Train what a run was asked for that died before it had trained."""
    for entry in m.unfinished():
        judged = [
            e
            for e in m.history()
            if e.id > entry.id and e.decision.kind in ("Promote", "AwaitApproval")
        ]
        if not judged:
            get_run_logger().warning(
                "a run died before its challenger was judged: %s", entry.decision.reason
            )
            await train(m, entry)
        m.finish(entry)


async def train(m: ModelRun, entry: LedgerEntry) -> None:
    """Carry out a Retrain; when its rows can train nothing, the answer is to hold, and not to try
    the same for ever.
    """
    try:
        await retrain(m.managed.name, entry.decision.reason, entry.as_of)
    except (NoTrainingRowsError, SearchFailedError) as error:
        get_run_logger().warning("%s: nothing could be trained: %s", m.managed.name, error)
        m.decide(
            entry.batch,
            Hold(reason=f"nothing could be trained: {error}"),
            Attempted(retrain=entry.id),
        )
    m.finish(entry)
