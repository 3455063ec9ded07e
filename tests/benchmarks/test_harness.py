"""Tests of what the benchmarks share: costs of a process, ratios, tables, arguments."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.harness import (
    Cost,
    arguments,
    cells,
    cost_of,
    cost_of_module,
    heading,
    machine,
    ratios_to,
    row,
    takes_data,
)

BUSY = """
import time
held = b'x' * 200_000_000
end = time.process_time() + 0.3
while time.process_time() < end: pass
print('done')
"""


def test_cost_of_a_process_is_what_it_used():
    """Its CPU is that of its own work, its memory is what it held, its output is kept.

    However much we hold ourselves does not count.
    """
    ours = b"x" * 500_000_000

    idle, busy = (cost_of([sys.executable, "-c", code]) for code in ("pass", BUSY))

    assert busy.wall >= busy.cpu >= 0.3
    assert 180 < busy.peak - idle.peak < 300
    assert idle.peak < len(ours) / 2**20
    assert busy.said == "done"


def test_cost_of_a_process_that_fails_is_refused_with_its_last_words():
    """A way that did not come to its end cost nothing worth measuring."""
    with pytest.raises(RuntimeError, match=r"exit code 3: (?s:.*)no room"):
        cost_of(
            [sys.executable, "-c", "import sys; print('no room', file=sys.stderr); sys.exit(3)"]
        )


def test_module_is_run_from_another_directory_and_environment_is_handed_on(tmp_path):
    """A process of its own begins in a directory of its own, and finds ours by their names."""
    said = cost_of_module("benchmarks.drift", "--help").said
    where = cost_of(
        [sys.executable, "-c", "import os; print(os.getcwd(), os.environ['WAY'])"], {"WAY": "scan"}
    ).said

    assert said.startswith("usage: ")
    assert where.endswith(" scan")
    assert Path(where.split()[0]) != Path.cwd()


def test_ratios_are_medians_of_each_turn():
    """A slow turn slows both, and changes nothing."""
    base = [Cost(wall, 2.0, 80.0) for wall in (2.0, 2.0, 9.0)]
    took = [Cost(1.5 * one.wall, 1.0, 60.0) for one in base]

    assert cells(took) == ["3.00", "1.00", "60"]
    assert cells(took, base) == ["3.00", "1.00", "60", "1.50", "0.50"]


def test_ratios_need_as_many_turns_of_the_base():
    """What was not measured by turns is not compared."""
    with pytest.raises(ValueError, match="zip"):
        cells([Cost(1, 1, 1)], [Cost(1, 1, 1), Cost(1, 1, 1)])


def test_tables_are_markdown(capsys):
    """Numbers stand right, words left."""
    heading("way", *ratios_to("scan"), "it said", left=("it said",))
    row("validate", "1.30", "1.10", "accept")

    assert capsys.readouterr().out.splitlines() == [
        "",
        "| way | wall / scan | CPU / scan | it said |",
        "|---|--:|--:|---|",
        "| validate | 1.30 | 1.10 | accept |",
    ]


def test_machine_is_named(capsys):
    """Cores, memory and how often it was measured stand above the figures."""
    machine(3)

    assert " cores, " in (said := capsys.readouterr().out)
    assert "n = 3, medians" in said


def test_paths_are_absolute_and_the_environment_names_the_data(monkeypatch, tmp_path):
    """Both hold in another directory too; BENCH_DATA is the default of ``--data``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", "streams")
    parser = arguments("What it does.", quick="less of it")
    takes_data(parser)

    given = parser.parse_args(["--work", "here"])

    assert (given.work, given.data) == (tmp_path / "here", tmp_path / "streams")
    assert parser.parse_args(["--data", "/elsewhere"]).data == Path("/elsewhere")
