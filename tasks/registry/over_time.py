"""The MLflow run of a model, in which each metric has its batches as steps, to be drawn over time.

MLflow takes nothing of a metric back: when a batch was judged anew, the run is made again from what
the ledger has, and the one before it deleted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.batches import Batch, Every, number_of
from tasks.records import Fence
from tasks.registry.runs import (
    KIND,
    MOST_METRICS,
    OVER_TIME,
    TOKEN,
    client,
    experiment_id,
    metric_name,
    run,
)
from tasks.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

FIRST = "kingmaker.first_batch"
"""Tag with the batch that is step 0."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one batch."""

    batch: Batch
    metrics: Mapping[str, float]
    """Name -> value, a finite number."""


def log_over_time(
    settings: Settings,
    model: str,
    every: Every,
    added: Sequence[Measured],
    everything: Sequence[Measured],
    fence: Fence,
    *,
    anew: bool = False,
) -> None:
    """Have the model's run hold what was ``added`` to ``everything`` that is known of its batches,
    each value once.

    The step is the number of the batch, counted from the first; the time is the batch's end. Values
    that are there stay; where another one is there, or no run, or with ``anew``, the run is made
    from everything.
    """
    api, experiment = client(settings.tracking_uri), experiment_id(settings, model)
    found = api.search_runs(
        [experiment], f"tags.`{KIND}` = '{OVER_TIME}' and attributes.status != 'RUNNING'"
    )
    if [one.info.status for one in found] == ["FINISHED"] and not anew:
        missing = _missing(api, found[0], every, added)
        if missing is not None:
            _log(api, found[0].info.run_id, missing, fence)
            return
    first = min((one.batch for one in everything), key=lambda batch: batch.start)
    tags = {KIND: OVER_TIME, FIRST: first.id, TOKEN: str(fence.token)}
    with run(settings, model, f"{model} over time", tags) as run_id:
        _log(api, run_id, _points(everything, first.id, every), fence)
    for before in found:
        with fence.hold():
            api.delete_run(before.info.run_id)


def _missing(
    api: MlflowClient,
    there: Any,  # noqa: ANN401 - of MLflow, which is loaded where it is used
    every: Every,
    added: Sequence[Measured],
) -> list[Metric] | None:
    """What of ``added`` the run does not hold; None when it holds other values.

    The history of a metric is only read where a step is not beyond its last one.
    """
    last = {one.key: one.step for one in there.data.to_proto().metrics}
    histories = dict[str, dict[int, set[float]]]()
    missing = []
    for point in _points(added, there.data.tags[FIRST], every):
        if point.step <= last.get(point.key, -math.inf):
            if point.key not in histories:
                histories[point.key] = {}
                for one in api.get_metric_history(there.info.run_id, point.key):
                    histories[point.key].setdefault(one.step, set()).add(one.value)
            known = histories[point.key].get(point.step, set())
            if known - {point.value}:
                return None
            if known:
                continue
        missing.append(point)
    return missing


def _points(measured: Sequence[Measured], first: str, every: Every) -> list[Metric]:
    """The values as MLflow's metrics."""
    from mlflow.entities import Metric

    zero = number_of(first, every)
    return [
        Metric(
            metric_name(name),
            value,
            int(one.batch.end.timestamp() * 1000),
            number_of(one.batch.id, every) - zero,
        )
        for one in measured
        for name, value in one.metrics.items()
    ]


def _log(api: MlflowClient, run_id: str, points: Sequence[Metric], fence: Fence) -> None:
    for start in range(0, len(points), MOST_METRICS):
        with fence.hold():
            api.log_batch(run_id, metrics=points[start : start + MOST_METRICS])
