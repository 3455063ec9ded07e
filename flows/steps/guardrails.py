"""Every guardrail of a challenger, from the rooms that can tell: evaluation, features, registry."""

from __future__ import annotations

import numpy as np

from flows.steps.run import ModelRun
from tasks.evaluation.scored import Scored
from tasks.evaluation.task import check_guardrails
from tasks.features.task import check_features
from tasks.records import Generalisation, Guardrail, LoadedModel
from tasks.registry.task import check_stored_model, log_metrics
from tasks.training.fit import Fitted


def every_guardrail(
    run: ModelRun,
    fitted: Fitted,
    model: LoadedModel,
    challenger: Scored,
    champion: Scored | None,
    as_fitted: np.ndarray,
    as_loaded: np.ndarray,
) -> tuple[Generalisation, tuple[Guardrail, ...]]:
    """Check the challenger ``model`` as it came back from the registry.

    ``challenger`` and ``champion`` are what both predict for the holdout unseen; ``as_fitted`` and
    ``as_loaded`` what the challenger itself predicts for it before and after it was stored.
    """
    parts = fitted.split
    found, checks = check_guardrails(
        run.managed, model, challenger, champion, parts.train, as_fitted, as_loaded
    )
    log_metrics(
        run.managed,
        model.trained.run_id,
        {
            "train_loss": found.train_loss,
            "holdout_loss": found.holdout_loss,
            "generalisation_gap": found.gap,
        },
        run.fence,
    )
    newest = run.batches.known[max(span.batch for span in parts.held_out)]
    return found, (
        *checks,
        *check_features(run.managed, newest, run.known_labels, model),
        check_stored_model(run.managed, model, fitted.pipeline),
    )
