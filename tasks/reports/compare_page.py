"""Two versions of a model side by side: how they were made, what they have seen, how they did, and
what they look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from tasks.history import History
from tasks.records import (
    BatchRecord,
    Comparison,
    Evidence,
    Interval,
    LedgerEntry,
    Performance,
    TrainedModel,
    WatchEvidence,
)
from tasks.reports import figures
from tasks.reports.model_card import described, state_of
from tasks.reports.page import render_page
from tasks.reports.summary import newest_revisions
from tasks.reports.tables import Table

FEATURES = 20
"""Features of which the importance is shown, the most important for either version first."""
BATCHES = 24
"""Batches of which the scores are shown, the newest first."""


def render_compare_page(
    one: TrainedModel, other: TrainedModel, records: Sequence[BatchRecord], history: History
) -> str:
    """Return the HTML page of two versions of a model, ``one`` to the left."""
    names = (f"version {one.version}", f"version {other.version}")
    tables = (
        _on_same_rows(one.version, other.version, history),
        _scores(one.version, other.version, records),
        _made(one, other, names),
        _features(one, other, names),
        _importance(one, other, names),
    )
    return render_page(
        "tables.html.j2",
        home="../../",
        page=f"../{quote(one.model)}",
        model=one.model,
        what=f"{names[0]} and {names[1]}",
        headline=f"{names[0]} beside {names[1]}".capitalize(),
        sentences=[f"Version {v.version}: {state_of(v.version, history)}" for v in (one, other)],
        links=[
            *(
                (
                    f"../../reports/{quote(v.model)}/versions/v{v.version}/card.html",
                    f"card of version {v.version}",
                )
                for v in (one, other)
            ),
            (f"compare?one={other.version}&other={one.version}", "the other way round"),
        ],
        tables=[table for table in tables if table.rows],
    )


def _on_same_rows(one: int, other: int, history: History) -> Table:
    """Each comparison that a decision between the two rested on."""
    rows = tuple(
        (
            f"{entry.id}: {figures.in_plain_words(entry.decision.kind)}",
            entry.batch,
            f"{found.rows:,}",
            figures.number(losses[one]),
            figures.number(losses[other]),
            figures.interval(
                found.difference if challenger == other else _turned(found.difference)
            ),
            figures.interval(scores[one]),
            figures.interval(scores[other]),
        )
        for entry, found, challenger, losses, scores in _comparisons({one, other}, history)
    )
    metric = next((c.metric for _, c, *_ in _comparisons({one, other}, history)), "")
    name = figures.in_words(metric) if metric else ""
    return Table(
        "Compared on the same rows",
        (
            "decision",
            "batch",
            "rows",
            f"loss of v{one}",
            f"loss of v{other}",
            f"v{other} minus v{one}",
            f"{name} of v{one}",
            f"{name} of v{other}",
        ),
        rows,
        note=(
            "Neither was trained on them; the difference is of the losses, with its 95% interval:"
            f" below zero version {other} was better."
        ),
    )


def _comparisons(
    versions: set[int], history: History
) -> Iterator[
    tuple[LedgerEntry, Comparison, int, Mapping[int, float], Mapping[int, Interval | None]]
]:
    """The comparisons of the two versions: with the challenger, and losses and scores by
    version.
    """
    for entry in history:
        match entry.evidence:
            case Evidence(comparison=Comparison() as found, champion=int(champion)) as evidence:
                challenger = evidence.challenger
            case WatchEvidence(comparison=found, champion=champion, previous=challenger):
                pass
            case _:
                continue
        if {challenger, champion} == versions:
            yield (
                entry,
                found,
                challenger,
                {challenger: found.challenger_loss, champion: found.champion_loss},
                {challenger: found.challenger_score, champion: found.champion_score},
            )


def _turned(difference: Interval) -> Interval:
    """The difference the other way round."""
    return Interval(value=-difference.value, low=-difference.high, high=-difference.low)


def _scores(one: int, other: int, records: Sequence[BatchRecord]) -> Table:
    """How each did on the batches that judged it."""
    judged: list[tuple[str, dict[int, Performance]]] = []
    for record in reversed(newest_revisions(records)):
        own = {p.version: p for p in record.performances if p.version in (one, other)}
        if own:
            judged.append((record.batch.id, own))
    metric = next(iter(judged[0][1].values())).metric if judged else ""
    name = figures.in_words(metric) if metric else ""

    def loss(of: Performance | None) -> str:
        return figures.interval(None if of is None else of.loss)

    def score(of: Performance | None) -> str:
        return figures.interval(None if of is None else of.score)

    return Table(
        "On the batches that judged them",
        (
            "batch",
            f"{name} of v{one}",
            f"{name} of v{other}",
            f"loss of v{one}",
            f"loss of v{other}",
        ),
        tuple(
            (batch, *(show(own.get(v)) for show in (score, loss) for v in (one, other)))
            for batch, own in judged[:BATCHES]
        ),
        note=(
            "With 95% intervals. A batch judges the version that served it, and the first champion:"
            " numbers of different batches are not comparable."
        ),
    )


def _made(one: TrainedModel, other: TrainedModel, names: tuple[str, str]) -> Table:
    """What each was made of; what differs stands first."""
    left, right = described(one), described(other)
    rows = [
        (name, left.get(name) or figures.NOTHING, right.get(name) or figures.NOTHING)
        for name in dict.fromkeys((*left, *right))
        if left.get(name) or right.get(name)
    ]
    return Table(
        "How they were made",
        ("", *names, ""),
        tuple(
            (*row, "differs" if row[1] != row[2] else "")
            for row in sorted(rows, key=lambda row: row[1] == row[2])
        ),
    )


def _features(one: TrainedModel, other: TrainedModel, names: tuple[str, str]) -> Table:
    """The features that only one of them has."""
    left, right = one.schema_.names, other.schema_.names
    shared = len(set(left) & set(right))
    rows = tuple(
        (name, "yes" if name in left else "no", "yes" if name in right else "no")
        for name in sorted(set(left) ^ set(right))
    )
    return Table(
        "Features that only one of them has",
        ("feature", *names),
        rows or (("none", figures.NOTHING, figures.NOTHING),),
        note=f"Both have {figures.counted(shared, 'feature', 'features')}.",
    )


def _importance(one: TrainedModel, other: TrainedModel, names: tuple[str, str]) -> Table:
    left, right = one.behaviour.importance, other.behaviour.importance
    most = sorted(
        {*left, *right}, key=lambda name: (-max(left.get(name, 0), right.get(name, 0)), name)
    )
    return Table(
        "Importance",
        ("feature", *names),
        tuple(
            (name, figures.number(left.get(name), 3), figures.number(right.get(name), 3))
            for name in most[:FEATURES]
        ),
        note=(
            "How much the loss on the holdout of each grows when the values of a feature are"
            " shuffled."
        ),
    )
