"""Tests of deployments/command/places.py: the same place for the next command, and no new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.command.places import NoLedgerError, existing_ledger, me, remember, typed
from tasks.ledger.tables import open_ledger
from tasks.settings import Settings


@pytest.fixture(autouse=True)
def told_nothing() -> Iterator[None]:
    """Leave nothing to the next test."""
    yield
    remember(None, None)


def test_a_command_that_is_printed_works_where_this_one_did():
    """With the options that were given, quoted for a shell."""
    remember(Path("my project"), Path("../home"))

    assert me() == "kingmaker --project 'my project' --home ../home"
    assert typed("none yet; run 'kingmaker run weather'") == (
        "none yet; run 'kingmaker --project 'my project' --home ../home run weather'"
    )


def test_without_options_the_name_is_enough():
    """A mention that is no command stays as it is."""
    assert typed("see 'kingmaker up', or ask kingmaker") == "see 'kingmaker up', or ask kingmaker"


def test_a_home_without_a_ledger_is_not_made_by_looking(tmp_path):
    """Neither one that is not there, nor one that is another's directory."""
    for home in (tmp_path / "none", tmp_path):
        with pytest.raises(NoLedgerError, match="expected a home in which a model has run"):
            existing_ledger(Settings(home=home))
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_is_there_is_opened(tmp_path):
    """In the home, or wherever the settings say."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    open_ledger(url).dispose()

    assert str(existing_ledger(Settings(home=tmp_path)).url) == url
    assert str(existing_ledger(Settings(home=tmp_path / "none", ledger=url)).url) == url
