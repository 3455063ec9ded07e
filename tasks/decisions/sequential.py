"""A test that may be looked at as often as one likes: for a difference that grows by blocks as
batches arrive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

EFFECT = 0.5
"""Standard deviation of the effects, in standard deviations of a block, that the test is most
sensitive to.
"""


def e_value(blocks: Sequence[float], effect: float = EFFECT) -> float:
    """Return the evidence against 'the mean of ``blocks`` is zero', whatever their variance; 1 says
    nothing.

    The Bayes factor of a normal effect size with standard deviation ``effect`` under the right Haar
    prior on the scale (Jeffreys 1948; Lai 1976). Under the null it reaches 1 / alpha at any look at
    all with probability at most alpha (Perez-Ortiz, Lardy, de Heide, Gruenwald 2024), so the number
    of looks need not be fixed beforehand. A block that is no finite number makes it 0: it proves
    nothing.
    """
    n, squares = len(blocks), sum(value * value for value in blocks)
    if n < 2 or not math.isfinite(squares):
        return 0.0
    if squares == 0:
        return 1.0
    precision = 1 / effect**2
    left = 1 - sum(blocks) ** 2 / (n + precision) / squares  # above 0, by Cauchy and Schwarz
    log = (math.log(precision / (n + precision)) - n * math.log(left)) / 2
    return math.exp(min(log, 700.0))
