"""An ensemble: fitted pipelines and their weights, packaged as one estimator and served like any
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier

from tasks.mixing import mix


class Ensemble(BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """The weighted mean of its members' predictions, with scikit-learn's interface.

    ``members`` are fitted pipelines over the same features, ``weights`` their shares, summing to 1.
    Classes are those of any member, in their order; one that a member has never seen has
    probability 0 there.
    """

    def __init__(self, members: Sequence[Any] = (), weights: Sequence[float] = ()) -> None:
        self.members = members
        self.weights = weights

    @property
    def classes_(self) -> np.ndarray:
        """Class labels of all members, sorted, (classes,)."""
        return np.unique(np.concatenate([member.classes_ for member in self.members]))

    def fit(self, X: Any, y: Any) -> Ensemble:  # noqa: ANN401 - what the members take
        """Fit every member anew on the same rows."""
        self.members = [clone(member).fit(X, y) for member in self.members]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: ANN401 - what the members take
        """Return probabilities, (rows, classes) float64, in the order of ``classes_``."""
        return mix([self._aligned(member, X) for member in self.members], self.weights)

    def predict(self, X: Any) -> np.ndarray:  # noqa: ANN401 - what the members take
        """Return values, or the likeliest class labels, (rows,)."""
        if not is_classifier(self.members[0]):
            return mix([member.predict(X) for member in self.members], self.weights)
        labels: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def _aligned(self, member: Any, X: Any) -> np.ndarray:  # noqa: ANN401 - a fitted pipeline and what it takes

        probabilities = np.asarray(member.predict_proba(X), dtype="float64")
        aligned = np.zeros((len(probabilities), len(self.classes_)))
        aligned[:, np.searchsorted(self.classes_, member.classes_)] = probabilities
        return aligned
