"""The versions of a model as a run uses them: verified, with the weights and the recalibration in
force.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from data_contracts.contract import Contract
from data_contracts.diff import broken_promises
from flows.steps.kept import Kept
from tasks.errors import KingmakerError
from tasks.history import History
from tasks.ledger.repositories import Decisions, Trainings
from tasks.model_spec import ManagedModel
from tasks.records import (
    AnyEvidence,
    InForce,
    LedgerEntry,
    LoadedModel,
    Predictions,
    Recalibrate,
    TrainedModel,
    served_by,
)
from tasks.registry.task import champion_version, load_model

MOST = 8
"""Versions that a run keeps in memory."""


class LedgerMismatchError(KingmakerError):
    """The ledger and the registry name different champions."""


@dataclass(frozen=True)
class Models:
    """The registered versions of one model, each fetched and verified once a run."""

    managed: ManagedModel
    decisions: Decisions
    trainings: Trainings
    registry_away: bool
    _kept: Kept[int, LoadedModel] = field(default_factory=lambda: Kept(MOST))

    def champion(self) -> LoadedModel | None:
        """Return the champion; LedgerMismatchError unless registry and ledger agree on it.

        When the registry is away, the ledger's word is enough: the model's bytes are verified
        against it anyway.
        """
        expected = self.decisions.history.champion
        version = expected if self.registry_away else champion_version(self.managed)
        if version != expected:
            raise LedgerMismatchError(
                f"{self.managed.name}: the ledger says that version {expected} is champion, the"
                f" registry's alias says {version}; the alias was moved by another than Kingmaker:"
                " set it back, or promote with 'kingmaker promote'"
            )
        return None if version is None else self.version(version)

    def first_champion(self) -> LoadedModel | None:
        """Return the first version that ever was champion, as packaged: what never retraining would
        have given.
        """
        first = self.decisions.history.first_champion
        return None if first is None else self.packaged(first)

    def version(self, version: int, before: str | None = None) -> LoadedModel:
        """Return a version with the weights and the recalibration in force; or in force before a
        batch.
        """
        made = self.decisions.history.adjustments(version, before)
        packaged = self.packaged(version)
        return adjusted(packaged, made[-1]) if made else packaged

    def served(self, predictions: Predictions) -> LoadedModel:
        """Return exactly what predicted a batch."""
        packaged = self.packaged(predictions.version)
        return as_served(packaged, self.decisions.history, predictions.adjusted_by)

    def packaged(self, version: int) -> LoadedModel:
        """Return a version as it was packaged."""
        return self._kept.get(version, lambda: self._load(self.trainings.version(version)))

    def registered(self, trained: TrainedModel) -> LoadedModel:
        """Return a version as it came back from the registry, before the ledger knows it: it will,
        with its judgement.
        """
        return self._kept.get(trained.version, lambda: self._load(trained))

    def unusable(self, model: LoadedModel) -> str:
        """Return what of the contract that ``model`` was trained under is broken by now; empty when
        nothing is.
        """
        return unusable(model, self.managed.contract)

    def _load(self, trained: TrainedModel) -> LoadedModel:
        return load_model(self.managed, trained)


def unusable(model: LoadedModel, contract: Contract) -> str:
    """Return what of the contract that ``model`` was trained under ``contract`` breaks; empty when
    nothing is broken.
    """
    trained = model.trained
    changes = broken_promises(trained.contract_text, contract)
    if not changes:
        return ""
    same = trained.contract_version == contract.version
    hint = (
        "; give it a new version, so that rows from before can be told from rows after"
        if same
        else ""
    )
    return (
        f"version {trained.version} was trained under {contract.name} "
        f"{trained.contract_version}, and {contract.version} breaks it: "
        f"{'; '.join(map(str, changes))}{hint}"
    )


def as_served(packaged: LoadedModel, history: History, adjusted_by: int | None) -> LoadedModel:
    """Return a version with what the decision ``adjusted_by`` put in force; None: as packaged."""
    if adjusted_by is None:
        return packaged
    made = {one.id: one for one in history.adjustments(packaged.trained.version)}
    return adjusted(packaged, made[adjusted_by])


def adjusted(model: LoadedModel, entry: LedgerEntry[Recalibrate, AnyEvidence]) -> LoadedModel:
    """Return the model with the weights and the recalibration that a decision put in force."""
    return replace(
        model,
        weights=entry.decision.weights,
        recalibration=entry.decision.recalibration,
        adjusted_by=entry.id,
    )


def in_force(decision: Recalibrate, number: int) -> InForce:
    """Return what a decision, by its number in the ledger, put in force."""
    return InForce(
        served_by=served_by(decision.version, number),
        weights=decision.weights or (1.0,),
        recalibration=decision.recalibration,
    )
