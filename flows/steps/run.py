"""The run: a unit of work for one model, under its lease, with all that it reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import prefect.runtime
from prefect import get_run_logger
from prefect.context import SyncClientContext

from flows.steps.events import announce
from flows.steps.kept import Kept
from flows.steps.models import Models, in_force
from tasks.decisions.rules import decide
from tasks.evaluation.scored import LabelledRows, Scored
from tasks.evaluation.task import score_labelled
from tasks.features.labels import frame_key
from tasks.features.task import build_features, features_by_part
from tasks.history import History
from tasks.lake import MOST_ROWS
from tasks.ledger.entries import known_runs
from tasks.ledger.lease import Lease, fenced, holder_name, lease
from tasks.ledger.messages import Messages
from tasks.ledger.repositories import Batches, Decisions, NewDecision, Served, Trainings
from tasks.ledger.tables import Engine, open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import (
    AnyEvidence,
    BatchRecord,
    FeatureFrame,
    Fence,
    KnownLabels,
    LedgerEntry,
    LoadedModel,
    Past,
    Promote,
    Recalibrate,
    RegistryAwayError,
    RollBack,
    Rule,
    TrainedModel,
)
from tasks.registry.task import end_left_behind, set_champion, show_in_force
from tasks.settings import Settings

FRAMES = 4
"""Feature frames that a run keeps: of the new batch, and of those whose labels have matured."""
ROOM = 2 * MOST_ROWS
"""Rows that the frames which it keeps have together."""
SCORED = 8
"""Predictions for labelled rows that a run keeps: of a few versions for each of those batches."""


@dataclass(frozen=True)
class ModelRun:
    """A model under management, the lease to act for it, and the moment at which it is acted."""

    managed: ManagedModel
    as_of: datetime
    """Now, or the moment of the data's time that a replay stands at."""
    flow_run: str
    fence: Fence
    """What keeps this run from writing outside the ledger once its lease has passed on."""
    decisions: Decisions
    served: Served
    """What was predicted for open rows, by batch."""
    batches: Batches
    labels: Batches
    """The batches of labels; none when the rows carry theirs."""
    joined: Mapping[str, Batches]
    """Contract -> its batches, of each from which features are joined."""
    trainings: Trainings
    models: Models
    messages: Messages
    """What people are told."""
    registry_away: str = ""
    """Why MLflow could not be asked when the run began; empty when it answered."""
    most: int = MOST_ROWS
    """Rows of a batch that are in memory at a time."""
    _frames: Kept[tuple[object, ...], FeatureFrame] = field(
        default_factory=lambda: Kept(FRAMES, ROOM, len)
    )
    _labelled: Kept[tuple[object, ...], LabelledRows] = field(
        default_factory=lambda: Kept(FRAMES, ROOM, len)
    )
    _scored: Kept[tuple[object, ...], Scored] = field(
        default_factory=lambda: Kept(SCORED, 2 * ROOM, lambda one: len(one.rows))
    )

    @classmethod
    def of(
        cls,
        managed: ManagedModel,
        engine: Engine,
        held: Lease,
        as_of: datetime,
        flow_run: str = "",
        registry_away: str = "",
    ) -> ModelRun:
        """Return the run of the holder of a model's lease."""
        decisions, trainings = Decisions(engine, held), Trainings(engine, held)
        return cls(
            managed=managed,
            as_of=as_of,
            flow_run=flow_run,
            fence=_fence(engine, held),
            decisions=decisions,
            served=Served(engine, managed.name),
            batches=Batches(engine, held, "rows"),
            labels=Batches(engine, held, "labels"),
            joined={name: Batches(engine, held, one.name) for name, one in managed.joined.items()},
            trainings=trainings,
            models=Models(managed, decisions, trainings, registry_away=bool(registry_away)),
            messages=Messages(engine),
            registry_away=registry_away,
        )

    def at(self, moment: datetime) -> ModelRun:
        """Return the same run, acting as if it were another moment."""
        return replace(self, as_of=moment)

    def need_registry(self) -> None:
        """Raise RegistryAwayError when MLflow did not answer: nothing is trained or promoted
        without it.
        """
        if self.registry_away:
            raise RegistryAwayError(self.registry_away)

    @property
    def history(self) -> History:
        """Every decision about the model."""
        return self.decisions.history

    @property
    def newest_batch(self) -> str:
        """The newest batch that was there at the run's moment: the one that a decision follows."""
        known = self.batches.known
        there = [id for id, record in known.items() if record.batch.end <= self.as_of]
        return max(there or known)

    @property
    def known_labels(self) -> KnownLabels:
        """What was read of the contract of labels by the run's moment."""
        return KnownLabels(batches=tuple(self.labels.known.values()), as_of=self.as_of)

    @property
    def past(self) -> Past:
        """What features that look back or are joined are made of, as far as it was read by the
        run's moment; nothing is read where the spec has none.
        """
        joined = {name: batches.revisions for name, batches in self.joined.items()}
        if not self.managed.spec.features.history:
            return Past(self.as_of, joined=joined)
        return Past(self.as_of, self.batches.revisions, self.labels.revisions, joined=joined)

    def features(self, records: Sequence[BatchRecord], older: int | None = None) -> FeatureFrame:
        """Return the features of batches, with the labels that are known at the run's moment; those
        of the same batches are built once. Of a batch of more than ``most`` rows so many are drawn;
        given ``older``, of those before the newest so many together.
        """
        known, past = self.known_labels, self.past
        return self._frames.get(
            (older, *frame_key(self.managed, records, known, past)),
            lambda: build_features(self.managed, records, known, past, self.most, older),
        )

    def every_row(self, record: BatchRecord) -> Iterable[FeatureFrame]:
        """Return the features of all rows of a batch: as ``features`` has them, or, of more than
        ``most`` rows, part by part and without labels from a contract of their own.
        """
        if record.verdict.accepted_rows <= self.most:
            return (self.features([record]),)
        return features_by_part(self.managed, record, self.past)

    def scored(self, model: LoadedModel, record: BatchRecord) -> Scored:
        """Return what a model predicts for the labelled rows of a batch: each version is asked
        once, whatever weights and recalibration it is looked at with.

        Raises EvaluationError when no row is labelled, FeatureMismatchError when the rows lack a
        feature of the model.
        """
        key = frame_key(self.managed, [record], self.known_labels, self.past)
        rows = self._labelled.get(key, lambda: LabelledRows.of(self.features([record])))
        version = model.trained.version
        packaged = self.models.packaged(version)
        scored = self._scored.get(
            (version, *key), lambda: score_labelled(self.managed, packaged, rows)
        )
        return scored.adjusted(model.weights, model.recalibration)

    def decide_by(
        self, rule: Rule, batch: str, evidence: AnyEvidence, training: TrainedModel | None = None
    ) -> LedgerEntry:
        """Let a rule decide on evidence, and write down what it decided; with it the training that
        it judges.
        """
        return self.write(NewDecision(batch, decide(rule, evidence), evidence, rule, training))

    def write(self, new: NewDecision) -> LedgerEntry:
        """Write a decision down, and announce it if it is in effect."""
        entry = self.decisions.write(new, self.as_of, self.flow_run)
        if entry.effective_at is not None:
            announce(self.messages, entry, self.managed.spec.approval.within)
        return entry

    def carry_out(self, entry: LedgerEntry) -> None:
        """Carry out a journalled promotion, rollback or recalibration, and mark it effective."""
        match entry.decision:
            case Promote() | RollBack():
                set_champion(self.managed, entry.decision, self.fence)
            case Recalibrate(version=version):
                show_in_force(self.managed, version, in_force(entry.decision, entry.id), self.fence)
        self.finish(entry)

    def finish(self, entry: LedgerEntry) -> None:
        """Mark a journalled decision effective, and announce it once."""
        done = self.decisions.mark_effective(entry)
        if entry.effective_at is None:
            announce(self.messages, done, self.managed.spec.approval.within)

    def approval_required(self) -> bool:
        """Whether a person decides about a promotion: the spec says so, or the model is frozen."""
        return self.managed.spec.approval.required or self.history.frozen is not None


@contextmanager
def model_run(model: str, as_of: datetime | None) -> Iterator[ModelRun]:
    """Act for ``model``: take its lease, and first carry out what a run that died left in the
    journal.

    Raises LeaseHeldError when another run acts for the model.
    """
    managed = manage(model, Settings())
    engine = open_ledger(managed.settings.ledger_url)
    flow_run = str(prefect.runtime.flow_run.id or "")
    moment = (as_of or datetime.now(UTC)).astimezone(UTC)
    # One client for all tasks of the run: each would read the machine's certificates for its own.
    with SyncClientContext.get_or_create(), lease(engine, model, holder_name(flow_run)) as held:
        yield _begin(managed, engine, held, moment, flow_run)


def _begin(
    managed: ManagedModel, engine: Engine, held: Lease, moment: datetime, flow_run: str
) -> ModelRun:
    """End what a run that died left running in the registry, and carry out what it left in the
    journal.
    """
    warn_of_pickles(managed)
    away = ""
    try:
        known = known_runs(engine, managed.name) if held.left_behind else None
        for name in end_left_behind(managed, _fence(engine, held), known):
            get_run_logger().warning(
                "%s: ended the MLflow run '%s', which a run that died left behind",
                managed.name,
                name,
            )
    except RegistryAwayError as error:
        away = str(error)
    run = ModelRun.of(managed, engine, held, moment, flow_run, away)
    if not away:
        held.left_behind = False
        for entry in run.history.unfinished:
            match entry.decision:
                case Promote() | RollBack() | Recalibrate():
                    run.carry_out(entry)
    return run


def _fence(engine: Engine, held: Lease) -> Fence:
    return Fence(held.token, lambda: fenced(engine, held))


def warn_of_pickles(managed: ManagedModel) -> None:
    """Warn in every run of a spec that trusts pickles."""
    if managed.spec.trust == "pickle":
        get_run_logger().warning(
            "%s: its spec trusts pickles: reading such a model runs whatever is in it", managed.name
        )
