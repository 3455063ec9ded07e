"""How often the gate promotes an equal recipe, and how often it finds a better one: seeded
simulations of labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from tasks.decisions.config import GateConfig
from tasks.decisions.gate import decide_promotion
from tasks.evaluation.compare import block_test
from tasks.evaluation.objective import Objective
from tasks.records import Comparison, Evidence, Guardrail, Interval, Promote

_PASSED = Guardrail(
    code="KM001", name="simulated", outcome="passed", found="nothing is checked", limit="none"
)
ATTEMPTS = 20


@dataclass(frozen=True)
class World:
    """Two models that estimate the same log odds, each with an error of its own: all are normal,
    with these deviations.

    The error is not shrunk, as that of a fitted model is not. ``days`` is how much of its variance
    is the same all day, as weather is: rows are then not independent.
    """

    truth: float
    challenger: float
    champion: float
    rows: int = 2000
    blocks: int = 20
    days: float = 0.0

    def losses(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the challenger's and the champion's log losses and the block of each row, all
        (rows,).
        """
        target, challenger, champion, blocks = self.draw(rng)
        losses = Objective("binary").losses
        return losses(target, challenger), losses(target, champion), blocks

    def draw(
        self, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Labels, what the challenger and the champion predict, and the block of each row,
        (rows,).
        """
        blocks = np.arange(self.rows) * self.blocks // self.rows
        odds = rng.normal(0, self.truth, self.rows)
        predictions = []
        for error in (self.challenger, self.champion):
            by_day, by_row = rng.normal(0, 1, self.blocks)[blocks], rng.normal(0, 1, self.rows)
            seen = odds + error * (np.sqrt(self.days) * by_day + np.sqrt(1 - self.days) * by_row)
            predictions.append(1 / (1 + np.exp(-seen)))
        target = (rng.random(self.rows) < 1 / (1 + np.exp(-odds))).astype("float64")
        return target, predictions[0], predictions[1], blocks


EQUAL = {
    "independent rows": World(truth=1.5, challenger=0.5, champion=0.5),
    "rows of a day alike": World(truth=1.5, challenger=0.5, champion=0.5, days=0.5),
}
BETTER = {
    "0.3 and 0.635": World(truth=1.5, challenger=0.3, champion=0.635),
    "0.5 and 0.775": World(truth=1.5, challenger=0.5, champion=0.775),
    "0.8 and 1.045": World(truth=1.5, challenger=0.8, champion=1.045),
}
"""The champion's errors are such that its AUC is 0.0200 below the challenger's."""
LEVEL = 0.05
"""Of the tests that the gate's is compared with."""


def promoted(world: World, rng: np.random.Generator, attempt: int, config: GateConfig) -> bool:
    """Judge one change of recipe by our block test and gate, on a holdout of its own."""
    challenger, champion, blocks = world.losses(rng)
    test = block_test(challenger - champion, blocks)
    losses = [
        Interval(value=float(one.mean()), low=0.0, high=10.0) for one in (challenger, champion)
    ]
    comparison = Comparison(
        rows=world.rows,
        blocks=test.blocks,
        block_hours=24.0,
        challenger_loss=losses[0].value,
        champion_loss=losses[1].value,
        difference=test.mean,
        t=test.t,
        p_better=test.p_below,
        metric="log_loss",
        challenger_score=losses[0],
        champion_score=losses[1],
        greater_is_better=False,
    )
    evidence = Evidence(
        model="simulated",
        batch="simulated",
        kind="change of recipe",
        challenger=attempt + 1,
        champion=1,
        attempt=attempt,
        holdout=(),
        comparison=comparison,
        guardrails=(_PASSED,),
    )
    return isinstance(decide_promotion(evidence, config), Promote)


def share(times: int, seed: int, happens: Callable[[np.random.Generator], bool]) -> float:
    """Return in what share of ``times`` seeded worlds something happens."""
    return sum(happens(np.random.default_rng([seed, i])) for i in range(times)) / times


def any_promotion(world: World, times: int, seed: int = 0) -> float:
    """Return P(any promotion) in twenty attempts of an equal recipe."""
    config = GateConfig()
    return share(
        times,
        seed,
        lambda rng: any(promoted(world, rng, i, config) for i in range(1, ATTEMPTS + 1)),
    )


def power(world: World, times: int, seed: int = 0) -> dict[str, float]:
    """Return how often each way finds the better of two recipes; the last is the gate, at a first
    attempt.
    """
    config = GateConfig()
    ways = {
        "DeLong's test of the AUC, two-sided": lambda rng: _delong(*world.draw(rng)[:3]) < LEVEL,
        "paired log loss, by rows": lambda rng: (
            _paired(replace(world, blocks=world.rows), rng) < LEVEL
        ),
        "paired log loss, by blocks": lambda rng: _paired(world, rng) < LEVEL,
        "the gate": lambda rng: promoted(world, rng, 1, config),
    }
    return {name: share(times, seed, way) for name, way in ways.items()}


def _paired(world: World, rng: np.random.Generator) -> float:
    """The one-sided p-value of the gate's test that the challenger's loss is lower."""
    challenger, champion, blocks = world.losses(rng)
    return block_test(challenger - champion, blocks).p_below


def _delong(target: np.ndarray, challenger: np.ndarray, champion: np.ndarray) -> float:
    """The two-sided p-value of equal AUC (DeLong, DeLong and Clarke-Pearson 1988); all (rows,)."""
    positive = target == 1
    scores = np.stack([challenger, champion])
    # The share of the other class that each row is on the right side of; ties count half.
    ranks, ones, zeros = (
        stats.rankdata(part, axis=1) for part in (scores, scores[:, positive], scores[:, ~positive])
    )
    above = (ranks[:, positive] - ones) / (~positive).sum()
    below = 1 - (ranks[:, ~positive] - zeros) / positive.sum()
    covariance = np.cov(above) / above.shape[1] + np.cov(below) / below.shape[1]
    contrast = np.array([1.0, -1.0])
    z = contrast @ above.mean(axis=1) / np.sqrt(contrast @ covariance @ contrast)
    return float(2 * stats.norm.sf(abs(z)))
