"""Guardrails: what a challenger must pass, whatever it gains.

Where do I go to change ...?

    base.py             what a check is, and what it is given
    predictions.py      finite, not constant, as fitted
    bias.py, calibration.py, generalisation.py   how the predictions fit the labels
    coverage.py         intervals, slice by slice
    cost.py             size and prediction time
    leakage.py          features that tell the target
    fairness.py         groups

A new one gets the next code in
``tasks/check_codes.py``, a class here that is listed in ``CHECKS``, and a section of
``docs/decisions.md``.

They only refuse, and each has evidence of its own. Where there is a champion, a challenger that is
no further off than the champion on the same rows passes: then it is the world that moved, and a
newer model is the answer to that. A check that cannot decide, because rows are too few or labels
too much alike, passes and says so: it would refuse honest models as often as broken ones. One that
could not be made refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.evaluation.checks.base import CheckContext, ModelCheck
from tasks.evaluation.checks.bias import MeanNearLabel
from tasks.evaluation.checks.calibration import Calibration
from tasks.evaluation.checks.cost import PredictionTime, Size
from tasks.evaluation.checks.coverage import CoversSlices
from tasks.evaluation.checks.fairness import Fairness
from tasks.evaluation.checks.generalisation import Generalises
from tasks.evaluation.checks.leakage import NoLeak
from tasks.evaluation.checks.predictions import AsFitted, FinitePredictions, NotConstant
from tasks.records import Guardrail

PREDICTION_CHECKS: tuple[ModelCheck, ...] = (
    FinitePredictions(),
    NotConstant(),
    AsFitted(),
    MeanNearLabel(),
    Calibration(),
)
"""Those that look at the predictions of the holdout alone."""
CHECKS: tuple[ModelCheck, ...] = (
    *PREDICTION_CHECKS,
    Generalises(),
    Size(),
    PredictionTime(),
    NoLeak(),
)


def make_checks(
    context: CheckContext, checks: Sequence[ModelCheck] = CHECKS
) -> tuple[Guardrail, ...]:
    """Make ``checks``, that of intervals where the spec asks for some, and that of each column
    whose groups are audited, in their order.
    """
    audited = [Fairness(column) for column in context.fairness.columns]
    covered = [] if context.interval is None else [CoversSlices()]
    return tuple(check.guardrail(context) for check in (*checks, *covered, *audited))
