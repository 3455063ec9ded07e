"""What one whole scheduled run costs against the same job in one process of bare libraries.

    python -m benchmarks.scheduled [--quick] [--floor DIR] [--data DIR] [--repeat N] [--work DIR]

A year of flights, as months. A champion was trained up to November; December comes in, and the run
validates it, builds features, searches a linear model and a boosting, trains the better one on all
months, judges it against the champion, measures drift with a page, logs, registers and decides. The
run is begun as the worker of ``kingmaker up`` begins it, on running servers with passwords; each is
of a model of its own, so that each finds the same month waiting.

The floor is ``floor.py`` in ``--floor``, a script that does the job with the bare libraries in one
process: both models trained on all rows, all months validated, MLflow written as a file. Without
the folder, ours is measured alone. Prints a Markdown table: medians, and ratios to the floor of the
same turn.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.harness import (
    COSTS,
    Cost,
    arguments,
    cells,
    cost_of,
    folder,
    heading,
    machine,
    ratios_to,
    row,
    takes_data,
)
from benchmarks.ingest_validate import CONTRACT, document, flights
from benchmarks.servers.home import Home

FIRST = 11
"""Months that the first champion waits for."""
FLOOR, OURS = "bare libraries, one process", "scheduled run"
SPEC = {
    "description": "Will this flight arrive more than 15 minutes late?",
    "problem": "binary",
    "target": "y",
    "batch": {"every": "month"},
    "labels": {"delay": "0d"},
    "features": {"exclude": ["id"]},
    "training": {
        "first": FIRST,
        "candidates": [
            {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"max_iter": 200}},
            {
                "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
                "params": {"early_stopping": False},
            },
        ],
    },
    "metric": "roc_auc",
    "ensemble": "single",
    "retrain": {"every": 1},
    "schedule": {"cron": "0 0 1 1 *"},
}


def months(work: Path, data: Path | None) -> list[Path]:
    """Write a year of flights as one file a month, sorted by time, and return the files."""
    directory = work / "months"
    directory.mkdir()
    frame = flights(data, work)
    frame["id"] = range(len(frame))
    for month, rows in frame[list(CONTRACT)].groupby(frame["ts"].dt.strftime("%Y-%m")):
        rows.to_parquet(directory / f"{month}.parquet", index=False)
    return sorted(directory.iterdir())[:12]


def describe(home: Home, name: str, files: list[Path]) -> None:
    """Write the two files of a model, and have its source hold all months but the last."""
    contract = document(name, "${KINGMAKER_HOME}/sources/" + name + "/{batch}.parquet")
    for file, content in (
        (f"data_contracts/{name}.odcs.yaml", contract),
        (f"deployments/{name}/model.yaml", {"model": name, "contract": name} | SPEC),
    ):
        (home.project / file).parent.mkdir(parents=True, exist_ok=True)
        (home.project / file).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    deliver(home, name, files[:-1])


def deliver(home: Home, name: str, files: list[Path]) -> None:
    """Have the source of a model hold these months, too."""
    directory = home.home / "sources" / name
    directory.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, directory)


def bare(floor: Path, work: Path, environment: dict[str, str]) -> Cost:
    """Run the floor's script once, on a fresh copy of what its champion left."""
    directory = work / "floor-run"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(work / "floor", directory)
    return cost_of(
        [sys.executable, str(floor / "floor.py"), str(work / "months"), str(directory)], environment
    )


def compare(
    work: Path, data: Path | None, floor: Path | None, repeat: int
) -> dict[str, list[Cost]]:
    """Prepare both, and run them by turns."""
    files = months(work, data)
    home, names = Home(work / "ours"), [f"flights-{turn}" for turn in range(repeat + 1)]
    environment = home.environment()
    if floor is not None:
        setup = (
            f"import sys; sys.path.insert(0, {str(floor)!r}); import steps;"
            f" steps.setup_champion({str(work / 'months')!r}, {str(work / 'floor')!r})"
        )
        cost_of([sys.executable, "-c", setup], environment)
    for name in names:
        describe(home, name, files)
    took: dict[str, list[Cost]] = {OURS: []} if floor is None else {FLOOR: [], OURS: []}
    with home.up():
        for name in names:
            home.kingmaker("replay", name)
        home.kingmaker("deploy")
        for turn, name in enumerate(names):
            deliver(home, name, files[-1:])
            if floor is not None:
                took[FLOOR].append(bare(floor, work, environment))
            ended, cost = home.run_as_scheduled(home.deployment(f"monitor/{name}"))
            said = home.kingmaker("history", name)
            if ended != "COMPLETED" or f"{files[-1].stem}" not in said:
                raise RuntimeError(
                    f"{name}: the run ended {ended}; see {home.home / 'logs'}; history: {said}"
                )
            took[OURS].append(cost)
            if turn == 0:  # a first turn fills the machine's caches
                for runs in took.values():
                    runs.clear()
    return took


def tell(took: dict[str, list[Cost]]) -> None:
    """Print the table."""
    base = took.get(FLOOR)
    heading("December comes in", *COSTS, *(ratios_to("bare") if base else ()))
    for way, costs in took.items():
        row(way, *cells(costs, base))


def main() -> None:
    """Prepare, measure, print."""
    parser = arguments(__doc__, quick="each once")
    takes_data(parser)
    floor = os.environ.get("BENCH_FLOOR")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--floor",
        type=folder,
        default=folder(floor) if floor else None,
        help="folder with floor.py",
    )
    given = parser.parse_args()
    repeat = 1 if given.quick else given.repeat
    machine(repeat)
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        tell(compare(Path(work), given.data, given.floor, repeat))


if __name__ == "__main__":
    main()
