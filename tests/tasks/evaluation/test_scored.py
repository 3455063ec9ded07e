"""Tests of what a model predicts for labelled rows: once, and all that follows from it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.scored import LabelledRows, score_model
from tasks.mixing import summarise
from tasks.prediction import FeatureMismatchError, predict_frame, predict_members
from tasks.records import EnsembleMember, FeatureFrame, FeatureSchema, LoadedModel, Recalibration
from tests.tasks.builders import FixedProbability, loaded_model, scored
from tests.tasks.evaluation.frames import binary

FRAME = binary()
SHIFT = Recalibration(problem="binary", shift=(0.5,), rows=100, reason="")


class Counted(FixedProbability):
    """A classifier that counts how often it is asked."""

    asked = 0

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """P(negative) and P(positive), (rows, 2)."""
        self.asked += 1
        return super().predict_proba(features)


def _ensemble(**changes) -> tuple[LoadedModel, list[Counted]]:
    """Two members, three to one, and the members themselves."""
    members = [Counted("p"), Counted("noisy")]
    listed = tuple(
        EnsembleMember(version=version, window="sliding", discounted_loss=0.5) for version in (1, 2)
    )
    model = loaded_model(SimpleNamespace(members=members), FRAME, members=listed)
    return LoadedModel(**(vars(model) | {"weights": (0.75, 0.25)} | changes)), members


def test_rows_without_a_label_are_left_out() -> None:
    """What is not known cannot judge."""
    frame = FeatureFrame(**(vars(FRAME) | {"target": FRAME.target.mask(FRAME.target.index < 10)}))

    rows = LabelledRows.of(frame)

    assert len(rows) == len(rows.target) == len(rows.blocks) == 390
    assert rows.block_hours == 24.0


def test_no_label_at_all_is_refused() -> None:
    """Where no label is known there is nothing to judge by."""
    frame = FeatureFrame(**(vars(FRAME) | {"target": FRAME.target * np.nan}))

    with pytest.raises(EvaluationError, match="expected labelled rows, found none of 400"):
        LabelledRows.of(frame)


def test_what_is_served_follows_from_one_prediction_of_each_member() -> None:
    """Mix, recalibration, losses and summary are those of the model, and each member is asked
    once.
    """
    model, members = _ensemble(recalibration=SHIFT)
    target = FRAME.target.to_numpy()

    found = scored(model, FRAME)
    served, raw, losses, summary = found.predicted, found.raw, found.losses, found.summary

    assert [member.asked for member in members] == [1, 1]
    assert np.array_equal(served, predict_frame(model, FRAME, "binary"))
    p, noisy = predict_members(model, FRAME, "binary")
    assert np.array_equal(raw, 0.75 * p + 0.25 * noisy)
    assert np.array_equal(losses, found.objective.losses(target, served))
    assert summary == summarise("b001", target, raw, "binary")
    assert (found.version, found.size, found.trained_on) == (1, 1000, model.trained.trained_on)


def test_other_weights_ask_no_member_again() -> None:
    """The same members under other weights, or without recalibration, are known already."""
    model, members = _ensemble(recalibration=SHIFT)
    found = scored(model, FRAME)

    other = found.adjusted((0.0, 1.0))
    same = found.adjusted(model.weights, SHIFT)

    assert [member.asked for member in members] == [1, 1]
    assert np.array_equal(other.predicted, found.members[1])
    assert np.array_equal(same.losses, found.losses)


def test_some_of_the_rows_ask_no_member_again() -> None:
    """Predictions, labels and losses are those of the rows that are left."""
    model, members = _ensemble()
    found = scored(model, FRAME)
    first = np.arange(len(FRAME)) < 100

    some = found.where(first)

    assert [member.asked for member in members] == [1, 1]
    assert np.array_equal(some.losses, found.losses[:100])
    assert np.array_equal(some.rows.target, FRAME.target[:100])


def test_a_model_alone_is_its_only_member() -> None:
    """Without weights what it predicts is what is served."""
    found = scored(loaded_model(FixedProbability(), FRAME), FRAME)

    assert len(found.members) == 1
    assert np.array_equal(found.adjusted(()).predicted, FRAME.features["p"])


def test_rows_without_a_feature_of_the_model_are_refused() -> None:
    """They say what is missing, as wherever a model is asked."""
    schema = FeatureSchema(numerical=("gone",), categorical=())

    with pytest.raises(FeatureMismatchError, match="gone"):
        score_model(
            loaded_model(FixedProbability(), FRAME, schema_=schema),
            LabelledRows(FRAME),
            "binary",
            "roc_auc",
        )
