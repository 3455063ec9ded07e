"""The one run of a model, on a real store: each value of each batch once, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tasks.batches import batch_named
from tasks.records import Fence
from tasks.registry.over_time import Measured, log_over_time
from tasks.registry.runs import KIND, OVER_TIME, client, end_left_behind, experiment_id
from tasks.settings import Settings
from tests.tasks.builders import OPEN


def measured(week: int, **metrics: float) -> Measured:
    """What was measured of a week of 2020, which begins with its 53rd in the year after."""
    return Measured(batch_named(f"2020-W{week:02d}", "week", "UTC"), metrics)


def drawn(settings: Settings) -> dict[str, list[tuple[int, float]]]:
    """Metric -> steps and values, of the only run that there is."""
    api = client(settings.tracking_uri)
    (found,) = api.search_runs(
        [experiment_id(settings, "flights")], f"tags.`{KIND}` = '{OVER_TIME}'"
    )
    assert found.info.status == "FINISHED"
    return {
        name: sorted(
            (one.step, one.value) for one in api.get_metric_history(found.info.run_id, name)
        )
        for name in found.data.metrics
    }


def log(settings: Settings, added: list[Measured], everything: list[Measured], **more) -> None:
    """Log weeks under an open fence."""
    log_over_time(settings, "flights", "week", added, everything, OPEN, **more)


def test_batches_are_the_steps(settings: Settings) -> None:
    """Counted from the first; the time is that of the data; what comes later is added."""
    weeks = [measured(51, loss=0.5), measured(52, loss=0.4), measured(53)]
    new_year = Measured(batch_named("2021-W01", "week", "UTC"), {"loss": 0.3})

    log(settings, weeks, weeks)
    log(settings, [new_year], [*weeks, new_year])

    assert drawn(settings) == {"loss": [(0, 0.5), (1, 0.4), (3, 0.3)]}
    api = client(settings.tracking_uri)
    (found,) = api.search_runs([experiment_id(settings, "flights")])
    last = api.get_metric_history(found.info.run_id, "loss")[-1]
    assert last.timestamp == new_year.batch.end.timestamp() * 1000


def test_what_is_logged_again_stands_once(settings: Settings) -> None:
    """As by a run that died before it could say that it had; no second run is made of it."""
    weeks = [measured(1, loss=0.5, rows=10.0), measured(2, loss=0.4, rows=20.0)]

    for added in (weeks, weeks[1:], weeks[:1], weeks):
        log(settings, added, weeks)

    assert drawn(settings) == {"loss": [(0, 0.5), (1, 0.4)], "rows": [(0, 10.0), (1, 20.0)]}


def test_late_labels_and_late_batches_find_their_place(settings: Settings) -> None:
    """A loss that comes after the rows of later batches, and a batch before the first."""
    weeks = [measured(2, rows=10.0), measured(3, rows=20.0, loss=0.4)]
    judged, before = measured(2, rows=10.0, loss=0.5), measured(1, rows=5.0)

    log(settings, weeks, weeks)
    log(settings, [judged], [judged, weeks[1]])
    log(settings, [before], [before, judged, weeks[1]])

    assert drawn(settings) == {
        "rows": [(-1, 5.0), (0, 10.0), (1, 20.0)],
        "loss": [(0, 0.5), (1, 0.4)],
    }


@pytest.mark.parametrize("told", [True, False])
def test_a_batch_that_was_judged_anew_stands_with_its_new_values(
    settings: Settings, told: bool
) -> None:
    """Whether the ledger says that it was, or a run that died left only MLflow to tell."""
    weeks = [measured(1, loss=0.5), measured(2, loss=0.4)]
    revised = measured(1, loss=0.7)

    log(settings, weeks, weeks)
    log(settings, [revised], [revised, weeks[1]], anew=told)

    assert drawn(settings) == {"loss": [(0, 0.7), (1, 0.4)]}


class PassedOnError(Exception):
    """The lease has passed on."""


@pytest.mark.parametrize("writes", range(4))
def test_a_death_in_between_costs_nothing(settings: Settings, writes: int) -> None:
    """Wherever the first run of a model, or its successor, is broken off: the next one has all."""
    weeks = [measured(week, **{f"m{n}": float(n + week) for n in range(500)}) for week in (1, 2)]
    revised = [measured(1, m0=0.5), weeks[1]]
    left = iter(range(writes))

    @contextmanager
    def hold() -> Iterator[None]:
        if next(left, None) is None:
            raise PassedOnError
        yield

    dying = Fence(token=1, hold=hold)

    with pytest.raises(PassedOnError):  # noqa: PT012 - where of both is what is tried
        log_over_time(settings, "flights", "week", weeks, weeks, dying)
        log_over_time(settings, "flights", "week", revised, revised, dying, anew=True)
    end_left_behind(settings, "flights", Fence(token=2, hold=OPEN.hold), frozenset())
    log(settings, revised, revised, anew=True)

    found = drawn(settings)
    assert found["m0"] == [(0, 0.5), (1, 2.0)]
    assert found["m1"] == [(1, 3.0)]
    assert len(found) == 500


def test_it_is_no_run_that_a_dead_one_left(settings: Settings) -> None:
    """The ledger does not name it, and it stays FINISHED."""
    weeks = [measured(1, loss=0.5)]
    log(settings, weeks, weeks)

    assert end_left_behind(settings, "flights", Fence(token=9, hold=OPEN.hold), frozenset()) == ()

    assert drawn(settings) == {"loss": [(0, 0.5)]}
