"""Nothing is predicted twice: in a retrain each model is asked once for the same rows."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from flows.retrain import retrain
from tests.conftest import run_flow

pytestmark = pytest.mark.flow


class Asked:
    """What each fitted pipeline was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = Counter[tuple[int, int, int]]()
        self.pipelines = list[Pipeline]()  # kept, so that no other one gets its identity
        predict = Pipeline.predict

        def counted(pipeline: Pipeline, features: pd.DataFrame, **others: object) -> object:
            self.pipelines.append(pipeline)
            digest = hash(pd.util.hash_pandas_object(features).to_numpy().tobytes())
            self.times[id(pipeline), len(features), digest] += 1
            return predict(pipeline, features, **others)

        monkeypatch.setattr(Pipeline, "predict", counted)


def test_a_retrain_asks_each_model_once_for_the_same_rows(
    use_home, make_replayed_home, quick_project, monkeypatch
):
    """Joining, importance, the profile, the comparison and every check take what was predicted."""
    use_home(make_replayed_home(3), quick_project)
    asked = Asked(monkeypatch)

    run_flow(retrain("weather"))

    assert len({pipeline for pipeline, *_ in asked.times}) > 2
    assert {key: times for key, times in asked.times.items() if times > 1} == {}
