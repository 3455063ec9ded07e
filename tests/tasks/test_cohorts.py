"""Tests of cohorts: labels are used when the whole batch has them, and looked at again when they
come again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.cohorts import due, labels_read, why_waiting
from tasks.configuration import Config
from tasks.model_spec import LabelsConfig, ManagedModel, manage
from tasks.records import Cohort, Labelled
from tasks.settings import Settings

PROJECT = Path(__file__).parent.parent / "projects" / "bookings"
WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> ManagedModel:
    """Bookings by week, whose outcomes come within three weeks; nine of ten rows must have one."""
    return manage("bookings", Settings(home=tmp_path_factory.mktemp("home"), project=PROJECT))


def with_labels(managed: ManagedModel, **changes: Any) -> ManagedModel:
    """The same model with other settings of its labels."""
    from dataclasses import replace

    labels: Config = managed.spec.labels.model_copy(update=changes)
    stream = managed.labels if changes.get("contract", "outcomes") else None
    return replace(managed, spec=managed.spec.model_copy(update={"labels": labels}), labels=stream)


def cohort(managed: ManagedModel, week: int, **changes: Any) -> Cohort:
    """The rows, or the labels, of a week, in order."""
    values: dict[str, Any] = {"snapshot": f"s{week}", "accepted": True, "verdict": "all is well"}
    return Cohort(batch=managed.rows.batch(f"2024-W{week:02d}"), **(values | changes))


def counted(
    managed: ManagedModel, one: Cohort, labels: list[Cohort], labelled: int, as_of: datetime
) -> Cohort:
    """The cohort after its labels were counted: so many of a hundred."""
    found = Labelled(rows=100, labelled=labelled, as_of=as_of)
    read = labels_read(managed, one.batch, found, labels, as_of)
    return one.model_copy(update={"labelled": found.model_copy(update={"read": read})})


def test_rows_that_carry_their_labels_wait_for_the_delay_alone(managed: ManagedModel) -> None:
    """Without a contract of labels, the clock decides, to the microsecond."""
    plain = with_labels(managed, contract=None, key=None, min_share=0.0)
    one = cohort(plain, 5)
    mature = one.batch.end + 3 * WEEK

    assert why_waiting(plain, one, [], mature) == ""
    assert why_waiting(plain, one, [], mature - timedelta(microseconds=1)) == (
        "its labels are mature at 2024-02-25 23:00 UTC"
    )


def test_days_of_delay_are_days_of_the_calendar(managed: ManagedModel) -> None:
    """Three weeks over the change of the clocks end at midnight, as the weeks of labels do; hours
    are hours.
    """
    last = managed.rows.batch("2024-W14")

    assert (
        managed.matures(managed.rows.batch("2024-W11"))
        == last.end
        == datetime(2024, 4, 7, 22, tzinfo=UTC)
    )
    hours = with_labels(managed, delay=timedelta(hours=1))
    assert hours.matures(managed.rows.batch("2024-W11")) == datetime(2024, 3, 18, 0, tzinfo=UTC)


def test_labels_that_are_late_keep_the_batch_waiting(managed: ManagedModel) -> None:
    """The delay alone does not make a label: they must have been read up to the moment at which
    they are mature.
    """
    one = cohort(managed, 5, labelled=None)
    so_far = [cohort(managed, week) for week in range(5, 8)]
    later = one.batch.end + 10 * WEEK

    assert why_waiting(managed, one, [], later).startswith(
        "no labels have come yet, and up to 2024-02-25 23:00"
    )
    assert why_waiting(managed, one, so_far, later) == (
        "labels have come up to 2024-02-18 23:00, and up to 2024-02-25 23:00 UTC are needed"
    )
    assert due(managed, one, so_far, later) is False
    assert due(managed, one, [*so_far, cohort(managed, 8)], later) is True


def test_labels_of_the_future_do_not_count(managed: ManagedModel) -> None:
    """A batch of labels that is not closed at the moment does not exist yet, wherever it comes
    from.
    """
    one = cohort(managed, 5)
    labels = [cohort(managed, week) for week in range(5, 20)]
    mature = managed.matures(one.batch)

    assert due(managed, one, labels, mature)
    assert not due(managed, one, labels, mature - timedelta(seconds=1))
    found = counted(managed, one, labels, 95, mature)
    assert not due(managed, found, labels, mature + 10 * WEEK), (
        "labels behind its moment are of other batches"
    )


def test_refused_labels_keep_their_own_batches_waiting_and_no_others(managed: ManagedModel) -> None:
    """From a batch's start to its moment no labels may be refused; before and after they may."""
    broken = cohort(managed, 6, accepted=False, verdict="column cancelled is missing")
    labels = [cohort(managed, 5), broken, *(cohort(managed, week) for week in range(7, 12))]
    late = managed.matures(managed.rows.batch("2024-W08"))

    def reason(week: int) -> str:
        found = Labelled(rows=100, labelled=95, as_of=late)
        return why_waiting(managed, cohort(managed, week, labelled=found), labels, late)

    assert (
        reason(5) == reason(6) == "its labels of 2024-W06 are refused: column cancelled is missing"
    )
    assert reason(7) == reason(8) == ""


def test_too_few_labels_keep_the_batch_waiting(managed: ManagedModel) -> None:
    """Below labels.min_share it is not used, and the reason has the figures; any later labels may
    change that.
    """
    one, labels = cohort(managed, 5), [cohort(managed, week) for week in range(5, 9)]
    mature = managed.matures(one.batch)
    few = counted(managed, one, labels, 89, mature)
    enough = counted(managed, one, labels, 90, mature)

    assert why_waiting(managed, one, labels, mature) == "its labels are not counted yet"
    assert why_waiting(managed, few, labels, mature) == (
        "only 89.0% of 100 rows have a label, less than the 90.0% that labels.min_share asks for"
    )
    assert why_waiting(managed, enough, labels, mature) == ""
    more = [*labels, cohort(managed, 9)]
    assert not due(managed, few, labels, mature + WEEK)
    assert not due(managed, few, more, mature + WEEK / 2), "that batch of labels is not closed yet"
    assert due(managed, few, more, mature + WEEK)
    assert not due(managed, enough, more, mature + WEEK)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda labels: labels, False),
        (lambda labels: [one for one in labels if one.batch.id != "2024-W06"], True),
        (lambda labels: [one.model_copy(update={"snapshot": "new"}) for one in labels], True),
        (lambda labels: [*labels[:-1], labels[-1].model_copy(update={"snapshot": "new"})], False),
    ],
    ids=["the same", "another set", "another revision", "a revision behind its moment"],
)
def test_judged_again_when_its_own_labels_come_again(
    managed: ManagedModel, change: Callable[[list[Cohort]], list[Cohort]], again: bool
) -> None:
    """A late or corrected batch of labels touches those batches that it can belong to, and no
    others.
    """
    one, labels = cohort(managed, 5), [cohort(managed, week) for week in range(5, 10)]
    as_of = managed.matures(one.batch) + WEEK
    found = counted(managed, one, labels, 95, as_of)

    assert due(managed, found, change(labels), as_of) is again


def test_neither_refused_nor_long_judged_batches_are_due(managed: ManagedModel) -> None:
    """A refused batch never is; one that was judged before labels were counted is left as it is."""
    labels = [cohort(managed, week) for week in range(5, 10)]
    as_of = managed.matures(managed.rows.batch("2024-W05"))

    assert not due(managed, cohort(managed, 5, accepted=False), labels, as_of)
    assert not due(managed, cohort(managed, 5, judged=True), labels, as_of)


def test_defaults_are_those_of_one_contract() -> None:
    """Nothing is joined and nothing held back unless the spec says so."""
    assert LabelsConfig().contract is None
    assert LabelsConfig().min_share == 0.0
