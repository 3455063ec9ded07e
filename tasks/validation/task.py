"""Prefect tasks of the validation room: judge a snapshot by its contract."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.records import Snapshot, Verdict
from tasks.streams import Stream
from tasks.validation.dry_run import check_rules
from tasks.validation.verdict import judge


def check_contract(stream: Stream) -> None:
    """Refuse a query or an expectation that no engine can compile, before anything runs."""
    check_rules(stream.contract)


@task(name="validate", cache_policy=NO_CACHE)
def validate(stream: Stream, snapshot: Snapshot) -> Verdict:
    """Judge the snapshot by its contract; rows that break a row rule go to quarantine."""
    return judge(stream.settings.lake, snapshot, stream.contract, stream.validation)
