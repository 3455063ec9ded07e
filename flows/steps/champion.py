"""Versions as they serve or served, read without a lease: by the ledger's word, from the verified
copy of their bytes.
"""

from __future__ import annotations

from dataclasses import replace

from flows.steps.kept import Kept
from flows.steps.models import as_served
from tasks.history import History
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.records import LoadedModel
from tasks.registry.task import load_model

_KEPT: Kept[str, LoadedModel] = Kept(1)
"""By the digest of its bytes, the version that was read last: a replay scores week after week by
one.
"""


def in_force(managed: ManagedModel, engine: Engine) -> LoadedModel | None:
    """Return the champion, its bytes verified, with the weights and the recalibration in force;
    None when there is none.
    """
    history = ledger.history(engine, managed.name)
    version = history.champion
    if version is None:
        return None
    made = history.adjustments(version)
    return served_version(managed, engine, history, version, made[-1].id if made else None)


def served_version(
    managed: ManagedModel, engine: Engine, history: History, version: int, adjusted_by: int | None
) -> LoadedModel:
    """Return a version, its bytes verified, with what the decision ``adjusted_by`` put in force."""
    trained = ledger.training(engine, managed.name, version)
    packaged = _KEPT.get(trained.artifact_sha256, lambda: load_model.fn(managed, trained))
    return as_served(replace(packaged, trained=trained), history, adjusted_by)
