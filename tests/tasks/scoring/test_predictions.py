"""Tests of the predictions of a closed batch, in the lake."""

import hashlib
import itertools
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.lake import DamagedFileError
from tasks.records import FeatureFrame, LoadedModel, Predictions
from tasks.scoring.config import ScoringConfig
from tasks.scoring.predictions import (
    Predicted,
    read_predictions,
    without_prediction,
    write_predictions,
)
from tasks.scoring.skew import ServedBatch
from tests.sample_contract import column, sample_contract
from tests.tasks.builders import FixedProbability, frame_of, loaded_model
from tests.tasks.hostile_names import names
from tests.tasks.scoring.served_sales import features_of, open_table, sales_contract


def _frame() -> FeatureFrame:
    return frame_of(pd.DataFrame({"p": [0.1, 0.5, 0.9]}), [0.0, np.nan, 1.0], days=[1, 2, 3])


def _write(lake: Path, model: LoadedModel, *parts: Predicted) -> Predictions:
    """Write the predictions of a batch, part by part."""
    ((batch, snapshot),) = parts[0].frame.snapshots.items()
    return write_predictions(lake, model, batch, snapshot, parts)


def test_file_holds_keys_prediction_and_version(tmp_path: Path) -> None:
    """Every row has its event time, its key, its prediction and the version that made it, labelled
    or not.
    """
    frame = _frame()

    written = _write(
        tmp_path,
        loaded_model(FixedProbability(), frame, version=7),
        Predicted(frame, np.array([0.1, 0.5, 0.9])),
    )

    table = pq.read_table(tmp_path / written.path, partitioning=None)
    assert table.column_names == [
        "key:event_time",
        "key:id",
        "prediction",
        "version",
        "scored_at",
    ]
    assert table["key:id"].to_pylist() == [0, 1, 2]
    assert table["key:event_time"].to_pylist() == list(frame.event_time)
    assert table["prediction"].to_pylist() == [0.1, 0.5, 0.9]
    assert table["version"].to_pylist() == ["v7", "v7", "v7"]
    assert table["scored_at"].null_count == 3
    assert hashlib.sha256((tmp_path / written.path).read_bytes()).hexdigest() == written.sha256
    assert (written.rows, written.batch, written.version, written.snapshot, written.served) == (
        3,
        "b000",
        7,
        "b000-snapshot",
        0,
    )


def test_rows_that_were_served_say_by_whom_and_when(tmp_path: Path) -> None:
    """The others were scored with the batch, by its champion."""
    frame, noon = _frame(), datetime(2020, 1, 1, 12, tzinfo=UTC)
    served = ServedBatch(
        rows=np.array([True, False, True]),
        predicted=np.array([0.2, np.nan, 0.8]),
        served_by=np.array(["v6", None, "v6.3"], dtype="object"),
        scored_at=pd.Series([noon, None, noon], dtype="datetime64[us, UTC]"),
    )
    model = loaded_model(FixedProbability(), frame, version=7)

    written = _write(tmp_path, model, Predicted(frame, np.array([0.2, 0.5, 0.8]), served))

    table = pq.read_table(tmp_path / written.path, partitioning=None)
    assert table["version"].to_pylist() == ["v6", "v7", "v6.3"]
    assert table["scored_at"].to_pylist() == [noon, None, noon]
    assert written.served == 2


def test_each_version_has_its_own_file(tmp_path: Path) -> None:
    """Two versions' predictions for a batch stand beside each other; the same again is the same
    file.
    """
    frame, p = _frame(), np.array([0.1, 0.5, 0.9])

    paths = [
        _write(
            tmp_path, loaded_model(FixedProbability(), frame, version=v), Predicted(frame, p)
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
        tmp_path / _write(tmp_path, model, Predicted(frame, shares)).path, partitioning=None
    )

    assert table["probability:late"].to_pylist() == [0.2, 0.8, 0.3]
    assert table["probability:on time"].to_pylist() == [0.1, 0.1, 0.4]
    assert "prediction" not in table.column_names


@pytest.mark.parametrize("rows", [0, 1])
def test_small_batches(tmp_path: Path, rows: int) -> None:
    """One row, or none, is a file all the same."""
    whole = _frame()
    frame = whole.where(np.arange(3) < rows)

    predicted = Predicted(frame, np.array([0.5] * rows))
    written = _write(tmp_path, loaded_model(None, whole), predicted)

    assert (
        pq.read_table(tmp_path / written.path, partitioning=None).num_rows == written.rows == rows
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 11), unique=True))
def test_cutting_a_batch_into_parts_changes_nothing(cuts: list[int]) -> None:
    """Wherever it is cut: the same rows, in their order, and the same counts."""
    frame = frame_of(pd.DataFrame({"p": np.arange(12.0)}), [0.0] * 12, days=list(range(12)))
    predicted, noon = np.arange(12) / 12, datetime(2020, 1, 1, 12, tzinfo=UTC)
    predicted[[3, 8]] = np.nan
    served = ServedBatch(
        rows=np.arange(12) % 3 == 0,
        predicted=predicted,
        served_by=np.array(["v6"] * 12, dtype="object"),
        scored_at=pd.Series([noon] * 12, dtype="datetime64[us, UTC]"),
    )

    def part(rows: np.ndarray) -> Predicted:
        of_rows = ServedBatch(
            served.rows[rows],
            served.predicted[rows],
            served.served_by[rows],
            served.scored_at[rows].reset_index(drop=True),
        )
        return Predicted(frame.where(rows), predicted[rows], of_rows)

    edges = [0, *sorted(cuts), 12]
    places = np.arange(12)
    model = loaded_model(FixedProbability(), frame)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        whole = _write(Path(one), model, part(places >= 0))
        cut = _write(
            Path(other),
            model,
            *(part((places >= a) & (places < b)) for a, b in itertools.pairwise(edges)),
        )
        tables = [
            pq.ParquetFile(Path(lake) / written.path).read()
            for lake, written in ((one, whole), (other, cut))
        ]

    assert tables[0].equals(tables[1])
    assert (cut.rows, cut.served, cut.unknown) == (12, 4, 2)
    assert cut.but(sha256=whole.sha256) == whole


@settings(max_examples=50, deadline=None)
@given(st.lists(names, min_size=1, max_size=4, unique=True))
@example(["prediction", "version", "PREDICTION"])
@example(["version", "key:version"])
def test_keys_of_any_name(keys: list[str]) -> None:
    """Each column is there once, in whatever case, and keys and predictions keep their values."""
    frame = _frame()
    frame = replace(frame, keys=pd.DataFrame({key: [7 + i, 8, 9] for i, key in enumerate(keys)}))
    with tempfile.TemporaryDirectory() as lake:
        predicted = Predicted(frame, np.array([0.1, np.nan, 0.9]))
        written = _write(Path(lake), loaded_model(FixedProbability(), frame), predicted)
        table = pq.ParquetFile(Path(lake) / written.path).read()

    columns = table.column_names
    assert columns[: len(keys)] == [f"key:{key}" for key in keys]
    ours = columns[len(keys) :]
    assert ours == ["prediction", "version", "scored_at"]
    assert [table[f"key:{key}"].to_pylist() for key in keys] == [
        [7 + i, 8, 9] for i in range(len(keys))
    ]
    assert table[ours[0]].to_pylist() == [0.1, None, 0.9]


def test_rows_without_a_prediction_are_named_by_their_keys(tmp_path: Path) -> None:
    """How many, and the keys of the first three, but for a sensitive one."""
    contract = sample_contract(
        tmp_path, lambda document: column(document, "id").update(classification="personal")
    )
    keys = pd.DataFrame({"sold_at": ["monday", "tuesday", "sunday"], "id": [1, 2, 3]})
    frame = replace(_frame(), keys=keys)

    model = loaded_model(FixedProbability(), frame)
    told = without_prediction(contract, model, frame, np.array([np.nan, 1.0, np.inf]), "binary")

    assert told.startswith("2 of 3 rows have no finite prediction, such as those of")
    assert "sold_at monday; sold_at sunday: the model gives NaN or an infinite number" in told
    assert without_prediction(contract, model, frame, np.zeros((3, 2)), "binary") == ""


def test_a_number_too_large_for_the_model_is_named(tmp_path: Path) -> None:
    """The column, the value and what to do, where a row without a prediction has one."""
    frame = frame_of(pd.DataFrame({"x": [1e200, 2.0]}), [0.0, 1.0], days=[0, 1])
    frame = replace(frame, keys=pd.DataFrame({"sold_at": ["monday", "tuesday"]}))

    model = loaded_model(FixedProbability(), frame)
    told = without_prediction(
        sample_contract(tmp_path), model, frame, np.array([np.nan, 1.0]), "binary"
    )

    assert "too large for the model in x (1 row, such as 1e+200); give the column limits" in told


def test_they_are_read_as_delivered_rows_are(tmp_path: Path) -> None:
    """Under the contract's names, with the batch; a damaged file is refused."""
    contract = sales_contract(tmp_path)
    frame = features_of(open_table(contract))
    written = _write(tmp_path, loaded_model(None, frame), Predicted(frame, np.arange(6) / 10))
    config = ScoringConfig(include=("shop",), decision_threshold=0.3)

    (rows,) = read_predictions(tmp_path, written, contract, config)

    assert rows.column_names == [
        "sold_at",
        "id",
        "prediction",
        "decision",
        "version",
        "scored_at",
        "batch",
    ]
    assert rows["decision"].to_pylist() == [False] * 3 + [True] * 3
    (tmp_path / written.path).write_bytes(b"")
    with pytest.raises(DamagedFileError, match="predictions/flights"):
        next(read_predictions(tmp_path, written, contract, config))
