"""Tests of how the database is opened."""

import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.exc import OperationalError

from tasks.batches import Batch
from tasks.ledger.tables import LedgerFormError, as_record, metadata, open_ledger


def test_tables_are_made_with_their_directory(tmp_path: Path) -> None:
    """A ledger is made on first use, directories included, and is the same when opened again."""
    url = f"sqlite:///{tmp_path}/new/place/ledger.db"

    engine = open_ledger(url)

    assert set(inspect(engine).get_table_names()) >= {"batches", "trainings", "decisions", "leases"}
    assert open_ledger(url) is engine


def test_a_written_decision_survives_a_power_cut(tmp_path: Path) -> None:
    """SQLite runs with a write-ahead log and full synchronisation."""
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db").connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2


def test_tables_of_another_version_are_refused_by_name(tmp_path: Path) -> None:
    """Which table, and which columns; what is in it stays as it was."""
    file = tmp_path / "ledger.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE leases (model TEXT PRIMARY KEY, owner TEXT)")

    with pytest.raises(LedgerFormError) as refused:
        open_ledger(f"sqlite:///{file}")

    said = str(refused.value)
    assert f"the ledger {file}: expected table leases with the columns of this version" in said
    assert "found ['expires_at', 'holder', 'token'] missing and ['owner'] beside them" in said


def test_records_of_another_version_are_refused_by_name() -> None:
    """Which record, what is wrong with it first, and how much more."""
    batch = {"id": "2013-05", "start": "soon", "end": "2013-06-01T00:00:00Z", "colour": "red"}

    with pytest.raises(LedgerFormError) as refused:
        as_record(Batch, batch)

    said = str(refused.value)
    assert said.startswith("the ledger: expected a Batch as this version of Kingmaker writes it")
    assert re.search(
        r"found start: Input should be .*, not 'soon' and \d more; use the version", said
    )
    assert "\n" not in said


def test_tables_that_another_process_makes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that another process made between our look and our making it is not an error."""
    real, calls = MetaData.create_all, []

    def create_all(self: MetaData, engine: object) -> None:
        calls.append(threading.get_ident())
        real(self, engine)
        if len(calls) == 1:
            raise OperationalError("", {}, Exception("table batches already exists"))

    monkeypatch.setattr(MetaData, "create_all", create_all)

    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")

    assert len(calls) == 2
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())
