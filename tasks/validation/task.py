"""Prefect tasks of the validation room: judge a snapshot by its contract."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.model_spec import ManagedModel
from tasks.records import Snapshot, Verdict
from tasks.validation.dry_run import check_rules
from tasks.validation.verdict import judge


def check_contract(managed: ManagedModel) -> None:
    """Refuse a query or an expectation that no engine can compile, before anything runs."""
    check_rules(managed.contract)


@task(name="validate", cache_policy=NO_CACHE)
def validate(managed: ManagedModel, snapshot: Snapshot) -> Verdict:
    """Judge the snapshot by its contract; rows that break a row rule go to quarantine."""
    # Great Expectations costs two seconds to import: only when there is a batch.

    return judge(managed.settings.lake, snapshot, managed.contract, managed.spec.validation)
