"""Tests of ``kingmaker whatif`` as a person types it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from deployments.command.look_cli import app
from tests.conftest import copy_home


@pytest.mark.flow
def test_a_person_asks_twice(replayed_home, tmp_path, use_home):
    """A table and a page, then the same as JSON in which nothing was trained again."""
    copy_home(replayed_home, tmp_path / "home")
    settings = use_home(tmp_path / "home")
    asked = ["whatif", "weather", "--try", "retrain.never=true", "--try", "watch.batches=4"]

    told = CliRunner().invoke(app, asked)
    again = CliRunner().invoke(app, [*asked, "--minutes", "0", "--json"])

    assert told.exit_code == 0, told.output
    assert "as the spec says" in told.stdout
    assert "retrain.never=true" in told.stdout
    assert "training as of" in told.stderr
    found = json.loads(again.stdout)
    assert [one["name"] for one in found["tried"]][1:] == [asked[3], asked[5]]
    assert found["trained"] == 0
    assert (settings.reports / "weather" / "whatif.html").exists()


@pytest.mark.flow
def test_a_misspelt_key_is_refused_before_anything_is_read(replayed_home, use_home):
    """By the keys that there are."""
    use_home(replayed_home)

    told = CliRunner().invoke(app, ["whatif", "weather", "--try", "gaet.refresh=better"])

    assert told.exit_code != 0
    assert "found 'gaet.refresh'" in str(told.exception)
