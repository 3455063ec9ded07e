"""Every guardrail of a challenger, from the rooms that can tell: evaluation, features, registry."""

from __future__ import annotations

import numpy as np

from flows.steps.package import Example
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
    current: LoadedModel | None,
    as_fitted: np.ndarray,
    as_loaded: np.ndarray,
    example: Example,
) -> tuple[Generalisation, tuple[Guardrail, ...]]:
    """Check the challenger ``model`` as it came back from the registry.

    ``challenger`` and ``champion`` are what both predict for the holdout unseen, ``current`` is the
    champion that serves; ``as_fitted`` and ``as_loaded`` what the challenger itself predicts for
    the holdout before and after it was stored; ``example`` is its package.
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
    earlier = [
        one
        for one in run.batches.known.values()
        if one.accepted and one.batch.start < newest.batch.start
    ]
    before = earlier[-1] if earlier else None
    return found, (
        *checks,
        *check_features(run.managed, newest, before, run.known_labels, run.past, model, current),
        *check_stored_model(
            run.managed,
            model,
            fitted.pipeline,
            example.package,
            example.served(run.managed, model),
        ),
    )
