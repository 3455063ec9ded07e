"""Tests of the ``kingmaker contract`` commands."""

from __future__ import annotations

import sys

import pytest

from deployments.command.cli import main
from tests.sample_contract import column, sample_contract


@pytest.fixture
def kingmaker(monkeypatch, capsys, tmp_path):
    """Function: arguments -> exit code and what was printed."""
    monkeypatch.setenv("KINGMAKER_HOME", str(tmp_path / "home"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["kingmaker", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out + printed.err

    return call


def test_check(kingmaker, tmp_path):
    """A sound contract is counted; one with a query that does not bind is refused by name, as wrong
    usage.
    """
    file = sample_contract(tmp_path).file
    assert kingmaker("contract", "check", file) == (
        0,
        f"{file}: all is well: 9 columns; rules for the schema 19, for rows 9, for the batch 2\n",
    )

    query = {"type": "sql", "query": "SELECT max(x) FROM {table}", "mustBe": 0}
    sample_contract(tmp_path, lambda d: d["schema"][0]["quality"].append(query))
    code, printed = kingmaker("contract", "check", file)
    assert code == 2
    assert f"kingmaker: {file}: schema.0.quality.1.query: expected one SELECT" in printed


def test_diff(kingmaker, tmp_path):
    """Breaking changes come first and end with 3; compatible ones and none end with 0."""
    for name in ("old", "tighter", "broken"):
        (tmp_path / name).mkdir()
    old = sample_contract(tmp_path / "old").file
    tighter = sample_contract(
        tmp_path / "tighter", lambda d: column(d, "note").update(required=True)
    ).file
    broken = sample_contract(
        tmp_path / "broken", lambda d: d["schema"][0]["properties"].pop(4)
    ).file

    assert kingmaker("contract", "diff", old, old) == (0, "no change\n")
    assert kingmaker("contract", "diff", old, tighter) == (
        0,
        "compatible  note: optional -> required (it promises more)\n",
    )
    assert kingmaker("contract", "diff", old, broken) == (
        3,
        "breaking    note: removed (what was built on it has nothing to read)\n",
    )
