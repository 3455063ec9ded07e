"""One batch's drift report: what moved, whether it matters, what was done about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.history import History
from tasks.records import (
    AnyLossChange,
    BatchRecord,
    FeatureDrift,
    Interval,
    LossChange,
    Performance,
)
from tasks.reports.bars import Bars, Meter, Whisker, distribution, meter, whiskers
from tasks.reports.charts import Area, LineChart, Measured, line_chart
from tasks.reports.drift_words import (
    by_consequence,
    does_it_matter,
    effect_in_words,
    how_it_does,
    is_it_unusual,
    move_in_words,
    moved_in_words,
    unusual_in_words,
    why_it_changed,
)
from tasks.reports.figures import counted, in_plain_words, in_words, percent, values_times_threshold
from tasks.reports.page import render_page
from tasks.reports.summary import (
    UNDECIDED,
    BatchRow,
    batch_rows,
    champion_performance,
    first_performance,
    newest_revisions,
)

_NO_FEATURE = ("prediction", "target")
WORST_SLICES = 10
"""Slices shown, from the highest loss down."""
MOST_DRAWN = 100
"""Features with a line and a picture of their own; of more, those that moved farthest, and the
others with their scores alone: the page stays below 500 KB.
"""
MOST_PARTS = 6
"""Features whose part of a change of the loss has a line of its own; the others share one."""
_SPARK = Area(width=460, height=150, left=52, right=10, top=12, bottom=24)


@dataclass(frozen=True)
class FeatureRow:
    """One line of the table of features."""

    feature: FeatureDrift
    unit: str
    moved: str
    """How far, in words."""
    times: float | None
    """Score of the values as a multiple of its threshold."""
    score_bar: Meter
    unusual: str
    """The score against chance, in words."""
    matters: str
    """What it should do to the champion, in words."""
    reliance: float | None
    """Importance as a share of the most important feature's, 0 to 1."""
    bars: Bars


@dataclass(frozen=True)
class Contender:
    """One model that was held against the batch's labels."""

    role: str
    performance: Performance


@dataclass(frozen=True)
class SliceRow:
    """One slice with its loss as a multiple of the batch's."""

    column: str
    value: str
    rows: int
    loss: Interval
    score: Interval | None
    times: float | None


def render_drift_page(
    model: str,
    metric: str,
    record: BatchRecord,
    history: History,
    units: Mapping[str, str],
    known: Sequence[BatchRecord],
    evidently: str | None,
    validation: str | None,
    waits: str = "",
) -> str:
    """Return the HTML page of one batch.

    ``history`` holds all of the model's decisions (the first champion is found in them), ``units``
    goes from feature to unit of measure, ``known`` are the model's other batches, of which the
    earlier ones are shown. ``waits`` says why its labels may not be used yet. ``evidently`` and
    ``validation`` are addresses relative to the page. ValueError when one leads away from it.
    """
    earlier = [r for r in newest_revisions(known) if r.batch.start < record.batch.start]
    (row,) = batch_rows([record], history)
    performance = champion_performance(record)
    return render_page(
        "drift.html.j2",
        model=model,
        metric=metric,
        record=record,
        row=row,
        headline=headline(record, earlier, row, units),
        decisions=[entry for entry in history if entry.batch == record.batch.id],
        performance=performance,
        contenders=_contenders(record, history),
        sparks=_sparks(metric, [*earlier, record], history),
        groups=_groups(record, units),
        why=None if record.change is None else why_it_changed(record.change),
        parts_of_change=_parts(record.change),
        slices=_slices(performance) if performance else (),
        evidently=evidently,
        validation=validation,
        waits=waits,
    )


def headline(
    record: BatchRecord, earlier: Sequence[BatchRecord], row: BatchRow, units: Mapping[str, str]
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the first sentence, what moved, and the answers to what follows from it, each with
    its question.
    """
    if record.verdict.refused:
        return "The batch was refused, so nothing was scored on it.", ()
    decided = "No decision yet" if row.decision == UNDECIDED else in_plain_words(row.decision)
    answers = [
        ("How does the champion do?", how_it_does(record, earlier)),
        ("What was decided?", decided),
    ]
    if record.drift is None:
        said = tuple((question, f"{answer}.") for question, answer in answers)
        return "No champion yet, so there is nothing to compare with.", said
    answers[:0] = [
        ("Is that unusual?", is_it_unusual(record.drift, units)),
        ("Does it matter?", does_it_matter(record.drift, _loss(record))),
    ]
    said = tuple((question, f"{answer}.") for question, answer in answers)
    return f"{moved_in_words(record.drift, units, _loss(record))}.", said


def _loss(record: BatchRecord) -> float | None:
    performance = champion_performance(record)
    return None if performance is None else performance.loss.value


def _contenders(record: BatchRecord, history: History) -> tuple[Contender, ...]:
    first = history.first_champion
    roles = []
    for position, performance in enumerate(record.performances):
        if position == 0:
            role = "champion, and the first one" if performance.version == first else "champion"
        elif performance.version == first:
            role = "first champion"
        else:
            role = "previous champion, in shadow"
        roles.append(Contender(role, performance))
    return tuple(roles)


def _sparks(
    metric: str, records: Sequence[BatchRecord], history: History
) -> tuple[tuple[str, LineChart], ...]:
    """Score and loss over the batches up to this one; the loss alone when the metric is the loss
    itself.
    """

    def points(of: str) -> list[Measured]:
        measured = []
        for record in records:
            champion, first = champion_performance(record), first_performance(record, history)
            value: Interval | None = getattr(champion, of) if champion else None
            base: Interval | None = getattr(first, of) if first else None
            measured.append(Measured(record.batch.id, value, base.value if base else None))
        return measured

    return (
        (in_words(metric), line_chart(points("score"), _SPARK)),
        ("loss", line_chart(points("loss"), _SPARK)),
    )


@dataclass(frozen=True)
class Group:
    """Features of one answer: lines of the table, and those that it only names."""

    title: str
    lines: tuple[FeatureRow, ...]
    others: tuple[FeatureDrift, ...]


def _groups(record: BatchRecord, units: Mapping[str, str]) -> tuple[Group, ...]:
    """The lines of the table: features that moved, by what that should do to the champion, those
    that did not, and what the champion predicts.
    """
    drift, loss = record.drift, _loss(record)
    if drift is None:
        return ()
    of_values = {f.feature: values_times_threshold(f) for f in drift.features}
    longest = max((t for t in of_values.values() if t is not None), default=0.0)
    most = max((f.importance or 0.0 for f in drift.inputs), default=0.0)

    def line(f: FeatureDrift) -> FeatureRow:
        unit = units.get(f.feature, "")
        return FeatureRow(
            feature=f,
            unit=unit,
            moved=move_in_words(f, unit),
            times=of_values[f.feature],
            score_bar=meter(of_values[f.feature], longest),
            unusual=unusual_in_words(f, drift.reference, unit),
            matters=(
                effect_in_words(f.effect, f.move.outside if f.move else 0.0, loss)
                if f.effect is not None and f.moved
                else ""
            ),
            reliance=(
                max(f.importance, 0.0) / most if f.importance is not None and most > 0 else None
            ),
            bars=distribution(f.histogram, f.move.median if f.move else None),
        )

    ordered, groups, left = by_consequence(drift, loss), list[Group](), MOST_DRAWN
    inputs = [f for f in ordered if f.kind not in _NO_FEATURE]
    for title, own in (
        ("Moved", [f for f in inputs if f.moved]),
        ("Did not move", [f for f in inputs if not f.moved and f.move is not None]),
        ("Cannot be compared", [f for f in inputs if f.move is None]),
    ):
        drawn, others = own[:left], own[left:]
        left -= len(drawn)
        title = f"{title}: {counted(len(own), 'feature', 'features')}"
        groups.append(Group(title, tuple(map(line, drawn)), tuple(others)))
    output = tuple(line(f) for f in ordered if f.kind in _NO_FEATURE)
    groups.append(Group("What the champion predicts, and what came true", output, ()))
    return tuple(group for group in groups if group.lines or group.others)


@dataclass(frozen=True)
class PartRow:
    """One part of a change of the loss."""

    name: str
    means: str
    of: Interval | None
    """None where several features share the line: only their sum is known."""
    value: float
    whisker: Whisker | None
    within: bool = False
    """Whether it is a part of the one above."""


def _parts(change: AnyLossChange | None) -> tuple[PartRow, ...]:
    """The parts of a change of the loss, those of the inputs by feature, the largest first."""
    if not isinstance(change, LossChange):
        return ()
    own = [one for one in change.features[:MOST_PARTS] if one.change.value]
    inner = [(one.feature, "", one.change) for one in own]
    for name, means, one in (
        ("features together", "what none of them does alone", change.jointly),
        (
            "rows far from the holdout",
            f"{percent(change.far_share)} of the rows, where it has too few: what the inputs did"
            " there cannot be told from what the relation did",
            change.far,
        ),
    ):
        if one.value:
            inner.append((name, means, one))
    outer = [
        ("Inputs", "other rows came, of kinds that the holdout has lost more or less on"),
        ("Base rate", "the outcome became more or less frequent, at all inputs alike"),
        ("Relation", "the same inputs mean another outcome"),
    ]
    lines = [
        (name, means, part, False)
        for (name, means), part in zip(outer, change.parts.values(), strict=True)
    ]
    lines[1:1] = [(*line, True) for line in inner]
    if change.adjusted is not None:
        means = "weights, a recalibration, or what was served before the batch closed"
        lines.append(("Adjusted since", means, change.adjusted, False))
    means = "what none of these explains, and how far rows of this number go by chance"
    lines.append(("Chance", means, change.chance, False))
    drawn = whiskers([one for _, _, one, _ in lines])
    rows = [
        PartRow(name, means, one, one.value, at, within)
        for (name, means, one, within), at in zip(lines, drawn, strict=True)
    ]
    if rest := [one for one in change.features if one not in own and one.change.value]:
        name = counted(len(rest), "other feature", "other features")
        value = sum(one.change.value for one in rest)
        rows.insert(1 + len(own), PartRow(name, "", None, value, None, within=True))
    return tuple(rows)


def _slices(performance: Performance) -> tuple[SliceRow, ...]:
    whole = performance.loss.value
    worst = sorted(performance.slices, key=lambda s: -s.loss.value)[:WORST_SLICES]
    return tuple(
        SliceRow(
            s.column, s.value, s.rows, s.loss, s.score, s.loss.value / whole if whole > 0 else None
        )
        for s in worst
    )
