"""Models are code: a stored model is read only when its bytes are known and its types are on our list.

MLflow's own ``load_model`` is not used: it takes the list of trusted types from the artifact itself (MLflow
#25686), which protects nothing. Here the digest in the ledger is checked first, then every type that skops would
have to construct is held against the list below, and only then is anything read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tasks.lake import DamagedFileError

MODEL_FILE = "model.skops"

TRUSTED_TYPES = frozenset(
    {
        "builtins.slice",
        "functools.partial",
        "numpy.dtype",
        "numpy.random._mt19937.MT19937",
        "sklearn._loss._loss.CyAbsoluteError",
        "sklearn._loss._loss.CyExponentialLoss",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfGammaLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfPoissonLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss._loss.CyPinballLoss",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.PinballLoss",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
        "sklearn.utils.validation.check_array",
        "tasks.training.panel.Panel",
    }
)
"""Types beyond skops' own defaults that the estimators of scikit-learn are made of. Add one only after reading it."""


class UntrustedModelError(RuntimeError):
    """A model holds a type that is not on our list, so it is not read."""

    def __init__(self, where: str, types: list[str]) -> None:
        super().__init__(
            f"{where}: expected only types on the list in tasks/registry/safe_load.py, found {types}; "
            "if you trust them, add them there after reading what they do"
        )


def check_types(pipeline: Any) -> list[str]:  # noqa: ANN401 - a fitted pipeline
    """Return the types that reading ``pipeline`` back needs beyond skops' defaults; refuse those not on our list."""
    from skops import io

    types: list[str] = io.get_untrusted_types(data=io.dumps(pipeline))
    _refuse_unlisted(type(pipeline).__name__, types)
    return types


def read_model(path: Path, sha256: str) -> Any:  # noqa: ANN401 - a fitted pipeline
    """Return the pipeline in the skops file ``path``.

    Raises DamagedFileError when its bytes are not those with digest ``sha256``, and UntrustedModelError when it
    holds a type that is not on our list; in both cases nothing of it has been constructed.
    """
    from skops import io

    # Read once: what is checked is what is constructed, whatever happens to the file in between.
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DamagedFileError(path, sha256, found)
    types: list[str] = io.get_untrusted_types(data=content)
    _refuse_unlisted(str(path), types)
    return io.loads(content, trusted=types)


def _refuse_unlisted(where: str, types: list[str]) -> None:
    unlisted = sorted(set(types) - TRUSTED_TYPES)
    if unlisted:
        raise UntrustedModelError(where, unlisted)
