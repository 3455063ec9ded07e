"""Tests of the ensemble's arithmetic."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.decisions.config import EnsembleConfig
from tasks.decisions.ensemble import (
    MayJoin,
    join,
    judge_members,
    may_join,
    member_weights,
    next_window,
    with_newest_losses,
)
from tasks.records import EnsembleMember

CONFIG = EnsembleConfig()
STANDINGS = st.floats(0, 1e6)


def member(
    version: int = 1,
    discounted_loss: float = 0.5,
    losses: tuple[float, ...] = (),
    window: str = "all history",
) -> EnsembleMember:
    """A member of an ensemble."""
    return EnsembleMember(
        version=version, window=window, discounted_loss=discounted_loss, losses=losses
    )


def test_weights_by_hand() -> None:
    """10% more loss than the best costs a factor of e, 20% two of them."""
    weights = member_weights([member(1, 0.5), member(2, 0.55), member(3, 0.6)], CONFIG)
    total = 1 + math.exp(-1) + math.exp(-2)

    assert weights == pytest.approx((1 / total, math.exp(-1) / total, math.exp(-2) / total))


@given(st.lists(STANDINGS, min_size=1, max_size=8))
def test_weights_are_shares_in_the_order_of_the_losses(losses: list[float]) -> None:
    """Weights are not negative, sum to one, and a smaller discounted loss never counts less."""
    weights = member_weights(
        [member(i, discounted_loss) for i, discounted_loss in enumerate(losses)], CONFIG
    )

    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= 0
    ordered = [
        weight for _, weight in sorted(zip(losses, weights, strict=True), key=lambda pair: pair[0])
    ]
    assert all(one >= other - 1e-12 for one, other in pairwise(ordered))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), st.floats(0.1, 1000))
def test_weights_do_not_depend_on_the_unit(losses: list[float], unit: float) -> None:
    """Losses in pounds or in kilograms give the same mix."""
    ours = member_weights([member(i, one) for i, one in enumerate(losses)], CONFIG)
    theirs = member_weights([member(i, one * unit) for i, one in enumerate(losses)], CONFIG)

    assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_loss_that_is_no_number_counts_nothing(bad: float) -> None:
    """A member whose loss is no number has no weight, unless it is the only one."""
    assert member_weights([member(1, bad), member(2, 0.5)], CONFIG) == (0.0, 1.0)
    assert member_weights([member(1, bad), member(2, bad)], CONFIG) == (0.5, 0.5)


def test_empty_ensemble_is_refused() -> None:
    """There is no mix of no members."""
    with pytest.raises(ValueError, match="found an empty ensemble"):
        member_weights([], CONFIG)


def test_judged_batch_moves_the_discounted_loss() -> None:
    """The discounted loss keeps 0.7 of itself; who has no loss on the batch stays as it is."""
    one, other = judge_members([member(1, 0.5, (0.5,)), member(2, 0.5)], {1: 0.6}, 100, CONFIG)

    assert one.discounted_loss == pytest.approx(0.7 * 0.5 + 0.3 * 0.6)
    assert one.losses == (0.5, 0.6)
    assert other == member(2, 0.5)


def test_small_batch_moves_the_losses_by_its_share() -> None:
    """Thirteen rows of the hundred that it takes move a loss by 13% of a whole batch's step."""
    (whole,) = judge_members([member(1, 0.5)], {1: 0.9}, 100, CONFIG)
    (large,) = judge_members([member(1, 0.5)], {1: 0.9}, 9_000, CONFIG)
    (small,) = judge_members([member(1, 0.5)], {1: 0.9}, 13, CONFIG)

    assert large == whole
    assert small.discounted_loss - 0.5 == pytest.approx(0.13 * (whole.discounted_loss - 0.5))


@pytest.mark.parametrize(
    ("loss", "rows", "outcome"),
    [(9.0, 99, "passed"), (9.0, 100, "failed"), (0.5, 13, "passed"), (math.nan, 13, "failed")],
)
def test_too_few_rows_keep_no_new_member_out(loss: float, rows: int, outcome: str) -> None:
    """A loss on fewer rows than can tell 10% refuses only when it is no number."""
    assert MayJoin().check(loss, 0.5, rows, CONFIG).outcome == outcome


@pytest.mark.parametrize(
    ("new_member", "ensemble", "joins"),
    [
        (0.55, 0.5, True),
        (0.5501, 0.5, False),
        (0.1, 0.5, True),
        (math.nan, 0.5, False),
        (math.inf, math.inf, False),
        (9.0, math.nan, True),
    ],
)
def test_joining(new_member: float, ensemble: float, joins: bool) -> None:
    """A new member may be 10% worse than the ensemble on the holdout, and must have a loss that is
    a number.
    """
    assert may_join(new_member, ensemble, CONFIG) is joins


def test_new_member_stands_where_the_best_member_does() -> None:
    """It is given the least discounted loss, so that it counts at once; the first member has its
    own loss.
    """
    ensemble = join([member(1, 0.6), member(2, 0.5)], 3, "sliding", 0.9, CONFIG)

    assert ensemble[-1] == member(3, 0.5, window="sliding")
    assert join([], 1, "all history", 0.9, CONFIG) == (member(1, 0.9),)


def test_worst_of_the_last_six_batches_leaves() -> None:
    """Beyond six members the one with the largest loss of late goes; what was before does not
    count.
    """
    long_ago = member(1, losses=(9.0, *[0.5] * 6))
    of_late = member(2, losses=(0.1, *[0.6] * 6))
    others = [member(version, losses=(0.5,) * 6) for version in (3, 4, 5, 6)]
    ensemble = join([long_ago, of_late, *others], 7, "sliding", 0.5, CONFIG)

    assert [one.version for one in ensemble] == [1, 3, 4, 5, 6, 7]


def test_hard_season_is_not_blamed_on_the_young() -> None:
    """A member that has only met the newest, hardest batch is compared with the others on that
    batch.
    """
    old = [member(version, losses=(0.5, 0.5, 0.5, 1.2)) for version in range(1, 6)]
    young = member(6, losses=(1.0,))
    ensemble = join([*old, young], 7, "sliding", 0.5, CONFIG)

    assert [one.version for one in ensemble] == [2, 3, 4, 5, 6, 7]


def test_member_without_a_judged_batch_stays() -> None:
    """Who has not been judged is not the worst; when none has been, the oldest goes."""
    judged = [member(version, losses=(0.5,)) for version in range(1, 6)]
    ensemble = join([*judged, member(6)], 7, "sliding", 0.5, CONFIG)
    none = join([member(version) for version in range(1, 7)], 7, "sliding", 0.5, CONFIG)

    assert 6 in [one.version for one in ensemble]
    assert [one.version for one in none] == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_member_without_numbers_leaves_first(bad: float) -> None:
    """Broken predictions are worse than any loss."""
    worst = member(1, losses=(9.0,) * 6)
    ensemble = join(
        [
            worst,
            member(2, losses=(0.5,) * 5 + (bad,)),
            *[member(v, losses=(0.5,) * 6) for v in range(3, 7)],
        ],
        7,
        "sliding",
        0.5,
        CONFIG,
    )

    assert [one.version for one in ensemble] == [1, 3, 4, 5, 6, 7]


@given(
    st.lists(st.tuples(st.floats(0.01, 10), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 6),
)
def test_ensemble_never_outgrows_its_size(steps: list[tuple[float, bool]], most: int) -> None:
    """Whatever is judged and joins, there are at most ``members`` of them, each once, the new
    member among them.
    """
    config, ensemble = EnsembleConfig(members=most), tuple[EnsembleMember, ...]()
    for version, (loss, judges) in enumerate(steps):
        ensemble = join(ensemble, version, "sliding", loss, config)
        assert ensemble[-1].version == version
        if judges:
            ensemble = judge_members(
                ensemble, {one.version: loss + one.version % 3 for one in ensemble}, 100, config
            )
        assert len(ensemble) <= most
        assert len({one.version for one in ensemble}) == len(ensemble)


def test_window_of_the_next_training() -> None:
    """The best member's kind, and every third time the other; all history to begin with."""
    ensemble = [member(1, 0.5, window="sliding"), member(2, 0.6)]

    assert [next_window(ensemble, trainings, CONFIG) for trainings in range(6)] == [
        "sliding",
        "sliding",
        "all history",
        "sliding",
        "sliding",
        "all history",
    ]
    assert next_window([], 0, CONFIG) == "all history"


def test_single_in_one_word() -> None:
    """The spec may say ``ensemble: single``; then a new member replaces the one model."""
    config = EnsembleConfig.model_validate("single")

    assert config == EnsembleConfig(members=1)
    assert [one.version for one in join([member(1, losses=(0.5,))], 2, "sliding", 0.9, config)] == [
        2
    ]


def test_found_ensemble_stands_as_its_predecessor_does() -> None:
    """Kept members bring their newest discounted loss, one that left is forgotten, and the
    new member begins with the best.
    """
    packaged = tuple(
        EnsembleMember(version=v, window="sliding", discounted_loss=0.9) for v in (1, 3, 4)
    )
    known = tuple(
        EnsembleMember(version=v, window="sliding", discounted_loss=s)
        for v, s in ((1, 0.5), (2, 0.1), (3, 0.4))
    )

    found = with_newest_losses(packaged, known)

    assert [(m.version, m.discounted_loss) for m in found] == [(1, 0.5), (3, 0.4), (4, 0.4)]
    assert with_newest_losses(packaged, ()) == packaged
