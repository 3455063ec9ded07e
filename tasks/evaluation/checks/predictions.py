"""KM001 to KM003: whether the predictions of the holdout are those of a working model."""

from __future__ import annotations

import numpy as np

from tasks.evaluation.checks.base import CheckContext, ModelCheck
from tasks.records import Guardrail


class FinitePredictions(ModelCheck):
    """KM001: every prediction of the holdout is a number."""

    code = "KM001"

    def check(self, context: CheckContext) -> Guardrail:
        """Count the predictions that are numbers."""
        share = np.isfinite(context.challenger.predicted).mean()
        return self.result(context.challenger.finite, f"{share:.1%} finite", "all")


class NotConstant(ModelCheck):
    """KM002: not all rows get one answer.

    Training rows count too: a short holdout, such as two clear days, may rightly get one answer.
    """

    code = "KM002"

    def check(self, context: CheckContext) -> Guardrail:
        """Measure how far the predictions of holdout and training rows spread."""
        both = np.concatenate([context.challenger.predicted, context.train.predicted])
        finite = context.challenger.finite
        spread = float(np.ptp(both, axis=0).max()) if finite else 0.0
        return self.result(spread > 0, f"spread {spread:.4g}", "above 0")


class AsFitted(ModelCheck):
    """KM003: the model that the registry gives back predicts the holdout as the fitted one did."""

    code = "KM003"

    def check(self, context: CheckContext) -> Guardrail:
        """Compare both predictions bit for bit."""
        loaded, fitted = context.as_loaded, context.as_fitted
        same = loaded.shape == fitted.shape and bool(np.array_equal(loaded, fitted))
        found = "identical" if same else "different predictions"
        return self.result(same, found, "bit for bit")
