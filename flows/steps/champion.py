"""The champion as it serves at this moment: read without a lease, from the ledger's word and the
verified copy of its bytes.
"""

from __future__ import annotations

from dataclasses import replace

from flows.steps.models import adjusted
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.records import LoadedModel, TrainedModel
from tasks.registry.task import load_model


def in_force(managed: ManagedModel, engine: Engine) -> LoadedModel | None:
    """Return the champion, its bytes verified, with the weights and the recalibration in force;
    None when there is none.
    """
    history = ledger.history(engine, managed.name)
    version = history.champion
    if version is None:
        return None
    packaged = _packaged(managed, ledger.training(engine, managed.name, version))
    made = history.adjustments(version)
    return adjusted(packaged, made[-1]) if made else packaged


_NEWEST: dict[str, LoadedModel] = {}
"""Digest of the bytes -> the version that was read last: a replay scores week after week by one."""


def _packaged(managed: ManagedModel, trained: TrainedModel) -> LoadedModel:
    if trained.artifact_sha256 not in _NEWEST:
        loaded = load_model.fn(managed, trained)
        _NEWEST.clear()
        _NEWEST[trained.artifact_sha256] = loaded
    return replace(_NEWEST[trained.artifact_sha256], trained=trained)
