"""The mandate: the right of one run to act for one model, and its way into the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import prefect.runtime
from sqlalchemy import Engine

from data_contracts.diff import broken_promises
from tasks.configuration import Config
from tasks.decisions.rules import FreezeRule, GateRule, PolicyRule, WatchRule
from tasks.ledger import entries as ledger
from tasks.ledger.lease import Lease, holder_name, lease
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import (
    BatchRecord,
    Decision,
    LedgerEntry,
    LoadedModel,
    Promote,
    Record,
    RollBack,
    TrainedModel,
)
from tasks.registry.task import champion_version, crown, load_model
from tasks.settings import Settings


class LedgerMismatchError(RuntimeError):
    """The ledger and the registry name different champions."""


@dataclass(frozen=True)
class Mandate:
    """A model under management, the lease to act for it, and the moment at which it is acted."""

    managed: ManagedModel
    engine: Engine
    lease: Lease
    as_of: datetime
    """Now, or the moment of the data's time that a replay stands at."""
    flow_run: str

    # --- who reigns ---

    def champion(self) -> LoadedModel | None:
        """Return the reigning champion, verified; LedgerMismatchError unless registry and ledger agree on it."""
        version = champion_version(self.managed)
        reigns = ledger.reigns(self.history())
        expected = reigns[-1].decision.version if reigns else None  # type: ignore[union-attr]  # Promote or RollBack
        if version != expected:
            raise LedgerMismatchError(
                f"{self.managed.name}: the ledger says that version {expected} reigns, the registry's alias says "
                f"{version}; someone moved the alias by hand: set it back, or promote with 'kingmaker promote'"
            )
        return None if version is None else self.model(version)

    def first_champion(self) -> LoadedModel | None:
        """Return the first version that ever reigned: what never retraining would have given."""
        reigns = ledger.reigns(self.history())
        return self.model(reigns[0].decision.version) if reigns else None  # type: ignore[union-attr]  # Promote

    def model(self, version: int) -> LoadedModel:
        """Return a version, verified."""
        return load_model(self.managed, ledger.training(self.engine, self.managed.name, version))

    def contract_broken(self, model: LoadedModel) -> str:
        """Return what of the contract that ``model`` was trained under is broken by now; empty when nothing is."""
        changes = broken_promises(model.trained.contract_text, self.managed.contract)
        if not changes:
            return ""
        return (
            f"version {model.trained.version} was trained under {self.managed.contract.name} "
            f"{model.trained.contract_version}, and {self.managed.contract.version} breaks it: "
            f"{'; '.join(map(str, changes))}"
        )

    # --- batches ---

    def batches(self) -> dict[str, BatchRecord]:
        """Return batch id -> newest revision."""
        return ledger.known_batches(self.engine, self.managed.name)

    def trainable(self) -> list[BatchRecord]:
        """Return the accepted batches whose labels are mature, oldest first."""
        return [r for r in self.batches().values() if r.accepted and self.managed.mature(r.batch, self.as_of)]

    def write_batch(self, record: BatchRecord) -> BatchRecord:
        """Write the batch down, and return it with its revision."""
        return ledger.record_batch(self.engine, self.lease, record)

    # --- decisions ---

    def history(self) -> tuple[LedgerEntry, ...]:
        """Return every decision about the model, oldest first."""
        return ledger.history(self.engine, self.managed.name)

    def rule(
        self, rule: GateRule | PolicyRule | WatchRule | FreezeRule, batch: str, evidence: Record
    ) -> LedgerEntry:
        """Let a rule decide, and write down what it decided, of which evidence, under which settings."""
        decision = rule.decide(evidence)  # type: ignore[arg-type]  # the caller's evidence is of the rule's kind
        return self.decide(batch, decision, evidence, rule=rule)

    def decide(
        self,
        batch: str,
        decision: Decision,
        evidence: Record,
        decided_by: str = "kingmaker",
        rule: Config | None = None,
    ) -> LedgerEntry:
        """Write a decision down with its evidence."""
        return ledger.record_decision(
            self.engine, self.lease, batch, decision, evidence,
            rule=None if rule is None else rule.model_dump(mode="json"), as_of=self.as_of, flow_run=self.flow_run, decided_by=decided_by,
        )  # fmt: skip

    def carry_out(self, entry: LedgerEntry) -> None:
        """Carry out a journalled promotion or rollback, and mark it effective."""
        if isinstance(entry.decision, Promote | RollBack):
            crown(self.managed, entry.decision)
        self.finish(entry)

    def finish(self, entry: LedgerEntry) -> None:
        """Mark a journalled decision effective."""
        ledger.mark_effective(self.engine, self.lease, entry)

    def unfinished(self) -> tuple[LedgerEntry, ...]:
        """Return the journalled decisions that have not taken effect, oldest first."""
        return ledger.unfinished(self.history())

    def write_training(self, trained: TrainedModel, batch: str) -> None:
        """Write down what a registered version is."""
        ledger.record_training(self.engine, self.lease, trained, batch)

    def frozen(self) -> LedgerEntry | None:
        """Return the decision that froze the model; None when it is free."""
        return ledger.frozen(self.history())

    def approval_required(self) -> bool:
        """Whether a person has the last word on a promotion: the spec says so, or the model is frozen."""
        return self.managed.spec.approval == "required" or self.frozen() is not None

    def attempts(self) -> int:
        """Return how many changes of recipe were judged since one was promoted."""
        return ledger.attempts_since_promotion(self.history())

    def training_batches(self) -> tuple[str, ...]:
        """Return the batches at which versions were trained, oldest first."""
        return ledger.training_batches(self.engine, self.managed.name)


_IN_FORCE: ContextVar[Mandate | None] = ContextVar("mandate in force", default=None)
"""The mandate of the outermost flow: a flow and the flows that it calls are one run, under one lease."""


@contextmanager
def mandate(model: str, as_of: datetime | None) -> Iterator[Mandate]:
    """Act for ``model``: take its lease, and first carry out what a run that died left in the journal.

    Raises LeaseHeldError when another run acts for the model.
    """
    moment = (as_of or datetime.now(UTC)).astimezone(UTC)
    run = str(prefect.runtime.flow_run.id or "")
    outer = _IN_FORCE.get()
    if outer is not None and outer.managed.name == model:
        yield replace(outer, as_of=moment, flow_run=run)
        return
    managed = manage(model, Settings())
    engine = open_ledger(managed.settings.ledger_url)
    with lease(engine, model, holder_name(run)) as held:
        mine = Mandate(managed, engine, held, moment, run)
        for entry in mine.unfinished():
            if isinstance(entry.decision, Promote | RollBack):
                mine.carry_out(entry)
        token = _IN_FORCE.set(mine)
        try:
            yield mine
        finally:
            _IN_FORCE.reset(token)
