"""Tests of stored predictions: what is there is not trained again, and nothing stale is taken."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.whatif.models import Bill, CannotTrainError, OutOfTimeError, remove_unused
from tasks.evaluation.objective import Objective
from tests.flows.whatif.streams import ROWS, Lines, stream_of


def test_what_is_stored_is_not_trained_again(tmp_path: Path) -> None:
    """A second set of models reads what the first one stored, and needs no time."""
    stream = stream_of()
    first, second = Lines(stream, tmp_path), Lines(stream, tmp_path, Bill(0.0))

    made, again = (models.get(4, 3, True) for models in (first, second))

    assert np.array_equal(made.predictions, again.predictions)
    assert (first.bill.trained, second.bill.trained) == (1, 0)


@pytest.mark.parametrize("changed", [2, 4])
def test_other_rows_are_trained_on_anew(tmp_path: Path, changed: int) -> None:
    """A batch of the window with other content makes another model; one before it does not."""
    stream = stream_of()
    Lines(stream, tmp_path).get(5, 3, False)
    contents = tuple("other" if i == changed else one for i, one in enumerate(stream.contents))
    models = Lines(replace(stream, contents=contents), tmp_path)

    models.get(5, 3, False)

    assert models.bill.trained == (changed == 4)


def test_later_rows_with_other_content_are_predicted_anew(tmp_path: Path) -> None:
    """What was said of a batch that has been replaced is not taken for what is said of it now."""
    stream = stream_of()
    Lines(stream, tmp_path).get(5, None, False)
    contents = (*stream.contents[:9], "other", *stream.contents[10:])
    models = Lines(replace(stream, contents=contents), tmp_path)

    models.get(5, None, False)

    assert models.bill.trained == 1


def test_a_newer_batch_costs_only_what_is_asked_about_it(tmp_path: Path) -> None:
    """Models that were stored before a batch came are trained again when they are asked about it,
    and not before.
    """
    Lines(stream_of(weeks=8), tmp_path).get(4, None, False)
    models = Lines(stream_of(), tmp_path)

    made = models.get(4, None, False)
    made.of(models.stream.rows(7))
    before = models.bill.trained
    told = made.of(models.stream.rows(9))

    assert (before, models.bill.trained, len(told)) == (0, 1, ROWS)
    assert Lines(stream_of(), tmp_path, Bill(0.0)).get(4, None, False).again is None


def test_no_training_begins_without_time(tmp_path: Path) -> None:
    """The model that is missing is named; what was trained is kept."""
    models = Lines(stream_of(), tmp_path, Bill(0.0))

    with pytest.raises(OutOfTimeError, match="as of w04 on 700 rows"):
        models.get(4, None, False)


def test_one_class_trains_nothing(tmp_path: Path) -> None:
    """It is said before the estimator is asked."""
    one_class = replace(
        stream_of(), objective=Objective("binary"), target=np.zeros(len(stream_of().target))
    )

    with pytest.raises(CannotTrainError, match="one class"):
        Lines(one_class, tmp_path).get(4, None, False)


def test_what_nothing_asks_for_is_removed(tmp_path: Path) -> None:
    """After so many days, and not before."""
    Lines(stream_of(), tmp_path).get(4, None, False)
    (file,) = tmp_path.glob("*.npz")
    stored = file.stat().st_mtime

    remove_unused(tmp_path, stored + 86_400 * 9, days=10)
    kept = file.exists()
    remove_unused(tmp_path, stored + 86_400 * 11, days=10)

    assert kept
    assert not file.exists()
