"""Tests of the plan: what a training could tell, from the ledger alone."""

from __future__ import annotations

import pytest

from deployments.command.plan import plan_of
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT


@pytest.mark.flow
def test_plan_of_a_champion(replayed_home):
    """Rows that the champion has not seen are those of the batches after its training; more rows
    come by the week, and a smaller gain takes more of them and longer.
    """
    settings = Settings(home=replayed_home, project=WEATHER_PROJECT)
    managed, engine = manage("weather", settings), open_ledger(settings.ledger_url)
    champion = ledger.history(engine, "weather").champion
    until = ledger.training(engine, "weather", champion).trained_until
    records = ledger.known_batches(engine, "weather").values()
    unseen = [r for r in records if r.batch.start >= until]

    found = plan_of(managed, engine, [0.9, 0.05, 0.01])

    assert (found.champion, found.unseen_batches) == (champion, len(unseen))
    assert found.unseen_rows == sum(r.verdict.rows - r.verdict.quarantined for r in unseen)
    assert found.comparisons > 0
    easy, middling, hard = found.told
    assert easy.rows == found.least_rows <= middling.rows < hard.rows
    newest = max(r.batch.end for r in records)
    for one in (middling, hard):
        if one.by is not None:
            assert (one.by - newest).days == 7 * one.batches
            lacking = one.rows - found.unseen_rows
            assert 0 <= one.batches * found.rows_per_batch - lacking < found.rows_per_batch
    said = "\n".join(found.in_lines())
    assert f"version {champion} has not seen {found.unseen_rows:,} labelled rows" in said
    assert "the policy's last word: " in said
    assert "a gain of 1.0% takes" in said


def test_without_a_champion_it_says_what_the_first_one_waits_for(tmp_path):
    """Nothing was taken in yet."""
    settings = Settings(home=tmp_path / "home", project=WEATHER_PROJECT)
    (tmp_path / "home").mkdir()

    found = plan_of(manage("weather", settings), open_ledger(settings.ledger_url), [0.1])

    (line,) = found.in_lines()
    assert line.startswith("weather: no champion yet: it waits for 4 batches of 100 labelled rows")
    assert found.told == ()
