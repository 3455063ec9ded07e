"""Tests of safe loading: nothing is constructed whose bytes or types are not known."""

import hashlib
import importlib
import json
import pickle
import zipfile
from pathlib import Path

import pytest
from skops import io

from tasks.lake import DamagedFileError
from tasks.records import Form, TrainedModel
from tasks.registry.aliases import fetch
from tasks.registry.safe_load import (
    FILES,
    PickleNotTrustedError,
    UntrustedModelError,
    as_stored,
    read_model,
)
from tasks.settings import Settings
from tests.tasks.registry.conftest import FEATURES, training

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


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("lightgbm.sklearn", ["LGBMClassifier", "LGBMRegressor"]),
        ("xgboost.sklearn", ["XGBClassifier", "XGBRegressor"]),
    ],
)
def test_boosters_come_back_as_they_were(tmp_path: Path, module: str, names: list[str]) -> None:
    """The extras' estimators are stored by skops and predict the same bits after reading."""
    library = importlib.import_module(module)
    for name in names:
        model = getattr(library, name)(n_estimators=3, n_jobs=1).fit(
            FEATURES[["x"]], FEATURES["x"] > 0
        )
        file = tmp_path / f"{name}.skops"
        assert as_stored(model, "skops")[0] == "skops"
        file.write_bytes(io.dumps(model))

        found = read_model(file, _sha256(file), "skops", "skops")

        assert found.predict(FEATURES[["x"]]).tobytes() == model.predict(FEATURES[["x"]]).tobytes()
