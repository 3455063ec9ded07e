"""Tests of the replay: what the yardstick says rests on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.simulation.models import Models
from benchmarks.simulation.policies import by_drift, by_policy
from benchmarks.simulation.replay import Replay, Spec, broken, replay_bare
from benchmarks.simulation.streams import Setting, Stream, cut
from tasks.decisions.config import (
    EnsembleConfig,
    GateConfig,
    PolicyConfig,
    RecalibrationConfig,
    WatchConfig,
)
from tasks.evaluation.objective import Objective

CLOCK = PolicyConfig(every=2, alarm_sd=None)
WEEKS, ROWS = 12, 70


class SmallModels(Models):
    """Models of fifteen small trees."""

    def estimator(self) -> Any:
        """As the yardstick's, but small."""
        return super().estimator().set_params(max_iter=15, learning_rate=0.4, max_leaf_nodes=6)


def stream_of(problem: str) -> Stream:
    """Twelve weeks whose level grows, so that newer data helps; the first window is four weeks."""
    rng = np.random.default_rng(0)
    moments = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        np.arange(WEEKS * ROWS) * 7 * 24 / ROWS, unit="h"
    )
    x, week = rng.normal(0, 1, WEEKS * ROWS), np.arange(WEEKS * ROWS) // ROWS
    level = (10 if problem == "regression" else 0) + 0.15 * week + 2 * x
    y = (
        level + rng.normal(0, 0.5, len(x))
        if problem == "regression"
        else (rng.random(len(x)) < 1 / (1 + np.exp(2 - level)))
    )
    frame = pd.DataFrame(
        {"ts": moments, "x": x, "kind": np.where(x > 0, "a", "b"), "y": y.astype("float64")}
    )
    return cut(Setting(f"small_{problem}", "W", 4, problem), frame)


@pytest.fixture(scope="module", params=["regression", "binary"])
def models(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Models]:
    """The models of a small stream, small ones, trained as they are asked for."""
    return SmallModels(stream_of(request.param), tmp_path_factory.mktemp("models"))


def test_stream_is_cut_into_whole_weeks(models: Models) -> None:
    """Every row is in one batch, and the holdout is the newest fifth of it."""
    stream = models.stream

    assert len(stream.batches) == WEEKS
    assert [stream.rows(b).start for b in range(WEEKS)] == list(range(0, WEEKS * ROWS, ROWS))
    assert stream.holdout(3) == slice(3 * ROWS + 56, 4 * ROWS)


def test_model_is_not_asked_for_rows_that_it_has_seen(models: Models) -> None:
    """A stored model answers for its holdout and for what comes after, and for nothing before."""
    made = models.get(3, None, True)

    assert len(made.of(models.stream.holdout(3))) == 14
    with pytest.raises(ValueError, match="the model has seen them"):
        made.of(models.stream.rows(3))


def test_stored_predictions_come_back(models: Models, tmp_path: Path) -> None:
    """What is kept on disk is what the model said."""
    one, other = SmallModels(models.stream, tmp_path), SmallModels(models.stream, tmp_path)

    assert np.array_equal(one.get(4, 4, False).predictions, other.get(4, 4, False).predictions)


def test_never_is_one_model_and_always_is_one_a_batch(models: Models) -> None:
    """The ends of the scale are what they are called, and always is better where the level
    grows.
    """
    never = replay_bare(models, "all", by_policy(PolicyConfig(never=True)))
    always = replay_bare(models, "sliding", by_policy(PolicyConfig(every=1, alarm_sd=None)))

    assert (never.trainings, always.trainings) == (1, WEEKS - 4)
    assert never.rows == always.rows == (WEEKS - 4) * ROWS
    assert always.loss < 0.9 * never.loss


def test_drift_alarm_asks(models: Models) -> None:
    """It asks about a batch whose columns are others, and not about one that is like the window."""
    x = models.stream.features["x"].to_numpy().copy()
    x[8 * ROWS : 9 * ROWS] += 5
    shifted = cut(
        models.stream.setting,
        pd.DataFrame(
            {"ts": models.stream.moments, "x": x, "kind": np.where(x > 0, "a", "b"), "y": 0.0}
        ),
    )
    asks = by_drift(Models(shifted, Path()), "all")

    assert not asks(7, 3, ())
    assert asks(8, 3, ())


def test_house_keeps_to_its_clock(models: Models) -> None:
    """Every second batch is answered by a training, and the mix of all is no worse than never
    retraining.
    """
    outcome = Replay(models, Spec(retrain=CLOCK)).run()
    never = replay_bare(models, "all", by_policy(PolicyConfig(never=True)))

    assert outcome.trainings == 1 + (WEEKS - 4 - 1) // 2
    assert outcome.rows == never.rows
    assert outcome.loss < never.loss
    assert 0 < outcome.promotions < outcome.trainings


def test_same_replay_twice(models: Models) -> None:
    """A replay is a function of its arguments."""
    assert Replay(models, Spec(), 3).run() == Replay(models, Spec(), 3).run()


def test_switched_off_the_house_is_its_newest_model(models: Models) -> None:
    """An ensemble of one, without recalibration, watch and refusals, serves what always retraining
    does; the first champion alone is kept from its holdout.
    """
    spec = Spec(
        retrain=PolicyConfig(every=1, alarm_sd=None),
        ensemble=EnsembleConfig(members=1, join_worse=1e9, other_every=1000),
        recalibrate=RecalibrationConfig.model_validate("never"),
        gate=GateConfig(rows=10**6, min_rows=10**6, without_evidence="refresh"),
        watch=WatchConfig(batches=0),
    )
    ours = Replay(models, spec)
    ours.run()

    served = [models.stream.rows(batch) for batch in range(4, WEEKS)]
    newest = [
        models.get(batch - 1, None, batch == 4).of(models.stream.rows(batch))
        for batch in range(4, WEEKS)
    ]
    losses = [
        Objective(models.stream.setting.problem).losses(models.stream.target[rows], one).sum()
        for rows, one in zip(served, newest, strict=True)
    ]
    assert len(ours.served.members) == 1
    assert (ours.outcome.trainings, ours.outcome.promotions) == (WEEKS - 4, WEEKS - 5)
    assert ours.outcome.losses == pytest.approx(losses)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_broken_model_is_worse(models: Models, kind: int) -> None:
    """Each way of breaking a model ruins it."""
    made, stream = models.get(8, 4, True), models.stream
    rows = stream.rows(9)
    sound, ruined = (
        Objective(stream.setting.problem).losses(stream.target[rows], one.of(rows)).mean()
        for one in (made, broken(made, stream, kind))
    )

    assert ruined > 1.1 * sound


def test_broken_challengers_do_not_harm_the_house(models: Models) -> None:
    """With every third challenger broken, which also leaves fewer sound ones, less than half of the
    harm is done.
    """
    asks = by_policy(PolicyConfig(every=1, alarm_sd=None))
    spec = Spec(retrain=PolicyConfig(every=1, alarm_sd=None))
    bare, bare_broken = (replay_bare(models, "sliding", asks, every).loss for every in (None, 3))
    ours, ours_broken = (Replay(models, spec, every).run().loss for every in (None, 3))

    assert bare_broken > 1.1 * bare
    assert ours_broken - ours < 0.5 * (bare_broken - bare)
