"""The run: the right of one run to act for one model, and its way into the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import prefect.runtime
from prefect import get_run_logger

from data_contracts.diff import broken_promises
from flows.steps.events import announce
from flows.steps.pending import waiting_for_labels
from tasks.cohorts import why_waiting
from tasks.configuration import Config
from tasks.decisions.rules import Rule
from tasks.errors import KingmakerError
from tasks.features.task import build_features
from tasks.ledger import entries as ledger
from tasks.ledger.lease import Lease, fenced, holder_name, lease
from tasks.ledger.tables import Engine, open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import (
    BatchRecord,
    Decision,
    FeatureFrame,
    Fence,
    KnownLabels,
    LedgerEntry,
    LoadedModel,
    Predictions,
    Promote,
    Recalibrate,
    Record,
    RegistryAwayError,
    RollBack,
    TrainedModel,
)
from tasks.registry.task import champion_version, end_left_behind, load_model, set_champion
from tasks.settings import Settings


class LedgerMismatchError(KingmakerError):
    """The ledger and the registry name different champions."""


@dataclass(frozen=True)
class ModelRun:
    """A model under management, the lease to act for it, and the moment at which it is acted."""

    managed: ManagedModel
    engine: Engine
    lease: Lease
    as_of: datetime
    """Now, or the moment of the data's time that a replay stands at."""
    flow_run: str
    loaded: dict[int, LoadedModel] = field(default_factory=dict)
    """Versions that this run has fetched and verified."""
    registry_away: str = ""
    """Why MLflow could not be asked when the run began; empty when it answered."""

    @property
    def fence(self) -> Fence:
        """What keeps this run from writing outside the ledger once its lease has passed on."""
        return Fence(self.lease.token, lambda: fenced(self.engine, self.lease))

    def need_registry(self) -> None:
        """Raise RegistryAwayError when MLflow did not answer: nothing is trained or promoted
        without it.
        """
        if self.registry_away:
            raise RegistryAwayError(self.registry_away)

    # --- who is champion ---

    def champion(self) -> LoadedModel | None:
        """Return the champion, verified; LedgerMismatchError unless registry and ledger
        agree on it.

        When the registry is away, the ledger's word is enough: the model's bytes are verified
        against it anyway.
        """
        champion_changes = ledger.champion_changes(self.history())
        expected = champion_changes[-1].decision.version if champion_changes else None  # type: ignore[union-attr]  # Promote or RollBack
        version = expected if self.registry_away else champion_version(self.managed)
        if version != expected:
            raise LedgerMismatchError(
                f"{self.managed.name}: the ledger says that version {expected} is champion, the"
                f" registry's alias says {version}; someone moved the alias by hand: set it back,"
                " or promote with 'kingmaker promote'"
            )
        return None if version is None else self.model(version)

    def current_champion(self) -> int | None:
        """Return the champion's version, verified as ``champion`` does."""
        champion = self.champion()
        return None if champion is None else champion.trained.version

    def first_champion(self) -> LoadedModel | None:
        """Return the first version that ever was champion, as packaged: what never retraining would
        have given.
        """
        champion_changes = ledger.champion_changes(self.history())
        return self.packaged(champion_changes[0].decision.version) if champion_changes else None  # type: ignore[union-attr]  # Promote

    def model(self, version: int, before: str | None = None) -> LoadedModel:
        """Return a version, verified, with the weights and the recalibration in force; or in force
        before a batch.
        """
        made = [e for e in self.adjustments(version) if before is None or e.batch < before]
        return adjusted(self.packaged(version), made[-1]) if made else self.packaged(version)

    def served(self, predictions: Predictions) -> LoadedModel:
        """Return exactly what served a batch."""
        made = {entry.id: entry for entry in self.adjustments(predictions.version)}
        packaged = self.packaged(predictions.version)
        return (
            packaged
            if predictions.adjusted_by is None
            else adjusted(packaged, made[predictions.adjusted_by])
        )

    def packaged(self, version: int) -> LoadedModel:
        """Return a version, verified once a run, as it was packaged."""
        if version not in self.loaded:
            self.loaded[version] = load_model(self.managed, self.training(version))
        return self.loaded[version]

    def registered(self, trained: TrainedModel) -> LoadedModel:
        """Return a version as it came back from the registry, before the ledger knows it: it will,
        with its judgement.
        """
        self.loaded[trained.version] = load_model(self.managed, trained)
        return self.loaded[trained.version]

    def training(self, version: int) -> TrainedModel:
        """Return what the ledger knows of a version."""
        return ledger.training(self.engine, self.managed.name, version)

    def adjustments(self, version: int) -> tuple[LedgerEntry, ...]:
        """Return the refreshes of a version's weights and recalibration, oldest first."""
        return ledger.adjustments(self.history(), version)

    def contract_broken(self, model: LoadedModel) -> str:
        """Return what of the contract that ``model`` was trained under is broken by now; empty when
        nothing is.
        """
        changes = broken_promises(model.trained.contract_text, self.managed.contract)
        if not changes:
            return ""
        same = model.trained.contract_version == self.managed.contract.version
        hint = (
            "; give it a new version, so that rows from before can be told from rows after"
            if same
            else ""
        )
        return (
            f"version {model.trained.version} was trained under {self.managed.contract.name} "
            f"{model.trained.contract_version}, and {self.managed.contract.version} breaks it: "
            f"{'; '.join(map(str, changes))}{hint}"
        )

    # --- batches ---

    def batches(self) -> dict[str, BatchRecord]:
        """Return batch id -> newest revision."""
        return ledger.known_batches(self.engine, self.managed.name)

    def trainable(self) -> list[BatchRecord]:
        """Return the accepted batches whose labels are mature, oldest first.

        Those whose rows meant something else, under an earlier version of the contract, are left
        out.
        """
        labels = [one.cohort for one in self.label_batches()]
        found = [
            r
            for r in self.batches().values()
            if r.accepted and not why_waiting(self.managed, r.cohort, labels, self.as_of)
        ]
        earlier = {r.snapshot.contract_version for r in found} - {self.managed.contract.version}
        foreign = {version for version in earlier if self._means_otherwise(version)}
        return [r for r in found if r.snapshot.contract_version not in foreign]

    def _means_otherwise(self, version: str) -> bool:
        """Whether rows of an earlier version of the contract, as the newest training under it kept
        it, mean something else.
        """
        text = ledger.contract_texts(self.engine, self.managed.name).get(version, "")
        return any(change.other_rows for change in broken_promises(text, self.managed.contract))

    def label_batches(self) -> tuple[BatchRecord, ...]:
        """Return what was read of the contract of labels, oldest batch first; nothing when the rows
        carry theirs.
        """
        return tuple(ledger.known_batches(self.engine, self.managed.name, "labels").values())

    def waits(self) -> dict[str, str]:
        """Return batch id -> why its labels may not be used yet."""
        return waiting_for_labels(self.managed, self.engine, self.as_of)

    def features(self, records: Sequence[BatchRecord]) -> FeatureFrame:
        """Build the features of batches, with the labels that are known at the run's moment."""
        known = KnownLabels(batches=self.label_batches(), as_of=self.as_of)
        return build_features(self.managed, records, known)

    def write_batch(self, record: BatchRecord) -> BatchRecord:
        """Write the batch down, and return it with its revision."""
        return ledger.record_batch(self.engine, self.lease, record)

    # --- decisions ---

    def history(self) -> tuple[LedgerEntry, ...]:
        """Return every decision about the model, oldest first."""
        return ledger.history(self.engine, self.managed.name)

    def rule(
        self, rule: Rule, batch: str, evidence: Record, training: TrainedModel | None = None
    ) -> LedgerEntry:
        """Let a rule decide, and write down what it decided, of which evidence, under which
        settings.
        """
        decision = rule.decide(evidence)  # type: ignore[arg-type]  # the caller's evidence is of the rule's kind
        return self.decide(batch, decision, evidence, rule=rule, training=training)

    def decide(
        self,
        batch: str,
        decision: Decision,
        evidence: Record,
        decided_by: str = "kingmaker",
        rule: Config | None = None,
        training: TrainedModel | None = None,
    ) -> LedgerEntry:
        """Write a decision down with its evidence, and with the training that it judges."""
        entry = ledger.record_decision(
            self.engine,
            self.lease,
            batch,
            decision,
            evidence,
            rule=None if rule is None else rule.model_dump(mode="json"),
            as_of=self.as_of,
            flow_run=self.flow_run,
            decided_by=decided_by,
            training=training,
        )
        if entry.effective_at is not None:
            announce(entry)
        return entry

    def carry_out(self, entry: LedgerEntry) -> None:
        """Carry out a journalled promotion or rollback, and mark it effective."""
        if isinstance(entry.decision, Promote | RollBack):
            set_champion(self.managed, entry.decision, self.fence)
        self.finish(entry)

    def finish(self, entry: LedgerEntry) -> None:
        """Mark a journalled decision effective."""
        done = ledger.mark_effective(self.engine, self.lease, entry)
        if entry.effective_at is None:
            announce(done)

    def unfinished(self) -> tuple[LedgerEntry, ...]:
        """Return the journalled decisions that have not taken effect, oldest first."""
        return ledger.unfinished(self.history())

    def frozen(self) -> LedgerEntry | None:
        """Return the decision that froze the model; None when it is free."""
        return ledger.frozen(self.history())

    def approval_required(self) -> bool:
        """Whether a person has the last word on a promotion: the spec says so, or the model is
        frozen.
        """
        return self.managed.spec.approval.required or self.frozen() is not None

    def attempts(self) -> int:
        """Return how many changes of recipe were judged since one was promoted."""
        return ledger.attempts_since_promotion(self.history())

    def training_batches(self) -> tuple[str, ...]:
        """Return the batches at which versions were trained, oldest first."""
        return ledger.training_batches(self.engine, self.managed.name)


def adjusted(model: LoadedModel, entry: LedgerEntry) -> LoadedModel:
    """Return the model with the weights and the recalibration that a decision put in force."""
    decision = entry.decision
    assert isinstance(decision, Recalibrate)  # noqa: S101 - the ledger gave it as one
    return replace(
        model, weights=decision.weights, recalibration=decision.recalibration, adjusted_by=entry.id
    )


_IN_FORCE: ContextVar[ModelRun | None] = ContextVar("run in force", default=None)
"""The run of the outermost flow: a flow and the flows that it calls are one run, under one
lease.
"""


@contextmanager
def model_run(model: str, as_of: datetime | None) -> Iterator[ModelRun]:
    """Act for ``model``: take its lease, and first carry out what a run that died left in the
    journal.

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
        mine = _tidied(ModelRun(managed, engine, held, moment, run))
        token = _IN_FORCE.set(mine)
        try:
            yield mine
        finally:
            _IN_FORCE.reset(token)


def warn_of_pickles(managed: ManagedModel) -> None:
    """Say aloud, in every run, that the spec trusts pickles."""
    if managed.spec.trust == "pickle":
        get_run_logger().warning(
            "%s: its spec trusts pickles: reading such a model runs whatever is in it", managed.name
        )


def _tidied(mine: ModelRun) -> ModelRun:
    """End what a run that died left running in the registry, and carry out what it left in the
    journal.
    """
    log = get_run_logger()
    warn_of_pickles(mine.managed)
    try:
        known = (
            ledger.known_runs(mine.engine, mine.managed.name) if mine.lease.left_behind else None
        )
        for name in end_left_behind(mine.managed, mine.fence, known):
            log.warning(
                "%s: ended the MLflow run '%s', which a run that died left behind",
                mine.managed.name,
                name,
            )
    except RegistryAwayError as error:
        return replace(mine, registry_away=str(error))
    mine.lease.left_behind = False
    for entry in mine.unfinished():
        if isinstance(entry.decision, Promote | RollBack):
            mine.carry_out(entry)
    return mine
