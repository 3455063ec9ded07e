"""What the benchmarks share: what a process cost, the machine in a line, tables, arguments.

A benchmark runs each way in a process of its own, the ways by turns, and prints a Markdown table of
medians; a ratio is the median over the turns, so that what slows one turn changes nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

COSTS = ("wall s", "CPU s", "peak MB")
"""Columns of what ``cells`` returns without ratios."""


@dataclass(frozen=True)
class Cost:
    """What one process cost from its start to its end."""

    wall: float
    """Seconds."""

    cpu: float
    """Seconds, of its ended children too."""

    peak: float
    """Resident memory in MB."""

    said: str = ""
    """Its standard output, stripped."""


def cost_of(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end in a directory of its own; RuntimeError unless it ends well.

    A process's peak counts from that of the one that starts it (getrusage(2)), so a small one
    stands between.
    """
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.harness", *command],
            env=environment,
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        words = (done.stdout + done.stderr)[-2000:]
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {words}")
    said, _, costs = done.stdout.rpartition("\n")
    wall, cpu, peak = map(float, costs.split())
    return Cost(wall, cpu, peak, said.strip())


def _run_and_tell(command: Sequence[str]) -> int:
    """Run a command; print wall and CPU seconds and peak MB as the last line, without an end."""
    start = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    wall, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    child.returncode = os.waitstatus_to_exitcode(status)
    print(f"\n{wall} {cpu} {usage.ru_maxrss / 1024}", end="")
    return child.returncode


def cost_of_module(name: str, *arguments: str) -> Cost:
    """Run a module of ours, as ``python -m`` does."""
    return cost_of([sys.executable, "-m", name, *arguments])


def cells(took: Sequence[Cost], base: Sequence[Cost] | None = None) -> list[str]:
    """Return the medians of ``COSTS``; with a base, the ratios of wall and CPU to it too."""
    costs = [
        f"{median(c.wall for c in took):.2f}",
        f"{median(c.cpu for c in took):.2f}",
        f"{median(c.peak for c in took):.0f}",
    ]
    if base is None:
        return costs
    pairs = list(zip(took, base, strict=True))
    return [
        *costs,
        f"{median(one.wall / other.wall for one, other in pairs):.2f}",
        f"{median(one.cpu / other.cpu for one, other in pairs):.2f}",
    ]


def ratios_to(base: str) -> tuple[str, str]:
    """Return the names of the columns that ``cells`` adds for a base."""
    return f"wall / {base}", f"CPU / {base}"


def heading(*columns: str, left: Sequence[str] = ()) -> None:
    """Print a table's head: the first column and those in ``left`` hold words, others numbers."""
    words = (columns[0], *left)
    print(f"\n| {' | '.join(columns)} |")
    print(f"|{'|'.join('---' if column in words else '--:' for column in columns)}|")


def row(*values: str) -> None:
    """Print a line of a table, at once."""
    print(f"| {' | '.join(values)} |", flush=True)


def machine(repeat: int) -> None:
    """Print what the figures below were measured on, and how often."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(
        f"{os.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}; load before"
        f" the first run {os.getloadavg()[0]:.1f}; n = {repeat}, medians, imports included",
        flush=True,
    )


def arguments(description: str | None, quick: str) -> argparse.ArgumentParser:
    """Return a parser that knows ``--quick`` and ``--work``, as every benchmark does."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument(
        "--work", type=folder, help="where files are made; a temporary directory by default"
    )
    return parser


def compare_ways(
    description: str | None,
    what: str,
    ways: Mapping[str, Callable[[Path, Path], None]],
    compare: Callable[[Path, int, int], Mapping[str, Sequence[Cost]]],
    *,
    rows: int,
    quick_rows: int,
    repeat: int,
) -> None:
    """Be the main function of a benchmark that goes several ``ways`` with many rows: measure them
    by ``compare``, from a directory, rows and turns, and print them beside the first; or, with
    ``--way``, go one of them, from a directory and a file.
    """
    parser = arguments(description, quick=f"{quick_rows:,} rows, once")
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--repeat", type=int, default=repeat)
    parser.add_argument("--way", nargs=3, metavar=("WAY", "DIRECTORY", "FILE"))
    given = parser.parse_args()
    if given.way:
        way, directory, file = given.way
        ways[way](Path(directory), Path(file))
        return
    asked, turns = (quick_rows, 1) if given.quick else (given.rows, given.repeat)
    machine(turns)
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        took = compare(Path(work), asked, turns)
    base = next(iter(ways))
    heading(f"{asked:,} {what}", *COSTS, *ratios_to(base))
    for way, costs in took.items():
        row(way, *cells(costs, took[base]))


def takes_data(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, which BENCH_DATA sets too."""
    parser.add_argument(
        "--data",
        type=folder,
        default=folder(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None,
        help="folder with <stream>/data.csv.gz; by default the built-in example's flights",
    )


def folder(text: str) -> Path:
    """Return an absolute path: a process of its own starts in another directory."""
    return Path(text).absolute()


if __name__ == "__main__":
    sys.exit(_run_and_tell(sys.argv[1:]))
