"""What decisions rest on, the decisions, and how the ledger keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from tasks.records.base import Problem, Record
from tasks.records.evaluation import Comparison
from tasks.records.model import EnsembleMember, LabelSummary, Recalibration
from tasks.records.snapshot import Verdict


class PolicyEvidence(Record):
    """What the retrain policy looks at."""

    model: str
    batch: str
    revision: int
    champion: int | None
    accepted_batches: int
    """Accepted, mature batches so far, this one included."""
    batches_since_training: int
    """Accepted batches since the newest training, this one included."""
    losses: tuple[float, ...]
    """The champion's loss on each earlier judged batch, oldest first."""
    newest_loss: float | None
    """Its loss on this batch; None while labels are not mature."""
    drift_share: float | None
    training_age: timedelta | None = None
    """Time from the newest training to this batch's decision, by the data's clock."""
    rows_since_training: int = 0
    """Accepted rows with mature labels since the newest training, this batch's included."""
    trainings: tuple[int, ...] = ()
    """Accepted batches since each training, this one included, the newest training last."""
    gains: tuple[float, ...] = ()
    """What each judged training realised, as a share of the loss before it, oldest first: measured
    by the watch.
    """


class WatchEvidence(Record):
    """What the watch after a promotion looks at: the previous champion, scored in shadow."""

    model: str
    batch: str
    """The batch that both were held against: that which is answered, or with late labels an earlier
    one.
    """
    revision: int
    """Of the batch that is answered."""
    champion: int
    previous: int
    batches_watched: int
    """Batches since the promotion, this one included."""
    comparison: Comparison
    """The previous champion in the challenger's seat."""


class FreezeEvidence(Record):
    """What calls a person: the rollbacks of late."""

    model: str
    batch: str
    revision: int
    rollbacks: tuple[str, ...]
    """Batches at which the watch rolled back since a person last looked, oldest first."""
    recent: tuple[str, ...]
    """The newest accepted batches, this one included, oldest first: as many as the rule looks at.
    """


class RecalibrationEvidence(Record):
    """What the refresh of weights and recalibration on a mature batch looks at."""

    model: str
    batch: str
    """The mature batch that is news."""
    champion: int
    problem: Problem
    members: tuple[EnsembleMember, ...]
    """The champion's members as they stood before this batch; empty when it is no ensemble."""
    losses: Mapping[int, float]
    """Version of a member -> its mean loss on the batch, of those that have not seen it."""
    summaries: tuple[LabelSummary, ...]
    """The newest mature batches, this one included, oldest first."""
    weights: tuple[float, ...]
    """In force."""
    recalibration: Recalibration | None
    """In force."""
    weights_before: tuple[float, ...] = ()
    """In force before those."""
    recalibration_before: Recalibration | None = None
    """In force before that."""
    comparison: Comparison | None = None
    """What was in force before, in the challenger's seat, against what is, on this batch; None
    without either.
    """


class Refusal(Record):
    """Why a batch was refused."""

    model: str
    batch: str
    revision: int
    verdict: Verdict


class Condition(Record):
    """One part of the retrain policy: whether it spoke, by what it found against its limit."""

    name: Literal[
        "never", "first", "clock", "alarm", "staleness", "volume", "drift", "cooldown", "budget"
    ]
    fired: bool
    """Whether it asks for a training or, for the last two and ``never``, forbids one."""
    found: str
    limit: str
    """``off`` when the spec switches it off."""


class Hold(Record):
    """Nothing to do."""

    kind: Literal["Hold"] = "Hold"
    reason: str
    conditions: tuple[Condition, ...] = ()
    """What of the retrain policy fired and what did not; empty when another decision than the
    policy's.
    """


class Retrain(Record):
    """Train a challenger."""

    kind: Literal["Retrain"] = "Retrain"
    reason: str
    conditions: tuple[Condition, ...] = ()
    dry_run: bool = False
    """Whether nothing is to be done: ``retrain.dry_run`` only wants to know what would be."""


class Promote(Record):
    """Promote the challenger."""

    kind: Literal["Promote"] = "Promote"
    reason: str
    version: int
    previous: int | None


class Reject(Record):
    """Keep the champion."""

    kind: Literal["Reject"] = "Reject"
    reason: str
    version: int


class Shadow(Record):
    """Too little to judge by: the challenger predicts the next batch in shadow, and is judged
    again.
    """

    kind: Literal["Shadow"] = "Shadow"
    reason: str
    version: int


class AwaitApproval(Record):
    """The gate says yes; a person has the last word."""

    kind: Literal["AwaitApproval"] = "AwaitApproval"
    reason: str
    version: int
    previous: int | None


class RollBack(Record):
    """Bring the previous champion back."""

    kind: Literal["RollBack"] = "RollBack"
    reason: str
    version: int
    """The version that is champion again."""
    previous: int
    """The version that is replaced."""


class Recalibrate(Record):
    """Serve the same champion with other weights and another recalibration."""

    kind: Literal["Recalibrate"] = "Recalibrate"
    reason: str
    version: int
    members: tuple[EnsembleMember, ...]
    weights: tuple[float, ...]
    """One a member; empty when the champion is no ensemble."""
    recalibration: Recalibration | None
    taken_back: bool = False
    """Whether the one before did harm, and what was in force before it is in force again."""


class Freeze(Record):
    """Change nothing by oneself until a person has looked."""

    kind: Literal["Freeze"] = "Freeze"
    reason: str


class Thaw(Record):
    """A person has looked: go on."""

    kind: Literal["Thaw"] = "Thaw"
    reason: str


Decision = Annotated[
    Hold
    | Retrain
    | Promote
    | Reject
    | Shadow
    | AwaitApproval
    | RollBack
    | Recalibrate
    | Freeze
    | Thaw,
    Field(discriminator="kind"),
]


class LedgerEntry(Record):
    """A decision as the ledger keeps it."""

    id: int
    model: str
    batch: str
    decision: Decision
    evidence: Mapping[str, Any]
    evidence_sha256: str
    as_of: datetime
    """The moment in the data's time at which it was decided."""
    recorded_at: datetime
    """When it was written down, by the clock of the machine."""
    effective_at: datetime | None
    """When it took effect; None while it is only journalled."""
    flow_run: str
    decided_by: str
