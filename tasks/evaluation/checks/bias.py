"""KM004: whether the mean prediction is near the mean label."""

from __future__ import annotations

import math

import numpy as np

from tasks.evaluation.checks.base import CheckContext, ModelCheck, beside, columns
from tasks.evaluation.compare import block_test
from tasks.records import Guardrail, Interval


class MeanNearLabel(ModelCheck):
    """KM004: the mean prediction is near the mean label, of each class, as far as the rows can
    tell.

    The limit is widened by the mean's own 95% half-width over blocks of time: a few rows lie off by
    chance. Where labels are too much alike to show how far, or there is one block only, it is what
    a calibrated model would lie off. Of a quantile it is the share of labels below the prediction
    that must be near the quantile.
    """

    code = "KM004"
    needs_numbers = True

    def check(self, context: CheckContext) -> Guardrail:
        """Compare the means of challenger and champion with that of the labels."""
        challenger, champion = context.challenger, context.peer
        quantile, config = challenger.objective.quantile, context.config
        limit, unit, scale = config.bias, "in probability", 1.0
        if challenger.objective.problem == "regression" and quantile is None:
            limit, unit = config.bias_sd, "standard deviations of the training target"
            scale = context.scale
        blocks = challenger.rows.blocks

        def means(predicted: np.ndarray) -> list[Interval]:
            apart = (columns(predicted) - context.outcomes) / scale
            if quantile is not None:
                apart = (apart >= 0) - quantile
            return [block_test(column, blocks).mean for column in apart.T]

        off = means(challenger.predicted)
        champion_off = (
            [0.0] * len(off)
            if champion is None
            else [abs(mean.value) for mean in means(champion.predicted)]
        )
        chance = [m.high - m.value if math.isfinite(m.high) else 0.0 for m in off]
        if context.too_alike or not all(math.isfinite(m.high) for m in off):
            known = context.variance / scale**2
            if quantile is not None:
                known = quantile * (1 - quantile)
            shape = columns(challenger.predicted).shape
            expected = _calibrated_half_width(shape, known, blocks)
            chance = [max(by, float(of)) for by, of in zip(chance, expected, strict=True)]
        passed = all(
            abs(m.value) <= max(limit + by, of)
            for m, by, of in zip(off, chance, champion_off, strict=True)
        )
        worst = max(range(len(off)), key=lambda i: abs(off[i].value) - chance[i])
        return self.result(
            passed,
            f"{abs(off[worst].value):.3f} apart, {unit}"
            + beside(champion, f"{champion_off[worst]:.3f}")
            + (f"; {context.too_alike}" if context.too_alike else ""),
            f"at most {limit}, and {chance[worst]:.3f} for chance",
        )


def _calibrated_half_width(
    shape: tuple[int, ...], variance: np.ndarray | float, blocks: np.ndarray
) -> np.ndarray:
    """95% half-width of the mean error of a calibrated model, (columns,), with rows of a block as
    good as one if that is more.
    """
    sd = np.sqrt(np.broadcast_to(variance, shape))
    of_blocks = np.column_stack([np.bincount(blocks, weights=column) for column in sd.T])
    summed: np.ndarray = np.maximum((sd**2).sum(axis=0), (of_blocks**2).sum(axis=0))
    half: np.ndarray = 1.96 * np.sqrt(summed) / len(sd)
    return half
