"""What each kind of candidate costs, and what it is worth, on the demo's flights.

    python -m benchmarks.estimators [--quick] [--rows N] [--only NAME ...]
    [--work DIR]

Each is fitted as a training fits it, with one thread and its library's defaults, but for pairs of
features in explainable boosting, on a seeded sample of the first six months, and judged on the six
after them. "Again" says whether a second fit predicts the same bits. Each runs in a process of its
own; imports are counted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from benchmarks.features import flights
from benchmarks.harness import arguments, cost_of_module, heading, machine, row
from tasks.features.frame import build_by_spec
from tasks.prediction import predict
from tasks.records import FeatureSchema
from tasks.registry.safe_load import as_stored
from tasks.training.config import Candidate
from tasks.training.estimators import fit_pipeline
from tasks.training.pipeline import make_pipeline, with_values

BOOSTING = "sklearn.ensemble.HistGradientBoostingClassifier"
CANDIDATES = {
    "LogisticRegression": Candidate(
        estimator="sklearn.linear_model.LogisticRegression", params={"max_iter": 500}
    ),
    "HistGradientBoosting": Candidate(estimator=BOOSTING),
    "XGBoost": Candidate(estimator="xgboost.XGBClassifier"),
    "LightGBM": Candidate(estimator="lightgbm.LGBMClassifier"),
    "CatBoost": Candidate(estimator="catboost.CatBoostClassifier"),
    "explainable boosting, no pairs": Candidate(
        estimator="interpret.glassbox.ExplainableBoostingClassifier", params={"interactions": 0}
    ),
    "LinearSVC, calibrated": Candidate(
        estimator="sklearn.calibration.CalibratedClassifierCV",
        params={"estimator": {"estimator": "sklearn.svm.LinearSVC"}},
    ),
    "stack of two": Candidate(
        estimator="sklearn.ensemble.StackingClassifier",
        params={
            "estimators": [
                {"estimator": BOOSTING},
                {"estimator": "lightgbm.LGBMClassifier"},
            ],
            "final_estimator": {"estimator": "sklearn.linear_model.LogisticRegression"},
        },
    ),
}


def prepare(directory: Path, months: int, rows: int) -> None:
    """Write the labelled features of both halves of the first ``months``."""
    managed, tables, _ = flights(directory, months)
    frame = build_by_spec(managed, tables, dict.fromkeys(tables, ""))
    frame = frame.where(frame.target.notna().to_numpy())
    older = frame.batch.isin(sorted(tables)[: months // 2]).to_numpy()
    halves = {"train": frame.where(older).sample(rows, seed=0), "test": frame.where(~older)}
    for name, half in halves.items():
        half.features.assign(**{"": half.target}).to_parquet(directory / f"{name}.parquet")
    (directory / "schema.json").write_text(frame.schema.model_dump_json(), encoding="utf-8")


def one(name: str, directory: Path) -> None:
    """Fit a candidate twice, and print seconds of a fit, log loss, KB stored, and whether both are
    the same.
    """
    schema = FeatureSchema.model_validate_json((directory / "schema.json").read_text("utf-8"))
    train, test = (pd.read_parquet(directory / f"{half}.parquet") for half in ("train", "test"))
    candidate, first, took = CANDIDATES[name], b"", 0.0
    for turn in range(2):
        pipeline: Any = make_pipeline(
            candidate.estimator,
            candidate.params,
            with_values(schema, train),
            encode=candidate.encode,
            seed=0,
        )
        began = time.perf_counter()
        with threadpool_limits(1):
            fit_pipeline(pipeline, train[list(schema.names)], train[""], threads=1)
        took = time.perf_counter() - began
        found = predict(pipeline, test[list(schema.names)], "binary")
        first = first if turn else found.tobytes()
    form, content = as_stored(pipeline, "skops")
    same = "equal" if first == found.tobytes() else "differs"
    print(f"{took:.1f}", f"{log_loss(test[''], found):.4f}", len(content) // 1024, form, same)


def main() -> None:
    """Measure and print; or, with a candidate and a directory, measure one."""
    if sys.argv[1:2] and sys.argv[1] in CANDIDATES:
        one(sys.argv[1], Path(sys.argv[2]))
        return
    parser = arguments(__doc__, "two months of flights, 2,000 rows")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, default=tuple(CANDIDATES))
    given = parser.parse_args()
    rows = 2_000 if given.quick else given.rows
    machine(1)
    with tempfile.TemporaryDirectory(dir=given.work) as temporary:
        prepare(Path(temporary), 2 if given.quick else 12, rows)
        heading(
            f"{rows:,} rows", "fit s", "peak MB", "log loss", "stored KB", "again", left=("again",)
        )
        for name in given.only:
            cost = cost_of_module("benchmarks.estimators", name, temporary)
            seconds, loss, stored, _, same = cost.said.split()
            row(name, seconds, f"{cost.peak:.0f}", loss, stored, same)


if __name__ == "__main__":
    main()
