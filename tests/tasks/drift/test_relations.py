"""Tests of what the other columns say that a number should be."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.drift.config import DriftConfig
from tasks.drift.histograms import count_part
from tasks.drift.profile import make_profile
from tasks.drift.relations import COLUMNS, draw_rows, learn_relations
from tasks.drift.summary import summarise_drift
from tasks.records import BaselineProfile, DriftSummary, FeatureFrame
from tests.tasks.builders import frame_of

TRAINED = 6_000


def _weather(days: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """A season that moves three columns together, and two that it leaves alone."""
    rows = len(days)
    warm = 50 - 25 * np.cos(2 * np.pi * days / 365)
    temp = warm + 6 * rng.normal(size=rows)
    humid = np.clip(60 + 15 * rng.normal(size=rows), 10, 100)
    return pd.DataFrame(
        {
            "temp": temp,
            "dewp": temp - (100 - humid) * 0.4 + rng.normal(size=rows),
            "humid": humid,
            "wind": rng.gamma(3, 3, rows),
            "gust": 0.0,
            "place": rng.choice(["a", "b", "c"], rows),
        }
    ).assign(gust=lambda f: f["wind"] * 1.4 + rng.normal(size=rows))


def _frame(features: pd.DataFrame, days: np.ndarray) -> FeatureFrame:
    return frame_of(features, np.zeros(len(features)), days=days, categorical=["place"])


def _trained(rng: np.random.Generator, until: float = 150) -> BaselineProfile:
    days = np.linspace(0, until, TRAINED, endpoint=False)
    frame = _frame(_weather(days, rng), days)
    ones = np.ones(TRAINED)
    profile = make_profile(frame, frame, ones, (np.arange(TRAINED), ones), {})
    return learn_relations(profile, frame, 0)


def _report(profile: BaselineProfile, features: pd.DataFrame, days: np.ndarray) -> DriftSummary:
    batch = _frame(features, days)
    counts = count_part(profile, batch, np.ones(len(batch)))
    sample = draw_rows(profile, batch.features, 10_000, 0)
    return summarise_drift(profile, 1, "b", counts, DriftConfig(), 0, sample=sample)


def _named(summary: DriftSummary) -> list[str]:
    return [f.feature for f in summary.inputs if f.outcome == "unusual"]


def _culprits(summary: DriftSummary) -> set[str]:
    """What is named before any column was replaced by what the others say, or by its own values."""
    return {
        f.feature
        for f in summary.inputs
        if f.outcome == "unusual" and (f.relation is None or not f.relation.leans_on)
    }


SUMMER = np.linspace(150, 170, 2_000, endpoint=False)


@pytest.mark.parametrize(
    ("fault", "culprits"),
    [
        (lambda f: f.assign(temp=(f["temp"] - 32) / 1.8), {"temp"}),
        (lambda f: f.assign(humid=np.roll(f["humid"], 40)), {"temp", "humid", "dewp"}),
        (lambda f: f.assign(wind=f["gust"], gust=f["wind"]), {"wind", "gust"}),
        (lambda f: f.assign(dewp=50.0), {"temp", "humid", "dewp"}),
    ],
    ids=["unit", "join", "swapped", "stuck"],
)
def test_a_fault_is_found_while_the_season_moves_everything(fault, culprits) -> None:  # type: ignore[no-untyped-def]
    """In the first summer that is seen, of which nothing is known, the column that no longer goes
    with the others is named, and the season is not. Of three that fix each other any may be to
    blame.
    """
    rng = np.random.default_rng(1)
    profile, summer = _trained(rng), _weather(SUMMER, rng)

    still, broken = (_report(profile, f, SUMMER) for f in (summer, fault(summer)))

    assert _named(still) == []
    assert {f.feature for f in still.inputs if f.moved} == {"temp", "dewp"}
    assert _culprits(broken)
    assert _culprits(broken) <= culprits


def test_what_the_others_say_is_told_in_the_column_s_unit() -> None:
    """Temperature in Celsius: the others say about 74, and 23 is found."""
    rng = np.random.default_rng(1)
    summer = _weather(SUMMER, rng)
    celsius = summer.assign(temp=(summer["temp"] - 32) / 1.8)

    (temp,) = (f for f in _report(_trained(rng), celsius, SUMMER).features if f.feature == "temp")

    assert temp.relation is not None
    assert temp.relation.outcome == "unusual"
    assert temp.relation.expected > 65
    assert temp.relation.found < 35


def test_few_reports_name_a_relation_when_nothing_is_wrong() -> None:
    """The next month of a world whose season goes on: at most as many reports name anything as 5%
    explains.
    """
    alarms, reports = 0, 40
    for seed in range(reports):
        rng = np.random.default_rng([7, seed])
        days = np.linspace(155, 185, 1_200, endpoint=False)
        summary = _report(_trained(rng), _weather(days, rng), days)
        alarms += any(f.relation and f.relation.outcome == "unusual" for f in summary.features)

    assert stats.binomtest(alarms, reports, 0.05, alternative="greater").pvalue > 0.05


def test_of_many_columns_the_important_are_related() -> None:
    """So many as can be looked at together, and the others have no relation."""
    rng = np.random.default_rng(3)
    days = np.linspace(0, 150, 2_000, endpoint=False)
    common = rng.normal(size=(2_000, 1))
    wide = pd.DataFrame(common + rng.normal(size=(2_000, COLUMNS + 10))).add_prefix("n")
    frame = frame_of(wide, np.zeros(2_000), days=days)
    importance = {name: float(i) for i, name in enumerate(wide)}
    ones = np.ones(2_000)
    profile = make_profile(frame, frame, ones, (np.arange(2_000), ones), importance)

    related = learn_relations(profile, frame, 0)

    assert related.related == tuple(wide.columns[10:])
    assert len(related.relations) == COLUMNS


def test_little_is_not_learned_from() -> None:
    """Few rows, or a single column, have no relations, and a report goes without."""
    rng = np.random.default_rng(4)
    days = np.linspace(0, 150, 300, endpoint=False)
    few = frame_of(_weather(days, rng), np.zeros(300), days=days, categorical=["place"])
    ones = np.ones(300)
    profile = make_profile(few, few, ones, (np.arange(300), ones), {})

    learned = learn_relations(profile, few, 0)

    assert learned == profile
    assert draw_rows(learned, few.features, 100, 0) is None


def test_a_batch_by_parts_is_the_batch() -> None:
    """Rows drawn part by part are held as those of the whole."""
    rng = np.random.default_rng(5)
    profile, batch = _trained(rng), _weather(SUMMER, rng)

    whole, *parts = (
        draw_rows(profile, part, 10_000, 0) for part in (batch, batch[:700], batch[700:])
    )

    assert whole is not None
    joined = parts[0] + parts[1]
    assert (joined.bins == whole.bins).all()
    assert np.array_equal(joined.numbers, whole.numbers, equal_nan=True)


def test_one_number_among_words() -> None:
    """A number that only words explain is held against them."""
    rng = np.random.default_rng(6)
    days = np.linspace(0, 150, 3_000, endpoint=False)
    place = rng.choice(["a", "b", "c"], 3_000)
    height = np.where(place == "a", 5.0, 1.0) + rng.normal(size=3_000)
    rows = pd.DataFrame({"height": height, "place": place})
    frame, ones = _frame(rows, days), np.ones(3_000)
    profile = make_profile(frame, frame, ones, (np.arange(3_000), ones), {})

    learned = learn_relations(profile, frame, 0)

    assert [one.feature for one in learned.relations] == ["height"]
    shuffled = rows.assign(place=rng.permutation(place))
    assert _named(_report(learned, rows, days)) == []
    assert _named(_report(learned, shuffled, days)) == ["height"]
