"""What must be the same at the end, with or without a crash: ledger, lake, registry and pages,
without drawn ids.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from sqlalchemy import select

from tasks.ledger import entries as ledger
from tasks.ledger.served import served_parts
from tasks.ledger.tables import deliveries, open_ledger
from tasks.model_spec import manage
from tasks.registry.aliases import CHALLENGER, CHAMPION, PREVIOUS, aliased_version, fetch
from tasks.registry.runs import KIND, OVER_TIME, client, experiment_id
from tasks.settings import Settings
from tests.versions import known_versions


def champion(model: str) -> dict[str, Any]:
    """Who is champion at this moment: the alias, and that the version loads and verifies."""
    settings = Settings()
    version = aliased_version(settings, model, CHAMPION)
    assert version is not None, "there is no champion"
    trained = ledger.training(open_ledger(settings.ledger_url), model, version)
    fetch(settings, trained, "skops")
    return {"version": version}


def _ranked(page: str, rank: dict[int, int]) -> str:
    """The path of a page; that of a version's card with the rank of the version among those that
    the ledger knows, since a run that died may have left a number behind.
    """
    return re.sub(r"versions/v(\d+)/", lambda m: f"versions/{rank.get(int(m[1]), m[1])}/", page)


def whole_state(model: str) -> dict[str, Any]:
    """Everything that a crash must not change."""
    settings = Settings()
    engine = open_ledger(settings.ledger_url)
    managed = manage(model, settings)
    entries = ledger.history(engine, model)
    records = ledger.known_batches(engine, model)
    versions = known_versions(engine, model)
    rank = {version: number for number, version in enumerate(versions, 1)}
    api = client(settings.tracking_uri)
    runs = api.search_runs([experiment_id(settings, model)], max_results=1000)
    named = ledger.known_runs(engine, model)
    ended = [r for r in runs if r.info.status == "FINISHED"]
    finished = [r for r in ended if r.data.tags[KIND] not in ("candidate", OVER_TIME)]
    registered = api.search_model_versions(f"name='{model}'")
    alias = {
        name: aliased_version(settings, model, name) for name in (CHAMPION, PREVIOUS, CHALLENGER)
    }
    pages = settings.reports / model
    with engine.connect() as connection:
        delivered = sorted([row.sink, row.part] for row in connection.execute(select(deliveries)))
    state: dict[str, Any] = {
        "batches": {
            id: [
                record.revision,
                record.completed,
                record.verdict.outcome,
                record.snapshot.sha256,
                record.predictions
                and [
                    rank[record.predictions.version],
                    _digest(settings.lake / record.predictions.path),
                ],
                [[rank[p.version], p.loss.value] for p in record.performances],
                record.drift and record.drift.share,
            ]
            for id, record in records.items()
        },
        "decisions": [
            [
                entry.batch,
                entry.decision.kind,
                entry.effective_at is not None,
                rank.get(getattr(entry.decision, "version", None)),
                rank.get(getattr(entry.decision, "previous", None)),
            ]
            for entry in entries
        ],
        "served": [
            [p.batch, p.sequence, rank[p.version], p.rows, _digest(settings.lake / p.path)]
            for p in served_parts(engine, model)
        ],
        "delivered": delivered,
        "trainings": [
            [one.recipe.hash, one.rows, str(one.trained_until)]
            for one in (ledger.training(engine, model, v) for v in versions)
        ],
        "aliases": {name: rank.get(version, version) for name, version in alias.items()},
        "over time": [
            [
                name,
                sorted(
                    [one.step, one.value] for one in api.get_metric_history(r.info.run_id, name)
                ),
            ]
            for r in ended
            if r.data.tags[KIND] == OVER_TIME
            for name in sorted(r.data.metrics)
            if name != "version"  # a run that died may have left a number behind
        ],
        "running": sorted(r.info.run_name for r in runs if r.info.status == "RUNNING"),
        "finished but unknown": sorted(
            r.info.run_name for r in finished if r.info.run_id not in named
        ),
        "known but unfinished": len(named - {r.info.run_id for r in finished}),
        "unmarked orphans": sorted(
            int(v.version)
            for v in registered
            if int(v.version) not in rank
            and "orphan" not in v.tags
            and api.get_run(v.run_id).info.status == "FINISHED"
        ),
        "lake": sorted(
            f"{path.relative_to(settings.lake)} {_digest(path)}"
            for path in settings.lake.rglob("*")
            if path.is_file()
            and not any(part.endswith(".tmp") or part.startswith(".scratch") for part in path.parts)
        ),
        "pages": sorted(
            _ranked(str(p.relative_to(pages)), rank)
            for p in pages.rglob("*")
            if p.is_file() and p.suffix != ".tmp"
        ),
    }
    for version in versions:
        fetch(settings, ledger.training(engine, model, version), managed.spec.trust)
    return json.loads(json.dumps(state))


def _digest(path: Any) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
