"""A challenger: trained on the window, judged with the champion on rows that neither has seen,
promoted or not.
"""

from __future__ import annotations

from datetime import datetime

from prefect import flow, get_run_logger

from flows.steps.challenger import challengers, judge, need_news, search
from flows.steps.publish import ask_for_approval
from flows.steps.run import ModelRun, model_run
from flows.steps.run_name import run_name
from tasks.history import asks_for_approval
from tasks.ledger.repositories import NewDecision
from tasks.records import (
    Attempted,
    AwaitApproval,
    Hold,
    LedgerEntry,
    ManualEvidence,
    Promote,
    Reject,
    Retrain,
    Shadow,
)
from tasks.training.search import SearchFailedError
from tasks.training.split import NoTrainingRowsError


@flow(name="retrain", flow_run_name=run_name)
async def retrain(
    model: str,
    reason: str = "asked for by a person",
    as_of: datetime | None = None,
    person: str = "a person",
) -> LedgerEntry:
    """Train a challenger, judge it against the champion, and let the gate decide.

    Returns the last decision. Raises NothingToTrainError when no batch is mature, and
    NothingNewError when neither spec, features nor rows have changed since the champion was made.

    When the search finds a better recipe, it is judged first; when that is refused, the champion's
    own recipe on the newer data still gets its chance.

    Args:
        model: Name of a directory in deployments/, such as flights.
        reason: Why now, in one sentence; it is kept in the ledger.
        as_of: Act as if it were this moment; later labels are not known yet. Left out: now.
        person: Who asks; it is kept in the ledger.
    """
    with model_run(model, as_of) as run:
        run.need_registry()
        need_news(run)
        asked = Retrain(reason=f"by {person}: {reason}")
        seen = ManualEvidence(person=person, reason=reason)
        entry = run.write(NewDecision(run.newest_batch, asked, seen, decided_by=person))
        return await carry_out_retrain(run, entry)


async def retrain_in(run: ModelRun, reason: str) -> LedgerEntry:
    """Train and judge in a run, until a challenger is promoted or waits for a person; return the
    last decision.
    """
    get_run_logger().info("%s: training a challenger, because %s", run.managed.name, reason)
    found = search(run)
    entry: LedgerEntry
    for challenger in challengers(run, found):
        entry = judge(run, found, challenger)
        match entry.decision:
            case Promote():
                run.carry_out(entry)
                break
            case AwaitApproval() if asks_for_approval(entry):
                await ask_for_approval(run, entry)
                break
            case Reject() | Shadow():
                continue  # the next challenger has its chance
    return entry


async def carry_out_retrain(run: ModelRun, entry: LedgerEntry) -> LedgerEntry:
    """Carry out a decision to retrain, as of its moment, and return the last decision; when its
    rows can train nothing, that is to hold, and not to try the same for ever.
    """
    then = run.at(entry.as_of)
    try:
        last = await retrain_in(then, entry.decision.reason)
    except (NoTrainingRowsError, SearchFailedError) as error:
        get_run_logger().warning("%s: nothing could be trained: %s", run.managed.name, error)
        hold = Hold(reason=f"nothing could be trained: {error}")
        last = run.write(NewDecision(entry.batch, hold, Attempted(retrain=entry.id)))
    run.finish(entry)
    return last


async def finish_retrains(run: ModelRun) -> None:
    """Carry out what a run decided that died before it had trained; nothing while the registry is
    away.
    """
    if run.registry_away:
        return
    for entry in run.history.unfinished:
        if run.history.judged_since(entry):
            run.finish(entry)
            continue
        get_run_logger().warning(
            "a run died before its challenger was judged: %s", entry.decision.reason
        )
        await carry_out_retrain(run, entry)
