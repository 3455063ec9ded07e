"""The fleet in numbers."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from deployments.console.metrics import in_numbers
from tasks.history import in_order
from tasks.records import Promote
from tasks.reports.fleet_page import at_a_glance
from tests.deployments.console.test_runs import run
from tests.tasks.reports.conftest import a_performance, an_entry, months
from tests.tasks.reports.test_fleet_page import known


def _model_first(label: tuple[str, str]) -> tuple[bool, str]:
    return label[0] != "model", label[0]


def test_what_is_measured_can_be_read_by_prometheus() -> None:
    """Of each model and of its runs; what is not known is left out and not made up."""
    january, february = months(2)
    batches = (known(january, performances=(a_performance(january.id),)), known(february))
    entry = an_entry(1, january, Promote(reason="r", version=3, previous=None))
    flights = at_a_glance("flights", batches, in_order([entry]), managed=True)
    fresh = at_a_glance('we"ather', (), in_order([]), managed=True)
    late = run(id="2", kind="SCHEDULED", state="Late", began=None, ended=None)

    found = {
        (sample.name, *(v for name, v in sorted(sample.labels.items(), key=_model_first))): (
            sample.value
        )
        for family in text_string_to_metric_families(
            in_numbers([flights, fresh], [run(), late]).decode()
        )
        for sample in family.samples
    }

    assert found[("kingmaker_champion_version", "flights")] == 3
    assert found[("kingmaker_champion_version", 'we"ather')] == 0
    assert [key[1] for key in found if key[0] == "kingmaker_score"] == ["flights"]
    assert found[("kingmaker_batches_without_score", "flights")] == 1
    assert found[("kingmaker_runs", "monitor", "Late")] == 1
    assert found[("kingmaker_last_run_seconds", "weather", "monitor", "failed")] == (
        run().ended.timestamp()
    )
    assert found[("kingmaker_prefect_answers",)] == 1
    away = in_numbers([flights], None).decode()
    assert "kingmaker_prefect_answers 0.0" in away
    assert "kingmaker_runs" not in away
