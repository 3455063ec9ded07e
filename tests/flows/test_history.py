"""Batches before the training rows play the season's reference, but for columns that had moved in
them.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flows.retrain import history_before
from flows.steps.run import ModelRun
from tasks.drift.profile import add_history, time_blocks
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.records import BatchRecord

pytestmark = pytest.mark.flow


class _Marked(ModelRun):
    """A look at a replayed home in which the second batch was held against a season, and its first
    column had moved.
    """

    def trainable(self) -> list[BatchRecord]:
        first, second, *others = super().trainable()
        drift = next(r.drift for r in others if r.drift is not None)
        moved = drift.features[0].model_copy(update={"outcome": "drifted"})
        reference = drift.reference.model_copy(update={"kind": "season"})
        drift = drift.model_copy(
            update={"features": (moved, *drift.features[1:]), "reference": reference}
        )
        return [first, second.model_copy(update={"drift": drift}), *others]


def test_history_is_what_was_accepted_before_the_window(use_home, replayed_home):
    """The newest first, none of the training rows among them, each with the columns that it is no
    reference of.
    """
    settings = use_home(replayed_home)
    m = _Marked(
        manage("weather", settings), open_ledger(settings.ledger_url), None, datetime.now(UTC), ""
    )
    records = m.trainable()
    champion = m.champion()
    assert champion is not None

    found = list(history_before(m, m.features(records[3:])))
    kept = add_history(champion.profile, found)

    assert [set(frame.batch) for frame, _ in found] == [
        {r.batch.id} for r in (records[2], records[1], records[0])
    ]
    column = champion.profile.features[0].feature
    assert column in found[1][1]
    assert found[2][1] == frozenset()
    assert kept.features[0].left_out == (records[1].batch.id,)
    second = len(time_blocks(found[2][0], champion.profile.blocks_per_batch)[1])
    assert sum(kept.features[0].earlier[second]) == 0
    assert sum(kept.features[1].earlier[second]) > 0
    assert list(history_before(m, m.features(records))) == []
