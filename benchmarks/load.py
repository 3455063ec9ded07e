"""What many models cost: registered, due at the same moment on one server and one worker, idle, and
after a long past.

    python -m benchmarks.load [--quick] [--models N] [--past N] [--repeat N]
    [--only deploy storm idle past] [--database URL] [--work DIR]

The servers are those of ``kingmaker up`` in a temporary home, with authentication, on SQLite (the
storm on PostgreSQL, with ``--database postgresql://user:password@host:port/name``, a name that is
not used yet); models, deployments and runs are made by ``kingmaker deploy`` and Prefect's API; each
run is a process of its own, begun by the worker or as the worker begins it.

- deploy: every model, each with a schedule, is registered on a server that knows none, and once
  more.
- storm: every model has a run that is due at the same moment, and nothing new. One of them took in
  two weeks; the others know them by copies of its ledger rows. CPU of the runs is what the system
  counted for the worker's children.
- idle: a run with nothing new, against ``python -c "import prefect"`` and a Prefect flow that does
  nothing, by turns.
- past: one new week in a home with few past runs, and the same in a home with thousands of them in
  Prefect and MLflow, by turns. They are copies of runs that the product made, under ids and moments
  of their own.

Prints Markdown tables.
"""

from __future__ import annotations

import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import (
    COSTS,
    Cost,
    arguments,
    cells,
    cost_of,
    heading,
    machine,
    ratios_to,
    row,
)
from benchmarks.servers.home import Home, weeks
from benchmarks.servers.past import mlflow_past, prefect_past

PARTS = ("deploy", "storm", "idle", "past")
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
SERVERS = ("prefect", "mlflow")
EMPTY = "from prefect import flow\n\n\n@flow\nasync def empty() -> None:\n    pass\n"


# --- many registered ------------------------------------------------------------------------------


def deploy(root: Path, count: int, repeat: int) -> None:
    """Measure ``kingmaker deploy`` of ``count`` models on a server that knows none, and once
    more.
    """
    names = [f"weather-{number:03d}" for number in range(count)]
    runs: dict[str, list[Cost]] = {}
    for turn in range(repeat):
        home = Home(root / str(turn))
        for name in names:
            home.describe(name, "0 5 * * *")
        command = home.command("deploy")
        with home.up():
            for way in ("none is known", "all are known"):
                runs.setdefault(way, []).append(cost_of(command, home.environment()))
            deployments = home.api("/deployments/count", {})
    heading(f"`kingmaker deploy` of {count} models", *COSTS)
    for way, took in runs.items():
        row(way, *cells(took))
    print(f"\n{deployments:,} deployments on Prefect's server.")


# --- many at once ---------------------------------------------------------------------------------


def storm(root: Path, count: int, database: str) -> None:
    """Have ``count`` idle models due at one moment; print what they cost and how late the last one
    was.
    """
    home, names = Home(root, database), [f"weather-{number:03d}" for number in range(count)]
    away = datetime.now(UTC) + timedelta(
        hours=12
    )  # the daily schedule is there, and does not come due meanwhile
    for name in names:
        home.describe(name, f"{away.minute} {away.hour} * * *")
    for week in weeks(2):
        home.deliver(names[0], week)
    with home.up():
        home.kingmaker("replay", names[0])
        home.know_as(names[0], names[1:])
        start = time.perf_counter()
        home.kingmaker("deploy")
        deployed = time.perf_counter() - start
        scheduled = _until_scheduled(home)
        ids = {name: home.deployment(f"monitor/{name}") for name in names}
        due = datetime.now(UTC) + timedelta(seconds=10 + count / 10)
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}}
        for name in names:
            home.api(
                f"/deployments/{ids[name]}/create_flow_run", {"state": state, "tags": ["storm"]}
            )
        if datetime.now(UTC) > due:
            raise RuntimeError(
                "the runs were due before the last of them was made; make them due later"
            )
        cpu = {part: home.cpu(part) for part in SERVERS}
        runs_cpu = sum(home.worker().cpu_times()[2:4])
        with watched(home) as memory:
            runs = _until_ended(home, count)
        cpu = {part: home.cpu(part) - before for part, before in cpu.items()}
        runs_cpu = sum(home.worker().cpu_times()[2:4]) - runs_cpu
    _tell_storm(summary(runs, due), count, deployed, cpu, runs_cpu, memory, scheduled)


def _until_scheduled(home: Home) -> int:
    """Wait until the server's scheduler has written what is due in the next days, and return how
    many runs that is.
    """
    last, wanted = -1, {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    while (now := int(home.api("/flow_runs/count", wanted))) != last or now == 0:
        last = now
        time.sleep(20)  # its rounds begin every 5 s
    return now


def summary(runs: Sequence[Mapping[str, Any]], due: datetime) -> dict[str, float]:
    """Count the runs by how they ended, and say when they began and ended, in seconds after
    ``due``.
    """
    found: dict[str, float] = {
        state.lower(): sum(run["state_type"] == state for run in runs) for state in ENDED
    }
    began = [_after(run["start_time"], due) for run in runs if run["start_time"]]
    ended = [_after(run["end_time"], due) for run in runs if run["end_time"]]
    return found | {
        "again": sum(run["run_count"] > 1 for run in runs),
        "median began": statistics.median(began),
        "last began": max(began),
        "last ended": max(ended),
        "an hour": 3600 * len(ended) / max(ended),
    }


def _after(moment: str, due: datetime) -> float:
    return (datetime.fromisoformat(moment) - due).total_seconds()


def _until_ended(home: Home, count: int) -> list[dict[str, Any]]:
    """Wait until every run of the storm has ended, and return them all."""
    while True:
        time.sleep(2)
        runs: list[dict[str, Any]] = []
        while True:
            wanted = {
                "flow_runs": {"tags": {"all_": ["storm"]}},
                "limit": 200,
                "offset": len(runs),
                "sort": "ID_DESC",
            }
            page = home.api("/flow_runs/filter", wanted)
            runs += page
            if len(page) < 200:
                break
        if sum(run["state_type"] in ENDED for run in runs) == count:
            return runs


@contextmanager
def watched(home: Home) -> Iterator[dict[str, Any]]:
    """Give resident memory in MB of each server, the worker and a run: before, most and after; and
    the most runs at once.
    """
    worker = home.worker()
    itself = worker.cmdline()
    parts = {part: home.processes(part) for part in SERVERS} | {"worker": [worker]}
    found: dict[str, Any] = {"at once": 0, "a run": 0.0}

    def look() -> dict[str, float]:
        return {
            part: sum(p.memory_info().rss for p in processes) / 1e6
            for part, processes in parts.items()
        }

    found["before"], found["most"], done = look(), look(), threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            found["most"] = {part: max(found["most"][part], now) for part, now in look().items()}
            runs = []
            for process in worker.children():
                try:
                    if process.cmdline() != itself:  # a child is still the worker for a moment
                        runs.append(process.memory_info().rss / 1e6)
                except psutil.NoSuchProcess:
                    continue  # it ended while we looked
            found["at once"] = max(found["at once"], len(runs))
            found["a run"] = max([found["a run"], *runs])

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield found
    done.set()
    watcher.join()
    found["after"] = look()


def _tell_storm(
    found: Mapping[str, float],
    count: int,
    deployed: float,
    cpu: Mapping[str, float],
    runs_cpu: float,
    memory: Mapping[str, Any],
    scheduled: int,
) -> None:
    heading(f"{count} models due at the same moment, nothing new", "")
    for what, value in (
        (
            "completed / failed / crashed / cancelled",
            " / ".join(f"{found[one.lower()]:.0f}" for one in ENDED),
        ),
        ("begun more than once", f"{found['again']:.0f}"),
        (
            "began after it was due, median / last, s",
            f"{found['median began']:.0f} / {found['last began']:.0f}",
        ),
        ("the last one ended after it was due, s", f"{found['last ended']:.0f}"),
        ("models an hour", f"{found['an hour']:,.0f}"),
        ("CPU of a run's process, s", f"{runs_cpu / count:.2f}"),
        ("CPU of the Prefect server for a run, s", f"{cpu['prefect'] / count:.2f}"),
        ("CPU of the MLflow server for a run, s", f"{cpu['mlflow'] / count:.2f}"),
        ("most runs at once", f"{memory['at once']}"),
        ("most memory of a run, MB", f"{memory['a run']:.0f}"),
        *(
            (
                f"memory of {part}, MB: before / most / after",
                " / ".join(f"{memory[when][part]:.0f}" for when in ("before", "most", "after")),
            )
            for part in (*SERVERS, "worker")
        ),
        ("`kingmaker deploy` of all, s", f"{deployed:.0f}"),
        ("runs that the scheduler holds for the days to come", f"{scheduled:,}"),
    ):
        row(what, value)


# --- nothing new ----------------------------------------------------------------------------------


def idle(root: Path, repeat: int) -> None:
    """Measure one run with nothing new, as the worker begins it and from the command line, by turns
    with what bounds it.
    """
    home, name = Home(root), "weather"
    home.describe(name)
    for week in weeks(2):
        home.deliver(name, week)
    (root / "empty.py").write_text(EMPTY, encoding="utf-8")
    importing = [sys.executable, "-c", "import prefect"]
    runs: dict[str, list[Cost]] = {}
    with home.up():
        home.kingmaker("replay", name)
        home.kingmaker("deploy")
        scheduled, empty = (
            home.deployment(f"monitor/{name}"),
            _deploy_empty(home, root / "empty.py"),
        )
        environment = home.worker().environ()
        for _ in range(repeat):
            runs.setdefault("`import prefect`", []).append(cost_of(importing, environment))
            runs.setdefault("a Prefect flow that does nothing, as the worker begins it", []).append(
                _run(home, empty)
            )
            runs.setdefault("idle monitor, as the worker begins it", []).append(
                _run(home, scheduled)
            )
            command = home.command("run", name)
            runs.setdefault("idle `kingmaker run`, servers up", []).append(
                cost_of(command, home.environment())
            )
    for _ in range(repeat):
        runs.setdefault("`import prefect`, servers down", []).append(
            cost_of(importing, home.environment())
        )
        command = home.command("run", name)
        runs.setdefault("idle `kingmaker run`, servers down", []).append(
            cost_of(command, home.environment())
        )
    heading("nothing new", *COSTS, *ratios_to("import"))
    for way, took in runs.items():
        base = runs["`import prefect`" + (", servers down" if way.endswith("down") else "")]
        row(way, *cells(took, base))


def _deploy_empty(home: Home, file: Path) -> str:
    flow = home.api("/flows/", {"name": "empty"})
    made = home.api(
        "/deployments/", {"name": "empty", "flow_id": flow["id"], "entrypoint": f"{file}:empty"}
    )
    return str(made["id"])


def _run(home: Home, deployment: str) -> Cost:
    ended, took = home.run_as_scheduled(deployment)
    if ended != "COMPLETED":
        raise RuntimeError(
            f"a run of deployment {deployment} ended {ended}; see {home.home / 'logs'}"
        )
    return took


# --- a long past ----------------------------------------------------------------------------------


def past(root: Path, copies: int, repeat: int) -> None:
    """Measure a run over one new week in a home with few past runs, and in one with ``copies``
    more, by turns.
    """
    name, first = "weather", 2
    homes = {"few": Home(root / "few"), f"{copies:,} more": Home(root / "many")}
    for way, home in homes.items():
        home.describe(name)
        for week in weeks(first):
            home.deliver(name, week)
        with home.up():
            home.kingmaker("replay", name)
            home.kingmaker("deploy")
            home.deliver(name, weeks(first + 1)[-1])
            run = _one_week(home)["run"]
        if way != "few":
            start = time.perf_counter()
            rows = prefect_past(home.home / "prefect" / "prefect.db", run, copies)
            rows += mlflow_past(home.home / "mlflow.db", copies)
            print(
                f"\n{copies:,} past runs in Prefect and in MLflow: {rows:,} rows, written in"
                f" {time.perf_counter() - start:.0f} s"
            )
    took: dict[str, list[Cost]] = {way: [] for way in homes}
    with ExitStack() as stack:
        for home in homes.values():
            stack.enter_context(home.up())
        time.sleep(20)  # the servers' own rounds after their start
        for week in weeks(first + 1 + repeat)[first + 1 :]:
            for way, home in homes.items():
                home.deliver(name, week)
                took[way].append(_one_week(home)["took"])
    heading("past runs", *COSTS, *ratios_to("few"))
    for way, runs in took.items():
        row(way, *cells(runs, took["few"]))
    pairs = " ".join(
        f"{many.wall / few.wall:.2f}" for few, many in zip(*took.values(), strict=True)
    )
    print(f"\nWeek by week, wall / few: {pairs}")


def _one_week(home: Home) -> dict[str, Any]:
    """Run the monitor as the worker does, over the one week that waits."""
    deployment = home.deployment("monitor/weather")
    took = _run(home, deployment)
    wanted = {"deployments": {"id": {"any_": [deployment]}}, "limit": 1, "sort": "START_TIME_DESC"}
    return {"took": took, "run": home.api("/flow_runs/filter", wanted)[0]["id"]}


# --- what to run ----------------------------------------------------------------------------------


def main() -> None:
    """Run what was asked for, and print its tables."""
    parser = arguments(__doc__, quick="10 models, 100 past runs, each run once")
    parser.add_argument("--models", type=int, help="default: 200")
    parser.add_argument("--past", type=int, help="past runs; default: 5000")
    parser.add_argument("--repeat", type=int, help="default: 5")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--database", default="", help="PostgreSQL server for the storm; SQLite by default"
    )
    given = parser.parse_args()
    usual = (10, 100, 1) if given.quick else (200, 5000, 5)
    models, copies, repeat = (
        asked or default
        for asked, default in zip((given.models, given.past, given.repeat), usual, strict=True)
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # our servers end with us
    machine(repeat)
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        for part in given.only:
            root = Path(work) / part
            root.mkdir()
            if part == "deploy":
                deploy(root, models, repeat)
            elif part == "storm":
                storm(root, models, given.database)
            elif part == "idle":
                idle(root, repeat)
            else:
                past(root, copies, repeat)


if __name__ == "__main__":
    main()
