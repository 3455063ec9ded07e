"""The rows of the yardstick's table: the usual policies, without a gate, and ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.simulation.models import Models, Window
from benchmarks.simulation.replay import Asks, Replay, Spec, replay_bare
from flows.whatif.replay import Outcome
from tasks.decisions.config import (
    Adaptation,
    Budget,
    EnsembleConfig,
    PolicyConfig,
    RecalibrationConfig,
)
from tasks.decisions.policy import decide_retrain
from tasks.records import PolicyEvidence, Retrain

DRIFTED = 0.5
"""The usual alarm: half of the columns."""
REFERENCE = 10_000
"""Rows of the reference."""


@dataclass(frozen=True)
class Policy:
    """One row of the table."""

    name: str
    kind: Literal["usual", "ours", "variation"]
    replay: Callable[[Models, Window, int | None], Outcome]
    """From the models, the window that is best in hindsight, and how many challengers make one
    broken.
    """


def by_policy(config: PolicyConfig) -> Asks:
    """Ask as our retrain policy does, from the losses of what was served."""

    def asks(batch: int, trained: int, means: Sequence[float]) -> bool:
        evidence = PolicyEvidence(
            model="stream",
            batch=str(batch),
            revision=0,
            champion=1,
            accepted_batches=batch + 1,
            batches_since_training=batch - trained,
            losses=tuple(means[:-1]),
            newest_loss=means[-1],
            drift_share=None,
        )
        return isinstance(decide_retrain(evidence, config, first=1), Retrain)

    return asks


def by_drift(models: Models, window: Window) -> Asks:
    """Ask when half of the columns have drifted from the rows that the newest training saw, at 5% a
    column.

    The usual tests: Kolmogorov and Smirnov's of numbers, chi-squared of categories; a reference of
    at most 10,000 rows.
    """
    stream, references = models.stream, dict[int, np.ndarray]()

    def asks(batch: int, trained: int, _: Sequence[float]) -> bool:
        if trained not in references:
            seen = models.training_rows(trained, models.last(window))
            rows = np.arange(seen.start, seen.stop)
            references[trained] = np.random.default_rng(0).choice(
                rows, min(REFERENCE, len(rows)), replace=False
            )
        before = stream.features.iloc[references[trained]]
        now = stream.features.iloc[stream.rows(batch)]
        drifted = [_drifted(before[name], now[name]) for name in stream.features.columns]
        return sum(drifted) >= DRIFTED * len(drifted)

    return asks


def _drifted(before: pd.Series, now: pd.Series) -> bool:
    if before.dtype == "category":
        counts = np.array([one.value_counts(sort=False).to_numpy() for one in (before, now)])
        return bool(stats.chi2_contingency(counts[:, counts.any(axis=0)]).pvalue < 0.05)
    before, now = before.dropna(), now.dropna()
    return bool(len(before) and len(now) and stats.ks_2samp(before, now).pvalue < 0.05)


def _bare(name: str, config: PolicyConfig, window: Window | None = None) -> Policy:
    def replay(models: Models, best: Window, broken_every: int | None) -> Outcome:
        return replay_bare(models, window or best, by_policy(config), broken_every)

    return Policy(name, "usual", replay)


def _drift_alarm(models: Models, best: Window, broken_every: int | None) -> Outcome:
    return replay_bare(models, best, by_drift(models, best), broken_every)


def _ours(name: str, spec: Spec, kind: Literal["ours", "variation"] = "variation") -> Policy:
    return Policy(
        name, kind, lambda models, _, broken_every: Replay(models, spec, broken_every).run()
    )


def _clock(every: int | None) -> PolicyConfig:
    return PolicyConfig(every=every, alarm_sd=None)


STATIC = _bare("never", _clock(None), "all")
ALWAYS = (
    _bare("always, all history", _clock(1), "all"),
    _bare("always, sliding window", _clock(1), "sliding"),
)
POLICIES = (
    STATIC,
    *ALWAYS,
    _bare("every 2nd batch", _clock(2)),
    _bare("every 4th batch", _clock(4)),
    Policy("drift alarm", "usual", _drift_alarm),
    _bare("performance alarm", PolicyConfig(every=None)),
    _ours("Kingmaker, every 2 or alarm", Spec(), "ours"),
    _ours("Kingmaker, every 4 or alarm", Spec(retrain=PolicyConfig(every=4)), "ours"),
    _ours(
        "the first, budget 6 in 12",
        Spec(retrain=PolicyConfig(budget=Budget(trainings=6, batches=12))),
    ),
    _ours("the first, adapting clock", Spec(retrain=PolicyConfig(adapt=Adaptation()))),
    _ours("the first, no recalibration", Spec(recalibrate=RecalibrationConfig(strength=0.0))),
    _ours("the first, single model", Spec(ensemble=EnsembleConfig(members=1))),
)
