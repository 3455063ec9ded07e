"""Open rows are scored as they come, and their predictions kept and delivered."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow, get_run_logger

from flows.steps.delivery import deliver
from flows.steps.open_rows import RowsRefusedError
from flows.steps.pending import open_fingerprints, open_to_score, scoring_idle
from flows.steps.run_name import run_name
from flows.steps.serving import (
    NoChampionError,
    champion_to_score_by,
    serve_open_batch,
)
from tasks.errors import KingmakerError, MisuseError
from tasks.explanation.reasons import ReasonsError
from tasks.ingest.source import UnreadableError
from tasks.ledger.served import mark_scored
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.records import ServedPart
from tasks.settings import Settings


class ScoringIncompleteError(KingmakerError):
    """Some open rows could not be scored, or some sink was away; all else has gone through."""


class NotToBeScoredError(MisuseError):
    """The spec says nothing of open rows."""


@flow(name="score", flow_run_name=run_name)
async def score(
    model: str,
    as_of: datetime | None = None,
    before: datetime | None = None,
    since: datetime | None = None,
) -> tuple[ServedPart, ...]:
    """Score the rows of a model whose batch has not closed, keep the predictions as served, and
    deliver them.

    It needs no lease, and runs beside trainings. Rows that are known already, by the champion that
    serves, are not scored again. Raises ScoringIncompleteError at the end when rows were refused,
    or a sink was away; what is missing is made up for by a later run.

    Args:
        model: Name of a directory in deployments/, such as flights.
        as_of: Act as if it were this moment. Left out: now.
        before: Only rows whose event time is before this moment. Left out: all that there are.
        since: Only rows of batches that begin at this moment or later. Left out: all that are open.
    """
    managed, log = manage(model, Settings()), get_run_logger()
    if managed.spec.scoring is None:
        raise NotToBeScoredError(
            f"{model}: expected scoring in its model.yaml, to say which rows are to be scored,"
            " found none"
        )
    engine = open_ledger(managed.settings.ledger_url)
    moment = (as_of or datetime.now(UTC)).astimezone(UTC)
    if scoring_idle(managed, engine, moment, before, since):
        log.debug("%s: nothing is new to be scored", model)
        return ()
    found: list[ServedPart] = []
    missing: list[str] = []
    waiting = open_to_score(managed, engine, moment, before, since)
    if waiting:
        try:
            champion = champion_to_score_by(managed, engine)
        except NoChampionError as error:
            log.info("%s", error)
            return ()
        signs = open_fingerprints(managed, engine, waiting, before)
        for source in waiting:
            try:
                found += serve_open_batch(managed, engine, champion, source.batch, moment, before)
            except (UnreadableError, RowsRefusedError, ReasonsError) as error:
                missing.append(f"{model} {source.batch.id}: {error}")
                continue
            mark_scored(engine, model, source.batch.id, signs[source.batch.id])
    missing += [str(error) for error in deliver(managed, engine)]
    for one in missing:
        log.warning("%s", one)
    by_batch = ", ".join(f"{part.batch}: {part.rows:,}" for part in found)
    if found or not missing:
        log.info("%s: open rows scored: %s", model, by_batch or "none is new")
    if missing:
        raise ScoringIncompleteError("; ".join(missing))
    return tuple(found)
