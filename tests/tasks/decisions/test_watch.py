"""Tests of the watch after a promotion."""

import math

import pytest

from tasks.decisions.config import WatchConfig
from tasks.decisions.watch import decide_watch
from tasks.records import Hold, RollBack, WatchEvidence
from tests.tasks.builders import comparison


def _watch(loss: float, t: float, champion_loss: float = 1.0) -> Hold | RollBack:
    shadow = comparison(challenger_loss=loss, champion_loss=champion_loss, t=t)
    evidence = WatchEvidence(
        model="flights",
        batch="2020-03",
        revision=1,
        champion=2,
        previous=1,
        batches_watched=1,
        comparison=shadow,
    )
    return decide_watch(evidence, WatchConfig())


@pytest.mark.parametrize(
    ("loss", "t", "kind"),
    [
        (0.97, -2.1, RollBack),
        (0.97, -2.0, Hold),  # the share alone
        (0.97, 2.1, Hold),
        (0.981, -9.0, Hold),  # the t alone
        (0.979, -2.1, RollBack),
        (1.10, 9.0, Hold),
        (0.50, -math.inf, RollBack),
    ],
)
def test_both_t_and_share_must_say_so(loss: float, t: float, kind: type) -> None:
    """The previous champion comes back only when it is better by t and by share."""
    assert isinstance(_watch(loss, t), kind)


@pytest.mark.parametrize(("rows", "kind"), [(13, Hold), (99, Hold), (100, RollBack)])
def test_few_rows_bring_nothing_back(rows: int, kind: type) -> None:
    """However far the losses of thirteen rows are apart, they are no ground to roll back."""
    shadow = comparison(challenger_loss=0.5, champion_loss=1.0, t=-9.0, rows=rows)
    evidence = WatchEvidence(
        model="flights",
        batch="2020-03",
        revision=1,
        champion=2,
        previous=1,
        batches_watched=1,
        comparison=shadow,
    )

    assert isinstance(decide_watch(evidence, WatchConfig()), kind)


def test_rollback_names_both_versions() -> None:
    """The rollback says who is champion again and who is replaced."""
    decision = _watch(0.9, -5.0)

    assert isinstance(decision, RollBack)
    assert (decision.version, decision.previous) == (1, 2)
    assert "version 1, has loss 0.9 against 1" in decision.reason


@pytest.mark.parametrize(
    ("loss", "champion_loss", "kind"),
    [
        (0.5, math.nan, RollBack),
        (0.5, math.inf, RollBack),
        (math.nan, 0.5, Hold),
        (math.nan, math.nan, Hold),
    ],
)
def test_losses_that_are_no_numbers(loss: float, champion_loss: float, kind: type) -> None:
    """A champion without a loss gives way to one that has a loss; one without a loss never comes
    back.
    """
    assert isinstance(_watch(loss, math.nan, champion_loss), kind)


def test_champion_without_any_loss_stays() -> None:
    """A champion whose loss is zero cannot be beaten, and nothing is divided by it."""
    assert isinstance(_watch(0.1, -9.0, champion_loss=0.0), Hold)
