"""What a person may do, as far as the ledger tells."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deployments.console.acts import ACTS, request_of, why_not
from tasks.history import History, in_order
from tasks.model_spec import ManagedModel, manage
from tasks.records import AwaitApproval, Freeze, Promote, RollBack, Thaw
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT
from tests.tasks.builders import at, entry

FIRST = entry(1, Promote(reason="first", version=1, previous=None))
SECOND = entry(2, Promote(reason="better", version=2, previous=1))
ASKED = entry(3, AwaitApproval(reason="better", version=3, previous=2))
SOON = at(4) + timedelta(minutes=1)


@pytest.fixture
def weather(tmp_path) -> ManagedModel:
    """A model whose requests wait as long as the default says."""
    return manage("weather", Settings(home=tmp_path, project=WEATHER_PROJECT))


def refusal(weather: ManagedModel, name: str, history: History, number: int | None = None) -> str:
    """Why an act cannot be done a moment after the last entry."""
    request = request_of(history, number)
    return why_not(name, ACTS[name], weather, history, request, SOON)


@pytest.mark.parametrize("name", ["approve", "refuse"])
def test_a_request_is_stale_when_another_version_has_become_champion(weather, name):
    """It compares with one that serves no more; until then it can be answered."""
    rolled_back = entry(4, RollBack(reason="worse", version=1, previous=2))

    assert refusal(weather, name, in_order([FIRST, SECOND, ASKED]), ASKED.id) == ""
    said = refusal(weather, name, in_order([FIRST, SECOND, ASKED, rolled_back]), ASKED.id)

    assert said.startswith("Its evidence has gone stale: it compares version 3 with version 1,")
    assert "version 1 is champion since" in said


def test_what_is_no_request_cannot_be_answered(weather):
    """Another decision, or a number that is none."""
    for number in (SECOND.id, 99, None):
        said = refusal(weather, "approve", in_order([FIRST, SECOND, ASKED]), number)
        assert said == "This is no request for approval."


def test_acts_follow_one_another(weather):
    """A rollback needs a champion before, a thaw a freeze, and a freeze none."""
    frozen = entry(3, Freeze(reason="the sensor was moved"))
    thawed = entry(4, Thaw(reason="it is back"))
    states = {
        "one": in_order([FIRST]),
        "two": in_order([FIRST, SECOND]),
        "frozen": in_order([FIRST, SECOND, frozen]),
        "thawed": in_order([FIRST, SECOND, frozen, thawed]),
    }

    may = {
        state: [name for name in ("rollback", "freeze", "thaw") if not refusal(weather, name, one)]
        for state, one in states.items()
    }

    assert may == {
        "one": ["freeze"],
        "two": ["rollback", "freeze"],
        "frozen": ["rollback", "thaw"],
        "thawed": ["rollback", "freeze"],
    }
