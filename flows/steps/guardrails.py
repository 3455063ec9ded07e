"""Every guardrail of a challenger, from the rooms that can tell: evaluation, features, registry."""

from __future__ import annotations

import numpy as np

from flows.steps.run import ModelRun
from tasks.evaluation.task import check_guardrails
from tasks.features.task import check_features
from tasks.records import Generalisation, Guardrail, KnownLabels, LoadedModel
from tasks.registry.task import check_fresh_process, log_metrics
from tasks.training.fit import Fitted


def every_guardrail(
    m: ModelRun,
    fitted: Fitted,
    challenger: LoadedModel,
    champion: LoadedModel | None,
    as_fitted: np.ndarray,
) -> tuple[Generalisation, tuple[Guardrail, ...]]:
    """Check the challenger as it came back from the registry; a champion that the contract has left
    behind is no measure.
    """
    parts, usable = fitted.split, champion is not None and not m.contract_broken(champion)
    found, checks = check_guardrails(
        m.managed, challenger, champion if usable else None, parts.train, parts.holdout, as_fitted
    )
    log_metrics(
        m.managed,
        challenger.trained.run_id,
        {
            "train_loss": found.train_loss,
            "holdout_loss": found.holdout_loss,
            "generalisation_gap": found.gap,
        },
        m.fence,
    )
    known = KnownLabels(batches=m.label_batches(), as_of=m.as_of)
    newest = m.batches()[max(span.batch for span in parts.held_out)]
    return found, (
        *checks,
        *check_features(m.managed, newest, known, challenger),
        check_fresh_process(m.managed, challenger, fitted.pipeline),
    )
