"""Whether a registered model can be used by a process that knows nothing of the one that trained it.

    python -m tasks.registry.fresh FILE SHA256 ROWS PROBLEM [CLASS ...]

loads the pipeline from FILE by the safe loader, predicts the rows of the Parquet file ROWS, and prints them as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tasks.prediction import predict
from tasks.records import Guardrail, LoadedModel, Problem, TrainedModel
from tasks.registry.safe_load import read_model

if TYPE_CHECKING:
    import numpy as np

ROWS = 100
"""Golden rows: the first of the sample that travels with the model."""
TIMEOUT = 300
"""Seconds until a process that does not answer is given up."""


def predicts_in_a_fresh_process(
    golden: np.ndarray,
    trained: TrainedModel,
    problem: Problem,
    download: Callable[[str], tuple[Path, Path]],
) -> Guardrail:
    """Check that a new interpreter, given the registered files alone, predicts the golden rows as the fitted pipeline did.

    ``golden`` holds those predictions, (rows,) or (rows, classes). ``download`` copies file and baseline to a directory.
    """
    import numpy as np

    with tempfile.TemporaryDirectory() as directory:
        model, baseline = download(directory)
        command = [sys.executable, "-m", __name__, str(model), trained.artifact_sha256]
        command += [str(baseline / "sample.parquet"), problem, *trained.classes]
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603 - ourselves
        except subprocess.TimeoutExpired:
            return _guardrail("failed", f"no answer in {TIMEOUT} s")
    if said.returncode:
        last = said.stderr.strip().splitlines()[-1:] or [f"exit code {said.returncode}"]
        return _guardrail("failed", last[0][:300])
    found = np.array(json.loads(said.stdout), dtype="float64")
    same = found.shape == golden.shape and bool(np.array_equal(found, golden))
    return _guardrail(
        "passed" if same else "failed", f"{len(found)} rows, {'identical' if same else 'other predictions'}"
    )


def golden_predictions(pipeline: Any, challenger: LoadedModel, problem: Problem) -> np.ndarray:  # noqa: ANN401 - a fitted pipeline
    """Return what the pipeline that was fitted predicts for the golden rows of the registered challenger."""
    return predict(pipeline, challenger.baseline.head(ROWS), problem, challenger.trained.classes)


def _guardrail(outcome: Any, found: str) -> Guardrail:  # noqa: ANN401 - one of the record's outcomes
    return Guardrail(
        name="loads and scores in a fresh process", outcome=outcome, found=found, limit="bit for bit"
    )


def main(file: str, sha256: str, rows: str, problem: str, *classes: str) -> None:
    """Load, predict, print."""
    import pandas as pd

    pipeline = read_model(Path(file), sha256)
    features = pd.read_parquet(rows).head(ROWS)
    print(json.dumps(predict(pipeline, features, cast("Problem", problem), classes).tolist()))


if __name__ == "__main__":
    main(*sys.argv[1:])
