"""Prefect tasks of the validation room: judge a snapshot by its contract."""

from __future__ import annotations

from pathlib import Path

from data_contracts.contract import Contract
from tasks.records import Snapshot, Verdict
from tasks.streams import Stream
from tasks.task import task
from tasks.validation.config import ValidationConfig
from tasks.validation.dry_run import check_rules
from tasks.validation.verdict import judge


def check_contract(stream: Stream) -> None:
    """Refuse a query or an expectation that no engine can compile, before anything runs."""
    check_rules(stream.contract)


@task("validate")
def validate(stream: Stream, snapshot: Snapshot) -> Verdict:
    """Judge the snapshot by its contract; rows that break a row rule go to quarantine."""
    return judge(stream.settings.lake, snapshot, stream.contract, stream.validation)


def validate_open(contract: Contract, directory: Path, snapshot: Snapshot) -> Verdict:
    """Judge rows to be scored by the contract without what comes later; the parts lie in
    ``directory``, and so will the quarantine.

    Any number of rows may be in quarantine: the others are scored.
    """
    config = ValidationConfig(max_quarantined=1.0)
    return judge(directory, snapshot, contract, config, in_a_hurry=True)
