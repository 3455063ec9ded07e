"""The frozen records that pass between rooms, by stage. Rooms meet here and nowhere else.

Records are plain values: they validate on construction, compare by value, and go to JSON and back
unchanged, so that a decision can be explained from the ledger years later.

Where do I go to change what passes ...?

    snapshot.py     ingest and validation: snapshots, verdicts, labels that have come
    model.py        training and registry: recipes, ensembles, versions
    evaluation.py   scores, comparisons, guardrails
    drift.py        profiles of training rows, and batches held against them
    decision.py     evidence, decisions, entries of the ledger
    batch.py        what the ledger knows of a batch
    served.py       what open rows were told, and whether it rested on the same features
    memory.py       what is never stored: feature frames, loaded models
"""

from tasks.records.base import (
    Form,
    Problem,
    Record,
    StreamName,
    WindowKind,
)
from tasks.records.batch import (
    BatchRecord,
    Predictions,
    Superseded,
)
from tasks.records.decision import (
    AwaitApproval,
    Condition,
    Decision,
    Freeze,
    FreezeEvidence,
    Hold,
    LedgerEntry,
    PolicyEvidence,
    Promote,
    Recalibrate,
    RecalibrationEvidence,
    Refusal,
    Reject,
    Retrain,
    RollBack,
    Shadow,
    Thaw,
    WatchEvidence,
)
from tasks.records.drift import (
    BaselineProfile,
    ColumnKind,
    DriftReference,
    DriftSummary,
    FeatureDrift,
    FeatureProfile,
    Histogram,
    TimeBlock,
)
from tasks.records.evaluation import (
    Comparison,
    Estimate,
    Evidence,
    Generalisation,
    Guardrail,
    Interval,
    Performance,
    SliceComparison,
    SliceScore,
)
from tasks.records.memory import (
    FeatureFrame,
    Fence,
    KnownLabels,
    LoadedModel,
    RegistryAwayError,
)
from tasks.records.model import (
    EnsembleMember,
    FeatureSchema,
    LabelSnapshot,
    LabelSummary,
    LeftOut,
    Recalibration,
    Recipe,
    RowSpan,
    TrainedModel,
    Trial,
)
from tasks.records.served import (
    FeatureSkew,
    ServedPart,
    ServedPerformance,
    Skew,
    SkewExample,
    served_by,
)
from tasks.records.snapshot import (
    Cohort,
    Labelled,
    Part,
    RuleOutcome,
    Snapshot,
    Verdict,
)

__all__ = [
    "AwaitApproval",
    "BaselineProfile",
    "BatchRecord",
    "Cohort",
    "ColumnKind",
    "Comparison",
    "Condition",
    "Decision",
    "DriftReference",
    "DriftSummary",
    "EnsembleMember",
    "Estimate",
    "Evidence",
    "FeatureDrift",
    "FeatureFrame",
    "FeatureProfile",
    "FeatureSchema",
    "FeatureSkew",
    "Fence",
    "Form",
    "Freeze",
    "FreezeEvidence",
    "Generalisation",
    "Guardrail",
    "Histogram",
    "Hold",
    "Interval",
    "KnownLabels",
    "LabelSnapshot",
    "LabelSummary",
    "Labelled",
    "LedgerEntry",
    "LeftOut",
    "LoadedModel",
    "Part",
    "Performance",
    "PolicyEvidence",
    "Predictions",
    "Problem",
    "Promote",
    "Recalibrate",
    "Recalibration",
    "RecalibrationEvidence",
    "Recipe",
    "Record",
    "Refusal",
    "RegistryAwayError",
    "Reject",
    "Retrain",
    "RollBack",
    "RowSpan",
    "RuleOutcome",
    "ServedPart",
    "ServedPerformance",
    "Shadow",
    "Skew",
    "SkewExample",
    "SliceComparison",
    "SliceScore",
    "Snapshot",
    "StreamName",
    "Superseded",
    "Thaw",
    "TimeBlock",
    "TrainedModel",
    "Trial",
    "Verdict",
    "WatchEvidence",
    "WindowKind",
    "served_by",
]
