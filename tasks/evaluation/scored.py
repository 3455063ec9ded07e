"""What a model predicts for labelled rows: made once for a model and rows, and taken by everything
that judges it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from tasks.evaluation.compare import time_blocks
from tasks.evaluation.metrics import EvaluationError
from tasks.evaluation.objective import Objective
from tasks.evaluation.utility import Utility
from tasks.mixing import correct, mix, summarise
from tasks.prediction import predict_members
from tasks.records import (
    FeatureFrame,
    JudgedBy,
    LabelSummary,
    LoadedModel,
    Problem,
    Recalibration,
    RowSpan,
)


@dataclass(frozen=True)
class LabelledRows:
    """Rows whose labels are known."""

    frame: FeatureFrame

    @classmethod
    def of(cls, frame: FeatureFrame) -> LabelledRows:
        """Take the rows of ``frame`` whose label is known; EvaluationError when there are none."""
        known = frame.target.notna().to_numpy()
        labelled = frame if known.all() else frame.where(known)
        if not len(labelled):
            raise EvaluationError(
                f"batch {max(frame.snapshots)}: expected labelled rows, found none of"
                f" {len(frame):,}"
            )
        return cls(labelled)

    @cached_property
    def target(self) -> np.ndarray:
        """The labels, (rows,): float64, or str when multiclass."""
        return np.asarray(self.frame.target.to_numpy())

    @cached_property
    def blocks(self) -> np.ndarray:
        """The block of time of each row, (rows,) whole numbers from 0."""
        return self._blocks[0]

    @cached_property
    def block_hours(self) -> float:
        """How long a block is."""
        return self._blocks[1]

    @cached_property
    def _blocks(self) -> tuple[np.ndarray, float]:
        return time_blocks(self.frame.moments)

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Scored:
    """One model's predictions for labelled rows, and what is known of the model besides."""

    rows: LabelledRows
    objective: Objective
    """With the classes of this model."""
    members: Sequence[np.ndarray]
    """What each member predicts, (rows,) or (rows, classes) float64; a model that is no ensemble is
    its own only member.
    """
    weights: Sequence[float] = (1.0,)
    recalibration: Recalibration | None = None
    version: int = 0
    trained_on: tuple[RowSpan, ...] = ()
    size: int = 0
    """Bytes of the stored model; 0 when it is not known."""
    seconds: float = 0.0
    """CPU time of the predictions."""

    @cached_property
    def raw(self) -> np.ndarray:
        """The members' mix, before recalibration."""
        return mix(self.members, self.weights)

    @cached_property
    def predicted(self) -> np.ndarray:
        """What the model serves, (rows,) or (rows, classes) float64."""
        return self.raw if self.recalibration is None else correct(self.raw, self.recalibration)

    @cached_property
    def finite(self) -> bool:
        """Whether every prediction is a number."""
        return bool(np.isfinite(self.predicted).all())

    @cached_property
    def losses(self) -> np.ndarray:
        """The loss of each row, (rows,) float64."""
        return self.objective.losses(self.rows.target, self.predicted)

    @cached_property
    def worth(self) -> np.ndarray | None:
        """What each row is worth, (rows,) float64; None where the spec says nothing of it, or a
        prediction is no number.
        """
        rows, utility = self.rows, self.objective.utility
        if utility is None or not self.finite:
            return None
        amounts = rows.frame.amounts
        if amounts is None:
            amounts = pd.DataFrame(index=rows.frame.target.index)
        return utility.worth(rows.target, self.predicted, amounts, rows.blocks)

    @property
    def summary(self) -> LabelSummary:
        """Labels against predictions before recalibration: what recalibration looks at."""
        problem, classes = self.objective.problem, self.objective.classes
        batch = max(self.rows.frame.snapshots)
        mean = self.objective.power is not None
        return summarise(batch, self.rows.target, self.raw, problem, classes, mean=mean)

    def instead(self, rows: np.ndarray, predicted: np.ndarray) -> Scored:
        """Return what was predicted for each row, with ``predicted`` where ``rows``, (rows,) bool,
        is true: what was predicted for these rows before.
        """
        where = rows if predicted.ndim == 1 else rows[:, np.newaxis]
        mixed = np.where(where, predicted, self.predicted)
        return replace(self, members=[mixed], weights=(1.0,), recalibration=None)

    def where(self, rows: np.ndarray) -> Scored:
        """Return what was predicted for the rows where ``rows``, (rows,) bool, is true."""
        chosen = LabelledRows.of(self.rows.frame.where(rows))
        return replace(self, rows=chosen, members=[member[rows] for member in self.members])

    def adjusted(
        self, weights: Sequence[float], recalibration: Recalibration | None = None
    ) -> Scored:
        """Return the same members' predictions under other weights and another recalibration."""
        return replace(self, weights=weights or (1.0,), recalibration=recalibration)


def score_model(
    model: LoadedModel,
    rows: LabelledRows,
    problem: Problem,
    metric: str,
    utility: Utility | None = None,
    judged_by: JudgedBy = "log_loss",
) -> Scored:
    """Let ``model`` predict ``rows``; FeatureMismatchError when they lack a feature of it."""
    began = time.process_time()
    members = predict_members(model, rows.frame, problem)
    seconds = time.process_time() - began
    return Scored(
        rows=rows,
        objective=Objective(problem, metric, model.trained.classes, utility, judged_by),
        members=members,
        weights=model.weights or (1.0,),
        recalibration=model.recalibration,
        version=model.trained.version,
        trained_on=model.trained.trained_on,
        size=model.size,
        seconds=seconds,
    )


def seconds_by_one_thread(model: LoadedModel, frame: FeatureFrame, problem: Problem) -> float:
    """Return the CPU time in which one thread lets ``model`` predict ``frame``."""
    with threadpool_limits(1):
        began = time.process_time()
        predict_members(model, frame, problem)
        return time.process_time() - began
