"""The model page: who is champion and why, how the score went, what moved, what was decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tasks.history import ChampionChange, History
from tasks.records import (
    BatchRecord,
    FeatureDrift,
    Labelled,
    LedgerEntry,
    Promote,
    RollBack,
    ScoreCard,
)
from tasks.reports.bars import heat_step
from tasks.reports.charts import Area, LineChart, Measured, after, line_chart
from tasks.reports.figures import NOTHING, number, percent, ratio, times_threshold
from tasks.reports.model_card import state_of
from tasks.reports.page import render_page
from tasks.reports.summary import (
    batch_rows,
    champion_performance,
    first_performance,
    newest_estimate,
    newest_revisions,
)

CHOICE_ROWS = 20
"""Choices on the page, the costliest wrong ones first; the command shows all."""
_QUIET = ("Hold", "Recalibrate")
"""Decisions that change nothing: folded away."""
HEAT_ROWS = 30
"""Features in the heat map, the most drifting first."""
LINKED = 50
"""Batches, the newest, whose cells lead to the drift report: the page stays small."""
LABEL_ROWS = 12
"""Batches in the table of labels, the newest first."""
VERSION_ROWS = 20
"""Versions in the table of versions, the newest first."""
_WORDED = 16
"""Up to so many batches a cell of the heat map is wide enough for its number."""
_AREA = Area(width=1080, height=330, left=194, right=8, top=44, bottom=30)
_LABEL = 34
"""Width of a version's label on the chart, in its units; where there is no room the tooltip alone
says it.
"""


@dataclass(frozen=True)
class Event:
    """A change of champion on the chart."""

    x: float
    label: str
    """Empty where it would run into the label before."""
    rollback: bool
    title: str


@dataclass(frozen=True)
class Mark:
    """A batch on the chart that was refused or lost rows to quarantine."""

    x: float
    refused: bool


@dataclass(frozen=True)
class Cell:
    """One feature in one batch."""

    step: str
    text: str
    title: str
    href: str | None
    """The feature in the batch's drift report."""


@dataclass(frozen=True)
class LabelRow:
    """One batch that waits for labels, or whose labels have gaps."""

    batch: str
    found: Labelled | None
    """None until its labels were mature."""
    waits: str
    """Why its labels may not be used yet; empty when they are."""


@dataclass(frozen=True)
class VersionRow:
    """One version that was judged."""

    version: int
    card: str | None
    """Address of its card."""
    kind: str
    state: str


@dataclass(frozen=True)
class HeatMap:
    """Drift of features (rows) in batches (columns)."""

    batches: tuple[tuple[str, bool], ...]
    """Id, and whether its label is shown."""
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    features: int
    """How many features there are in all."""
    worded: bool


def render_model_page(
    model: str,
    description: str,
    metric: str,
    records: Sequence[BatchRecord],
    history: History,
    link: Callable[[str], str | None],
    card: Callable[[int], str | None],
    waits: Mapping[str, str] | None = None,
    choices: ScoreCard | None = None,
    whatif: str | None = None,
) -> str:
    """Return the HTML page of one model.

    ``link`` goes from a batch id to the relative address of its report, and ``card`` from a version
    to that of its card, or to None where it cannot be followed; ``waits`` from the batches whose
    labels may not be used yet to the reason. ``choices`` are those that were judged, and ``whatif``
    is the relative address of what other policies would have done.
    """
    batches = newest_revisions(records)
    newest_first = history.entries[::-1]
    changes = history.champion_changes
    judged = [record for record in batches if record.performances]
    chart = line_chart(
        [
            Measured(
                record.batch.id,
                champion.score if champion else None,
                first.score.value if first and first.score else None,
                note=_note(record, history),
            )
            for record in batches
            for champion, first in [
                (champion_performance(record), first_performance(record, history))
            ]
        ],
        _AREA,
    )
    return render_page(
        "model.html.j2",
        model=model,
        description=description,
        metric=metric,
        batches=batches,
        rows=batch_rows(records, history)[::-1],
        links={record.batch.id: link(record.batch.id) for record in batches},
        champion_since=changes[-1] if changes else None,
        promotions=sum(isinstance(entry.decision, Promote) for entry in changes),
        rollbacks=sum(isinstance(entry.decision, RollBack) for entry in changes),
        newest=judged[-1] if judged else None,
        estimated=newest_estimate(records),
        newest_first_champion=first_performance(judged[-1], history) if judged else None,
        first_version=history.first_champion,
        awaiting=history.awaiting_approval,
        unfinished=history.unfinished[::-1],
        chart=chart,
        events=_events(chart, batches, changes),
        marks=_marks(chart, batches),
        heat=_heat_map(batches, chart, link),
        turning=[entry for entry in newest_first if not _quiet(entry, history)],
        later={entry.id: _later(entry, history) for entry in newest_first},
        holds=[entry for entry in newest_first if _quiet(entry, history)],
        labels=_label_rows(batches, waits or {}),
        versions=_versions(history, card),
        choices=choices,
        judged_choices=() if choices is None else choices.judged[:CHOICE_ROWS],
        whatif=whatif,
    )


def _versions(history: History, card: Callable[[int], str | None]) -> tuple[VersionRow, ...]:
    """The newest versions that were judged, newest first."""
    return tuple(
        VersionRow(
            version=version,
            card=card(version),
            kind=history.judgements(version)[0].evidence.kind,
            state=state_of(version, history),
        )
        for version in reversed(history.challengers[-VERSION_ROWS:])
    )


def _label_rows(batches: Sequence[BatchRecord], waits: Mapping[str, str]) -> tuple[LabelRow, ...]:
    """The newest batches that wait for labels, or have rows that never got one, newest first."""
    rows = [
        LabelRow(record.batch.id, record.labelled, waits.get(record.batch.id, ""))
        for record in reversed(batches)
        if record.batch.id in waits or (record.labelled is not None and record.labelled.waiting)
    ]
    return tuple(rows[:LABEL_ROWS])


def _later(entry: LedgerEntry, history: History) -> str:
    """What the watch saw of a promotion on the batches after it; nothing while it has seen none."""
    seen = history.seen_after(entry)
    rows = sum(one.rows for one in seen)
    if not rows:
        return ""
    now, before = (
        sum(one.rows * loss for one, loss in zip(seen, of, strict=True)) / rows
        for of in ([o.champion_loss for o in seen], [o.challenger_loss for o in seen])
    )
    share = f" ({now / before - 1:+.1%})" if before else ""
    return (
        f"On the {rows:,} rows watched after it, loss {number(now)} against {number(before)} of the"
        f" version before{share}."
    )


def _quiet(entry: LedgerEntry, history: History) -> bool:
    """Whether a decision changed nothing, as one to retrain that could train nothing."""
    return entry.decision.kind in _QUIET or history.trained_nothing(entry)


def _note(record: BatchRecord, history: History) -> str:
    (row,) = batch_rows([record], history)
    champion = champion_performance(record)
    current_champion = f"version {champion.version}, " if champion else ""
    return f"{current_champion}decision: {row.decision}"


def _events(
    chart: LineChart, batches: Sequence[BatchRecord], changes: Sequence[ChampionChange]
) -> tuple[Event, ...]:
    """Place each change of champion after the batch it was decided on; labels never touch."""
    position = {record.batch.id: i for i, record in enumerate(batches)}
    events: list[Event] = []
    for entry in changes:
        decision = entry.decision
        if entry.batch not in position:
            continue
        x = after(chart, position[entry.batch])
        crowded = any(x - event.x < _LABEL for event in events if event.label)
        rollback = isinstance(decision, RollBack)
        verb = "rolled back to" if rollback else "promoted"
        events.append(
            Event(
                x=x,
                label="" if crowded else f"v{decision.version}",
                rollback=rollback,
                title=f"{entry.batch}: {verb} version {decision.version}: {decision.reason}",
            )
        )
    return tuple(events)


def _marks(chart: LineChart, batches: Sequence[BatchRecord]) -> tuple[Mark, ...]:
    return tuple(
        Mark(round(slot.x + slot.width / 2, 1), record.verdict.refused)
        for slot, record in zip(chart.slots, batches, strict=True)
        if record.verdict.refused or record.verdict.quarantined
    )


def _heat_map(
    batches: Sequence[BatchRecord], chart: LineChart, link: Callable[[str], str | None]
) -> HeatMap:
    by_batch = [{f.feature: f for f in r.drift.inputs} if r.drift else {} for r in batches]
    names = {name: None for features in by_batch for name in features}

    def heat(name: str) -> tuple[int, float]:
        own = [features[name] for features in by_batch if name in features]
        times = [min(times_threshold(f) or 0.0, 1e6) for f in own]
        return -sum(f.outcome == "unusual" for f in own), -sum(times) / len(own)

    labelled = {tick.label for tick in chart.x_ticks}
    linked = {record.batch.id: link(record.batch.id) for record in batches[-LINKED:]}
    return HeatMap(
        batches=tuple((record.batch.id, record.batch.id in labelled) for record in batches),
        rows=tuple(
            (
                name,
                tuple(
                    _cell(record.batch.id, features[name], linked.get(record.batch.id))
                    if name in features
                    else None
                    for record, features in zip(batches, by_batch, strict=True)
                ),
            )
            for name in sorted(names, key=heat)[:HEAT_ROWS]
        ),
        features=len(names),
        worded=len(batches) <= _WORDED,
    )


def _cell(batch: str, feature: FeatureDrift, link: str | None) -> Cell:
    times = times_threshold(feature)
    step, href = heat_step(feature, times), link and f"{link}#feature-{quote(feature.feature)}"
    if times is None or step in "mn":
        moved = "moved, and whether that is unusual " if feature.moved else ""
        return Cell(step, NOTHING, f"{batch}: {moved}{feature.outcome}", href)
    title = f"{batch}: {ratio(times)} its threshold"
    if feature.missing is not None and feature.missing.outcome == "unusual":
        title += f"; missing {percent(feature.missing_before)} to {percent(feature.missing_after)}"
    return Cell(step, ratio(times), title, href)
