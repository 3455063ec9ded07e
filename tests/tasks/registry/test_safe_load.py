"""Tests of safe loading: nothing is constructed whose bytes or types are not known."""

import hashlib
from pathlib import Path

import pytest
from skops import io

from tasks.lake import DamagedFileError
from tasks.registry.safe_load import UntrustedModelError, check_types, read_model
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
    """A type that is not on our list is refused by name, though its digest is right, and nothing of it ran."""
    with pytest.raises(UntrustedModelError, match=r"test_safe_load\.Trap"):
        read_model(trap, _sha256(trap))

    assert SPRUNG == []
    io.load(trap, trusted=[f"{__name__}.Trap"])
    assert SPRUNG == ["sprung"]  # so the trap was a real one


def test_digest_comes_before_everything(trap: Path) -> None:
    """A file with another digest is not even looked into."""
    with pytest.raises(DamagedFileError):
        read_model(trap, "0" * 64)

    assert SPRUNG == []


def test_untrusted_pipeline_is_refused_when_it_is_stored() -> None:
    """What could not be read back is refused before it is registered."""
    with pytest.raises(UntrustedModelError, match="Trap"):
        check_types(Trap())


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        ("sklearn.linear_model.LogisticRegression", {}),
        ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 3}),
        ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 3}),
    ],
)
def test_models_come_back_as_they_were(tmp_path: Path, estimator: str, params: dict[str, object]) -> None:
    """The three kinds of the example are on the list, and predict the same bits after reading."""
    pipeline, file = training(estimator, **params).pipeline, tmp_path / "model.skops"
    check_types(pipeline)
    file.write_bytes(io.dumps(pipeline))

    found = read_model(file, _sha256(file))

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
        read_model(file, digest)
