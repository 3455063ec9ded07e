"""The same as test_every_write.py with ledger and registry in PostgreSQL, at a sample of the
places, or at every one.
"""

from __future__ import annotations

import pytest

from tests.crash.conftest import Stage, undisturbed
from tests.crash.test_every_write import EVERY_WAY, kill_at_each, places

pytestmark = [pytest.mark.flow, pytest.mark.crash]

SAMPLED = 5
"""Of so many places one is taken."""


def test_killed_under_postgresql_the_next_run_comes_to_the_same_end(
    stage_on_postgres: Stage,
) -> None:
    """Death before a write, between two databases of a server, costs nothing but time, and leaves
    one champion.
    """
    whole = undisturbed(stage_on_postgres)
    found = places(whole["writes"])
    kill_at_each(stage_on_postgres, whole, found if EVERY_WAY else found[::-SAMPLED])
