"""What a challenger is trained on and compared with: seasons before it, and when candidates are
searched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from flows.monitor import monitor
from flows.retrain import retrain
from flows.steps.challenger import history_before, stands_for
from flows.steps.maturity import trainable
from tasks.batches import Batch
from tasks.drift.profile import add_history, time_blocks
from tasks.ledger import entries as ledger
from tasks.ledger.lease import Lease
from tasks.ledger.repositories import Batches
from tasks.ledger.tables import open_ledger
from tasks.records import BatchRecord
from tests.conftest import run_flow
from tests.flows.reading import reading_run
from tests.tasks.builders import at, batch_record, frame_of

pytestmark = pytest.mark.flow


class _Marked(Batches):
    """Batches of which the second was compared with a season, and its first column had moved."""

    @property
    def known(self) -> dict[str, BatchRecord]:
        first, second, *others = super().known.values()
        drift = next(r.drift for r in others if r.drift is not None)
        moved = drift.features[0].but(outcome="unusual")
        drift = drift.but(
            features=(moved, *drift.features[1:]), reference=drift.reference.but(kind="season")
        )
        return {r.batch.id: r for r in (first, second.but(drift=drift), *others)}


def test_history_is_what_was_accepted_before_the_window(use_home, replayed_home):
    """The newest first, none of the training rows among them, each with the columns that it is no
    reference of.
    """
    settings = use_home(replayed_home)
    run = reading_run("weather", settings)
    held = Lease("weather", "the test", 0)
    run = replace(run, batches=_Marked(open_ledger(settings.ledger_url), held, "rows"))
    records = trainable(run)
    champion = run.models.champion()
    assert champion is not None

    found = list(history_before(run, run.features(records[3:])))
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
    assert list(history_before(run, run.features(records))) == []


def test_drawn_rows_stand_for_those_of_their_batch():
    """As many as the batch has for each that was drawn; for none but themselves where all are
    there.
    """
    frame = frame_of(pd.DataFrame({"x": np.zeros(30)}), np.zeros(30), days=np.arange(30) * 2)
    first, second = ("b000", "b001")
    rows = {first: 15, second: 15}

    def taken_in(accepted: dict[str, int]) -> list[BatchRecord]:
        return [
            batch_record(
                batch=Batch(id=id, start=at(0), end=at(30)),
                verdict=batch_record().verdict.but(rows=count + 5, quarantined=5),
            )
            for id, count in accepted.items()
        ]

    assert stands_for(taken_in(rows), frame) is None
    assert stands_for(taken_in(rows | {first: 600}), frame) == {first: 40.0, second: 1.0}


def test_refits_between_two_searches(
    use_home, make_replayed_home, make_weather_home, quick_project
):
    """With a search at every second training, the changed spec is searched, then the champion's
    recipe is refitted alone, and the training says which it was.
    """
    settings = use_home(make_replayed_home(4), quick_project)
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"]["tuning"]["every"] = 2
    spec["retrain"] = {"every": 9, "alarm_sd": None}
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    engine = open_ledger(settings.ledger_url)
    before = ledger.history(engine, "weather").challengers

    run_flow(retrain("weather"))
    searched = ledger.history(engine, "weather").challengers[len(before) :]
    make_weather_home(5)
    run_flow(monitor("weather"))
    last = run_flow(retrain("weather"))

    refitted = ledger.history(engine, "weather").challengers[len(before) + len(searched) :]
    assert all(ledger.training(engine, "weather", version).searched for version in searched)
    assert [ledger.training(engine, "weather", version).searched for version in refitted] == [False]
    assert last.evidence.kind == "refresh"
