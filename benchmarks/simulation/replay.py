"""Streams under the usual policies and under ours, with challengers that may be broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.simulation.models import Models, Window
from benchmarks.simulation.streams import Stream
from flows.whatif import replay
from flows.whatif.models import Made
from flows.whatif.replay import Outcome, Ruin, Start, Trainer
from tasks.configuration import Config
from tasks.decisions.config import (
    EnsembleConfig,
    GateConfig,
    PolicyConfig,
    RecalibrationConfig,
    WatchConfig,
)
from tasks.decisions.ensemble import next_window
from tasks.evaluation.config import GuardrailsConfig
from tasks.records import EnsembleMember, WindowKind

Asks = Callable[[int, int, Sequence[float]], bool]
"""From the newest batch, that of the newest training, and the mean losses of what was served, to
whether to train.
"""


class Spec(Config):
    """What a model spec says of decisions, with its defaults."""

    retrain: PolicyConfig = PolicyConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    recalibrate: RecalibrationConfig = RecalibrationConfig()
    guardrails: GuardrailsConfig = GuardrailsConfig()
    gate: GateConfig = GateConfig()
    watch: WatchConfig = WatchConfig()


class Replay(replay.Replay):
    """One stream under our policy, on both windows, also where one model stands alone."""

    def __init__(self, models: Models, spec: Spec, broken_every: int | None = None) -> None:
        first = models.stream.setting.first
        ruin = breaking(models.stream, broken_every)
        super().__init__(models, spec, Start(first, first), ruin)

    def window(self, members: Sequence[EnsembleMember]) -> WindowKind:
        """Return the window of the best member, and every third time the other."""
        return next_window(members, len(self.trained_at), self.rules.ensemble)


def breaking(stream: Stream, every: int | None) -> Ruin | None:
    """Return what breaks every so many models, in turns; None for none."""
    if every is None:
        return None

    def ruin(made: Made, number: int) -> Made:
        return made if number % every else broken(made, stream, number // every - 1)

    return ruin


def broken(made: Made, stream: Stream, kind: int) -> Made:
    """Return what a model would say that was ruined in one of three ways, which are taken in turn.

    Its features were joined to the wrong rows; it learned from the labels that come first and are
    mostly positive, or high; it says the same for every row, nearly.
    """
    p = made.predictions
    if kind % 3 == 0:
        return replace(made, predictions=np.random.default_rng(kind).permutation(p))
    if kind % 3 == 1:
        odds = np.exp(2.0)
        return replace(
            made,
            predictions=(
                2 * p if stream.setting.problem == "regression" else p * odds / (1 - p + p * odds)
            ),
        )
    return replace(made, predictions=0.999 * np.median(p) + 0.001 * p)


def replay_bare(
    models: Models, window: Window, asks: Asks, broken_every: int | None = None
) -> Outcome:
    """Serve the newest model of one window, trained on all rows whenever ``asks`` says so: no gate,
    no ensemble.
    """
    stream, outcome = models.stream, Outcome()
    losses_of, last = stream.objective.losses, models.last(window)
    train, first = Trainer(models, outcome, breaking(stream, broken_every)), stream.setting.first
    trained, current_champion = first - 1, train(first - 1, last)
    means: list[float] = []
    for batch in range(first, len(stream.batches)):
        rows = stream.rows(batch)
        losses = losses_of(stream.target[rows], current_champion.of(rows))
        outcome.serve(batch, losses)
        means.append(float(losses.mean()))
        if batch + 1 < len(stream.batches) and asks(batch, trained, means):
            trained, current_champion = batch, train(batch, last)
    return outcome
