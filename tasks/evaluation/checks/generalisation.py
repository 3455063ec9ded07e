"""KM006: whether what was learned is of use on rows that were not seen."""

from __future__ import annotations

import math

from tasks.evaluation.checks.base import CheckContext, ModelCheck, beside
from tasks.records import Guardrail


class Generalises(ModelCheck):
    """KM006: on unseen rows the challenger is not clearly worse than one answer for all rows.

    The gap between training and holdout is reported and not bounded by itself: a forest knows its
    training rows by heart, has a large gap, and predicts well. What a gap costs is known only
    against something useful.
    """

    code = "KM006"

    def check(self, context: CheckContext) -> Guardrail:
        """Compare the challenger's loss with that of one answer, and with the champion's."""
        found, champion = context.generalisation, context.peer
        most = context.config.worse_than_constant
        limit = f"not clearly more than {most:.0%} above one answer for all"
        if context.too_alike and math.isfinite(found.holdout_loss):
            return self.result(True, context.too_alike, limit)
        champion_loss = math.nan if champion is None else float(champion.losses.mean())
        worse = found.worse_than_constant
        low = worse.low if math.isfinite(worse.low) else worse.value
        clearly = worse.value > most * found.constant_holdout_loss and low > 0
        passed = math.isfinite(worse.value) and (not clearly or found.holdout_loss <= champion_loss)
        return self.result(
            passed,
            f"loss {found.holdout_loss:.4g} on unseen rows, {found.train_loss:.4g} on training"
            f" rows (gap {found.gap:.4g}); one answer for all has {found.constant_holdout_loss:.4g}"
            + beside(champion, f"{champion_loss:.4g}"),
            limit,
        )
