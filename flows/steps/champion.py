"""The champion as it serves at this moment: read without a lease, from the ledger's word and the
verified copy of its bytes.
"""

from __future__ import annotations

from dataclasses import replace

from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.records import LedgerEntry, LoadedModel, TrainedModel, served_by


def serves(entries: tuple[LedgerEntry, ...]) -> str:
    """Return which version serves, and with which recalibration, such as ``v3.17``; empty when none
    does.
    """
    changes = ledger.champion_changes(entries)
    if not changes:
        return ""
    version = changes[-1].decision.version  # type: ignore[union-attr]  # Promote or RollBack
    made = ledger.adjustments(entries, version)
    return served_by(version, made[-1].id if made else None)


def in_force(managed: ManagedModel, engine: Engine) -> LoadedModel | None:
    """Return the champion, its bytes verified, with the weights and the recalibration in force;
    None when there is none.
    """
    from flows.steps.run import adjusted  # an idle run asks `serves` alone

    entries = ledger.history(engine, managed.name)
    changes = ledger.champion_changes(entries)
    if not changes:
        return None
    version = changes[-1].decision.version  # type: ignore[union-attr]  # Promote or RollBack
    packaged = _packaged(managed, ledger.training(engine, managed.name, version))
    made = ledger.adjustments(entries, version)
    return adjusted(packaged, made[-1]) if made else packaged


_NEWEST: dict[str, LoadedModel] = {}
"""Digest of the bytes -> the version that was read last: a replay scores week after week by one."""


def _packaged(managed: ManagedModel, trained: TrainedModel) -> LoadedModel:
    from tasks.registry.task import load_model

    if trained.artifact_sha256 not in _NEWEST:
        loaded = load_model.fn(managed, trained)
        _NEWEST.clear()
        _NEWEST[trained.artifact_sha256] = loaded
    return replace(_NEWEST[trained.artifact_sha256], trained=trained)
