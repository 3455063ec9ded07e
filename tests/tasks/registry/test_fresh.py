"""Tests of the fresh process: a new interpreter, the stored files, the same predictions."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from skops import io

from tasks.records import Guardrail
from tasks.registry.fresh import predicts_in_a_fresh_process
from tests.tasks.builders import trained_model
from tests.tasks.registry.conftest import FEATURES, training


def _checked(directory: Path, change: str = "") -> Guardrail:
    pipeline = training().pipeline
    file = directory / "model.skops"
    file.write_bytes(io.dumps(pipeline))
    FEATURES.to_parquet(directory / "sample.parquet")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    if change == "bytes":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    golden = pipeline.predict_proba(FEATURES)[:, 1]
    if change == "predictions":
        golden[3] = np.nextafter(golden[3], 1)
    trained = trained_model(artifact_sha256=sha256)
    return predicts_in_a_fresh_process(golden, trained, "binary", directory, "skops")


@pytest.mark.parametrize(
    ("change", "outcome", "found"),
    [
        ("", "passed", "100 rows, identical"),
        ("predictions", "failed", "100 rows, other predictions"),
        ("bytes", "failed", "DamagedFileError"),
    ],
)
def test_the_stored_model_predicts_alone(
    tmp_path: Path, change: str, outcome: str, found: str
) -> None:
    """What was stored predicts bit for bit; another last digit, or another byte of the file, fails
    with its reason.
    """
    guardrail = _checked(tmp_path, change)

    assert guardrail.outcome == outcome
    assert found in guardrail.found
