"""Requests for approval: which wait, which have waited too long, and what a promotion by a person
rests on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flows.steps.run import ModelRun
from tasks.errors import MisuseError
from tasks.history import ApprovalRequest, History
from tasks.ledger.repositories import NewDecision
from tasks.model_spec import ManagedModel
from tasks.records import (
    Decision,
    Evidence,
    Expired,
    LedgerEntry,
    ManualEvidence,
    Reject,
)


class NoEvidenceError(MisuseError):
    """There is no evidence for the promotion that is asked for, or it has gone stale."""


class NothingWaitsError(MisuseError):
    """No version awaits approval."""


def overdue(managed: ManagedModel, history: History) -> tuple[ApprovalRequest, ...]:
    """Return the requests that have waited for a person longer than the spec allows."""
    limit = datetime.now(UTC) - managed.spec.approval.within
    return tuple(entry for entry in history.awaiting_approval if entry.recorded_at < limit)


def expire(run: ModelRun) -> tuple[LedgerEntry, ...]:
    """Refuse what is overdue, and return the refusals."""
    days, refusals = run.managed.spec.approval.within / timedelta(days=1), list[LedgerEntry]()
    for asked in overdue(run.managed, run.history):
        version = asked.decision.version
        reason = f"version {version} was not approved within {days:g} days"
        expired = Expired(expired=asked.id, waited_since=asked.recorded_at)
        refusal = Reject(reason=reason, version=version)
        refusals.append(run.write(NewDecision(asked.batch, refusal, expired)))
    return tuple(refusals)


def newest_request(run: ModelRun, version: int | None) -> ApprovalRequest:
    """Return the request that waits about ``version``, or about the newest; NothingWaitsError when
    it does not wait.
    """
    waits = {entry.decision.version: entry for entry in run.history.awaiting_approval}
    chosen = waits.get(max(waits, default=0) if version is None else version)
    if chosen is None:
        listed = ", ".join(str(one) for one in sorted(waits)) or "none"
        wanted = "a version" if version is None else f"version {version}"
        raise NothingWaitsError(
            f"{run.managed.name}: expected {wanted} that awaits approval, found {listed}"
        )
    return chosen


def judgement_of(run: ModelRun, version: int | None) -> LedgerEntry[Decision, Evidence]:
    """Return the newest judgement of a version, or of the newest that a person was asked about.

    Raises NoEvidenceError when there is none, when it was made against another champion than
    today's, or when the request was refused or has expired meanwhile.
    """
    name, history = run.managed.name, run.history
    asked = history.requests()
    wanted = version if version is not None or not asked else asked[-1].decision.version
    verdicts = () if wanted is None else history.verdicts(wanted)
    if not verdicts:
        expected = (
            "a version that awaits approval"
            if version is None
            else f"evidence about version {version}"
        )
        raise NoEvidenceError(
            f"{name}: expected {expected}, found none in the ledger; 'kingmaker history {name}'"
            " shows what was judged"
        )
    if version is None and isinstance(verdicts[-1].evidence, ManualEvidence):
        raise NoEvidenceError(
            f"{name}: version {wanted} was refused {verdicts[-1].decision.reason}; to promote it"
            f" all the same, name it: 'kingmaker promote {name} --version {wanted}'"
        )
    rests = [entry for entry in verdicts if not isinstance(entry.evidence, ManualEvidence)][-1]
    if isinstance(rests.evidence, Expired):
        raise NoEvidenceError(
            f"{name}: {rests.decision.reason}; run 'kingmaker retrain {name}' for new evidence"
        )
    judged = next(
        entry for entry in history.judgements(rests.decision.version) if entry.id == rests.id
    )
    champion = run.models.champion()
    current = None if champion is None else champion.trained.version
    if judged.evidence.champion != current:
        raise NoEvidenceError(
            f"{name}: the evidence about version {judged.evidence.challenger} compares it with"
            f" version {judged.evidence.champion}, but version {current} is champion now: it has"
            f" gone stale; run 'kingmaker retrain {name}' for new evidence"
        )
    run.models.version(judged.evidence.challenger)  # verified before it is promoted
    return judged
