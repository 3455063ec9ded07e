"""Tests of the test that may be looked at repeatedly."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from tasks.decisions.sequential import e_value

means = st.lists(st.floats(-1e3, 1e3).map(lambda value: round(value, 3)), min_size=2, max_size=60)


@given(means, st.floats(0.01, 100))
def test_scale_and_sign_do_not_matter(blocks: list[float], scale: float) -> None:
    """The unit of the loss, and who is called the challenger, change nothing."""
    assert e_value([-scale * value for value in blocks]) == pytest.approx(e_value(blocks), rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_block_without_a_number_proves_nothing(bad: float) -> None:
    """One block that is no finite number leaves no evidence."""
    assert e_value([-1.0] * 30 + [bad]) == 0


def test_nothing_and_little() -> None:
    """Equal models, and a single block, say nothing."""
    assert e_value([0.0] * 30) == 1
    assert e_value([-5.0]) == 0


def test_it_is_the_bayes_factor_that_it_is_said_to_be() -> None:
    """By integration over effect and scale, on five blocks: normal effects of deviation 0.5 against
    none, scale 1 / sigma.
    """
    blocks = np.array([0.3, -0.1, 0.5, 0.2, 0.4])

    def likelihood(effect: float, scale: float) -> float:
        return float(np.prod(stats.norm.pdf(blocks, effect * scale, scale))) / scale

    against, _ = integrate.dblquad(
        lambda effect, scale: likelihood(effect, scale) * stats.norm.pdf(effect, 0, 0.5),
        0.02,
        20,
        -5,
        5,
        epsabs=0,
        epsrel=1e-4,
    )
    null, _ = integrate.quad(lambda scale: likelihood(0, scale), 0.02, 20, epsabs=0, epsrel=1e-6)

    assert e_value(blocks.tolist()) == pytest.approx(against / null, rel=1e-3)


@pytest.mark.parametrize(("effect", "least", "most"), [(0.0, 0.0, 0.03), (-0.8, 0.95, 1.0)])
def test_share_ever_promoted_however_often_one_looks(
    effect: float, least: float, most: float
) -> None:
    """Looking after each of five batches of ten blocks promotes an equal model at most as often as
    the level says.
    """
    rng, promoted, series = np.random.default_rng(0), 0, 1000
    for _ in range(series):
        blocks = list[float]()
        for _ in range(5):
            blocks += rng.normal(effect, 1.0, 10).tolist()
            if sum(blocks) < 0 and e_value(blocks) > 1 / 0.03:
                promoted += 1
                break

    assert least <= promoted / series <= most
