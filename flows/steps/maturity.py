"""Which batches may be judged and trained on at the moment of a run, and why others wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from data_contracts.diff import broken_promises
from flows.steps.run import ModelRun
from tasks.batches import Batch
from tasks.cohorts import why_waiting
from tasks.model_spec import ManagedModel
from tasks.records import BatchRecord


def trainable(run: ModelRun) -> list[BatchRecord]:
    """Return the accepted batches whose labels are mature, oldest first.

    Those whose rows meant something else, under an earlier version of the contract, are left out.
    """
    waits = waiting(run)
    found = [r for r in run.batches.known.values() if r.accepted and r.batch.id not in waits]
    return of_one_meaning(run.managed, found, run.trainings.contract_text)


def of_one_meaning(
    managed: ManagedModel, records: Sequence[BatchRecord], text_of: Callable[[str], str]
) -> list[BatchRecord]:
    """Return the batches whose rows mean what the contract says today; ``text_of`` goes from an
    earlier version of the contract to its text.
    """
    contract = managed.contract
    earlier = {r.snapshot.contract_version for r in records} - {contract.version}
    foreign = {
        version
        for version in earlier
        if any(change.other_rows for change in broken_promises(text_of(version), contract))
    }
    return [r for r in records if r.snapshot.contract_version not in foreign]


def readable(managed: ManagedModel, batch: Batch) -> datetime:
    """Return the moment from which the labels of ``batch`` are mature, and can have been read where
    they come from elsewhere.
    """
    moment = managed.matures(batch)
    if managed.labels is None:
        return moment
    last = managed.labels.batch_of(moment - moment.resolution)
    return last.end + managed.labels.contract.lateness


def waiting(run: ModelRun) -> dict[str, str]:
    """Return batch id -> why the accepted batch's labels may not be used yet, oldest first."""
    labels = run.labels.cohorts
    found = {
        cohort.batch.id: why_waiting(run.managed, cohort, labels, run.as_of)
        for cohort in run.batches.cohorts
        if cohort.accepted
    }
    return {id: reason for id, reason in found.items() if reason}
