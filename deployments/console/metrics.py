"""The fleet in numbers, as Prometheus reads them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tasks.records import FlowRun
from tasks.reports.fleet_page import FleetModel

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def in_numbers(models: Sequence[FleetModel], runs: Sequence[FlowRun] | None) -> bytes:
    """Return what is measured, in Prometheus' text format; without ``runs``, since Prefect could
    not be asked, nothing is said of them but that.
    """
    registry = CollectorRegistry()

    def gauge(name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"kingmaker_{name}", words, labels, registry=registry)

    champion = gauge("champion_version", "Version that serves; 0 for none.", "model")
    score = gauge("score", "The champion's score on the newest judged batch.", "model", "metric")
    drift = gauge("drift_share", "Share of features that moved in the newest batch.", "model")
    unlabelled = gauge("batches_without_score", "Newest batches without mature labels.", "model")
    needs = gauge("needs", "What waits for a person.", "model")
    answers = gauge("prefect_answers", "1 when Prefect could be asked.")
    for one in models:
        champion.labels(one.model).set(one.champion or 0)
        needs.labels(one.model).set(len(one.needs))
        if one.score is not None and math.isfinite(one.score.value):
            score.labels(one.model, one.metric).set(one.score.value)
        if one.drift_share is not None:
            drift.labels(one.model).set(one.drift_share)
        missing = next((i for i, s in enumerate(one.scores[::-1]) if s is not None), None)
        unlabelled.labels(one.model).set(len(one.scores) if missing is None else missing)
    answers.set(runs is not None)
    if runs is not None:
        _runs(runs, gauge("runs", "Runs that wait or are under way.", "flow", "state"))
        last = gauge("last_run_seconds", "When the newest run ended.", "model", "flow", "state")
        for run in sorted(runs, key=lambda run: run.ended or run.due):
            if run.over and run.model and run.ended is not None:
                at = run.ended.timestamp()
                last.labels(run.model, run.flow, run.kind.lower()).set(at)
    return generate_latest(registry)


def _runs(runs: Sequence[FlowRun], gauge: Gauge) -> None:
    counts = Counter((run.flow, run.state) for run in runs if not run.over)
    for (flow, state), count in counts.items():
        gauge.labels(flow, state).set(count)
