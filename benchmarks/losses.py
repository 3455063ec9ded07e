"""Whether the report names why a loss changed, in worlds in which that is known.

    python -m benchmarks.losses [--worlds N] [--rows N] [--quick]

Worlds are those of ``benchmarks/simulation/worlds.py``: inputs, base rate and relation alone, in
pairs, and none of them; the table says how often exactly the right causes are named, and how often
each part's interval holds what the world does to the mean loss, which it should in 95%. The second
table is what it costs. Prints Markdown tables.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import combinations
from statistics import median

import numpy as np

from benchmarks.harness import arguments, heading, machine, row
from benchmarks.simulation.worlds import World
from tasks.records import Cause, LossChange

CAUSES: tuple[Cause, ...] = ("inputs", "base rate", "relation")
CASES: tuple[tuple[Cause, ...], ...] = ((), *((one,) for one in CAUSES), *combinations(CAUSES, 2))
WORLDS, DRAWS = 200, 20
"""Drawn of each case; so many of them are of one world and its champion."""
ROWS = 4_000
"""Of holdout and batch."""
COST_ROWS, TIMES = 10_000, 5
"""Of the second table, and how often it is measured."""


def look(
    case: Sequence[Cause], worlds: Sequence[World], count: int, rows: int
) -> list[tuple[LossChange, dict[Cause, float]]]:
    """Split the change of the loss in ``count`` draws of ``worlds``, with what is true."""
    found = []
    for number, world in enumerate(worlds):
        rng = np.random.default_rng([number, *map(CAUSES.index, case)])
        truth = world.truth(case, rng)
        for _ in range(count // len(worlds)):
            split = world.drawn(rows, case, rng)()
            if isinstance(split, LossChange):
                found.append((split, truth))
    return found


def cells(
    case: Sequence[Cause], found: Sequence[tuple[LossChange, dict[Cause, float]]]
) -> list[str]:
    """Return what is printed of a case."""
    right = [set(split.named) == set(case) for split, _ in found]
    hit = [set(split.named) >= set(case) for split, _ in found]
    held = [
        [one.low <= truth[cause] <= one.high for cause, one in split.parts.items()]
        for split, truth in found
    ]
    sizes = [
        f"{median(abs(truth[cause]) for _, truth in found):.3f}" if cause in case else ""
        for cause in CAUSES
    ]
    return [
        " and ".join(case) or "nothing",
        f"{len(found)}",
        *sizes,
        f"{np.mean(right):.0%}",
        f"{np.mean(hit):.0%}" if case else "",
        *(f"{share:.0%}" for share in np.mean(held, axis=0)),
    ]


def tell(count: int, rows: int) -> None:
    """Print the table of both problems."""
    heading(
        "what changed",
        "worlds",
        *(f"size of {cause}" for cause in CAUSES),
        "named exactly",
        "named, with others",
        *(f"{cause} held" for cause in CAUSES),
    )
    for problem in ("binary", "regression"):
        worlds = [World(problem, seed) for seed in range(max(1, count // DRAWS))]
        for case in CASES:
            name, *rest = cells(case, look(case, worlds, count, rows))
            row(f"{problem}: {name}", *rest)


def cost(rows: int, times: int) -> None:
    """Print what one split takes, of 30 features."""
    heading(f"{rows:,} rows of 30 features on either side", "CPU s of one split")
    for problem in ("binary", "regression"):
        world, rng = World(problem, 0, numbers=28), np.random.default_rng(0)
        spent = []
        for _ in range(times):
            split = world.drawn(rows, ("inputs", "relation"), rng)
            began = time.process_time()
            split()
            spent.append(time.process_time() - began)
        row(problem, f"{median(spent):.2f}")


def main() -> None:
    """Print both tables."""
    parser = arguments(__doc__, quick="20 worlds of each")
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--rows", type=int, default=ROWS)
    given = parser.parse_args()
    count = DRAWS if given.quick else given.worlds
    machine(1 if given.quick else TIMES)
    tell(count, given.rows)
    cost(COST_ROWS, 1 if given.quick else TIMES)


if __name__ == "__main__":
    main()
