"""The rows of the yardstick's table: the usual policies, without a gate, and the house's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.simulation.judging import feature_frame
from benchmarks.simulation.models import Models, Window
from benchmarks.simulation.replay import Asks, Outcome, Replay, Spec, replay_bare
from tasks.decisions.config import PanelConfig, PolicyConfig, RecalibrationConfig
from tasks.decisions.policy import decide_retrain
from tasks.drift.config import DriftConfig
from tasks.drift.profile import make_profile, summarise_drift
from tasks.records import BaselineProfile, PolicyEvidence, Retrain

DRIFTED = 0.5
"""The usual alarm: half of the columns."""


@dataclass(frozen=True)
class Policy:
    """One row of the table."""

    name: str
    ours: bool
    replay: Callable[[Models, Window, int | None], Outcome]
    """From the models, the window that is best in hindsight, and how many challengers make one broken."""


def by_policy(config: PolicyConfig) -> Asks:
    """Ask as the house's retrain policy does, from the losses of what was served."""

    def asks(batch: int, trained: int, means: Sequence[float]) -> bool:
        evidence = PolicyEvidence(
            model="stream", batch=str(batch), revision=0, champion=1, accepted_batches=batch + 1,
            batches_since_training=batch - trained, losses=tuple(means[:-1]), newest_loss=means[-1], drift_share=None,
        )  # fmt: skip
        return isinstance(decide_retrain(evidence, config, first=1), Retrain)

    return asks


def by_drift(models: Models, window: Window) -> Asks:
    """Ask when half of the columns have drifted from the rows that the newest training saw."""
    stream, profiles = models.stream, dict[int, BaselineProfile]()

    def asks(batch: int, trained: int, means: Sequence[float]) -> bool:
        if trained not in profiles:
            seen = models.training_rows(trained, window)
            profiles[trained] = make_profile(feature_frame(stream, seen), stream.target[seen], {})
        rows = stream.rows(batch)
        drift = summarise_drift(
            profiles[trained], 1, feature_frame(stream, rows), stream.target[rows], DriftConfig()
        )
        return drift.share >= DRIFTED

    return asks


def _bare(name: str, config: PolicyConfig, window: Window | None = None) -> Policy:
    def replay(models: Models, best: Window, broken_every: int | None) -> Outcome:
        return replay_bare(models, window or best, by_policy(config), broken_every)

    return Policy(name, False, replay)


def _drift_alarm(models: Models, best: Window, broken_every: int | None) -> Outcome:
    return replay_bare(models, best, by_drift(models, best), broken_every)


def _ours(name: str, spec: Spec) -> Policy:
    return Policy(name, True, lambda models, _, broken_every: Replay(models, spec, broken_every).run())


def _clock(every: int | None) -> PolicyConfig:
    return PolicyConfig(every=every, alarm_sd=None)


STATIC = _bare("never", _clock(None), "all")
ALWAYS = (
    _bare("always, all history", _clock(1), "all"),
    _bare("always, sliding window", _clock(1), "sliding"),
)
HALF = _ours("Kingmaker, every 2 or alarm", Spec())
QUARTER = _ours("Kingmaker, every 4 or alarm", Spec(retrain=PolicyConfig(every=4)))
POLICIES = (
    STATIC,
    *ALWAYS,
    _bare("every 2nd batch", _clock(2)),
    _bare("every 4th batch", _clock(4)),
    Policy("drift alarm", False, _drift_alarm),
    _bare("performance alarm", PolicyConfig(every=None)),
    HALF,
    QUARTER,
    _ours("the first, without recalibration", Spec(recalibrate=RecalibrationConfig(strength=0.0))),
    _ours("the first, with a single model", Spec(panel=PanelConfig(members=1))),
)
