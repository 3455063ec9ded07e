"""Retention: what may go from the disk, because nothing in the ledger rests on it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.ledger.entries import history
from tasks.ledger.lease import holder_name, lease
from tasks.ledger.retention import models_known, needed
from tasks.ledger.tables import Engine, open_ledger
from tasks.settings import Settings


@dataclass(frozen=True)
class Removal:
    """A file or a directory that may go."""

    path: Path
    bytes: int
    why: str


def prune(
    settings: Settings, older_than: timedelta, *, remove: bool, now: datetime | None = None
) -> tuple[Removal, ...]:
    """Return what may go, and with ``remove`` remove it; what is younger than ``older_than`` stays
    in any case.

    What is removed is removed under the leases of all models, so that no run begins to use it
    meanwhile; LeaseHeldError says which run acts. Never touched: the ledger, MLflow's store, what
    the ledger needs, and whatever the ledger does not know at all.
    """
    engine = open_ledger(settings.ledger_url)
    before = (now or datetime.now(UTC)) - older_than
    if not remove:
        return tuple(_removals(settings, engine, before))
    with _all_leases(engine):
        found = tuple(_removals(settings, engine, before))
        for removal in found:
            if removal.path.is_dir():
                shutil.rmtree(removal.path)
            else:
                removal.path.unlink()
    return found


def _removals(settings: Settings, engine: Engine, before: datetime) -> Iterator[Removal]:
    lake, home, kept = settings.lake, settings.home.resolve(), needed(engine)
    yield from _old(_unfinished(lake), before, "was never finished")
    for kind, known, needed_paths, why in (
        (
            "snapshots",
            kept.known_snapshots,
            kept.snapshots,
            "replaced by a newer revision; nothing rests on it",
        ),
        (
            "quarantine",
            kept.known_snapshots,
            kept.quarantines,
            "belongs to no snapshot that is kept",
        ),
        (
            "predictions",
            kept.known_predictions,
            kept.predictions,
            "the ledger has another of this batch",
        ),
    ):
        paths = (
            path
            for path in sorted((lake / kind).glob("*/*/*"))
            if not path.name.startswith(".")
            and (path.parent.parent.name, path.parent.name) in known
            and path.relative_to(lake).as_posix() not in needed_paths
        )
        yield from _old(paths, before, why)
    reports = sorted(settings.reports.glob("*/*/evidently.html"))
    yield from _old(reports, before, "Evidently's page, 4 MB each; MLflow keeps a copy")
    yield from _old(
        _seldom_read(settings, engine),
        before,
        "a copy of a version that is not champion; MLflow has it",
    )
    yield from _old(sorted((home / "cache" / "tmp").glob("*")), before, "left by a run that died")


def _seldom_read(settings: Settings, engine: Engine) -> list[Path]:
    """Local copies of versions other than the champion and the one before it, which a rollback
    needs at once.
    """
    current_champion = {
        (model, str(entry.decision.version))
        for model in models_known(engine)
        for entry in history(engine, model).champion_changes[-2:]
    }
    copies = sorted(settings.models.glob("*/*-*"))
    return [
        copy
        for copy in copies
        if (copy.parent.name, copy.name.partition("-")[0]) not in current_champion
    ]


def _unfinished(lake: Path) -> list[Path]:
    return sorted(lake.glob("**/.*.tmp"))


def _old(paths: Iterable[Path], before: datetime, why: str) -> Iterator[Removal]:
    for path in paths:
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        newest = max((file.stat().st_mtime for file in (path, *files)), default=0.0)
        if datetime.fromtimestamp(newest, UTC) < before:
            yield Removal(path, sum(file.stat().st_size for file in files), why)


@contextlib.contextmanager
def _all_leases(engine: Engine) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for model in models_known(engine):
            stack.enter_context(lease(engine, model, holder_name("prune")))
        yield
