"""Retention: what nothing rests on may go, what the ledger needs never."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.command.prune import prune
from tasks.ledger import entries as ledger
from tasks.ledger.lease import LeaseHeldError, lease
from tasks.ledger.tables import open_ledger
from tasks.records import Promote
from tasks.settings import Settings
from tests.tasks.builders import batch_record, manual_evidence, span, trained_model
from tests.versions import write_training

AGE = timedelta(days=30)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a ledger of its own."""
    return Settings(home=tmp_path)


def written(settings: Settings, path: str, days: float = 60) -> Path:
    """A file in the lake, or a directory with a part in it, that was last written ``days`` ago."""
    file = settings.lake / path
    if not file.suffix:
        file /= "part-00000.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * 1000)
    moment = time.time() - days * 86_400
    for one in (file, file.parent):
        os.utime(one, (moment, moment))
    return settings.lake / path


def record(settings: Settings, sha256: str, **changes) -> object:
    """A batch in the ledger with a snapshot of that digest."""
    base = batch_record(model="m")
    path = f"snapshots/c/{base.batch.id}/{sha256[:16]}"
    snapshot = base.snapshot.model_copy(update={"sha256": sha256, "path": path, "contract": "c"})
    engine = open_ledger(settings.ledger_url)
    with lease(engine, "m", "test") as held:
        made = base.model_copy(update={"snapshot": snapshot, **changes})
        return ledger.record_batch(engine, held, made)


def removed(settings: Settings, *, remove: bool = False) -> set[str]:
    """Lake paths that would go, or went."""
    return {str(one.path.relative_to(settings.lake)) for one in prune(settings, AGE, remove=remove)}


def test_only_a_replaced_revision_that_nothing_rests_on_goes(settings):
    """Three revisions: one trained on, one replaced, one newest; the dry run touches nothing."""
    trained, replaced, newest = ("a" * 64, "b" * 64, "c" * 64)
    for sha256 in (trained, replaced, newest):
        made = record(settings, sha256, predictions=None)
        written(settings, made.snapshot.path)
    engine = open_ledger(settings.ledger_url)
    with lease(engine, "m", "test") as held:
        rows = (span(0, 1, batch=made.batch.id).model_copy(update={"snapshot": trained}),)
        write_training(engine, held, trained_model(model="m", trained_on=rows), made.batch.id)
    expected = {f"snapshots/c/{made.batch.id}/{replaced[:16]}"}

    assert removed(settings) == expected
    assert (settings.lake / next(iter(expected))).exists(), "a dry run"

    assert removed(settings, remove=True) == expected
    left = {path.name for path in (settings.lake / "snapshots" / "c" / made.batch.id).iterdir()}
    assert left == {trained[:16], newest[:16]}
    assert removed(settings) == set()


def test_what_the_ledger_does_not_know_is_not_touched(settings):
    """A snapshot of an unknown batch may be one that is just being read; an empty ledger removes
    nothing.
    """
    written(settings, "snapshots/c/2013-01/0123456789abcdef")
    written(settings, "predictions/m/2013-01/v1-0123456789abcdef.parquet")
    written(settings, "quarantine/c/2013-01/0123-4567.parquet")

    assert removed(settings, remove=True) == set()


def test_what_is_young_stays(settings):
    """Age protects what a run is writing, whatever the ledger says."""
    record(settings, "a" * 64, predictions=None)
    made = record(settings, "b" * 64, predictions=None)
    written(settings, f"snapshots/c/{made.batch.id}/{'a' * 16}", days=1)
    unfinished = settings.lake / "snapshots" / "c" / ".x.123.tmp"
    unfinished.mkdir(parents=True)

    assert removed(settings) == set()

    old = time.time() - 60 * 86_400
    os.utime(unfinished, (old, old))
    assert removed(settings) == {"snapshots/c/.x.123.tmp"}


def test_copies_of_the_champion_and_of_the_one_before_it_stay(settings):
    """What scoring and a rollback read when MLflow is away is never taken from them."""
    engine = open_ledger(settings.ledger_url)
    with lease(engine, "m", "test") as held:
        for version in (1, 2, 3):
            promoted = Promote(reason="better", version=version, previous=version - 1 or None)
            entry = ledger.record_decision(
                engine, held, "2020-01", promoted, manual_evidence(), as_of=datetime.now(UTC)
            )
            ledger.mark_effective(engine, held, entry)
    old = time.time() - 60 * 86_400
    for version in (1, 2, 3):
        copy = settings.models / "m" / f"{version}-{'a' * 16}"
        copy.mkdir(parents=True)
        os.utime(copy, (old, old))

    went = {one.path.name[0] for one in prune(settings, AGE, remove=True)}

    assert went == {"1"}
    assert sorted(path.name[0] for path in (settings.models / "m").iterdir()) == ["2", "3"]


def test_nothing_is_removed_while_a_run_acts(settings):
    """A run may be about to use a replaced revision whose content has come back."""
    record(settings, "a" * 64, predictions=None)
    engine = open_ledger(settings.ledger_url)

    with lease(engine, "m", "a run"), pytest.raises(LeaseHeldError, match="a run acts"):
        prune(settings, AGE, remove=True)


@pytest.mark.flow
def test_a_whole_home_keeps_all_that_it_needs(replayed_home, tmp_path):
    """Ten weeks after the fact, a home that was replayed loses nothing but what MLflow has a copy
    of.
    """
    home = tmp_path / "home"
    shutil.copytree(replayed_home, home)
    settings = Settings(home=home)
    before = {path for path in settings.lake.rglob("*") if path.is_file()}
    assert before

    went = prune(settings, timedelta(0), remove=True)

    assert {path for path in settings.lake.rglob("*") if path.is_file()} == before
    spared = (settings.models, settings.home.resolve() / "cache")
    assert all(
        one.path.name == "evidently.html" or set(spared) & set(one.path.parents) for one in went
    )
