"""Prefect tasks of the validation room: judge a snapshot by its contract."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from data_contracts.open_rows import open_contract
from tasks.model_spec import ManagedModel
from tasks.records import Snapshot, Verdict
from tasks.validation.config import ValidationConfig
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


def validate_open(managed: ManagedModel, directory: Path, snapshot: Snapshot) -> Verdict:
    """Judge rows to be scored by the contract without what comes later; the parts lie in
    ``directory``, and so will the quarantine.

    Any number of rows may be in quarantine: the others are scored.
    """
    contract = open_contract(managed.contract, managed.spec.target)
    return judge(directory, snapshot, contract, ValidationConfig(max_quarantined=1.0))
