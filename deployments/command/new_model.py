"""A first model spec and contract from one file of history, for a person to review; both run as
they are.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import nearest
from tasks.batches import Every, batch_of
from tasks.configuration import ConfigurationError
from tasks.ingest.infer import TypedFile, infer_contract, read_typed
from tasks.lake import write_whole
from tasks.records import Problem
from tasks.settings import REPOSITORY

SPEC_SCHEMA = REPOSITORY / "docs" / "reference" / "model-spec.schema.json"
"""What an editor completes and checks a spec by."""
FEWEST_ROWS = 200
"""Rows that a batch should have: with fewer, too little can be said about it (docs/decisions.md).
"""
FEWEST_BATCHES = 6
"""Batches that a history should give: three for the first champion, and three to see what becomes
of it.
"""
MOST_CLASSES = 50
MOST_CATEGORIES = 200
"""A text column with more distinct values is left out of the features: it looks like a name or a
note.
"""
_PERIODS: tuple[Every, ...] = ("day", "week", "month", "quarter", "year")

_CANDIDATES: dict[Problem, str] = {
    "binary": """\
    - estimator: sklearn.linear_model.LogisticRegression
      params: {max_iter: 500}
      search: {C: {low: 0.01, high: 10.0, log: true}}
    - estimator: sklearn.ensemble.HistGradientBoostingClassifier
      search: {learning_rate: {low: 0.03, high: 0.3, log: true}}""",
    "regression": """\
    - estimator: sklearn.linear_model.Ridge
      search: {alpha: {low: 0.1, high: 100.0, log: true}}
    - estimator: sklearn.ensemble.HistGradientBoostingRegressor
      params: {loss: absolute_error}
      search: {learning_rate: {low: 0.03, high: 0.3, log: true}}""",
}
_CANDIDATES["multiclass"] = _CANDIDATES["binary"]
_METRICS: dict[Problem, str] = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "mae"}

_SPEC = """\
# Drafted from {source}. Each line marked as a guess is yours to review.
model: {model}
contract: {model}
problem: {problem}             # a guess, from the values of {target}
target: {target}
batch: {{every: {every}}}        # a guess, from {rows:,} rows in {days:,} days: {batches} batches
labels: {{delay: 0d}}          # a guess: how long after a batch's end is {target} known?
features:
  exclude: [{exclude}]
training:
  first: {first}
  candidates:
{candidates}
  tuning: {{trials: 5}}
metric: {metric}
"""


def draft_model(
    project: Path, model: str, source: Path, target: str, time: str
) -> tuple[Path, Path]:
    """Write ``data_contracts/<model>.odcs.yaml`` and ``deployments/<model>/model.yaml``; return
    both.

    The file grows: what is appended to it later is cut into batches by ``time``. Raises
    ConfigurationError when a file is there already, when a column is not in ``source``, or when its
    target or its history cannot be used.
    """
    contract_file = project / "data_contracts" / f"{model}.odcs.yaml"
    spec_file = project / "deployments" / model / "model.yaml"
    for file in (contract_file, spec_file):
        if file.exists():
            raise ConfigurationError(
                file, "file", "none yet", "one; remove it, or choose another name"
            )
    typed = read_typed(source)
    for option, column in (("--target", target), ("--time", time)):
        if column not in typed.columns:
            raise ConfigurationError(
                source,
                option,
                f"one of {list(typed.columns)}",
                f"{column!r}{nearest(column, typed.columns)}",
            )
    contract = infer_contract(
        typed, model, event_time=time, later=target, path=str(source.resolve())
    )
    spec = _spec(typed, model, target, time)
    write_whole(contract_file, contract.encode())
    schema = os.path.relpath(SPEC_SCHEMA, spec_file.parent)
    write_whole(spec_file, f"# yaml-language-server: $schema={schema}\n{spec}".encode())
    return contract_file, spec_file


def _spec(file: TypedFile, model: str, target: str, time: str) -> str:
    problem = _problem(file, target)
    ends = pc.min_max(file.columns[time][1]).as_py()
    every, batches = _period(file, time)
    wordy = [
        name
        for name, (kind, values) in file.columns.items()
        if kind == "string" and name != target and len(values.unique()) > MOST_CATEGORIES
    ]
    return _SPEC.format(
        source=file.source.name,
        model=model,
        problem=problem,
        target=target,
        every=every,
        batches=batches,
        rows=len(file.columns[time][1]),
        days=(ends["max"] - ends["min"]).days,
        exclude=", ".join(wordy),
        first=min(3, batches - 2),
        candidates=_CANDIDATES[problem],
        metric=_METRICS[problem],
    )


def _problem(file: TypedFile, target: str) -> Problem:
    kind, values = file.columns[target]
    distinct = {value for value in values.unique().to_pylist() if value is not None}
    if kind == "boolean" or distinct == {0, 1}:
        return "binary"
    if kind == "string" and 2 <= len(distinct) <= MOST_CLASSES:
        return "multiclass"
    if kind in ("integer", "number") and len(distinct) > 1:
        return "regression"
    raise ConfigurationError(
        file.source,
        "--target",
        f"a column of numbers, of true and false, or of 2 to {MOST_CLASSES} classes",
        f"{target!r}, {kind} with {len(distinct):,} distinct values",
    )


def _period(file: TypedFile, time: str) -> tuple[Every, int]:
    """The shortest period with enough rows a batch, and how many whole batches it gives."""
    moments = _moments(file.columns[time][1])
    found: list[tuple[Every, int]] = []
    for every in _PERIODS:
        ids = [batch_of(moment, every, "UTC").id for moment in moments]
        batches = len(set(ids))
        if batches >= FEWEST_BATCHES:
            found.append((every, batches))
            if len(ids) / batches >= FEWEST_ROWS:
                return every, batches
    if not found:
        raise ConfigurationError(
            file.source,
            "--time",
            f"a history of at least {FEWEST_BATCHES} days",
            f"one of {len(moments):,} rows",
        )
    return found[-1]


def _moments(values: pa.ChunkedArray) -> list[datetime]:
    moments: list[datetime] = values.cast(pa.timestamp("us", tz="UTC")).to_pylist()
    return moments
