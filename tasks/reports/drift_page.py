"""One batch's drift report: what moved, whether it matters, what was done about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.history import History
from tasks.records import (
    BatchRecord,
    DriftReference,
    DriftSummary,
    FeatureDrift,
    Interval,
    Performance,
)
from tasks.reports.bars import Bars, Meter, distribution, meter
from tasks.reports.charts import Area, LineChart, Measured, line_chart
from tasks.reports.figures import (
    counted,
    in_plain_words,
    in_words,
    interval,
    interval_known,
    number,
    odds,
    percent,
    times_threshold,
    values_times_threshold,
)
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
NAMED = 3
"""Features that the headline names; of more it gives the number."""
MOST_DRAWN = 100
"""Features with a line and a picture of their own; of more, those that moved farthest, and the
others with their scores alone: the page stays below 500 KB.
"""
_SPARK = Area(width=460, height=150, left=52, right=10, top=12, bottom=24)


@dataclass(frozen=True)
class FeatureRow:
    """One line of the table of features."""

    feature: FeatureDrift
    unit: str
    times: float | None
    """Score of the values as a multiple of its threshold."""
    score_bar: Meter
    meaning: str
    """The score against chance, in words."""
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
        headline=headline(record, earlier, row),
        decisions=[entry for entry in history if entry.batch == record.batch.id],
        performance=performance,
        contenders=_contenders(record, history),
        sparks=_sparks(metric, [*earlier, record], history),
        groups=_groups(record.drift, units) if record.drift else (),
        slices=_slices(performance) if performance else (),
        evidently=evidently,
        validation=validation,
        waits=waits,
    )


def headline(record: BatchRecord, earlier: Sequence[BatchRecord], row: BatchRow) -> tuple[str, ...]:
    """Return the report in up to three sentences: what moved, whether it matters, what was
    decided.
    """
    if record.verdict.refused:
        return ("The batch was refused, so nothing was scored on it.",)
    moved = (
        moved_in_words(record.drift)
        if record.drift
        else "No champion yet, so there is nothing to compare with"
    )
    decision = (
        "No decision yet"
        if row.decision == UNDECIDED
        else f"Decision: {in_plain_words(row.decision)}"
    )
    return (f"{moved}.", f"{_loss_in_words(record, earlier)}.", f"{decision}.")


def moved_in_words(drift: DriftSummary) -> str:
    """Return how many features moved, how much of the champion's importance they carry, and whether
    its output did.
    """
    also = [
        f"what {name}"
        for kind, name in (("prediction", "it predicts"), ("target", "came true"))
        if any(f.kind == kind and f.outcome == "drifted" for f in drift.features)
    ]
    return _features_in_words(drift) + (f"; {' and '.join(also)} moved too" if also else "")


def _features_in_words(drift: DriftSummary) -> str:
    judged = [f for f in drift.inputs if f.outcome != "not evaluable"]
    moved = [f for f in judged if f.outcome == "drifted"]
    untold = [f.feature for f in judged if f.outcome == "cannot be told"]
    if not judged:
        return "No feature could be evaluated"
    if not untold:
        return _moved_in_words(drift, judged, moved)
    names = (
        ", ".join(untold) if len(untold) <= NAMED else counted(len(untold), "feature", "features")
    )
    unknown = f"{names} moved unusually cannot be told"
    if moved:
        return f"{_moved_in_words(drift, judged, moved)}; whether {unknown}"
    others = len(judged) - len(untold)
    rest = f"; none of {counted(others, 'other', 'others')} did" if others else ""
    return f"Whether {unknown}{rest}"


def _why_untold(reference: DriftReference) -> str:
    if reference.kind == "season":
        return "the same season swung too much from year to year"
    return f"it swung too much within training time ({reference.reason})"


def _moved_in_words(
    drift: DriftSummary, judged: Sequence[FeatureDrift], moved: Sequence[FeatureDrift]
) -> str:
    if not moved:
        return f"None of {counted(len(judged), 'feature', 'features')} moved"
    text = f"{len(moved)} of {counted(len(judged), 'feature', 'features')} moved"
    whole = sum(max(f.importance or 0.0, 0.0) for f in drift.inputs)
    if whole <= 0:
        return text
    carried = sum(max(f.importance or 0.0, 0.0) for f in moved) / whole
    return (
        f"{text}, carrying {percent(carried)} of the champion\N{RIGHT SINGLE QUOTATION MARK}s"
        " importance"
    )


def meaning(f: FeatureDrift, reference: DriftReference) -> str:
    """Return what a score says, in words: how rare it is when nothing has changed, and whether it
    is large enough.
    """
    if f.p_value is None:
        return ""
    rare = f"{odds(f.p_value)} if nothing had changed"
    if f.score is not None and f.threshold is not None and f.score > f.threshold:
        return rare
    if f.threshold is None:
        return f"cannot be told: {_why_untold(reference)}"
    if reference.level is not None and f.p_value <= reference.level:
        return f"{rare}, but too small to matter"
    if f.score is not None and f.score > reference.psi:
        return f"{rare}: within its usual swings"
    return rare


def _loss_in_words(record: BatchRecord, earlier: Sequence[BatchRecord]) -> str:
    """The champion's loss, and whether the mean of the earlier batches lies in, below or above its
    interval.
    """
    performance = champion_performance(record)
    if performance is None and record.estimate is not None and not record.estimate.withheld:
        return (
            "Labels are not mature yet; from its own calibrated scores the"
            f" champion\N{RIGHT SINGLE QUOTATION MARK}s loss is estimated at"
            f" {interval(record.estimate.loss)}, which is blind to concept drift"
        )
    if performance is None:
        return (
            "Labels are not mature yet, so the champion\N{RIGHT SINGLE QUOTATION MARK}s loss is not"
            " known"
        )
    losses = [p.loss.value for r in earlier if (p := champion_performance(r)) is not None]
    text = f"The champion\N{RIGHT SINGLE QUOTATION MARK}s loss is {interval(performance.loss)}"
    if not losses:
        return f"{text}, on the first batch it is judged on"
    if not interval_known(performance.loss):
        return text
    mean = sum(losses) / len(losses)
    if performance.loss.low > mean:
        return f"{text}, higher than before ({number(mean)} on average)"
    if performance.loss.high < mean:
        return f"{text}, lower than before ({number(mean)} on average)"
    return f"{text}, as before"


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
    """Features of one outcome: lines of the table, and those that it only names."""

    title: str
    lines: tuple[FeatureRow, ...]
    others: tuple[FeatureDrift, ...]


def _groups(drift: DriftSummary, units: Mapping[str, str]) -> tuple[Group, ...]:
    """The lines of the table: what the champion predicts, then features that moved, held, could not
    be judged.
    """
    times = {f.feature: times_threshold(f) for f in drift.features}
    of_values = {f.feature: values_times_threshold(f) for f in drift.features}
    longest = max((t for t in of_values.values() if t is not None), default=0.0)
    most = max((f.importance or 0.0 for f in drift.inputs), default=0.0)
    ordered = sorted(drift.features, key=lambda f: -(times[f.feature] or 0.0))

    def line(f: FeatureDrift) -> FeatureRow:
        return FeatureRow(
            feature=f,
            unit=units.get(f.feature, ""),
            times=of_values[f.feature],
            score_bar=meter(of_values[f.feature], longest),
            meaning=meaning(f, drift.reference),
            reliance=(
                max(f.importance, 0.0) / most if f.importance is not None and most > 0 else None
            ),
            bars=distribution(f.histogram),
        )

    output = tuple(line(f) for f in ordered if f.kind in _NO_FEATURE)
    groups = [Group("What the champion predicts, and what came true", output, ())]
    left = MOST_DRAWN
    for outcome, title in (
        ("drifted", "Moved"),
        ("cannot be told", "Cannot be told"),
        ("steady", "Steady"),
        ("not evaluable", "Not evaluable"),
    ):
        own = [f for f in ordered if f.kind not in _NO_FEATURE and f.outcome == outcome]
        drawn, others = own[:left], own[left:]
        left -= len(drawn)
        title = f"{title}: {counted(len(own), 'feature', 'features')}"
        groups.append(Group(title, tuple(map(line, drawn)), tuple(others)))
    return tuple(group for group in groups if group.lines or group.others)


def _slices(performance: Performance) -> tuple[SliceRow, ...]:
    whole = performance.loss.value
    worst = sorted(performance.slices, key=lambda s: -s.loss.value)[:WORST_SLICES]
    return tuple(
        SliceRow(
            s.column, s.value, s.rows, s.loss, s.score, s.loss.value / whole if whole > 0 else None
        )
        for s in worst
    )
