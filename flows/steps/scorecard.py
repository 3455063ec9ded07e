"""What the labels that came later say of each decision between two versions; it decides nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from flows.steps.champion import served_version
from flows.steps.models import unusable
from tasks.evaluation.compare import paired_test, time_blocks
from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.scored import LabelledRows, score_model
from tasks.features.task import build_features
from tasks.history import History
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.prediction import FeatureMismatchError
from tasks.records import (
    BatchRecord,
    Choice,
    ChoicesOfYear,
    Interval,
    JudgedChoice,
    KnownLabels,
    LoadedModel,
    Past,
    ScoreCard,
)

MOST = 4
"""Batches after a decision that judge it, while what it chose is champion: newer decisions answer
for newer ones.
"""


@dataclass
class _Looked:
    """What both versions of a choice lost on the rows that were looked at, and when these were."""

    batches: list[str] = field(default_factory=list)
    chosen: list[np.ndarray] = field(default_factory=list)
    other: list[np.ndarray] = field(default_factory=list)
    moments: list[np.ndarray] = field(default_factory=list)
    why_not: str = ""


def score_card(
    managed: ManagedModel, engine: Engine, most: int = MOST, kept: Sequence[JudgedChoice] = ()
) -> ScoreCard:
    """Judge each past promotion, refusal and rollback by the rows of up to ``most`` batches that
    came after it, whose labels are known and which neither version was trained on; what is ``kept``
    is not judged again.

    Both versions are asked as they were packaged, without recalibration, one batch after the other:
    memory is bounded by a batch and its losses. Reads the ledger, the lake and the registry, and
    writes nothing.
    """
    history = ledger.history(engine, managed.name)
    known = {one.choice.number: one for one in kept}
    left = [choice for choice in history.choices if choice.number not in known]
    judged = judge_choices(managed, engine, history, left, most)
    return make_card(history, managed.name, [*kept, *judged])


def judge_choices(
    managed: ManagedModel,
    engine: Engine,
    history: History,
    choices: Sequence[Choice],
    most: int = MOST,
) -> list[JudgedChoice]:
    """Judge some choices by the batches that came after them."""
    looked = {choice.number: _Looked() for choice in choices}
    for record in _judged_batches(managed, engine) if choices else ():
        due = [
            one
            for one in choices
            if _judges(record, one) and len(looked[one.number].batches) < most
        ]
        if due:
            _look(managed, engine, history, record, due, looked)
    return [_judged(one, looked[one.number]) for one in choices]


def make_card(history: History, model: str, judged: Sequence[JudgedChoice]) -> ScoreCard:
    """Return the card of judged choices: the costliest wrong ones first, and sums over each
    year.
    """
    years = list[ChoicesOfYear]()
    for year in sorted({one.choice.as_of.year for one in judged}, reverse=True):
        made = [one for one in judged if one.choice.as_of.year == year]
        verdicts = [one.verdict for one in made]
        if (gained := _sum(made)) is not None:
            years.append(
                ChoicesOfYear(
                    year=year,
                    right=verdicts.count("right"),
                    wrong=verdicts.count("wrong"),
                    untold=verdicts.count("cannot be told"),
                    gained=gained,
                )
            )
    return ScoreCard(
        model=model,
        judged=tuple(sorted(judged, key=_wrong_first)),
        holds=history.holds,
        gained=_sum(judged),
        years=tuple(years),
    )


def complete(choice: Choice, batches: Sequence[str], most: int = MOST) -> bool:
    """Whether all of the judged ``batches`` that ever judge a choice are there: so many, or all up
    to the next change of champion.
    """
    after = [batch for batch in batches if choice.batch < batch <= (choice.until or batch)]
    ended = bool(choice.until) and bool(batches) and max(batches) >= choice.until
    return len(after) >= most or ended


def _judged_batches(managed: ManagedModel, engine: Engine) -> list[BatchRecord]:
    return [r for r in ledger.known_batches(engine, managed.name).values() if r.performances]


def _judges(record: BatchRecord, choice: Choice) -> bool:
    """Whether a batch came after a decision, while what it chose was champion."""
    return choice.batch < record.batch.id and record.batch.id <= (choice.until or record.batch.id)


def _look(
    managed: ManagedModel,
    engine: Engine,
    history: History,
    record: BatchRecord,
    due: Sequence[Choice],
    looked: dict[int, _Looked],
) -> None:
    """Add what both versions of each choice lose on a batch that neither has seen."""
    of_labels = (
        {} if managed.labels is None else ledger.known_batches(engine, managed.name, "labels")
    )
    newest = max([record.as_of, *(one.as_of for one in of_labels.values())])
    known = KnownLabels(batches=tuple(of_labels.values()), as_of=newest)
    past = Past(newest)
    if managed.spec.features.of_past:
        past = ledger.past(engine, managed.name, newest, managed.joined)
    rows = LabelledRows.of(build_features.fn(managed, [record], known, past))
    losses: dict[int, np.ndarray | str] = {}
    for version in sorted({v for choice in due for v in (choice.chosen, choice.other)}):
        packaged = served_version(managed, engine, history, version, None)
        losses[version] = _losses(managed, packaged, record, rows)
    for choice in due:
        own, both = looked[choice.number], [losses[v] for v in (choice.chosen, choice.other)]
        refused = [one for one in both if isinstance(one, str)]
        if refused:
            own.why_not = own.why_not or refused[0]
            continue
        own.batches.append(record.batch.id)
        own.moments.append(rows.frame.moments)
        own.chosen.append(np.asarray(both[0]))
        own.other.append(np.asarray(both[1]))


def _losses(
    managed: ManagedModel, model: LoadedModel, record: BatchRecord, rows: LabelledRows
) -> np.ndarray | str:
    """The loss of each row; or why the version cannot be judged by them."""
    if broken := unusable(model, managed.contract):
        return broken
    if model.trained.trained_until > record.batch.start:
        return f"version {model.trained.version} was trained on rows as new"
    try:
        return score_model(
            replace(model, recalibration=None), rows, managed.spec.problem, managed.spec.metric
        ).losses
    except (EvaluationError, FeatureMismatchError) as error:
        return str(error)


def _judged(choice: Choice, looked: _Looked) -> JudgedChoice:
    if not looked.batches:
        why = looked.why_not or "no labels have come since, while what it chose was champion"
        return JudgedChoice(choice=choice, why_not=why)
    chosen, other = np.concatenate(looked.chosen), np.concatenate(looked.other)
    blocks, _ = time_blocks(np.concatenate(looked.moments))
    test = paired_test(chosen, other, blocks)
    gained = Interval(value=-test.mean.value, low=-test.mean.high, high=-test.mean.low)
    return JudgedChoice(
        choice=choice,
        batches=tuple(looked.batches),
        rows=len(chosen),
        blocks=test.blocks,
        chosen_loss=float(chosen.mean()),
        other_loss=float(other.mean()),
        gained=gained,
    )


def _wrong_first(one: JudgedChoice) -> tuple[int, float, int]:
    """Those that were wrong first, the costliest first; then those that were right."""
    order = ("wrong", "cannot be told", "right", "not judged")
    total = 0.0 if one.gained is None else one.gained.value * one.rows
    return order.index(one.verdict), total, one.choice.number


def _sum(judged: Sequence[JudgedChoice]) -> Interval | None:
    """What all of them gained together, in the loss of all their rows; as if they were independent.

    A row that judged several decisions counts for each.
    """
    known = list(_known(judged))
    if not known:
        return None
    value = math.fsum(gained.value * rows for gained, rows in known)
    variance = math.fsum(((g.high - g.value) * rows) ** 2 for g, rows in known if g.known)
    half = math.sqrt(variance) if all(g.known for g, _ in known) else math.inf
    return Interval.around(value, half)


def _known(judged: Sequence[JudgedChoice]) -> Iterator[tuple[Interval, int]]:
    for one in judged:
        if one.gained is not None and math.isfinite(one.gained.value):
            yield one.gained, one.rows
