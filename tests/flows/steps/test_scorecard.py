"""Tests of the score-card: past choices, judged by the labels that came later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prefect.logging import disable_run_logger

from deployments.command.scored import in_lines
from flows.steps.champion import served_version
from flows.steps.choices import judge_due_choices, known_card
from flows.steps.run import model_run
from flows.steps.scorecard import complete, make_card, score_card
from tasks.evaluation.scored import LabelledRows, score_model
from tasks.features.task import build_features
from tasks.history import History
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.records import Choice, Interval, JudgedChoice, KnownLabels, Past, ScoreCard
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT, copy_home
from tests.tasks.builders import at


@pytest.mark.flow
def test_choices_are_judged_by_later_batches(replayed_home):
    """Each by batches after it, while it stood, by what both versions lose on their rows; asked
    twice, it says the same, and it writes nothing.
    """
    settings = Settings(home=replayed_home, project=WEATHER_PROJECT)
    managed, engine = manage("weather", settings), open_ledger(settings.ledger_url)
    history = ledger.history(engine, "weather")
    known = ledger.known_batches(engine, "weather")

    card = score_card(managed, engine)

    judged = [one for one in card.judged if one.gained is not None]
    assert judged
    assert {one.choice.number for one in card.judged} == {one.number for one in history.choices}
    for one in judged:
        assert one.batches[0] > one.choice.batch
        assert one.choice.until == "" or one.batches[-1] <= one.choice.until
        assert len(one.batches) <= 4
        losses = []
        for version in (one.choice.chosen, one.choice.other):
            packaged = served_version(managed, engine, history, version, None)
            frames = [
                build_features.fn(
                    managed,
                    [known[id]],
                    KnownLabels(batches=(), as_of=at(10**4)),
                    Past(at(10**4)),
                )
                for id in one.batches
            ]
            told = [
                score_model(
                    replace(packaged, recalibration=None),
                    LabelledRows.of(frame),
                    "regression",
                    "mae",
                ).losses
                for frame in frames
            ]
            losses.append(float(np.concatenate(told).mean()))
        assert (one.chosen_loss, one.other_loss) == pytest.approx(losses)
        assert one.gained.value == pytest.approx(losses[1] - losses[0])
    assert score_card(managed, engine) == card
    assert ledger.history(engine, "weather") == history


@pytest.mark.flow
def test_each_choice_is_judged_once_when_its_batches_are_there(replayed_home, tmp_path, use_home):
    """What a run judged stands in the next; a file that says nothing is made anew; what is kept is
    what the command says of the same choices.
    """
    copy_home(replayed_home, tmp_path / "home")
    settings = use_home(tmp_path / "home")
    managed, engine = manage("weather", settings), open_ledger(settings.ledger_url)
    file = settings.reports / "weather" / "choices.json"
    file.unlink(missing_ok=True)

    with disable_run_logger(), model_run("weather", None) as run:
        assert known_card(run) is None
        batches = [r.batch.id for r in run.batches.known.values() if r.performances]
        due = [one.number for one in run.history.choices if complete(one, batches)]
        judge_due_choices(run, most=1)
        first = known_card(run)
        judge_due_choices(run)
        second = known_card(run)
        file.write_text("{", encoding="utf-8")
        assert known_card(run) is None
        judge_due_choices(run, most=len(due))
        again = known_card(run)

    assert [one.choice.number for one in first.judged] == due[:1]
    assert len(second.judged) > 1
    assert again.judged == tuple(
        one for one in score_card(managed, engine).judged if one.choice.number in due
    )


@pytest.mark.parametrize(
    ("until", "batches", "due"),
    [
        ("", ["b1", "b2", "b3", "b4"], False),
        ("", ["b1", "b2", "b3", "b4", "b5"], True),
        ("b3", ["b1", "b2"], False),
        ("b3", ["b1", "b2", "b3"], True),
        ("b3", ["b1", "b4"], True),
        ("b1", ["b1"], True),
        ("", [], False),
    ],
)
def test_a_choice_is_due_when_nothing_more_can_judge_it(until, batches, due) -> None:
    """After four batches, or when what it chose is champion no more."""
    choice = Choice(
        number=1, kind="Promote", batch="b1", as_of=at(0), chosen=2, other=1, until=until
    )

    assert complete(choice, batches) == due


def test_years_are_summed_each_for_itself() -> None:
    """By the year of the choice, the newest first; a year in which none is judged is left out."""
    first, second = _judged(2, 0.1, 0.3, rows=100), _judged(3, -0.3, -0.1, rows=200)
    later = second.model_copy(update={"choice": second.choice.but(as_of=at(400))})
    unknown = _judged(4, None)
    unknown = unknown.model_copy(update={"choice": unknown.choice.but(as_of=at(800))})

    card = make_card(History(), "weather", [first, later, unknown])

    assert [(y.year, y.right, y.wrong) for y in card.years] == [(2021, 0, 1), (2020, 1, 0)]
    assert [y.gained.value for y in card.years] == pytest.approx([-40, 20])
    assert card.gained.value == pytest.approx(-20)
    assert "2021: 0 right, 1 wrong" in "\n".join(in_lines(card))


def _judged(number: int, low: float | None, high: float = 0.0, rows: int = 100) -> JudgedChoice:
    choice = Choice(
        number=number, kind="Promote", batch="2020-01", as_of=at(0), chosen=number, other=number - 1
    )
    if low is None:
        return JudgedChoice(choice=choice, why_not="no labels have come since")
    gained = Interval(value=(low + high) / 2, low=low, high=high)
    return JudgedChoice(
        choice=choice,
        batches=("2020-02",),
        rows=rows,
        blocks=10,
        chosen_loss=0.5 - gained.value,
        other_loss=0.5,
        gained=gained,
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.2, -0.1, "wrong"),
        (-0.2, 0.1, "cannot be told"),
        (0.1, 0.2, "right"),
        (None, 0.0, "not judged"),
    ],
)
def test_what_the_interval_says(low: float | None, high: float, verdict: str) -> None:
    """A choice was wrong or right when its whole interval says so."""
    assert _judged(2, low, high).verdict == verdict


def test_card_in_words() -> None:
    """The sums first, then each choice with what it gained, or why it is not judged."""
    card = ScoreCard(
        model="weather",
        judged=(_judged(3, -0.2, -0.1), _judged(2, None)),
        holds=4,
        gained=Interval(value=-15.0, low=-20.0, high=-10.0),
    )

    said = "\n".join(in_lines(card))

    assert (
        "2 choices between two versions: 0 right, 1 wrong, 0 cannot be told, 1 not judged" in said
    )
    assert "together they gained -15 [-20, -10]" in said
    assert "4 times nothing was trained" in said
    assert "Promote: version 3, not 2: wrong" in said
    assert "gained -0.15 [-0.2, -0.1] (-30.0%) on 100 rows in 10 blocks of 2020-02" in said
    assert "no labels have come since" in said
    empty = ScoreCard(model="weather", judged=(), holds=0, gained=None)
    assert list(in_lines(empty)) == ["weather: no choice between two versions was made yet"]
