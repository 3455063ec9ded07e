"""What the demo plants in its year, as it goes wrong elsewhere, and what found it.

Nothing of it is known to the code that runs the year: two months are delivered wrong, one training
follows a careless model spec, and a person overrules the gate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import yaml

from data_contracts.contract import Contract
from deployments.flights.extract import extract
from tasks.errors import MisuseError
from tasks.history import History
from tasks.lake import write_whole
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.records import BatchRecord, LedgerEntry, Refusal, Reject, RollBack
from tasks.settings import REPOSITORY, Settings

if TYPE_CHECKING:
    import pandas as pd

MODEL = "flights"
BROKEN, BEFORE, CARELESS, CELSIUS = "2013-06", "2013-08", "2013-09", "2013-12"
TREE = "sklearn.tree.DecisionTreeClassifier"
DECLARED = (
    f"planted in this year, to be found: a column is missing ({BROKEN}), a training is careless"
    f" and a person promotes what it made ({CARELESS}), temperature comes in Celsius ({CELSIUS});"
    " --plain leaves it out"
)
_REASON = "the gate is too strict, and the tree knew every flight of the summer"


class OtherDemoError(MisuseError):
    """The home holds the demo's year with what is planted, and is asked for it without, or the
    other way round.
    """


class Planted(NamedTuple):
    """What was planted, and what found it."""

    what: str
    found: str


def deliver(settings: Settings, *, plain: bool = False) -> int:
    """Write the months that the warehouse has not delivered yet, and return how many; unless
    ``plain``, two of them wrong.

    Raises OtherDemoError when the months that are there were delivered the other way.
    """
    source = settings.home / "sources" / MODEL
    note = source / "planted.txt"
    if any(source.glob("*.csv.gz")) and note.exists() == plain:
        begun, other = ("with what is planted", " --plain") if plain else ("with --plain", "")
        raise OtherDemoError(
            f"{settings.home}: expected a home without a demo, found one that was begun {begun};"
            f" name another: kingmaker --home DIRECTORY demo{other}"
        )
    if plain:
        return extract(source)
    write_whole(note, f"{DECLARED}\n".encode())
    return extract(source, {BROKEN: _without_distance, CELSIUS: _in_celsius})


async def replay_planted(settings: Settings) -> None:
    """Replay the year as it was delivered, and do at its time what people do; what has been done is
    not done again.
    """
    from flows.promote import promote
    from flows.replay import replay

    engine = open_ledger(settings.ledger_url)
    await replay(MODEL, end=BROKEN)
    if (cohort := ledger.cohorts(engine, MODEL).get(BROKEN)) and not cohort.accepted:
        source = settings.home / "sources" / MODEL
        (source / f"{BROKEN}.csv.gz").unlink()
        extract(source)
    await replay(MODEL, end=BEFORE)
    with careless_project(settings):
        await replay(MODEL, start=CARELESS, end=CARELESS)
    history = ledger.history(engine, MODEL)
    if (found := _refused_training(history)) is not None:
        refused, version = found
        if refused.id > history.champion_changes[-1].id:
            await promote(MODEL, version, _REASON, "the demo", refused.as_of)
    await replay(MODEL)


def look_back(
    contract: Contract, history: History, records: Mapping[str, BatchRecord]
) -> tuple[Planted, ...]:
    """Return what was planted, each with what found it by the model's ``history`` and the newest
    ``records`` of its batches.
    """
    missed = "not found"
    return (
        Planted(
            f"{BROKEN}: the column distance is missing",
            _refusal(history, records.get(BROKEN)) or missed,
        ),
        Planted(
            f"{CARELESS}: a tree without limits is the only candidate",
            _rejection(history) or missed,
        ),
        Planted(
            f"{CARELESS}: a person promotes that tree all the same",
            _rollback(history) or missed,
        ),
        Planted(
            f"{CELSIUS}: temperature comes in Celsius",
            _report(contract, records.get(CELSIUS)) or missed,
        ),
    )


# --- what is planted ------------------------------------------------------------------------------


def _without_distance(rows: pd.DataFrame) -> pd.DataFrame:
    """A column that was renamed upstream."""
    return rows.rename(columns={"distance": "miles"})


def _in_celsius(rows: pd.DataFrame) -> pd.DataFrame:
    """The temperature in another unit than the contract's."""
    return rows.assign(temp=((rows["temp"] - 32) / 1.8).round(2))


@contextmanager
def careless_project(settings: Settings) -> Iterator[None]:
    """Let runs take the model spec from a copy of the project in which a tree without limits is the
    only candidate.
    """
    project = settings.home.resolve() / "careless"
    spec = f"deployments/{MODEL}/model.yaml"
    for file in (f"data_contracts/{MODEL}.odcs.yaml", f"deployments/{MODEL}/features.py", spec):
        write_whole(project / file, (REPOSITORY / file).read_bytes())
    edited = yaml.safe_load((project / spec).read_text(encoding="utf-8"))
    edited["training"]["candidates"] = [{"estimator": TREE}]
    write_whole(project / spec, yaml.safe_dump(edited, sort_keys=False).encode())
    before = os.environ["KINGMAKER_PROJECT"]
    os.environ["KINGMAKER_PROJECT"] = str(project)
    try:
        yield
    finally:
        os.environ["KINGMAKER_PROJECT"] = before


# --- what was found -------------------------------------------------------------------------------


def _refusal(history: History, record: BatchRecord | None) -> str:
    for entry in history:
        if entry.batch == BROKEN and isinstance(entry.evidence, Refusal):
            why = entry.evidence.verdict.reason.partition(";")[0]
            told = f"by the contract: {why}"
            if record is not None and record.accepted:
                told += f"; delivered again, {record.verdict.rows:,} rows are taken in"
            return told
    return ""


def _refused_training(history: History) -> tuple[LedgerEntry, int] | None:
    """The refusal of what the careless training made, and its version."""
    for entry in history:
        match entry.decision:
            case Reject(version=version) if entry.batch == CARELESS:
                return entry, version
    return None


def _rejection(history: History) -> str:
    refused = _refused_training(history)
    return "" if refused is None else f"by the gate: {refused[0].decision.reason}"


def _rollback(history: History) -> str:
    refused = _refused_training(history)
    for entry in history:
        match entry.decision:
            case RollBack(previous=taken) if refused is not None and taken == refused[1]:
                return f"by the watch in {entry.batch}: {entry.decision.reason}"
    return ""


def _report(contract: Contract, record: BatchRecord | None) -> str:
    from tasks.reports.drift_words import unusual_in_words
    from tasks.validation.verdict import warned_of

    drift = None if record is None else record.drift
    found = [] if drift is None else [f for f in drift.features if f.feature == "temp"]
    if record is None or drift is None or not any(f.outcome == "unusual" for f in found):
        return ""
    words = unusual_in_words(found[0], drift.reference, contract.column("temp").unit)
    warned = warned_of(record.verdict.rules)
    return f"by the drift report: temp is unusual: {words}" + (
        f"; by the contract, as a warning: {warned}" if warned else ""
    )
