"""What decisions rest on, the decisions, their rules, and how the ledger keeps them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Generic, Literal

from pydantic import Field
from typing_extensions import TypeVar

from tasks.configuration import Config
from tasks.decisions.config import (
    EnsembleConfig,
    GateConfig,
    PolicyConfig,
    RecalibrationConfig,
    WatchConfig,
)
from tasks.records.base import Problem, Record
from tasks.records.evaluation import Comparison, Evidence, Interval
from tasks.records.model import EnsembleMember, LabelSummary, Recalibration
from tasks.records.snapshot import Verdict


class PolicyEvidence(Record):
    """What the retrain policy looks at."""

    type: Literal["policy"] = "policy"
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
    """Its loss on the newest judged batch; None when none was judged since the newest training."""
    newest_error: float = 0.0
    """Standard error of that loss."""
    rows: int = 0
    """Rows of the batch that the champion was asked for."""
    rows_unknown: int = 0
    """Those of them for which it gave no number."""
    waiting: int = 0
    """Accepted batches whose labels may not be used yet."""
    unseen_rows: int = 0
    """Labelled rows that the champion has not seen."""
    least_rows: int = 0
    """So many are needed to compare a challenger by; 0 when one is promoted without."""
    drift_share: float | None
    training_age: timedelta | None = None
    """Time from the newest training to this batch's decision, by the data's clock."""
    rows_since_training: int = 0
    """Accepted rows with mature labels since the newest training, this batch's included."""
    trainings: tuple[int, ...] = ()
    """Accepted batches since each training, this one included, the newest training last."""
    awaits_approval: int | None = None
    """The version that waits for a person while there is no champion; None when none does."""
    gains: tuple[float, ...] = ()
    """What each judged training realised, as a share of the loss before it, oldest first: measured
    by the watch.
    """
    change: str = ""
    """Why the champion's newest loss is another than on its holdout, in words; it decides
    nothing.
    """


class WatchEvidence(Record):
    """What the watch after a promotion looks at: the previous champion, scored in shadow."""

    type: Literal["watch"] = "watch"
    model: str
    batch: str
    """The batch that both were compared on: the one that is decided about, or with late labels an
    earlier one.
    """
    revision: int
    """Of the batch that is decided about."""
    champion: int
    previous: int
    batches_watched: int
    """Batches since the promotion, this one included."""
    comparison: Comparison
    """The previous champion stands as the challenger."""


class FreezeEvidence(Record):
    """What calls a person: the rollbacks of late."""

    type: Literal["freeze"] = "freeze"
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

    type: Literal["recalibration"] = "recalibration"
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
    """What was in force before, as the challenger, against what is, on this batch; None without
    either.
    """


class Refusal(Record):
    """Why a batch was refused."""

    type: Literal["refusal"] = "refusal"
    model: str
    batch: str
    revision: int
    verdict: Verdict


class Attempted(Record):
    """Why a Retrain could not be carried out: its rows can train nothing."""

    type: Literal["attempt"] = "attempt"
    retrain: int
    """The ledger's number of the decision."""


class ManualEvidence(Record):
    """Who decided, and what the person had seen."""

    type: Literal["manual"] = "manual"
    person: str
    reason: str
    rests_on: int | None = None
    """The ledger's number of the judgement that the person answers; None for a freeze, a thaw, or
    anything else that answers none.
    """


class Expired(Record):
    """A request for approval that no person answered in time."""

    type: Literal["expired"] = "expired"
    expired: int
    """The ledger's number of the request."""
    waited_since: datetime


AnyEvidence = Annotated[
    Evidence
    | PolicyEvidence
    | WatchEvidence
    | FreezeEvidence
    | RecalibrationEvidence
    | Refusal
    | Attempted
    | ManualEvidence
    | Expired,
    Field(discriminator="type"),
]
"""What a decision rests on."""


class Condition(Record):
    """One part of the retrain policy: whether it spoke, by what it found against its limit."""

    name: Literal[
        "never",
        "first",
        "approval",
        "clock",
        "alarm",
        "staleness",
        "volume",
        "drift",
        "evidence",
        "cooldown",
        "budget",
    ]
    fired: bool
    """Whether it asks for a training or, for ``never``, ``approval`` and the last three, forbids
    one.
    """
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


"""What was decided."""


class GateRule(Config):
    """Promote or not."""

    rule: Literal["gate"] = "gate"
    settings: GateConfig
    approval_required: bool


class PolicyRule(Config):
    """Train or not."""

    rule: Literal["policy"] = "policy"
    settings: PolicyConfig
    first: int
    """Batches that the first champion waits for ..."""
    first_rows: int = 0
    """... and labelled rows."""


class WatchRule(Config):
    """Roll back or not."""

    rule: Literal["watch"] = "watch"
    settings: WatchConfig


class FreezeRule(Config):
    """Freeze or not."""

    rule: Literal["freeze"] = "freeze"
    settings: WatchConfig


class RecalibrationRule(Config):
    """Which weights and which recalibration to serve with."""

    rule: Literal["recalibration"] = "recalibration"
    ensemble: EnsembleConfig
    settings: RecalibrationConfig
    watch: WatchConfig


Rule = Annotated[
    GateRule | PolicyRule | WatchRule | FreezeRule | RecalibrationRule,
    Field(discriminator="rule"),
]
"""By what was decided: a rule with its settings as they were."""

D = TypeVar("D", bound=Decision, default=Decision, covariant=True)
E = TypeVar("E", bound=AnyEvidence, default=AnyEvidence, covariant=True)


class LedgerEntry(Record, Generic[D, E]):
    """A decision as the ledger keeps it."""

    id: int
    model: str
    batch: str
    decision: D
    evidence: E
    rule: Rule | None = None
    """None when a person decided, or there was no choice."""
    evidence_sha256: str
    """Digest of evidence and rule, made when they were written down."""
    as_of: datetime
    """The moment in the data's time at which it was decided."""
    recorded_at: datetime
    """When it was written down, by the clock of the machine."""
    effective_at: datetime | None
    """When it took effect; None while it is only journalled."""
    flow_run: str
    decided_by: str

    @property
    def version(self) -> int | None:
        """The version of the model that the decision is about; None when it is about none."""
        match self.decision:
            case Promote() | Reject() | Shadow() | AwaitApproval() | RollBack() | Recalibrate():
                return self.decision.version
            case _:
                return None

    @property
    def title(self) -> str:
        """The decision in a few words, such as ``Await approval version 3``."""
        about = "" if self.version is None else f" version {self.version}"
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.decision.kind)
        return f"{words.capitalize()}{about}"


# --- what became of them --------------------------------------------------------------------------


class Choice(Record):
    """A decision between two versions."""

    number: int
    """The ledger's."""
    kind: Literal["Promote", "Reject", "RollBack"]
    batch: str
    as_of: datetime
    chosen: int
    """The version that was champion from then on."""
    other: int
    until: str = ""
    """The batch at which another decision changed the champion; empty while none has."""


class JudgedChoice(Record):
    """What labels that came later say of a decision between two versions."""

    choice: Choice
    batches: tuple[str, ...] = ()
    rows: int = 0
    blocks: int = 0
    chosen_loss: float | None = None
    other_loss: float | None = None
    gained: Interval | None = None
    """Mean loss of the other version minus that of the chosen one: above 0 where it was right."""
    why_not: str = ""
    """Why it is not judged."""

    @property
    def verdict(self) -> Literal["wrong", "cannot be told", "right", "not judged"]:
        """What the interval says."""
        if self.gained is None:
            return "not judged"
        if self.gained.high < 0:
            return "wrong"
        return "right" if self.gained.low > 0 else "cannot be told"


class ChoicesOfYear(Record):
    """What the choices of one year gained together."""

    year: int
    """In which they were made."""
    right: int
    wrong: int
    untold: int
    gained: Interval
    """In the loss of all rows that judged them."""


class ScoreCard(Record):
    """Every past choice of a model, the costliest wrong ones first, and what they gained."""

    model: str
    judged: tuple[JudgedChoice, ...]
    holds: int
    """Decisions to train nothing: there is no version to compare them with."""
    gained: Interval | None
    """Of all judged choices together, in the loss of their rows; None when none is judged."""
    years: tuple[ChoicesOfYear, ...] = ()
    """Newest first; those without a judged choice are left out."""
