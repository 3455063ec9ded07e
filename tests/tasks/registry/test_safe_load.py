"""Tests of safe loading: nothing is constructed whose bytes or types are not known."""

import hashlib
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skops import io

from tasks.lake import DamagedFileError
from tasks.records import Form, Problem, TrainedModel
from tasks.registry.aliases import fetch
from tasks.registry.safe_load import (
    FILES,
    PickleNotTrustedError,
    UntrustedModelError,
    as_stored,
    read_model,
)
from tasks.settings import Settings
from tasks.training.estimators import fit_pipeline
from tasks.training.pipeline import make_pipeline
from tests.tasks.candidates import KINDS, candidate
from tests.tasks.registry.conftest import FEATURES, SCHEMA, training

SPRUNG: list[str] = []
"""What a trap writes when it is constructed."""


class Trap:
    """An object that acts as soon as it is read."""

    def __getstate__(self) -> dict[str, int]:
        return {"armed": 1}

    def __setstate__(self, state: dict[str, int]) -> None:
        SPRUNG.append("sprung")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A model file that holds a trap."""
    SPRUNG.clear()
    file = tmp_path / "model.skops"
    file.write_bytes(io.dumps(Trap()))
    return file


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_malicious_object_is_refused_and_did_not_run(trap: Path) -> None:
    """A type that is not on our list is refused by name, though its digest is right, and nothing of
    it ran.
    """
    with pytest.raises(UntrustedModelError, match=r"test_safe_load\.Trap"):
        read_model(trap, _sha256(trap), "skops", "skops")

    assert SPRUNG == []
    io.load(trap, trusted=[f"{__name__}.Trap"])
    assert SPRUNG == ["sprung"]  # so the trap was a real one


def test_digest_comes_before_everything(trap: Path) -> None:
    """A file with another digest is not even looked into."""
    with pytest.raises(DamagedFileError):
        read_model(trap, "0" * 64, "skops", "pickle")

    assert SPRUNG == []


def test_untrusted_pipeline_is_refused_when_it_is_stored() -> None:
    """What could not be read back is refused before it is registered."""
    with pytest.raises(UntrustedModelError, match="Trap"):
        as_stored(Trap(), "skops")


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        ("sklearn.linear_model.LogisticRegression", {}),
        ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 3}),
        ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 3}),
    ],
)
def test_models_come_back_as_they_were(
    tmp_path: Path, estimator: str, params: dict[str, object]
) -> None:
    """The three kinds of the example are on the list, and predict the same bits after reading."""
    pipeline, file = training(estimator, **params).pipeline, tmp_path / "model.skops"
    assert as_stored(pipeline, "pickle")[0] == "skops"
    file.write_bytes(io.dumps(pipeline))

    found = read_model(file, _sha256(file), "skops", "skops")

    assert found.predict_proba(FEATURES).tobytes() == pipeline.predict_proba(FEATURES).tobytes()


@pytest.mark.parametrize("position", [0, 100, -1])
def test_one_flipped_byte_is_refused(tmp_path: Path, position: int) -> None:
    """One byte that changed, anywhere, is a damaged file."""
    file = tmp_path / "model.skops"
    file.write_bytes(io.dumps(training().pipeline))
    digest, content = _sha256(file), bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)

    with pytest.raises(DamagedFileError, match="expected sha256"):
        read_model(file, digest, "skops", "skops")


class Bomb:
    """An object whose pickle acts as soon as it is read."""

    def __reduce__(self) -> tuple[object, ...]:
        return _spring, ()


def _spring() -> None:
    SPRUNG.append("sprung")


@pytest.mark.parametrize("disguise", ["skops", "pickle"])
def test_planted_pickle_is_refused_and_did_not_run(tmp_path: Path, disguise: Form) -> None:
    """A pickle is not read where the spec does not trust it, whatever it is called, with the right
    digest or not.
    """
    SPRUNG.clear()
    file = tmp_path / FILES[disguise]
    file.write_bytes(pickle.dumps(Bomb()))

    with pytest.raises((PickleNotTrustedError, zipfile.BadZipFile)):
        read_model(file, _sha256(file), disguise, "skops")
    with pytest.raises(DamagedFileError):
        read_model(file, "0" * 64, disguise, "pickle")

    assert SPRUNG == []
    pickle.loads(file.read_bytes())  # noqa: S301 - so the bomb was a real one
    assert SPRUNG == ["sprung"]


def test_what_travels_with_the_model_is_not_believed(
    trap: Path, settings: Settings, trained: TrainedModel
) -> None:
    """An artefact that says of itself what it is, digest and form, is refused all the same: only
    our list and the ledger count.
    """
    (stored,) = settings.artifacts.rglob("model.skops")
    stored.write_bytes(trap.read_bytes())
    described = stored.with_name("package.json")
    said = json.loads(described.read_text(encoding="utf-8"))
    described.write_text(
        json.dumps({**said, "sha256": _sha256(stored), "form": "pickle"}), encoding="utf-8"
    )
    planted = trained.model_copy(
        update={"artifact_sha256": _sha256(stored)}
    )  # its digest is right, too

    with pytest.raises(UntrustedModelError, match=r"test_safe_load\.Trap"):
        fetch(settings, planted, "skops")

    assert SPRUNG == []
    assert list(settings.models.rglob("*.skops")) == []


def _pipeline(kind: str, problem: Problem) -> Any:
    one = candidate(kind, problem)
    pipeline = make_pipeline(one.estimator, one.params, SCHEMA, encode="auto", seed=0)
    target = {
        "binary": (FEATURES["x"] > 0).astype("float64"),
        "multiclass": FEATURES["carrier"],
        "regression": FEATURES["x"],
    }[problem]
    fit_pipeline(pipeline, FEATURES, target, threads=1)
    return pipeline


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_candidate_comes_back_as_it_was(
    tmp_path: Path, kind: str, problem: Problem
) -> None:
    """Each is stored by skops, with types of the list alone, and predicts the same bits."""
    pipeline, file = _pipeline(kind, problem), tmp_path / "model.skops"
    form, content = as_stored(pipeline, "skops")
    file.write_bytes(content)

    found = read_model(file, _sha256(file), "skops", "skops")

    ask = "predict" if problem == "regression" else "predict_proba"
    before, after = getattr(pipeline, ask)(FEATURES), getattr(found, ask)(FEATURES)
    assert form == "skops"
    assert np.asarray(before).tobytes() == np.asarray(after).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_object_planted_in_an_estimator_is_refused_and_did_not_run(
    tmp_path: Path, kind: str
) -> None:
    """Whatever the estimator, a type in it that is not on our list is refused by name."""
    SPRUNG.clear()
    pipeline, file = _pipeline(kind, "binary"), tmp_path / "model.skops"
    pipeline.named_steps["prepare"].planted_ = Trap()
    file.write_bytes(io.dumps(pipeline))

    with pytest.raises(UntrustedModelError, match=r"test_safe_load\.Trap"):
        read_model(file, _sha256(file), "skops", "skops")

    assert SPRUNG == []


CUT = {
    "xgboost": ("estimators_", "handle"),
    "lightgbm": ("_Booster", "_handle"),
    "catboost": ("", "__model"),
}
"""Where the bytes lie that the library's own parser is given."""


@pytest.mark.parametrize("kind", CUT)
def test_cut_booster_never_reaches_the_librarys_parser(tmp_path: Path, kind: str) -> None:
    """What was put in the place of a known file is not read, though its types are all on the list.

    Read in a process of its own, it ends that: LightGBM's parser even aborts.
    """
    pipeline, file = _pipeline(kind, "binary"), tmp_path / "model.skops"
    known = hashlib.sha256(io.dumps(pipeline)).hexdigest()
    attribute, key = CUT[kind]
    holder = pipeline.named_steps["estimator"]
    if kind == "xgboost":
        holder = holder.estimators_[0].get_booster()
    elif attribute:
        holder = getattr(holder, attribute)
    state = holder.__getstate__()
    state[key] = state[key][: len(state[key]) // 2]
    holder.__getstate__ = lambda: state
    file.write_bytes(io.dumps(pipeline))

    with pytest.raises(DamagedFileError):
        read_model(file, known, "skops", "skops")

    code = (
        "import sys; from pathlib import Path; from tasks.registry.safe_load import read_model;"
        " read_model(Path(sys.argv[1]), sys.argv[2], 'skops', 'skops')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(file), _sha256(file)], capture_output=True, check=False
    )
    assert ended.returncode != 0  # so it was a real one
