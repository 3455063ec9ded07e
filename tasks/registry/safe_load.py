"""Models are code: a stored model is read only when its bytes are known and its types are on our
list.

MLflow's own ``load_model`` is not used: it takes the list of trusted types from the artifact itself
(MLflow #25686), which protects nothing. Here the digest in the ledger is checked first, then every
type that skops would have to construct is held against the list below, and only then is anything
read.

An estimator that skops cannot hold is stored as a pickle, when its spec says ``trust: pickle``:
reading one runs whatever is in it, so the digest in the ledger is then all that stands between a
planted file and this process.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from skops import io
from skops.io.exceptions import UnsupportedTypeException

from tasks.errors import KingmakerError
from tasks.lake import DamagedFileError
from tasks.mixing import Ensemble
from tasks.records import Form

FILES: dict[Form, str] = {"skops": "model.skops", "pickle": "model.pkl"}
"""The names of a stored model."""
RECORD, CONTRACT, IN_FORCE = "package.json", "contract.odcs.yaml", "in_force.json"
"""The names of what lies beside it: see package.py."""

TRUSTED_TYPES = frozenset(
    {
        "builtins.slice",
        "collections.OrderedDict",
        "functools.partial",
        # The boosters' own classes: reading them sets attributes, and hands the booster's bytes to
        # the library's own parser (read in catboost 1.2.10, lightgbm 4.7.0, xgboost 3.2.0). They
        # come back to the same predictions.
        "catboost.core.CatBoostClassifier",
        "catboost.core.CatBoostRegressor",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRegressor",
        # Arrays and plain values alone (read in interpret-core 0.7.8).
        "interpret.glassbox._ebm._ebm.ExplainableBoostingClassifier",
        "interpret.glassbox._ebm._ebm.ExplainableBoostingRegressor",
        "numpy.dtype",
        "numpy.random._mt19937.MT19937",
        # A spline is arrays, a degree and numpy's asarray; reading one sets attributes (read in
        # scipy 1.17).
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
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
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.model_selection._split.KFold",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)
"""Types beyond skops' own defaults that the estimators of scikit-learn are made of.

Add one only after reading it.
"""


class UntrustedModelError(KingmakerError):
    """A model holds a type that is not on our list, so it is not read."""

    def __init__(self, where: str, types: list[str]) -> None:
        super().__init__(
            f"{where}: expected only types on the list in tasks/registry/safe_load.py, found"
            f" {types}; if you trust them, add them there after reading what they do, or set"
            " 'trust: pickle' in the model's spec"
        )


class PickleNotTrustedError(UntrustedModelError):
    """A model is, or would have to be, a pickle, and its spec does not trust pickles."""

    def __init__(self, where: str, why: str) -> None:
        KingmakerError.__init__(
            self,
            f"{where}: expected a model that skops can hold, found {why}; reading a pickle runs"
            " whatever is in it: if you trust who can write to the registry and to the ledger, set"
            " 'trust: pickle' in the model's spec",
        )


def as_stored(pipeline: Any, trust: Form) -> tuple[Form, bytes]:  # noqa: ANN401 - a fitted pipeline
    """Return how ``pipeline`` is stored, and the bytes; an ensemble as its members and weights, so
    that no type of ours is in a file.

    Raises UntrustedModelError for types that are not on our list, and PickleNotTrustedError for
    what skops cannot hold at all; both are stored as a pickle where ``trust`` allows it.
    """
    name, content = type(pipeline).__name__, pipeline
    if isinstance(pipeline, Ensemble):
        content = {"members": list(pipeline.members), "weights": list(pipeline.weights)}
    try:
        stored: bytes = io.dumps(content)
        _refuse_unlisted(name, io.get_untrusted_types(data=stored))
    except UnsupportedTypeException as error:
        if trust != "pickle":
            raise PickleNotTrustedError(name, str(error)) from error
    except UntrustedModelError:
        if trust != "pickle":
            raise
    else:
        return "skops", stored
    import pickle

    return "pickle", pickle.dumps(content)


def read_model(path: Path, sha256: str, form: Form, trust: Form) -> Any:  # noqa: ANN401 - a fitted pipeline
    """Return the pipeline in the file ``path``, stored as ``form``.

    Raises DamagedFileError when its bytes are not those with digest ``sha256``, UntrustedModelError
    when it holds a type that is not on our list, and PickleNotTrustedError when it is a pickle and
    ``trust`` is not; in all cases nothing of it has been constructed.
    """
    # Read once: what is checked is what is constructed, whatever happens to the file in between.
    content = read_known(path, sha256)
    if form == "pickle":
        import pickle

        if trust != "pickle":
            raise PickleNotTrustedError(str(path), "a pickle")
        found = pickle.loads(content)  # noqa: S301 - the digest is the ledger's, and the spec trusts it by name
    else:
        types: list[str] = io.get_untrusted_types(data=content)
        _refuse_unlisted(str(path), types)
        found = io.loads(content, trusted=types)
    return Ensemble(**found) if isinstance(found, dict) else found


def read_known(path: Path, sha256: str) -> bytes:
    """Return the file's bytes; DamagedFileError unless their digest is ``sha256``, where there is
    one to compare.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedFileError(path, sha256, "nothing") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        raise DamagedFileError(path, sha256, found)
    return content


def _refuse_unlisted(where: str, types: list[str]) -> None:
    unlisted = sorted(set(types) - TRUSTED_TYPES)
    if unlisted:
        raise UntrustedModelError(where, unlisted)
