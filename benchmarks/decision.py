"""What a promotion decision costs once both models have predicted: the paired comparison by blocks,
and the gate.

    python -m benchmarks.decision [--quick] [--rows MILLION] [--repeat N]

Losses of two models, event times over thirty days, a label, a score and two slice columns of 19
values are drawn with a seed. Prints a Markdown table: medians of wall and CPU seconds, and the most
memory beyond what was there before, against that of the losses themselves. The user's metric has a
line of its own: an AUC must sort its scores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.harness import arguments, cost_of_module, heading, machine, row
from tasks.decisions.config import GateConfig
from tasks.decisions.gate import decide_promotion
from tasks.evaluation.compare import BlockTest, paired_test, time_blocks
from tasks.evaluation.metrics import score_interval
from tasks.evaluation.objective import Objective
from tasks.evaluation.slices import compare_slices
from tasks.records import Comparison, Evidence, Guardrail, Interval, SliceComparison

STEPS = ("blocks and paired test", "slices", "gate", "ROC AUC with its interval")
DECISION = STEPS[:3]
AUC = Objective("binary", "roc_auc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def drawn(rows: int) -> dict[str, Any]:
    """Losses, event times, slices, labels and scores of ``rows`` rows; a day's rows share their
    luck.
    """
    rng = np.random.default_rng(0)
    second = np.sort(rng.integers(0, 30 * 86_400, rows))
    champion = rng.exponential(0.5, rows)
    challenger = (
        champion + rng.normal(-0.002, 0.05, rows) + rng.normal(0, 0.001, 31)[second // 86_400]
    )
    label = rng.random(rows) < 0.2
    return {
        "challenger": challenger,
        "champion": champion,
        "moments": np.datetime64("2020-01-01", "us") + second * np.timedelta64(1_000_000, "us"),
        "slices": pd.DataFrame(
            {
                "carrier": pd.Series(
                    np.array([f"C{i}" for i in range(16)])[rng.integers(0, 16, rows)], dtype="str"
                ),
                "origin": pd.Series(
                    np.array(["EWR", "JFK", "LGA"])[rng.integers(0, 3, rows)], dtype="str"
                ),
            }
        ),
        "label": label.astype("float64"),
        "score": rng.beta(2, 5, rows) + 0.05 * label,
    }


def decide(
    test: BlockTest, slices: tuple[SliceComparison, ...], data: dict[str, Any], hours: float
) -> str:
    """What the gate says to a change of recipe."""
    unknown = Interval(value=0.7, low=0.69, high=0.71)
    compared = Comparison(
        rows=len(data["label"]),
        blocks=test.blocks,
        block_hours=hours,
        challenger_loss=float(data["challenger"].mean()),
        champion_loss=float(data["champion"].mean()),
        difference=test.mean,
        t=test.t,
        p_better=test.p_below,
        metric="roc_auc",
        challenger_score=unknown,
        champion_score=unknown,
        greater_is_better=True,
        slices=slices,
    )
    passed = Guardrail(
        code="KM001", name="finite predictions", outcome="passed", found="all", limit="all"
    )
    evidence = Evidence(
        model="bench",
        batch="2020-01",
        kind="change of recipe",
        challenger=2,
        champion=1,
        attempt=1,
        holdout=(),
        comparison=compared,
        guardrails=(passed,),
    )
    return decide_promotion(evidence, GateConfig()).kind


def measured(step: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Run ``step``; return what it gave, its wall and CPU seconds, and the most MB that it added
    while it ran.
    """
    before, most, done = _resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            most[0] = max(most[0], _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    found = step()
    took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    done.set()
    watcher.join()
    return found, took | {"extra": max(0, most[0] - before) / 1e6}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def one_run(rows: int) -> dict[str, dict[str, float]]:
    """Every step once, in a process that does nothing else."""
    stats.t.ppf(0.975, 9)  # what is imported late is imported by now
    data, figures = drawn(rows), dict[str, dict[str, float]]()

    def test() -> tuple[BlockTest, np.ndarray, float]:
        blocks, hours = time_blocks(data["moments"])
        return paired_test(data["challenger"], data["champion"], blocks), blocks, hours

    def slices() -> tuple[SliceComparison, ...]:
        frame: pd.DataFrame = data["slices"]
        return compare_slices(data["challenger"], data["champion"], blocks, frame)

    (found, blocks, hours), figures[STEPS[0]] = measured(test)
    compared, figures[STEPS[1]] = measured(slices)
    decided, figures[STEPS[2]] = measured(lambda: decide(found, compared, data, hours))
    if decided != "Promote":  # a decision that did not come about cost nothing worth measuring
        raise RuntimeError(f"expected the planted gain to be promoted, found {decided}")
    _, figures[STEPS[3]] = measured(
        lambda: score_interval(AUC, data["label"], data["score"], blocks)
    )
    return figures


def main() -> None:
    """Run every step in processes of their own, and print the table."""
    parser = arguments(__doc__, quick="a tenth of the rows, once")
    parser.add_argument("--rows", type=float, default=10.0, help="million rows")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    rows = round(given.rows * (1e5 if given.quick else 1e6))
    repeat = 1 if given.quick else given.repeat
    if given.one:
        print(json.dumps(one_run(rows)))
        return
    machine(repeat)
    runs = [
        json.loads(cost_of_module("benchmarks.decision", "--one", "--rows", str(rows / 1e6)).said)
        for _ in range(repeat)
    ]
    print(f"{rows:,} rows, losses {16 * rows / 1e6:,.0f} MB")
    heading("step", "wall s", "CPU s", "memory beyond the data, MB")
    for step in STEPS:
        _print(step, [run[step] for run in runs])
        if step == DECISION[-1]:
            whole = [
                {
                    "wall": sum(run[s]["wall"] for s in DECISION),
                    "cpu": sum(run[s]["cpu"] for s in DECISION),
                    "extra": max(run[s]["extra"] for s in DECISION),
                }
                for run in runs
            ]
            _print("**the decision**", whole)


def _print(step: str, figures: list[dict[str, float]]) -> None:
    wall, cpu, extra = (
        statistics.median(f[what] for f in figures) for what in ("wall", "cpu", "extra")
    )
    row(step, f"{wall:.2f}", f"{cpu:.2f}", f"{extra:,.0f}")


if __name__ == "__main__":
    main()
