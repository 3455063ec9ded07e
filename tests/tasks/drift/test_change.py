"""Tests of why a loss changed: worlds whose cause is known, and cases that cannot be split."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from benchmarks.simulation.worlds import World
from tasks.drift.change import Judged, Outcome, explain, judge_rows
from tasks.drift.effect import Held, hold, read_held
from tasks.drift.profile import make_profile
from tasks.evaluation.objective import Objective
from tasks.records import (
    BaselineProfile,
    BatchRecord,
    Cause,
    Interval,
    LossChange,
    LossNotSplit,
)
from tests.tasks.builders import batch_record, frame_of

Problem = Literal["binary", "regression"]
BINARY = Objective("binary")
CASES: tuple[tuple[Cause, ...], ...] = (
    (),
    ("inputs",),
    ("base rate",),
    ("relation",),
    ("inputs", "base rate"),
    ("inputs", "relation"),
    ("base rate", "relation"),
)


@cache
def _world(problem: Problem) -> World:
    return World(problem, 0)


def _split(problem: Problem, case: tuple[Cause, ...], seed: int = 3) -> LossChange:
    found = _world(problem).drawn(4_000, case, np.random.default_rng(seed))()
    assert isinstance(found, LossChange)
    return found


@pytest.mark.parametrize("problem", ["binary", "regression"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: " and ".join(case) or "nothing")
def test_the_causes_are_named(problem: Problem, case: tuple[Cause, ...]) -> None:
    """What changed in a world is what is named, and the parts add up to the change."""
    change = _split(problem, case)

    assert change.named == case
    parts = (change.inputs, change.base_rate, change.relation, change.chance)
    assert sum(part.value for part in parts) == pytest.approx(change.change, abs=1e-12)
    inputs = [*(one.change for one in change.features), change.jointly, change.far]
    assert sum(part.value for part in inputs) == pytest.approx(change.inputs.value, abs=1e-12)
    assert all(part.low <= part.value <= part.high for part in (*parts, *inputs))


@pytest.mark.parametrize("case", CASES[1:4], ids=lambda case: case[0])
def test_sizes_lie_within_their_intervals(case: tuple[Cause, ...]) -> None:
    """What the cause does to the loss, as the world itself tells by many rows."""
    truth = _world("binary").truth(case, np.random.default_rng(2))

    change = _split("binary", case)

    for cause, part in change.parts.items():
        assert part.low - 0.001 <= truth[cause] <= part.high + 0.001


def test_what_few_rows_cannot_tell_apart_is_not_told() -> None:
    """Of batches of 300 rows whose inputs moved far: each part may be told from 0, and yet all of
    them together not from another change than the one that there was.
    """
    found = [
        _world("regression").drawn(300, ("inputs",), np.random.default_rng(seed))()
        for seed in range(20)
    ]

    told = [one for one in found if isinstance(one, LossChange)]
    withheld = [one for one in found if isinstance(one, LossNotSplit)]
    assert told
    assert withheld
    assert all(one.chance.low == -one.chance.high for one in told), "chance takes it so far"
    assert all("rows, and 300 of the holdout, they cannot be told apart" in w.why for w in withheld)


def test_the_part_of_the_inputs_is_that_of_the_features_that_moved() -> None:
    """Features that only go with them get nothing."""
    world = _world("binary")

    change = _split("binary", ("inputs",))

    first = {part.feature for part in change.features[:2]}
    assert first == {f"x{i}" for i in world.shifted}
    assert sum(part.change.value for part in change.features[:2]) == pytest.approx(
        change.inputs.value, abs=0.01
    )


def _simple(
    rows: int = 2_000, shares: tuple[float, float] = (0.5, 0.5), seed: int = 0
) -> tuple[BaselineProfile, Held, pd.DataFrame, np.ndarray]:
    """A champion that says 0.1 of kind a and 0.4 of kind b, and is right: its holdout, half of it
    of either, and a batch with ``shares``, with its outcomes.
    """
    rng = np.random.default_rng(seed)

    def drawn(shares: tuple[float, float]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        kinds = rng.choice(["a", "b"], rows, p=shares)
        chance = np.where(kinds == "a", 0.1, 0.4)
        features = pd.DataFrame({"kind": pd.Series(kinds, dtype="str")})
        return features, (rng.random(rows) < chance).astype("float64"), chance

    before, target, chance = drawn((0.5, 0.5))
    days = np.linspace(0, 10, rows, endpoint=False)
    frame = frame_of(before, target, days=days, categorical=["kind"])
    profile = make_profile(frame, frame, chance, (np.arange(rows), chance), {})
    lost = BINARY.losses(target, chance)
    table = hold(profile, frame, chance, (chance, lost), days.astype("int64"), rows, 0)
    features, now, _ = drawn(shares)
    return profile, read_held(profile, table), features, now


def _judged(profile: BaselineProfile, features: pd.DataFrame, target: np.ndarray) -> Judged:
    chance = np.where(features["kind"] == "a", 0.1, 0.4)
    rows = target, chance, BINARY.losses(target, chance)
    days = np.arange(len(target)) * 10 // len(target)
    return judge_rows(profile, features, rows, days, np.zeros(len(target), dtype=bool), 0)


def _explain(
    profile: BaselineProfile, held: Held, batch: Judged, adjusted: Interval | None = None
) -> LossChange | LossNotSplit:
    more = 0.0 if adjusted is None else adjusted.value
    loss = float(batch.loss.mean()) + more if len(batch.loss) else 0.0
    outcome = Outcome(3, loss, len(batch.loss), adjusted)
    return explain(profile, held, batch, BINARY.losses, outcome, binary=True)


def test_the_inputs_by_reweighting() -> None:
    """The estimate of the part of the inputs is the holdout's loss in the batch's shares, less its
    own: the two kinds lose what they lose, four of five rows are now of the dearer one.
    """
    profile, held, features, target = _simple(20_000, (0.2, 0.8))

    change = _explain(profile, held, _judged(profile, features, target))

    assert isinstance(change, LossChange)
    shares = features["kind"].map({"a": 0, "b": 1}).to_numpy()
    own = np.where(held.unseen < 0.2, 0, 1)
    weights = (np.bincount(shares) / len(shares) / (np.bincount(own) / len(own)))[own]
    by_weights = float((weights * held.loss).mean() - held.loss.mean())
    assert change.inputs.value == pytest.approx(by_weights, rel=0.03)
    assert change.named == ("inputs",)
    assert change.helps == "within what it knows"


def test_the_same_rows_have_no_parts() -> None:
    """A batch that is the holdout itself changed nothing."""
    profile, held, _, _ = _simple()
    rows = held.bins[:, 0] == 0
    features = pd.DataFrame({"kind": pd.Series(np.where(rows, "a", "b"), dtype="str")})

    change = _explain(profile, held, _judged(profile, features, held.target))

    assert isinstance(change, LossChange)
    assert change.named == ()
    assert [part.value for part in change.parts.values()] == [0.0, 0.0, 0.0]
    assert str(change) == "the champion's loss is that of its holdout but for chance"


def test_what_was_adjusted_is_a_part_of_its_own() -> None:
    """Recalibration, weights and earlier predictions changed what was served, not the world."""
    profile, held, features, target = _simple()
    adjusted = Interval(value=-0.05, low=-0.06, high=-0.04)

    plain = _explain(profile, held, _judged(profile, features, target))
    change = _explain(profile, held, _judged(profile, features, target), adjusted)

    assert isinstance(change, LossChange)
    assert isinstance(plain, LossChange)
    assert change.adjusted == adjusted
    assert change.change == pytest.approx(plain.change - 0.05)
    assert change.chance.value == pytest.approx(plain.chance.value)


def test_rows_far_from_the_holdout_are_apart() -> None:
    """Of a tenth of rows outside of training the part is what they lost, and they decide nothing
    about the relation.
    """
    profile, held, features, target = _simple(4_000)
    batch = _judged(profile, features, target)
    far = np.arange(len(target)) % 10 == 0
    odd = replace(batch, beyond=far, loss=np.where(far, 3.0, batch.loss))

    change = _explain(profile, held, odd)

    assert isinstance(change, LossChange)
    assert change.far_share == pytest.approx(0.1)
    assert change.far.value == pytest.approx(0.1 * (3.0 - batch.loss[~far].mean()), rel=0.01)
    assert change.named == ("inputs",)
    assert "which a retrain can teach it" in str(change)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (lambda b: _first(b, 60), "the batch has 60 labelled rows, and it takes 100"),
        (
            lambda b: replace(b, target=np.zeros(len(b.target))),
            "0 of 2,000 labelled rows of the batch are of the rarer class, and it takes 10",
        ),
        (
            lambda b: replace(b, block=np.zeros(len(b.block), dtype="int64")),
            "the batch spans 1 blocks of time, and it takes 3",
        ),
        (
            lambda b: replace(b, beyond=np.ones(len(b.target), dtype=bool)),
            "100% of the rows lie where training or the holdout has too few",
        ),
    ],
    ids=["few rows", "one class", "one block", "no overlap"],
)
def test_what_cannot_be_split_says_why(broken: object, why: str) -> None:
    """Too few rows, one class, too little time, no overlap."""
    profile, held, features, target = _simple()
    assert callable(broken)

    change = _explain(profile, held, broken(_judged(profile, features, target)))

    assert isinstance(change, LossNotSplit)
    assert why in change.why
    assert str(change).startswith("why the loss changed cannot be told: ")


_VALUES = {
    "constant": np.ones(600),
    "missing": np.full(600, np.nan),
    "half missing": np.where(np.arange(600) % 2, np.nan, 1.0),
    "huge": np.linspace(-1.7e308, 1.7e308, 600),
    "tiny": np.linspace(0, 1e-310, 600),
    "plain": np.tile(np.linspace(0, 1, 20), 30),
}


@pytest.mark.parametrize("size", [0.0, 1.0, 1e15, 1e150, 1e307], ids="target {:g}".format)
@pytest.mark.parametrize("constant", [True, False], ids=["constant", "varying"])
@pytest.mark.parametrize("values", _VALUES)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # in the loss itself
def test_whatever_the_numbers_there_is_an_answer(values: str, constant: bool, size: float) -> None:
    """Columns and predictions without a spread, numbers as large as there are: a record that goes
    to JSON and back, and never an error.
    """
    objective, days = Objective("regression", "mae"), np.linspace(0, 10, 600, endpoint=False)
    rows = pd.DataFrame({"x": _VALUES[values]})
    target = size * np.sin(np.arange(600))
    predicted = np.zeros(600) if constant else size * np.cos(np.arange(600))
    lost = objective.losses(target, predicted)
    frame, blocks = frame_of(rows, target, days=days), days.astype("int64")
    profile = make_profile(frame, frame, predicted, (np.arange(600), predicted), {})
    held = read_held(profile, hold(profile, frame, predicted, (predicted, lost), blocks, 600, 0))
    near = np.zeros(600, dtype=bool)
    batch = judge_rows(profile, rows, (target, predicted, lost), blocks, near, 0)

    change = explain(profile, held, batch, objective.losses, Outcome(1, 0.5, 600), binary=False)

    assert type(change).model_validate_json(change.model_dump_json()) == change
    if size > 1e30:
        assert isinstance(change, LossNotSplit)
        assert change.why.endswith("too large to add")


def test_a_constant_chance_of_constant_rows_is_split() -> None:
    """Without a column that varies all that can move is the base rate."""
    rng, days = np.random.default_rng(0), np.linspace(0, 10, 2_000, endpoint=False)
    rows, chance = pd.DataFrame({"x": np.ones(2_000)}), np.full(2_000, 0.3)
    before, now = ((rng.random(2_000) < share).astype("float64") for share in (0.3, 0.6))
    lost, frame = BINARY.losses(before, chance), frame_of(rows, before, days=days)
    profile = make_profile(frame, frame, chance, (np.arange(2_000), chance), {})
    blocks = days.astype("int64")
    held = read_held(profile, hold(profile, frame, chance, (chance, lost), blocks, 2_000, 0))
    judged = now, chance, BINARY.losses(now, chance)

    change = _explain(
        profile, held, judge_rows(profile, rows, judged, blocks, np.zeros(2_000, dtype=bool), 0)
    )

    assert isinstance(change, LossChange)
    assert change.named == ("base rate",)


def _first(batch: Judged, rows: int) -> Judged:
    return Judged(*(getattr(batch, one.name)[:rows] for one in fields(batch)))


def test_a_large_batch_is_looked_at_by_drawn_rows() -> None:
    """Of more rows so many are drawn, the same ones each time; of predictions that are no numbers
    none.
    """
    profile, _, features, target = _simple()
    rows = target, np.where(np.arange(2_000) < 100, np.nan, 0.5), np.ones(2_000)
    days, near = np.arange(2_000) // 20, np.zeros(2_000, dtype=bool)

    one, other = (judge_rows(profile, features, rows, days, near, 5, most=500) for _ in range(2))

    assert len(one.loss) == 500
    assert np.isfinite(one.predicted).all()
    assert (one.bins == other.bins).all()
    assert one.block.max() == 19


def test_the_ledger_tells_the_two_answers_apart() -> None:
    """A batch's record goes to JSON and back with what was split, and with what could not be."""
    profile, held, features, target = _simple()
    batch = _judged(profile, features, target)
    answers = _explain(profile, held, batch), _explain(profile, held, _first(batch, 60))

    records = [batch_record(change=answer) for answer in answers]

    assert [type(one) for one in answers] == [LossChange, LossNotSplit]
    for record, answer in zip(records, answers, strict=True):
        assert BatchRecord.model_validate_json(record.model_dump_json()).change == answer
