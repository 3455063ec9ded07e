"""The card of a version: what it answers, of what it was made, how it does and where it does not,
what was decided about it, and what changed against the version before.

After Mitchell et al. 2019, "Model cards for model reporting"; everything is taken from the ledger
and the contract.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from data_contracts.contract import Contract
from tasks.history import ChampionChange, History
from tasks.records import (
    AwaitApproval,
    BatchRecord,
    Evidence,
    Interval,
    LedgerEntry,
    MainEffect,
    ManualEvidence,
    Performance,
    Promote,
    Recalibrate,
    Recipe,
    Reject,
    RollBack,
    Shadow,
    TrainedModel,
)
from tasks.reports import figures
from tasks.reports.page import render_page
from tasks.reports.summary import newest_revisions
from tasks.reports.tables import Table, compared, guardrails, in_markdown, inert, judging_rows

BATCHES = 12
"""Batches that a card tells the scores of, the newest first."""
MOST = 5000
"""Characters that MLflow's database keeps of a version's description."""
REST = "The rest is in the run of this version: `card.html`."
OFF = 0.02
"""A bin of the calibration is a limit from so large a share of the range of all bins on, where its
interval leaves the prediction out: many rows make the smallest difference certain.
"""
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
SIDE = 300.0
"""Side of the calibration's square, in its units."""
WIDTH, HEIGHT = 232.0, 96.0
"""Of the plot of an effect."""


@dataclass(frozen=True)
class About:
    """What a model is for, in the words of its spec and its contract."""

    model: str
    description: str
    target: str
    metric: str
    contract: Contract


@dataclass(frozen=True)
class Card:
    """What stands on the card of a version."""

    model: str
    version: int
    headline: str
    tables: tuple[Table, ...]
    """In their order, those of calibration and effects among them."""
    limits: tuple[str, ...]
    calibration: tuple[CalibrationMark, ...]
    ticks: tuple[str, str]
    """What stands at both ends of the calibration's axes."""
    effects: tuple[EffectPlot, ...]
    effects_of: str


@dataclass(frozen=True)
class CalibrationMark:
    """A bin of the calibration, in the plot's units."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class EffectPlot:
    """The effect of one feature, in the plot's units."""

    feature: str
    line: str
    """Path through the values of a number; empty for a category."""
    dots: tuple[tuple[float, float, str], ...]
    """Place and words of each value."""
    bottom: str
    top: str
    """What is predicted at the lower and the upper end."""
    first: str
    last: str
    """The first and the last value."""


def make_card(
    about: About,
    trained: TrainedModel,
    before: TrainedModel | None,
    records: Sequence[BatchRecord],
    history: History,
) -> Card:
    """Return the card of the version ``trained``; ``before`` is the champion that it challenged,
    None for the first.
    """
    judged = _judged(trained.version, records)
    evidence = next((e.evidence for e in reversed(history.judgements(trained.version))), None)
    behaviour = trained.behaviour
    drawn = [b for b in behaviour.calibration if math.isfinite(b.predicted + b.seen)]
    low, high = _ends([value for one in drawn for value in (one.predicted, one.seen)])
    limits = tuple(_limits(about, trained, judged, evidence))
    return Card(
        model=about.model,
        version=trained.version,
        headline=state_of(trained.version, history),
        tables=tuple(
            table
            for table in (
                _about(about),
                _decisions(trained.version, history),
                *_scores(judged, about.metric),
                _calibration(trained),
                _effects(trained),
                _importance(trained),
                _changes(trained, before),
                _data(trained),
                _recipe(trained),
                *(_evidence(evidence) if evidence else ()),
            )
            if table.rows
        ),
        limits=limits,
        calibration=tuple(
            CalibrationMark(
                x=_place(one.predicted, low, high, SIDE),
                y=_place(one.seen, low, high, SIDE),
                low=_place(one.low, low, high, SIDE),
                high=_place(one.high, low, high, SIDE),
                title=f"predicted {figures.number(one.predicted)}, came {figures.number(one.seen)}"
                f" in {one.rows:,} rows",
            )
            for one in drawn
        ),
        ticks=(figures.number(low, 3), figures.number(high, 3)),
        effects=tuple(map(_plot, behaviour.effects)),
        effects_of=f"the probability of {behaviour.of_class}"
        if behaviour.of_class
        else "what is predicted",
    )


def render_card_page(card: Card) -> str:
    """Return the HTML page of a card."""
    return render_page("card.html.j2", card=card, side=SIDE, width=WIDTH, height=HEIGHT)


def render_card_text(card: Card, most: int = MOST) -> str:
    """Return the same as Markdown of at most so many characters, whole tables only; what comes from
    data cannot become markup.
    """
    limits = "\n".join(f"- {inert(one)}" for one in card.limits)
    parts = [
        f"# {inert(card.model)}, version {card.version}",
        inert(card.headline),
        *((f"## Limits\n\n{limits}",) if limits else ()),
        *map(in_markdown, card.tables),
    ]
    room, kept = most - len(REST), list[str]()
    for part in parts:
        if len(part) + 2 <= room:
            kept.append(part)
            room -= len(part) + 2
    return "\n\n".join(kept if len(kept) == len(parts) else [*kept, REST])


def state_of(version: int, history: History) -> str:
    """Whether a version serves, has served, or why it does not."""
    changes = history.champion_changes
    later: ChampionChange | None = None
    for entry in reversed(changes):
        if entry.decision.version == version:
            if later is None:
                return f"Champion since batch {entry.batch}."
            return f"Was champion from batch {entry.batch} to batch {later.batch}."
        later = entry
    last = next((e for e in reversed(history.entries) if e.version == version), None)
    match last.decision if last else None:
        case AwaitApproval():
            return "Waits for a person's approval."
        case Shadow():
            return "Predicts in shadow: the rows so far were too few to judge it."
        case Reject(reason=reason):
            return f"Refused: {reason}"
        case Promote() | RollBack():
            return "Is about to become champion."
        case _:
            return "Registered, and not judged yet."


def _about(about: About) -> Table:
    contract = about.contract
    rows = (
        ("answers", about.description or contract.purpose),
        ("predicts", f"column {about.target}"),
        ("is asked about", contract.usage),
        ("must not be used", "for rows that break its contract"),
        ("known limits", contract.limitations),
        ("owner", contract.owner or "not named: the contract has no team"),
        ("contract", f"{contract.name} {contract.version}"),
    )
    return Table("What it is for", ("", ""), tuple(row for row in rows if row[1]))


def _data(trained: TrainedModel) -> Table:
    first, last = trained.trained_on[0], trained.trained_on[-1]
    rows = (
        (
            "rows",
            f"{trained.rows:,} in {figures.counted(len(trained.trained_on), 'span', 'spans')}",
        ),
        (
            "from",
            f"{figures.moment(min(s.start for s in trained.trained_on))} (batch {first.batch})",
        ),
        ("to", f"{figures.moment(trained.trained_until)} (batch {last.batch})"),
        ("contract then", trained.contract_version),
        (
            "features",
            f"{figures.counted(len(trained.schema_.numerical), 'number', 'numbers')},"
            f" {figures.counted(len(trained.schema_.categorical), 'category', 'categories')}",
        ),
        ("classes", ", ".join(trained.classes)),
    )
    return Table("Trained on", ("", ""), tuple(row for row in rows if row[1]))


def _recipe(trained: TrainedModel) -> Table:
    recipe = trained.new_member or trained.recipe
    members = ", ".join(f"version {m.version} ({m.window})" for m in trained.members)
    rows = (
        *_of_recipe(recipe).items(),
        ("ensemble of", members),
        ("seed", str(trained.seed)),
        ("code", trained.code_version),
        ("stored as", f"{trained.form}, {trained.artifact_sha256[:16]}"),
        ("MLflow run", trained.run_id),
    )
    title = "Made by" if not trained.members else "Made by, its newest member"
    return Table(title, ("", ""), tuple(row for row in rows if row[1]))


def _of_recipe(recipe: Recipe) -> Mapping[str, str]:
    return {
        "estimator": recipe.estimator,
        **{f"its {name}": str(value) for name, value in recipe.params.items()},
        "categories": recipe.encode,
        **{
            f"prepared {name}": ", ".join(f"{how} {value}" for how, value in one.items())
            for name, one in recipe.prepare.items()
        },
        "window": recipe.window,
        **{f"weights: {name.replace('_', ' ')}": str(v) for name, v in recipe.weights.items()},
        "features' digest": recipe.features[:12],
    }


def _judged(version: int, records: Sequence[BatchRecord]) -> tuple[Performance, ...]:
    """How a version did on the newest batches, the newest first."""
    found = [
        one
        for record in reversed(newest_revisions(records))
        for one in record.performances
        if one.version == version
    ]
    return tuple(found[:BATCHES])


def _scores(judged: Sequence[Performance], metric: str) -> tuple[Table, ...]:
    if not judged:
        return ()
    names = list(judged[0].metrics)
    scores = Table(
        "How it did on batches since",
        ("batch", "rows", "loss", *map(figures.in_words, names)),
        tuple(
            (
                one.batch,
                f"{one.rows:,}",
                figures.interval(one.loss),
                *(figures.interval(one.metrics.get(name)) for name in names),
            )
            for one in judged
        ),
        note="With 95% intervals, on rows that it was not trained on.",
    )
    newest = judged[0]
    slices = Table(
        f"By slice, on {newest.batch}",
        ("slice", "rows", "loss", figures.in_words(metric)),
        tuple(
            (
                f"{one.column} = {one.value}",
                f"{one.rows:,}",
                figures.interval(one.loss),
                figures.interval(one.score),
            )
            for one in newest.slices
        ),
    )
    return scores, slices


def _evidence(evidence: Evidence) -> tuple[Table, ...]:
    found = compared(evidence.comparison, evidence) if evidence.comparison else ()
    return (*found, guardrails(evidence), judging_rows(evidence))


def _calibration(trained: TrainedModel) -> Table:
    rows = tuple(
        (
            figures.number(one.predicted, 3),
            figures.interval(Interval(value=one.seen, low=one.low, high=one.high)),
            f"{one.rows:,}",
        )
        for one in trained.behaviour.calibration
    )
    return Table(
        "Calibration",
        ("predicted", "came", "rows"),
        rows,
        note="On the holdout: where about this was predicted, this is what came.",
    )


def _importance(trained: TrainedModel) -> Table:
    ranked = sorted(trained.behaviour.importance.items(), key=lambda item: -item[1])
    return Table(
        "Importance",
        ("feature", "loss added"),
        tuple((name, figures.number(value, 3)) for name, value in ranked[:20] if value > 0),
        note="How much the loss on the holdout grows when the values of a feature are shuffled.",
    )


def _effects(trained: TrainedModel) -> Table:
    return Table(
        "Main effects",
        ("feature", "value: prediction"),
        tuple(
            (
                one.feature,
                "; ".join(
                    f"{_value(value)}: {figures.number(predicted, 3)}"
                    for value, predicted in zip(one.grid, one.predicted, strict=True)
                ),
            )
            for one in trained.behaviour.effects
        ),
        note="What is predicted on average when every row of a sample has this value.",
    )


def _changes(trained: TrainedModel, before: TrainedModel | None) -> Table:
    if before is None:
        return Table("Against the version before", (), ())
    old, new = described(before), described(trained)
    rows = tuple(
        (name, old.get(name, figures.NOTHING), new.get(name, figures.NOTHING))
        for name in dict.fromkeys((*new, *old))
        if old.get(name) != new.get(name)
    )
    gone = set(before.schema_.names) - set(trained.schema_.names)
    come = set(trained.schema_.names) - set(before.schema_.names)
    if gone or come:
        rows += (("features that only it has", ", ".join(sorted(gone)), ", ".join(sorted(come))),)
    return Table(
        "Against the version before",
        ("", f"version {before.version}", f"version {trained.version}"),
        rows,
    )


def described(trained: TrainedModel) -> dict[str, str]:
    """Return how a version was made and what it has seen, in words."""
    recipe = trained.new_member or trained.recipe
    return {
        **_of_recipe(recipe),
        "rows": f"{trained.rows:,}",
        "trained from": figures.moment(min(span.start for span in trained.trained_on)),
        "trained until": figures.moment(trained.trained_until),
        "ensemble of": ", ".join(f"version {m.version}" for m in trained.members),
        "contract": trained.contract_version,
        "code": trained.code_version,
    }


def _decisions(version: int, history: History) -> Table:
    rows = tuple(
        (entry.title, entry.batch, _by(entry), figures.moment(entry.as_of), entry.decision.reason)
        for entry in history
        if entry.version == version and not isinstance(entry.decision, Recalibrate)
    )
    refreshed = len(history.adjustments(version))
    times = figures.counted(refreshed, "time", "times")
    note = f"Its weights or its recalibration were refreshed {times} since." if refreshed else ""
    return Table("Decisions", ("decision", "batch", "by", "as of", "reason"), rows, note)


def _by(entry: LedgerEntry) -> str:
    match entry.evidence:
        case ManualEvidence(person=person):
            return person
        case _:
            return entry.decided_by


def _limits(
    about: About,
    trained: TrainedModel,
    judged: Sequence[Performance],
    evidence: Evidence | None,
) -> Iterator[str]:
    """Where the version was seen not to be reliable, or has seen nothing."""
    seen = {
        (span.start.year * 12 + span.start.month - 1 + ahead) % 12
        for span in trained.trained_on
        for ahead in range(
            (span.end.year - span.start.year) * 12
            + span.end.month
            - span.start.month
            + (span.end.day > 1)
        )
    }
    unseen = [name for i, name in enumerate(MONTHS) if i not in seen]
    if unseen:
        yield f"It was trained on no row of {', '.join(unseen)}."
    bins = trained.behaviour.calibration
    low, high = _ends([one.seen for one in bins])
    for one in bins:
        interval = Interval(value=one.seen, low=one.low, high=one.high)
        beyond = math.isfinite(one.low) and not one.low <= one.predicted <= one.high
        if beyond and abs(one.predicted - one.seen) > OFF * (high - low):
            yield (
                f"Where about {figures.estimate(one.predicted, interval)} was predicted,"
                f" {figures.interval(interval)} came, on {one.rows:,} held out rows."
            )
    for newest in judged[:1]:
        for slice_ in newest.slices:
            if slice_.loss.low > newest.loss.value:
                yield (
                    f"Its loss is higher where {slice_.column} is {slice_.value}:"
                    f" {figures.interval(slice_.loss)} against {figures.interval(newest.loss)} on"
                    f" all rows of {newest.batch}."
                )
    if evidence is not None:
        for check in evidence.guardrails:
            if check.outcome != "passed":
                yield (
                    f"{check.code}, {check.name}: {check.outcome}; {check.found}, the limit is"
                    f" {check.limit}."
                )
    if not judged:
        yield f"No batch of {about.model} has judged it yet, beside the rows held out."


def _plot(effect: MainEffect) -> EffectPlot:
    low, high = _ends([p for p in effect.predicted if math.isfinite(p)])
    numbers = [value for value in effect.grid if isinstance(value, float)]
    if numbers:
        places = [_place(v, numbers[0], numbers[-1], WIDTH) for v in numbers]
    else:
        places = [WIDTH * (i + 0.5) / len(effect.grid) for i in range(len(effect.grid))]
    dots = tuple(
        (
            round(x, 1),
            round(HEIGHT - _place(y, low, high, HEIGHT), 1),
            f"{effect.feature} = {_value(value)}: {figures.number(y, 3)}",
        )
        for x, y, value in zip(places, effect.predicted, effect.grid, strict=True)
        if math.isfinite(y)
    )
    path = " L".join(f"{x},{y}" for x, y, _ in dots)
    return EffectPlot(
        feature=effect.feature,
        line=f"M{path}" if numbers and len(dots) > 1 else "",
        dots=dots,
        bottom=figures.number(low, 3),
        top=figures.number(high, 3),
        first=_value(effect.grid[0]),
        last=_value(effect.grid[-1]),
    )


def _value(value: float | str) -> str:
    return figures.number(value) if isinstance(value, float) else value


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest value, apart from each other."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _place(value: float, low: float, high: float, length: float) -> float:
    """Where a value lies on an axis of this length; at its end, where it lies beyond."""
    return round(length * min(max((value - low) / (high - low), 0.0), 1.0), 1)
