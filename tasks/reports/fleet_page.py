"""The fleet: every model at a glance, who is champion, how it does, and what needs a person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.history import History
from tasks.needs import Need, needs
from tasks.records import Interval, KnownBatch, Record
from tasks.reports.page import render_page

WIDTH, HEIGHT = 120.0, 28.0
"""Of the small line of scores, in its units."""


class FleetModel(Record):
    """One model at a glance."""

    model: str
    champion: int | None
    """Its version; None when there is none yet."""
    since: str
    """Batch since which it is champion; empty without one."""
    batch: str
    """The newest batch that was taken in; empty before the first."""
    rows: int
    quarantined: int
    drift_share: float | None
    metric: str
    scored: str
    """The batch that the score is of; empty while there is none."""
    score: Interval | None
    scores: tuple[float | None, ...]
    """Of the newest batches, the newest last; None where labels are not mature."""
    last: str
    """The newest decision, such as ``Promote version 3``; empty before the first."""
    reason: str
    """Of that decision."""
    decision: int | None
    """Its number."""
    needs: tuple[Need, ...]
    """The most pressing first."""
    managed: bool
    """Whether the project still describes it."""


def at_a_glance(
    name: str,
    batches: Sequence[KnownBatch],
    history: History,
    *,
    managed: bool,
    within: timedelta | None = None,
) -> FleetModel:
    """Return one model at a glance, from its newest batches, the newest last; ``within`` is how
    long its requests for approval wait, where that is known.
    """
    changes = history.champion_changes
    newest = batches[-1] if batches else None
    judged = next((one for one in reversed(batches) if one.figures.score is not None), None)
    last = history.entries[-1] if history else None
    return FleetModel(
        model=name,
        champion=history.champion,
        since=changes[-1].batch if changes else "",
        batch=newest.batch if newest else "",
        rows=newest.figures.rows if newest else 0,
        quarantined=newest.figures.quarantined if newest else 0,
        drift_share=newest.figures.drift_share if newest else None,
        metric=judged.figures.metric if judged else "",
        scored=judged.batch if judged else "",
        score=judged.figures.score if judged else None,
        scores=tuple(None if b.figures.score is None else b.figures.score.value for b in batches),
        last=last.title if last else "",
        reason=last.decision.reason if last else "",
        decision=last.id if last else None,
        needs=tuple(needs(newest, history, within)),
        managed=managed,
    )


def chosen(
    models: Sequence[FleetModel], search: str = "", *, needing: bool = False
) -> tuple[FleetModel, ...]:
    """Return the models whose name has ``search`` in it, in any case; or those of them that need a
    person.
    """
    wanted = search.strip().casefold()
    return tuple(
        one for one in models if wanted in one.model.casefold() and (one.needs or not needing)
    )


def render_fleet_page(
    models: Sequence[FleetModel],
    now: datetime,
    search: str = "",
    *,
    needing: bool = False,
    away: str = "",
    person: str = "",
) -> str:
    """Return the HTML page of all models, or of those that were asked for; ``away`` says what could
    not be asked, ``person`` who is logged in.
    """
    shown = chosen(models, search, needing=needing)
    return render_page(
        "fleet.html.j2",
        shown=shown,
        lines={one.model: _line(one.scores) for one in shown},
        models=len(models),
        needing=sum(bool(one.needs) for one in models),
        search=search,
        only_needing=needing,
        away=away,
        person=person,
        now=now,
        width=WIDTH,
        height=HEIGHT,
    )


def _line(scores: Sequence[float | None]) -> str:
    """The path of a small line of scores, broken where there is none; empty for fewer than two."""
    known = [score for score in scores if score is not None and math.isfinite(score)]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    step, span = WIDTH / (len(scores) - 1), (high - low) or 1.0
    path, pen = "", "M"
    for i, score in enumerate(scores):
        if score is None or not math.isfinite(score):
            pen = "M"
            continue
        path += f"{pen}{i * step:.1f},{HEIGHT - (score - low) / span * HEIGHT:.1f} "
        pen = "L"
    return path.strip()
