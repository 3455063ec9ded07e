"""Tests of the champion's predictions in the lake."""

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.records import FeatureFrame
from tasks.scoring.predictions import without_prediction, write_predictions
from tests.sample_contract import column, sample_contract
from tests.tasks.builders import FixedProbability, frame_of, loaded_model
from tests.tasks.hostile_names import names


def _frame() -> FeatureFrame:
    return frame_of(pd.DataFrame({"p": [0.1, 0.5, 0.9]}), [0.0, np.nan, 1.0], days=[1, 2, 3])


def test_file_holds_keys_prediction_and_version(tmp_path: Path) -> None:
    """Every row has its event time, its key, its prediction and the version that made it, labelled
    or not.
    """
    frame = _frame()

    written = write_predictions(
        tmp_path,
        loaded_model(FixedProbability(), frame, version=7),
        frame,
        np.array([0.1, 0.5, 0.9]),
    )

    table = pq.read_table(tmp_path / written.path, partitioning=None)
    assert table.column_names == ["event_time", "id", "prediction", "model_version"]
    assert table["id"].to_pylist() == [0, 1, 2]
    assert table["event_time"].to_pylist() == list(frame.event_time)
    assert table["prediction"].to_pylist() == [0.1, 0.5, 0.9]
    assert table["model_version"].to_pylist() == [7, 7, 7]
    assert hashlib.sha256((tmp_path / written.path).read_bytes()).hexdigest() == written.sha256
    assert (written.rows, written.batch, written.version, written.snapshot) == (
        3,
        "b000",
        7,
        "b000-snapshot",
    )


def test_each_version_has_its_own_file(tmp_path: Path) -> None:
    """Two versions' predictions for a batch stand beside each other; the same again is the same
    file.
    """
    frame, p = _frame(), np.array([0.1, 0.5, 0.9])

    paths = [
        write_predictions(
            tmp_path, loaded_model(FixedProbability(), frame, version=v), frame, p
        ).path
        for v in (1, 2, 1)
    ]

    assert paths[0] == paths[2] == "predictions/flights/b000/v1-b000-snapshot.parquet"
    assert paths[1] == "predictions/flights/b000/v2-b000-snapshot.parquet"
    assert len(list((tmp_path / "predictions/flights/b000").iterdir())) == 2


def test_multiclass_has_a_column_a_class(tmp_path: Path) -> None:
    """Each class's probability stands under its own name."""
    frame = _frame()
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    model = loaded_model(None, frame, classes=("early", "late", "on time"))

    table = pq.read_table(
        tmp_path / write_predictions(tmp_path, model, frame, shares).path, partitioning=None
    )

    assert table["probability_late"].to_pylist() == [0.2, 0.8, 0.3]
    assert table["probability_on time"].to_pylist() == [0.1, 0.1, 0.4]
    assert "prediction" not in table.column_names


@pytest.mark.parametrize("rows", [0, 1])
def test_small_batches(tmp_path: Path, rows: int) -> None:
    """One row, or none, is a file all the same."""
    whole = _frame()
    frame = whole.where(np.arange(3) < rows)

    written = write_predictions(tmp_path, loaded_model(None, whole), frame, np.array([0.5] * rows))

    assert (
        pq.read_table(tmp_path / written.path, partitioning=None).num_rows == written.rows == rows
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(names, min_size=1, max_size=4, unique=True))
@example(["prediction", "model_version", "PREDICTION"])
@example(["kingmaker_prediction", "prediction"])
def test_keys_of_any_name(keys: list[str]) -> None:
    """Each column is there once, in whatever case, and keys and predictions keep their values."""
    frame = _frame()
    frame = replace(frame, keys=pd.DataFrame({key: [7 + i, 8, 9] for i, key in enumerate(keys)}))
    with tempfile.TemporaryDirectory() as lake:
        written = write_predictions(
            Path(lake), loaded_model(FixedProbability(), frame), frame, np.array([0.1, np.nan, 0.9])
        )
        table = pq.ParquetFile(Path(lake) / written.path).read()

    columns = table.column_names
    assert columns[: len(keys)] == keys
    ours = columns[len(keys) :]
    assert [name.replace("kingmaker_", "") for name in ours] == ["prediction", "model_version"]
    assert not {name.casefold() for name in ours} & {key.casefold() for key in keys}
    assert [table[key].to_pylist() for key in keys] == [[7 + i, 8, 9] for i in range(len(keys))]
    assert table[ours[0]].to_pylist() == [0.1, None, 0.9]


def test_rows_without_a_prediction_are_named_by_their_keys(tmp_path: Path) -> None:
    """How many, and the keys of the first three, but for a sensitive one."""
    contract = sample_contract(
        tmp_path, lambda document: column(document, "id").update(classification="personal")
    )
    keys = pd.DataFrame({"sold_at": ["monday", "tuesday", "sunday"], "id": [1, 2, 3]})
    frame = replace(_frame(), keys=keys)

    told = without_prediction(contract, frame, np.array([np.nan, 1.0, np.inf]))

    assert told.startswith("2 of 3 rows have no finite prediction, such as those of")
    assert "sold_at monday; sold_at sunday:" in told
    assert without_prediction(contract, frame, np.zeros((3, 2))) == ""
