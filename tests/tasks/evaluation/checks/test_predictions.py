"""Tests of KM001 to KM003: predictions that are no numbers, all alike, or not those of the fit."""

import math

import numpy as np
import pytest

from tasks.records import FeatureFrame
from tests.tasks.builders import FixedProbability, judged, loaded_model, refused
from tests.tasks.evaluation.frames import binary, changed

FRAME = binary()
P = FRAME.features["p"].to_numpy()


def _refused(
    p: np.ndarray, as_fitted: np.ndarray | None = None, train: FeatureFrame | None = None
) -> set[str]:
    frame = changed(FRAME, p=p)
    model = loaded_model(FixedProbability(), frame)
    return refused(judged(model, frame, "binary", as_fitted=as_fitted, train=train))


def test_an_honest_model_passes_every_check() -> None:
    """Nothing is refused of the true probabilities."""
    assert _refused(P) == set()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_prediction_that_is_no_number_fails(bad: float) -> None:
    """Besides, what needs numbers is not made."""
    frame = changed(FRAME, p=np.where(np.arange(400) == 3, bad, P))
    found = judged(loaded_model(FixedProbability(), frame), frame, "binary")

    assert (found["KM001"].outcome, found["KM001"].found) == ("failed", "99.8% finite")
    assert found["KM004"].outcome == found["KM005"].outcome == "not made"


def test_one_answer_for_all_fails() -> None:
    """A model that says the base rate of every row fails, although its mean is right."""
    assert _refused(np.full(400, FRAME.target.mean())) == {"KM002"}


def test_one_answer_on_the_holdout_alone_is_not_constant() -> None:
    """A holdout of alike rows may get one answer, as long as training rows get more than one."""
    assert _refused(np.full(400, FRAME.target.mean()), train=FRAME) == set()


def test_another_last_digit_than_the_fitted_model_fails() -> None:
    """A stored model that predicts otherwise than the fitted one fails; so does one of other
    rows.
    """
    other = P.copy()
    other[0] = np.nextafter(other[0], 1)

    assert _refused(P, as_fitted=other) == {"KM003"}
    assert _refused(P, as_fitted=P[:-1]) == {"KM003"}
