"""Tests of KM012: the stored files alone, the same predictions; a pickle in a new interpreter."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skops import io

from tasks.records import BaselineProfile, Form, Guardrail, LoadedModel
from tasks.registry.fresh import PredictsByItself
from tasks.registry.safe_load import FILES
from tests.tasks.builders import trained_model
from tests.tasks.registry.conftest import FEATURES, training

PIPELINE = training().pipeline
GOLDEN = PIPELINE.predict_proba(FEATURES)[:, 1]


class Printing:
    """What a pickle may refer to: something that prints when it is read, and is a classifier."""

    def __init__(self) -> None:
        self.classes_ = np.array([0.0, 1.0])

    def __setstate__(self, state: dict[str, Any]) -> None:
        print("read")
        self.__dict__ |= state

    def predict_proba(self, features: Any) -> np.ndarray:
        """P(negative) and P(positive), (rows, 2)."""
        return PIPELINE.predict_proba(features)


def _checked(
    directory: Path,
    form: Form,
    *,
    pipeline: Any = PIPELINE,
    golden: np.ndarray = GOLDEN,
    damaged: bool = False,
    timeout: float = 300,
) -> Guardrail:
    """Store a pipeline as the registry does, and check what is stored."""
    file = directory / FILES[form]
    file.write_bytes(pickle.dumps(pipeline) if form == "pickle" else io.dumps(pipeline))
    FEATURES.to_parquet(directory / "sample.parquet")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    if damaged:
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    challenger = LoadedModel(
        trained=trained_model(artifact_sha256=sha256, form=form),
        pipeline=pipeline,
        baseline=FEATURES,
        profile=BaselineProfile(rows=0, features=()),
        held=FEATURES,
    )
    return PredictsByItself().check(golden, challenger, "binary", directory, form, timeout)


def _other_digit() -> np.ndarray:
    golden = GOLDEN.copy()
    golden[3] = np.nextafter(golden[3], 1)
    return golden


def test_a_pickle_predicts_in_a_new_interpreter(tmp_path: Path) -> None:
    """What was stored predicts bit for bit; another last digit fails."""
    same = _checked(tmp_path, "pickle")
    other = _checked(tmp_path, "pickle", golden=_other_digit())

    assert (same.code, same.outcome) == ("KM012", "passed")
    assert same.found == "100 rows, identical, read by a new interpreter"
    assert (other.outcome, other.found[:27]) == ("failed", "100 rows, other predictions")


def test_what_code_prints_is_no_prediction(tmp_path: Path) -> None:
    """A project's estimator may print as it is read."""
    assert _checked(tmp_path, "pickle", pipeline=Printing()).outcome == "passed"


def test_a_damaged_pickle_fails_with_its_reason(tmp_path: Path) -> None:
    """Other bytes than those that were registered are not read."""
    found = _checked(tmp_path, "pickle", damaged=True)

    assert found.outcome == "failed"
    assert "DamagedFileError" in found.found


def test_without_an_answer_it_is_not_made(tmp_path: Path) -> None:
    """An interpreter that does not answer in time is given up."""
    found = _checked(tmp_path, "pickle", timeout=0.01)

    assert (found.outcome, found.found) == ("not made", "no answer in 0.01 s")


def test_a_users_folder_does_not_hide_our_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started where a file is called as a package of ours, the new interpreter reads ours."""
    (tmp_path / "tasks.py").write_text("raise RuntimeError('not this one')\n", encoding="utf-8")
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)

    assert _checked(tmp_path / "model", "pickle").outcome == "passed"


def test_a_skops_file_is_asked_where_it_was_read(tmp_path: Path) -> None:
    """It holds values of listed types only: the model that was read from it here is asked."""
    same = _checked(tmp_path, "skops")
    other = _checked(tmp_path, "skops", golden=_other_digit())

    assert (same.outcome, same.found) == ("passed", "100 rows, identical, read here")
    assert other.outcome == "failed"
