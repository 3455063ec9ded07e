"""Nothing is made twice in a run: histories are read once, and frames of batches built once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from flows.monitor import monitor
from flows.retrain import retrain
from flows.steps import run as unit_of_work
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.records import Recalibrate, WatchEvidence
from tests.conftest import run_flow

pytestmark = pytest.mark.flow


class Calls:
    """What a run reads of the ledger, which frames it builds, and what it has predicted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = Counter[str]()
        self.frames = Counter[tuple[str, ...]]()
        self.predictions = Counter[tuple[int, int, int]]()
        self.pipelines = list[Pipeline]()  # kept, so that no other one gets its identity
        self._patch = monkeypatch
        self._count(ledger, "history", lambda *_: self.reads.update(["history"]))
        self._count(ledger, "known_batches", lambda *_: self.reads.update(["batches"]))
        self._count(unit_of_work, "build_features", self._built)
        self._count(Pipeline, "predict", self._predicted)

    def _count(self, owner: object, name: str, note: Callable[..., None]) -> None:
        counted = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            note(*arguments)
            return counted(*arguments, **named)

        self._patch.setattr(owner, name, call)

    def _built(self, managed: object, records: Sequence[Any], *_: object) -> None:
        self.frames[tuple(record.batch.id for record in records)] += 1

    def _predicted(self, pipeline: Pipeline, features: pd.DataFrame) -> None:
        self.pipelines.append(pipeline)
        digest = hash(pd.util.hash_pandas_object(features).to_numpy().tobytes())
        self.predictions[id(pipeline), len(features), digest] += 1


def test_batch_with_mature_labels(
    use_home, make_replayed_home, make_weather_home, quick_project, monkeypatch
):
    """Scored, judged, refreshed by and watched on the same rows: their frame is built once, and the
    ledger is read once.
    """
    settings = use_home(make_replayed_home(4), quick_project)
    make_weather_home(5)
    calls = Calls(monkeypatch)

    (record,) = run_flow(monitor("weather"))

    reads = calls.reads.copy()
    history = ledger.history(open_ledger(settings.ledger_url), "weather")
    own = [e for e in history if e.batch == record.batch.id]
    assert record.performances
    assert record.change is not None
    assert record.change.after == pytest.approx(record.performances[0].loss.value)
    assert any(isinstance(e.decision, Recalibrate) for e in own)
    assert any(isinstance(e.evidence, WatchEvidence) for e in own)
    assert reads == {"history": 1, "batches": 2}, "rows and labels, once each"
    assert calls.frames == {(record.batch.id,): 1}
    assert max(calls.predictions.values()) <= 2, "once to serve all rows, once to judge by labels"


def test_retrain(use_home, make_replayed_home, quick_project, monkeypatch):
    """A retrain reads the ledger once, and builds one frame of its window."""
    use_home(make_replayed_home(3), quick_project)
    calls = Calls(monkeypatch)

    run_flow(retrain("weather"))

    assert calls.reads == {"history": 1, "batches": 2}
    assert set(calls.frames.values()) == {1}
    assert len(calls.frames) == 1, "the window; nothing is older than it"
