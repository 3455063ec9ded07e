"""Tests of KM006: what was learned by heart and is of no use fails; a gap alone does not."""

import numpy as np
import pandas as pd
import pytest

from tasks.records import LoadedModel
from tests.tasks.builders import FixedProbability, frame_of, judged, loaded_model, refused
from tests.tasks.evaluation.frames import binary, changed

FRAME = binary()
P = FRAME.features["p"].to_numpy()
SEEN = frame_of(FRAME.features[["p"]], FRAME.target.to_numpy(), days=np.linspace(0, 19, 400))


def test_a_large_gap_alone_is_no_fault() -> None:
    """A model that knows its training rows by heart, and is of use on others, passes; its gap is
    said.
    """
    train = changed(FRAME, p=np.where(FRAME.target == 1, 0.999, 0.001))

    found = judged(loaded_model(FixedProbability(), FRAME), FRAME, "binary", train=train)["KM006"]

    assert found.outcome == "passed"
    assert "0.001001 on training rows (gap 0.5" in found.found


def test_what_was_learned_by_heart_and_is_worse_than_nothing_fails() -> None:
    """Perfect on its training rows, and on others worse than the base rate for all: refused."""
    rng = np.random.default_rng(1)
    noise = frame_of(
        pd.DataFrame({"p": rng.choice([0.02, 0.98], 400)}),
        rng.integers(0, 2, 400).astype("float64"),
        days=np.linspace(20, 40, 400, endpoint=False),
    )
    known = changed(noise, p=np.where(noise.target == 1, 0.98, 0.02))

    found = judged(loaded_model(FixedProbability(), noise), noise, "binary", train=known)

    assert found["KM006"].outcome == "failed"


def test_no_worse_than_the_champion_generalises() -> None:
    """Where the world has moved, a challenger that loses less than the champion is an answer to it;
    one that loses more is not.
    """
    noise = changed(FRAME, p=0.9 - 0.8 * P, far=0.98 - 0.96 * P)
    near, far = (loaded_model(FixedProbability(name), noise) for name in ("p", "far"))

    def outcome(challenger: LoadedModel, champion: LoadedModel | None) -> str:
        return judged(challenger, noise, "binary", champion=champion)["KM006"].outcome

    assert outcome(near, None) == "failed"
    assert outcome(near, far) == "passed"
    assert outcome(far, near) == "failed"


@pytest.mark.parametrize("positives", [0, 1, 9])
def test_labels_all_alike_refuse_no_honest_model(positives: int) -> None:
    """A spell in which hardly anything happens is no proof against a model that says 15% and means
    it.
    """
    rng = np.random.default_rng(3)
    p = rng.uniform(0.02, 0.4, 300)
    calm = frame_of(
        pd.DataFrame({"p": p}),
        (np.arange(300) % 33 < (positives > 0)).astype("float64")
        * (np.arange(300) < 33 * positives),
        days=np.linspace(20, 26, 300, endpoint=False),
    )
    assert calm.target.sum() == positives

    found = judged(loaded_model(FixedProbability(), calm), calm, "binary", train=SEEN)

    assert refused(found) == set()
    assert (
        found["KM006"].found
        == f"labels too much alike to tell: {positives} of 10 are not the most frequent one"
    )
