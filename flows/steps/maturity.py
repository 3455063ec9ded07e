"""Which batches may be judged and trained on at the moment of a run, and why others wait."""

from __future__ import annotations

from data_contracts.diff import broken_promises
from flows.steps.run import ModelRun
from tasks.cohorts import why_waiting
from tasks.records import BatchRecord


def trainable(run: ModelRun) -> list[BatchRecord]:
    """Return the accepted batches whose labels are mature, oldest first.

    Those whose rows meant something else, under an earlier version of the contract, are left out.
    """
    waits = waiting(run)
    found = [r for r in run.batches.known.values() if r.accepted and r.batch.id not in waits]
    contract = run.managed.contract
    earlier = {r.snapshot.contract_version for r in found} - {contract.version}
    foreign = {
        version
        for version in earlier
        if any(
            change.other_rows
            for change in broken_promises(run.trainings.contract_text(version), contract)
        )
    }
    return [r for r in found if r.snapshot.contract_version not in foreign]


def waiting(run: ModelRun) -> dict[str, str]:
    """Return batch id -> why the accepted batch's labels may not be used yet, oldest first."""
    labels = run.labels.cohorts
    found = {
        cohort.batch.id: why_waiting(run.managed, cohort, labels, run.as_of)
        for cohort in run.batches.cohorts
        if cohort.accepted
    }
    return {id: reason for id, reason in found.items() if reason}
