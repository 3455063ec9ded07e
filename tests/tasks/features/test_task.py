"""Tests of the checks of features that look back: what uses the future is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.dummy import DummyClassifier

from tasks.features.config import HistoryConfig
from tasks.features.history import Definition
from tasks.features.labels import count_labelled
from tasks.features.task import build_features, check_features, features_by_part
from tasks.records import BatchRecord, Guardrail, KnownLabels, Verdict
from tests.tasks.builders import batch_record, loaded_model
from tests.tasks.features.deliveries import (
    FAR,
    HOUR,
    Delivered,
    looking_back,
    past_of,
    write_project,
)

MEAN = HistoryConfig(
    name="mean_12h", function="mean", column="amount", by=("shop",), over=12 * HOUR
)
LABELS = KnownLabels(batches=(), as_of=FAR)


def _checked(directory: Path) -> dict[str, Guardrail]:
    """Code -> what each check finds of a day of sales, one every quarter of an hour."""
    managed = looking_back(write_project(directory, own_labels=False), MEAN)
    rows = [
        Delivered(id=i, hour=i / 4, shop="AB"[i % 2], amount=float(i * i), returned=i % 3 == 0)
        for i in range(1, 80)
    ]
    past = past_of(managed, "day", rows)
    records = [_record(one.snapshot, one.quarantine) for one in past.rows]
    newest = max(records, key=lambda one: one.snapshot.rows)
    frame = build_features.fn(managed, [newest], LABELS, past)
    pipeline = DummyClassifier().fit(frame.features, frame.target.fillna(0))
    model = loaded_model(pipeline, frame)
    found = check_features.fn(managed, newest, None, LABELS, past, model, None)
    return {one.code: one for one in found}


def _record(snapshot, quarantine: str | None) -> BatchRecord:
    verdict = Verdict(
        outcome="accept with quarantine",
        reason="one row",
        rows=snapshot.rows,
        quarantined=1,
        rules=(),
        quarantine=quarantine,
    )
    return batch_record(batch=snapshot.batch, snapshot=snapshot, verdict=verdict)


def test_features_that_look_back_know_no_future(tmp_path: Path) -> None:
    """Without later rows in the lake they are the same."""
    found = _checked(tmp_path)

    assert {code: one.outcome for code, one in found.items()} == {
        "KM010": "passed",
        "KM011": "passed",
        "KM015": "passed",
    }


def test_a_planted_look_ahead_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that ends after its row is found, whatever the frame of the batch holds."""
    sound = Definition.sql

    def ahead(self: Definition, **how: bool) -> str:
        ends = f"AND {7_200_000_001} PRECEDING"
        assert ends in sound(self, **how)
        return sound(self, **how).replace(ends, "AND 3600000000 FOLLOWING")

    monkeypatch.setattr(Definition, "sql", ahead)

    found = _checked(tmp_path)["KM010"]

    assert found.outcome == "failed"
    assert found.found.startswith("mean_12h change when later rows are taken away")


def test_what_is_looked_back_on_is_named(tmp_path: Path) -> None:
    """A frame knows which contents its features rest on; a revised one only where it counted."""
    managed = looking_back(write_project(tmp_path, own_labels=False), MEAN)
    rows = [
        Delivered(id=1, hour=1.0),
        Delivered(id=2, hour=25.0, until=200.0),
        Delivered(id=3, hour=30.0),
        Delivered(id=4, hour=100.0),
    ]
    past = past_of(managed, "day", rows)
    before, asked = (
        next(one for one in past.rows if one.snapshot.batch.id == day)
        for day in ("2013-05-17", "2013-05-18")
    )

    frame = build_features.fn(managed, [_record(asked.snapshot, asked.quarantine)], LABELS, past)

    assert [(one.batch, one.snapshot, one.features) for one in frame.looked_back] == [
        ("2013-05-17", before.snapshot.sha256, ("mean_12h",)),
        ("2013-05-18", asked.snapshot.sha256, ("mean_12h",)),
    ]


@pytest.mark.parametrize("own_labels", [False, True])
def test_part_by_part_the_features_are_the_same(tmp_path: Path, *, own_labels: bool) -> None:
    """Those that look back, too, over the border of parts; the rows in quarantine are in none."""
    managed = looking_back(write_project(tmp_path, own_labels=own_labels), MEAN)
    rows = [
        Delivered(id=i, hour=i / 4, shop="AB"[i % 2], amount=float(i * i), returned=i % 3 == 0)
        for i in range(1, 80)
    ]
    past = past_of(managed, "day", rows, rows)
    largest = max(past.rows, key=lambda one: one.snapshot.rows)
    record = _record(largest.snapshot, largest.quarantine)

    whole = build_features.fn(managed, [record], LABELS, past)
    parts = list(features_by_part(managed, record, past))

    assert len(parts) == 2
    together = pd.concat([part.features for part in parts], ignore_index=True)
    assert_frame_equal(together, whole.features)
    assert whole.features["mean_12h"].nunique() > 10
    assert pd.concat([part.keys for part in parts], ignore_index=True).equals(whole.keys)
    if not own_labels:
        assert pd.concat([part.target for part in parts]).tolist() == whole.target.tolist()


def test_of_a_large_batch_rows_are_drawn_evenly(tmp_path: Path) -> None:
    """With the labels of their own contract, of which no others are kept; the same each time."""
    managed = write_project(tmp_path, own_labels=True)
    rows = [Delivered(id=i, hour=i / 4, returned=i % 3 == 0) for i in range(1, 80)]
    past = past_of(managed, "day", rows, rows)
    largest = max(past.rows, key=lambda one: one.snapshot.rows)
    record = _record(largest.snapshot, largest.quarantine)
    told = tuple(_record(one.snapshot, one.quarantine) for one in past.labels)
    labels = KnownLabels(batches=told, as_of=FAR)

    whole = build_features.fn(managed, [record], labels, past)
    some = build_features.fn(managed, [record], labels, past, 10)

    assert len(some) == 10
    assert some.target.notna().all()
    found = whole.keys.reset_index().merge(some.keys.assign(target=some.target))
    assert found["target"].tolist() == whole.target[found["index"]].tolist()
    edges = np.arange(10) * len(whole) // 10
    places = np.searchsorted(edges, found["index"], side="right") - 1
    assert places.tolist() == list(range(10))
    again = build_features.fn(managed, [record], labels, past, 10)
    assert_frame_equal(again.features, some.features)
    assert count_labelled(managed, record, labels) == (len(whole), len(whole))
