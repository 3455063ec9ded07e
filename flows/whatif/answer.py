"""What a model's own history says of other policies: gains, costs, and one sentence of advice."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
from scipy import stats

from flows.steps.evidence import labelled_rows
from flows.whatif.alternatives import asked_for, recipe_of, start_of, usual
from flows.whatif.models import Bill, Models, OutOfTimeError, remove_unused
from flows.whatif.past import RecipeModels, own_rows, stored_in
from flows.whatif.replay import Outcome, Replay
from flows.whatif.stream import Stream
from tasks.errors import MisuseError
from tasks.evaluation.compare import paired_test, time_blocks
from tasks.history import History
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel, ModelSpec
from tasks.records import (
    BatchRecord,
    Happened,
    Hold,
    Interval,
    PolicyEvidence,
    Promote,
    Recipe,
    Reject,
    Retrain,
    RollBack,
    Tried,
    WhatIf,
)

OWN = "as the spec says"
CHEAPER = 0.8
"""A policy is cheaper when its trainings take at most this share of the spec's CPU seconds."""
NO_LOSS = 0.005
"""A cheaper policy is advised when it is told to lose no more than this share."""


class NothingToReplayError(MisuseError):
    """There is no batch that a champion would have served."""


def what_if(
    managed: ManagedModel,
    engine: Engine,
    tries: Sequence[str],
    now: datetime,
    *,
    most_rows: int,
    seconds: float,
    say: Callable[[str], None] = lambda _: None,
) -> WhatIf:
    """Replay a model's own history under its spec and under others.

    ``tries`` are texts of ``KEY=VALUE`` pairs; without any, the usual ones are tried. Models that
    were trained for a replay before are not trained again; at most ``seconds`` are spent on those
    that are missing, and what could not be replayed by then is named. Reads the ledger and the
    lake; writes stored predictions, and nothing that decides.
    """
    asked = asked_for(managed, tries)  # what is misspelt is refused before anything is read
    found = own_rows(managed, engine, now, most_rows, say)
    start = None if found is None else start_of(managed.spec, found[0])
    if found is None or start is None:
        raise NothingToReplayError(
            f"{managed.name}: expected batches with mature labels after those that the first"
            " champion is trained on, found none; 'kingmaker plan' says what it waits for"
        )
    stream, frame = found
    history = ledger.history(engine, managed.name)
    known = _recipes(managed, engine, history)
    bill = Bill(seconds, say=say)
    made = dict[str, Models]()

    def replay(spec: ModelSpec) -> tuple[Outcome, Recipe] | str:
        recipe = recipe_of(spec, known)
        left_out = spec.training.exclude
        models = made.setdefault(
            recipe.digest(), RecipeModels(managed, stream, frame, recipe, bill, left_out)
        )
        begins = start_of(spec, stream)
        if begins is None:
            return "no batch is left to serve after its first champion"
        try:
            return Replay(models, spec, begins).run(), recipe
        except OutOfTimeError as error:
            return str(error)

    say(f"replaying {OWN}")
    base = replay(managed.spec)
    if isinstance(base, str):
        raise OutOfTimeError(f"{managed.name}: the spec itself could not be replayed: {base}")
    outcome, recipe = base
    tried, not_tried = [_tried(stream, OWN, recipe, outcome, outcome)], dict[str, str]()
    for one in asked or usual(managed, len(stream.batches)):
        say(f"replaying {one.name}")
        other = replay(one.spec)
        if isinstance(other, str):
            not_tried[one.name] = other
            continue
        tried.append(_tried(stream, one.name, other[1], other[0], outcome))
    remove_unused(stored_in(managed), time.time())
    happened = _happened(managed, engine, history, stream, outcome)
    return WhatIf(
        model=managed.name,
        first=stream.batches[start.first],
        last=stream.batches[-1],
        batches=len(outcome.losses),
        rows=outcome.rows,
        share=_share(managed, engine, stream),
        loss=_LOSS.get(stream.objective.metric, stream.objective.metric),
        tried=tuple(tried),
        not_tried=not_tried,
        happened=happened,
        trained=bill.trained,
        advice=advise(tried),
    )


_LOSS = {"log_loss": "log loss", "mae": "absolute error"}
"""In words; others are called by their name in the spec."""


def _recipes(managed: ManagedModel, engine: Engine, history: History) -> tuple[Recipe, ...]:
    """The recipes of all trainings, newest first."""
    trained = [ledger.training(engine, managed.name, v) for v in reversed(history.challengers)]
    return tuple(one.new_member or one.recipe for one in trained)


def _share(managed: ManagedModel, engine: Engine, stream: Stream) -> float:
    known = ledger.known_batches(engine, managed.name)
    there = sum(labelled_rows(known[batch]) for batch in stream.batches)
    return min(1.0, len(stream.target) / there) if there else 1.0


def _tried(stream: Stream, name: str, recipe: Recipe, outcome: Outcome, base: Outcome) -> Tried:
    """What a policy gained on the batches that it and the spec both served, in blocks of time."""
    both = sorted(set(outcome.served) & set(base.served))
    own, other = (np.concatenate([one.served[b] for b in both]) for one in (base, outcome))
    moments = np.concatenate([stream.moments[stream.rows(b)] for b in both])
    blocks, _ = time_blocks(moments)
    test, loss = paired_test(other, own, blocks), float(own.mean())
    of = (0.0 - one for one in (test.mean.value, test.mean.high, test.mean.low))
    value, low, high = (one / loss if loss else math.nan for one in of)
    decided, expected = outcome.decisions, base.decisions
    return Tried(
        name=name,
        estimator=recipe.estimator,
        loss=float(other.mean()),
        gain=Interval(value=value, low=low, high=high),
        blocks=test.blocks,
        trainings=outcome.trainings,
        seconds=outcome.seconds,
        promotions=outcome.promotions,
        rollbacks=outcome.rollbacks,
        differs={
            batch: (expected[batch], decided[batch])
            for batch in expected
            if batch in decided and expected[batch] != decided[batch]
        },
    )


def _happened(
    managed: ManagedModel, engine: Engine, history: History, stream: Stream, outcome: Outcome
) -> Happened:
    """What the ledger says of the same batches: the replay's own check."""
    records = ledger.known_batches(engine, managed.name)
    judged: list[tuple[BatchRecord, int]] = []
    for batch in outcome.served:
        record = records[stream.batches[batch]]
        if record.performances:
            judged.append((record, batch))
    rows = sum(r.performances[0].rows for r, _ in judged)
    lost = math.fsum(r.performances[0].loss.value * r.performances[0].rows for r, _ in judged)
    replayed = sum(outcome.served[b].sum() for _, b in judged)
    decided = {batch: _decided(history, batch) for batch in outcome.decisions}
    known = {batch: what for batch, what in decided.items() if what}
    return Happened(
        batches=len(judged),
        loss=lost / rows if rows else math.nan,
        replayed=float(replayed) / sum(len(outcome.served[b]) for _, b in judged)
        if judged
        else math.nan,
        trainings=len(ledger.training_batches(engine, managed.name)),
        decided=len(known),
        same=sum(outcome.decisions[batch] == what for batch, what in known.items()),
    )


def _decided(history: History, batch: str) -> str:
    """What was decided about a batch, in the replay's words; empty when nothing was."""
    decisions = [entry for entry in history if entry.batch == batch]
    kinds = [type(entry.decision) for entry in decisions]
    if RollBack in kinds:
        return "RollBack"
    asked = [e for e in decisions if isinstance(e.evidence, PolicyEvidence)]
    if any(isinstance(e.decision, Retrain) for e in asked):
        if Promote in kinds:
            return "Retrain, Promote"
        return "Retrain, Reject" if Reject in kinds else "Hold"
    return "Hold" if Hold in kinds else ""


def advise(tried: Sequence[Tried]) -> str:
    """Return one sentence: the policy that is told to gain most, else the cheapest that is told to
    lose next to nothing, else to leave things as they are.

    ``tried`` has the spec itself first. Told means by its interval, widened for as many tries
    (Bonferroni, by the normal approximation).
    """
    own, others = tried[0], tried[1:]
    if not others:
        return "Nothing else was tried."
    low = {one.name: _low(one.gain, len(others)) for one in others}
    better = [one for one in others if low[one.name] > 0]
    if better:
        best = max(better, key=lambda one: one.gain.value)
        return (
            f"{_capital(best.name)} would have lost {best.gain.value:.1%} less"
            f" ({_percent(best.gain)}), with {_trainings(best, own)}: consider it."
        )
    cheap = [
        one for one in others if one.seconds <= CHEAPER * own.seconds and low[one.name] > -NO_LOSS
    ]
    if cheap:
        best = min(cheap, key=lambda one: one.seconds)
        return (
            f"Nothing that was tried is told to lose less; {best.name} would have lost about as"
            f" much ({_percent(best.gain)}), with {_trainings(best, own)}."
        )
    return (
        f"Leave it {OWN}: nothing that was tried is told to lose less, or to cost less without"
        " losing more."
    )


def _low(gain: Interval, tries: int) -> float:
    """The lower end of an interval at 95% for all of so many tries together."""
    if not gain.known:
        return -math.inf
    wider = float(stats.norm.ppf(1 - 0.025 / tries) / stats.norm.ppf(0.975))
    return gain.value - wider * (gain.value - gain.low)


def _percent(gain: Interval) -> str:
    return f"{gain.low:+.1%} to {gain.high:+.1%}"


def _trainings(one: Tried, own: Tried) -> str:
    return (
        f"{one.trainings} trainings in {one.seconds:,.0f} CPU seconds for {own.trainings} in"
        f" {own.seconds:,.0f}"
    )


def _capital(name: str) -> str:
    return name if "=" in name else name[:1].upper() + name[1:]
