"""Whether a registered model can be used by a process that knows nothing of the one that trained
it.

    python -m tasks.registry.fresh FILE SHA256 FORM TRUST ROWS PROBLEM [CLASS ...]

loads the packaged pipeline, an ensemble's included, from FILE by the safe loader, predicts the rows
of the Parquet file ROWS, and prints them as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from tasks.prediction import predict
from tasks.processes import start_module
from tasks.records import Form, Guardrail, LoadedModel, Problem, TrainedModel
from tasks.registry.runs import SAMPLE
from tasks.registry.safe_load import FILES, read_model

ROWS = 100
"""Golden rows: the first of the sample that travels with the model."""
TIMEOUT = 300
"""Seconds until a process that does not answer is given up."""


def predicts_in_a_fresh_process(
    golden: np.ndarray, trained: TrainedModel, problem: Problem, copy: Path, trust: Form
) -> Guardrail:
    """Check that a new interpreter, given the registered files alone, predicts the golden rows as
    the fitted pipeline did.

    ``golden`` holds those predictions, (rows,) or (rows, classes). ``copy`` is the directory of the
    version's files as they came from the registry.
    """
    process = start_module(
        __name__,
        str(copy / FILES[trained.form]),
        trained.artifact_sha256,
        trained.form,
        trust,
        str(copy / SAMPLE),
        problem,
        *trained.classes,
        directory=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        printed, complaint = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return _guardrail("not made", f"no answer in {TIMEOUT} s")
    if process.returncode:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:]
        return _guardrail("failed", (last or [f"exit code {process.returncode}"])[0][:300])
    found = np.array(json.loads(printed), dtype="float64")
    same = found.shape == golden.shape and bool(np.array_equal(found, golden))
    return _guardrail(
        "passed" if same else "failed",
        f"{len(found)} rows, {'identical' if same else 'other predictions'}",
    )


def golden_predictions(pipeline: Any, challenger: LoadedModel, problem: Problem) -> np.ndarray:  # noqa: ANN401 - a fitted pipeline
    """Return what the pipeline that was fitted predicts for the golden rows of the registered
    challenger.
    """
    return predict(pipeline, challenger.baseline.head(ROWS), problem, challenger.trained.classes)


def _guardrail(outcome: Any, found: str) -> Guardrail:  # noqa: ANN401 - one of the record's outcomes
    return Guardrail(
        name="loads and scores in a fresh process",
        outcome=outcome,
        found=found,
        limit="bit for bit",
    )


def main(
    file: str, sha256: str, form: str, trust: str, rows: str, problem: str, *classes: str
) -> None:
    """Load, predict, print."""
    pipeline = read_model(Path(file), sha256, cast("Form", form), cast("Form", trust))
    features = pd.read_parquet(rows).head(ROWS)
    print(json.dumps(predict(pipeline, features, cast("Problem", problem), classes).tolist()))


if __name__ == "__main__":
    main(*sys.argv[1:])
