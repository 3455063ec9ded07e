"""What one whole scheduled run costs against the same job in one process of bare libraries.

    python benchmarks/scheduled.py [--quick] [--floor DIR] [--data DIR] [--repeat N] [--work DIR]

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

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run from anywhere: the repository is two steps up
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from benchmarks.ingest_validate import CONTRACT, document, flights
from benchmarks.servers.home import Home, measured

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


def bare(floor: Path, work: Path, environment: dict[str, str]) -> dict[str, float]:
    """Run the floor's script once, on a fresh copy of what its champion left."""
    directory = work / "floor-run"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(work / "floor", directory)
    return measured(
        [sys.executable, str(floor / "floor.py"), str(work / "months"), str(directory)], environment
    )


def compare(
    work: Path, data: Path | None, floor: Path | None, repeat: int
) -> dict[str, list[dict[str, float]]]:
    """Prepare both, and run them by turns."""
    files = months(work, data)
    home, names = Home(work / "ours"), [f"flights-{turn}" for turn in range(repeat + 1)]
    environment = home.environment()
    if floor is not None:
        setup = (
            f"import sys; sys.path.insert(0, {str(floor)!r}); import steps;"
            f" steps.setup_champion({str(work / 'months')!r}, {str(work / 'floor')!r})"
        )
        measured([sys.executable, "-c", setup], environment)
    for name in names:
        describe(home, name, files)
    took: dict[str, list[dict[str, float]]] = {OURS: []} if floor is None else {FLOOR: [], OURS: []}
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


def tell(took: dict[str, list[dict[str, float]]]) -> None:
    """Print the table."""
    base = took.get(FLOOR)
    print(
        "| December comes in | wall s | CPU s | peak MB | wall / bare | CPU / bare"
        " |\n|---|--:|--:|--:|--:|--:|"
    )
    for way, runs in took.items():
        wall, cpu, peak = (
            statistics.median(run[what] for run in runs) for what in ("wall", "cpu", "peak")
        )
        pairs = list(zip(runs, base or [], strict=base is not None))
        ratios = [
            f"{statistics.median(r[what] / b[what] for r, b in pairs):.2f}" if pairs else ""
            for what in ("wall", "cpu")
        ]
        print(f"| {way} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {' | '.join(ratios)} |", flush=True)


def main() -> None:
    """Prepare, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folders: dict[str, Any] = {
        name: os.environ.get(f"BENCH_{name.upper()}") for name in ("data", "floor")
    }
    parser.add_argument("--quick", action="store_true", help="each once")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--data",
        type=Path,
        default=folders["data"] and Path(folders["data"]),
        help="folder with data.csv.gz or flights/data.csv.gz",
    )
    parser.add_argument(
        "--floor",
        type=Path,
        default=folders["floor"] and Path(folders["floor"]),
        help="folder with floor.py",
    )
    parser.add_argument(
        "--work", type=Path, help="where homes are made; a temporary directory by default"
    )
    given = parser.parse_args()
    repeat = 1 if given.quick else given.repeat
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(
        f"{os.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}; load before"
        f" the first run {os.getloadavg()[0]:.1f}; n = {repeat}, medians, imports included\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        tell(compare(Path(work), given.data, given.floor, repeat))


if __name__ == "__main__":
    main()
