"""The score-card that the pages show: each past choice is judged once, when all of the batches that
judge it are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import get_run_logger
from pydantic import ValidationError

from flows.steps.run import ModelRun
from flows.steps.scorecard import complete, judge_choices, make_card
from tasks.errors import KingmakerError
from tasks.lake import write_whole
from tasks.ledger.tables import open_ledger
from tasks.records import JudgedChoice, Record, ScoreCard

AT_ONCE = 4
"""Most choices that one run judges: what was lost of the file comes back over some trainings."""


class _Kept(Record):
    """Choices that no later label judges otherwise."""

    judged: tuple[JudgedChoice, ...]


def judge_due_choices(run: ModelRun, most: int = AT_ONCE) -> None:
    """Judge the oldest choices that are due, and keep what is said of them beside the pages.

    It costs some predictions, and decides nothing: a run that trains makes it.
    """
    kept = _kept(run)
    known = {one.choice.number for one in kept}
    batches = [r.batch.id for r in run.batches.known.values() if r.performances]
    due = [
        one for one in run.history.choices if one.number not in known and complete(one, batches)
    ][:most]
    if not due:
        return
    engine = open_ledger(run.managed.settings.ledger_url)
    try:
        judged = judge_choices(run.managed, engine, run.history, due)
    except KingmakerError as error:
        numbers = ", ".join(str(one.number) for one in due)
        get_run_logger().warning(
            "%s: decisions %s cannot be judged: %s", run.managed.name, numbers, error
        )
        return
    text = _Kept(judged=(*kept, *judged)).model_dump_json()
    with run.fence.hold():
        write_whole(_file(run), text.encode())


def known_card(run: ModelRun) -> ScoreCard | None:
    """Return the card of the choices that were judged; None while none was."""
    judged = _kept(run)
    return make_card(run.history, run.managed.name, judged) if judged else None


def _kept(run: ModelRun) -> Sequence[JudgedChoice]:
    file = _file(run)
    if not file.exists():
        return ()
    try:
        return _Kept.model_validate_json(file.read_bytes()).judged
    except ValidationError as error:
        get_run_logger().warning(
            "%s: expected judged choices, found something else; they are judged anew: %s",
            file,
            error.errors(include_url=False)[0]["msg"],
        )
        return ()


def _file(run: ModelRun) -> Path:
    return run.managed.settings.reports / run.managed.name / "choices.json"
