"""Tests of what a replay of a model's own history says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from deployments.command.whatif import in_lines
from flows.whatif.alternatives import asked_for, recipe_of
from flows.whatif.answer import NothingToReplayError, advise, what_if
from flows.whatif.models import Bill, CannotTrainError, OutOfTimeError
from flows.whatif.past import RecipeModels, own_rows, stored_in
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.records import Interval, Tried
from tasks.reports.whatif_page import render_whatif_page
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT, copy_home

NOW = datetime(2024, 1, 1, tzinfo=UTC)
TRIES = ["retrain.never=true", "retrain.every=1"]


def tried(name: str, gain: float, half: float, seconds: float = 10.0) -> Tried:
    """A policy with its gain, and half of its interval."""
    return Tried(
        name=name,
        estimator="sklearn.linear_model.Ridge",
        loss=1 - gain,
        gain=Interval(value=gain, low=gain - half, high=gain + half),
        blocks=30,
        trainings=5,
        seconds=seconds,
        promotions=3,
        rollbacks=0,
        differs={},
    )


OWN = tried("as the spec says", 0.0, 0.0)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], "Nothing else was tried."),
        ([tried("a=1", 0.02, 0.01), tried("b=1", 0.05, 0.01)], "b=1 would have lost 5.0% less"),
        ([tried("a=1", 0.02, 0.03)], "Leave it as the spec says"),
        ([tried("a=1", 0.001, 0.002, 5.0)], "a=1 would have lost about as much"),
        ([tried("a=1", -0.02, 0.01, 5.0)], "Leave it as the spec says"),
        ([tried("a=1", 0.001, 0.02, 5.0)], "Leave it as the spec says"),
        ([tried("a=1", 0.01, 0.009)], "a=1 would have lost 1.0% less"),
        ([tried("a=1", 0.01, 0.009), *([tried("b=1", 0, 1)] * 9)], "Leave it as the spec says"),
    ],
)
def test_advice_is_what_the_intervals_tell(others: list[Tried], said: str) -> None:
    """A gain that is told, then a saving that costs nothing, else nothing; ten tries tell less than
    one.
    """
    assert advise([OWN, *others]).startswith(said) or said in advise([OWN, *others])


@pytest.mark.flow
def test_own_history_is_replayed(replayed_home: Path, tmp_path: Path) -> None:
    """Under the spec and under others, on the same rows; asked again, from what is stored; and the
    ledger is as it was.
    """
    copy_home(replayed_home, tmp_path)
    settings = Settings(home=tmp_path, project=WEATHER_PROJECT)
    managed, engine = manage("weather", settings), open_ledger(settings.ledger_url)
    before = ledger.history(engine, "weather")
    given = {"most_rows": 10**6, "seconds": 600.0}

    found = what_if(managed, engine, TRIES, NOW, **given)
    again = what_if(managed, engine, TRIES, NOW, most_rows=10**6, seconds=0.0)

    own, never, always = found.tried
    rows, _ = own_rows(managed, engine, NOW, 10**6) or pytest.fail("no rows")
    assert own.gain.value == 0
    assert (found.batches, found.first) == (6, rows.batches[4])
    assert found.rows == len(rows.target) - rows.starts[4]
    assert never.trainings == 1
    assert always.trainings > own.trainings
    assert never.gain.value == pytest.approx(1 - never.loss / own.loss)
    assert never.differs.keys() <= set(rows.batches)
    assert found.trained > 0
    assert again.trained == 0
    assert again.tried == found.tried
    assert ledger.history(engine, "weather") == before
    assert list(stored_in(managed).glob("*.npz"))
    assert found.happened.same / found.happened.decided > 0.5
    assert found.happened.replayed == pytest.approx(found.happened.loss, rel=0.1)
    assert "as it happened" in "\n".join(in_lines(found))
    assert "retrain.every=1" in render_whatif_page(found)


@pytest.mark.flow
def test_periods_that_a_policy_leaves_out_are_not_trained_on(
    replayed_home: Path, tmp_path: Path
) -> None:
    """Of the rows of such a period alone nothing can be trained; the recipe is another one."""
    copy_home(replayed_home, tmp_path)
    managed = manage("weather", Settings(home=tmp_path, project=WEATHER_PROJECT))
    engine = open_ledger(managed.settings.ledger_url)
    stream, frame = own_rows(managed, engine, NOW, 10**6) or pytest.fail("no rows")
    period = '{"from":2012-12-31,"to":2013-01-13,"why":"a-broken-sensor"}'
    (other,) = asked_for(managed, [f"training.exclude=[{period}]"])
    recipe = recipe_of(other.spec, [])
    first, second = slice(0, stream.starts[1]), slice(0, stream.starts[4])

    made = RecipeModels(managed, stream, frame, recipe, Bill(60.0), other.spec.training.exclude)

    assert recipe.digest() != recipe_of(managed.spec, []).digest()
    with pytest.raises(CannotTrainError):
        made.fit(first)
    assert made.fit(second)


@pytest.mark.flow
def test_rows_are_bounded(replayed_home: Path) -> None:
    """The same share of each batch, in the order of time, and the same rows each time."""
    settings = Settings(home=replayed_home, project=WEATHER_PROJECT)
    managed, engine = manage("weather", settings), open_ledger(settings.ledger_url)

    (some, _), (again, _) = (
        own_rows(managed, engine, NOW, 1000) or pytest.fail("no rows") for _ in "ab"
    )

    assert 990 <= len(some.target) <= 1010
    assert np.array_equal(some.target, again.target, equal_nan=True)
    assert (np.diff(some.moments) >= np.timedelta64(0)).all()
    assert set(np.diff(some.starts)) <= {99, 100, 101}


@pytest.mark.flow
def test_without_time_it_says_so(replayed_home: Path, tmp_path: Path) -> None:
    """What is missing is named, and nothing is made up."""
    copy_home(replayed_home, tmp_path)
    settings = Settings(home=tmp_path, project=WEATHER_PROJECT)

    with pytest.raises(OutOfTimeError, match="no time is left to train as of"):
        what_if(
            manage("weather", settings),
            open_ledger(settings.ledger_url),
            TRIES,
            NOW,
            most_rows=10**6,
            seconds=0.0,
        )


def test_without_a_batch_there_is_nothing_to_replay(tmp_path: Path) -> None:
    """It says what was expected, and who knows more."""
    settings = Settings(home=tmp_path, project=WEATHER_PROJECT)

    with pytest.raises(NothingToReplayError, match="kingmaker plan"):
        what_if(
            manage("weather", settings),
            open_ledger(settings.ledger_url),
            [],
            NOW,
            most_rows=1,
            seconds=1.0,
        )
