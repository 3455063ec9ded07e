"""KM012: whether a stored model can be used by a process that knows nothing of the one that trained
it.

    python -P -m tasks.registry.fresh FILE SHA256 FORM TRUST ROWS PROBLEM [CLASS ...]

loads the packaged pipeline, an ensemble's included, from FILE by the safe loader, predicts the rows
of the Parquet file ROWS, and prints them as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from tasks.checks import Check
from tasks.prediction import predict
from tasks.processes import TIMEOUT, ModuleFailedError, NoAnswerError, ask_module
from tasks.records import Form, Guardrail, LoadedModel, Problem, TrainedModel
from tasks.registry.runs import SAMPLE
from tasks.registry.safe_load import FILES, read_model

ROWS = 100
"""Golden rows: the first of the sample that travels with the model."""
LIMIT = "bit for bit"


class PredictsByItself(Check):
    """KM012: the registered files alone predict the golden rows bit for bit as the fitted pipeline
    did.

    A pickle holds references to code, a project's own among them, and may lean on what the process
    that trained it had loaded, set or kept: it is read in a new interpreter. A skops file holds
    values of types on the list of ``safe_load.py``, all of them libraries' and ours, and nothing
    else is constructed in reading it: another process would read the same, so the model that was
    read from the registered bytes here is asked, and no interpreter is started.
    """

    code = "KM012"

    def check(
        self,
        golden: np.ndarray,
        challenger: LoadedModel,
        problem: Problem,
        copy: Path,
        trust: Form,
        timeout: float = TIMEOUT,
    ) -> Guardrail:
        """Compare with ``golden``, the fitted pipeline's predictions, (rows,) or (rows, classes).

        ``copy`` is the directory of the version's files as they came from the registry; the new
        interpreter is given ``timeout`` seconds.
        """
        if challenger.trained.form == "skops":
            found = golden_predictions(challenger.pipeline, challenger, problem)
            return self._compared(golden, found, "read here")
        try:
            answer = _ask(challenger.trained, problem, copy, trust, timeout)
        except NoAnswerError as error:
            return self.result("not made", str(error), LIMIT)
        except ModuleFailedError as error:
            return self.result("failed", str(error), LIMIT)
        # The last line: code that the pickle refers to may print when it is imported.
        found = np.array(json.loads(answer.splitlines()[-1]), dtype="float64")
        return self._compared(golden, found, "read by a new interpreter")

    def _compared(self, golden: np.ndarray, found: np.ndarray, how: str) -> Guardrail:
        same = found.shape == golden.shape and bool(np.array_equal(found, golden))
        told = f"{len(found)} rows, {'identical' if same else 'other predictions'}, {how}"
        return self.result(same, told, LIMIT)


def _ask(trained: TrainedModel, problem: Problem, copy: Path, trust: Form, timeout: float) -> str:
    """Have a new interpreter predict."""
    words = [str(copy / FILES[trained.form]), trained.artifact_sha256, trained.form, trust]
    words += [str(copy / SAMPLE), problem, *trained.classes]
    return ask_module(__name__, *words, directory=copy, timeout=timeout)


def golden_predictions(pipeline: Any, challenger: LoadedModel, problem: Problem) -> np.ndarray:  # noqa: ANN401 - a fitted pipeline
    """Return what ``pipeline`` predicts for the golden rows of the registered challenger."""
    return predict(pipeline, challenger.baseline.head(ROWS), problem, challenger.trained.classes)


def main(
    file: str, sha256: str, form: str, trust: str, rows: str, problem: str, *classes: str
) -> None:
    """Load, predict, print."""
    pipeline = read_model(Path(file), sha256, cast("Form", form), cast("Form", trust))
    features = pd.read_parquet(rows).head(ROWS)
    print(json.dumps(predict(pipeline, features, cast("Problem", problem), classes).tolist()))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
