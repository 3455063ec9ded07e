"""A stream replayed under one policy: the decisions are those of ``tasks/decisions/``, the models
are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from flows.whatif.judging import compare_stored, refresh_evidence
from flows.whatif.models import CannotTrainError, Made, Models
from flows.whatif.stream import Stream
from tasks.decisions.config import (
    EnsembleConfig,
    GateConfig,
    PolicyConfig,
    RecalibrationConfig,
    WatchConfig,
)
from tasks.decisions.ensemble import MayJoin, join, member_weights, next_window, with_newest_losses
from tasks.decisions.gate import decide_promotion
from tasks.decisions.policy import decide_retrain, realised_gain
from tasks.decisions.power import least_rows
from tasks.decisions.recalibration import decide_recalibration, recalibrate
from tasks.decisions.watch import decide_freeze, decide_watch
from tasks.evaluation.compare import is_enough
from tasks.evaluation.config import GuardrailsConfig
from tasks.mixing import correct, mix, summarise
from tasks.records import (
    Comparison,
    EnsembleMember,
    Freeze,
    FreezeEvidence,
    LabelSummary,
    PolicyEvidence,
    Promote,
    Recalibration,
    RecalibrationEvidence,
    Retrain,
    RollBack,
    WatchEvidence,
    WindowKind,
)

SUMMARIES = 12
"""Mature batches that recalibration looks back on, as in flows/steps/ensemble.py."""
FOLDS = 8
"""Most fits that predict the batches that are pooled to judge by, as in tasks/training/split.py."""


class Rules(Protocol):
    """What a model spec says of decisions."""

    @property
    def retrain(self) -> PolicyConfig: ...  # noqa: D102 - as in the model spec
    @property
    def ensemble(self) -> EnsembleConfig: ...  # noqa: D102
    @property
    def recalibrate(self) -> RecalibrationConfig: ...  # noqa: D102
    @property
    def guardrails(self) -> GuardrailsConfig: ...  # noqa: D102
    @property
    def gate(self) -> GateConfig: ...  # noqa: D102
    @property
    def watch(self) -> WatchConfig: ...  # noqa: D102


@dataclass(frozen=True)
class Start:
    """When the first champion is trained, and what trainings see."""

    first: int
    """Batches before the first that is served."""
    last: int | None
    """Batches of the sliding window; None when all trainings see all history."""
    holdout: float = 0.2


@dataclass
class Outcome:
    """What came of a replay."""

    losses: list[float] = field(default_factory=list)
    """Sum of the losses over the rows of each served batch."""
    rows: int = 0
    trainings: int = 0
    seconds: float = 0.0
    """CPU of the trainings."""
    promotions: int = 0
    rollbacks: int = 0
    freezes: int = 0
    """How often a person was called."""
    taken_back: int = 0
    """How often weights and recalibration were."""
    decisions: dict[str, str] = field(default_factory=dict)
    """Batch -> what was decided about it."""
    served: dict[int, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    """Batch -> the loss of each of its rows."""

    @property
    def loss(self) -> float:
        """Mean over the served rows."""
        return sum(self.losses) / self.rows

    def serve(self, batch: int, losses: np.ndarray) -> None:
        """Count what was lost on the rows of a batch."""
        self.served[batch] = losses
        self.losses.append(float(losses.sum()))
        self.rows += len(losses)


@dataclass(frozen=True)
class Trained:
    """What one training made: the model that would serve, and what judges it."""

    serves: Made
    rows: slice
    """Those that judge."""
    first: int
    """The oldest batch of them."""
    unseen: np.ndarray
    """What is predicted for them by the model itself, or by fits on the batches before, (rows,)."""


Ruin = Callable[[Made, int], Made]
"""From a model and the number of its training to what is taken for that model."""


class Trainer:
    """Trains what is asked for, and keeps the bill."""

    def __init__(self, models: Models, outcome: Outcome, ruin: Ruin | None = None) -> None:
        self.models, self.outcome = models, outcome
        self.ruin = ruin or (lambda made, _: made)

    def __call__(self, batch: int, last: int | None) -> Made:
        """Train on all rows of the window."""
        return self._counted(self.models.get(batch, last, False))

    def judged(
        self, batch: int, last: int | None, unseen_from: int | None, gate: GateConfig, share: float
    ) -> Trained:
        """Train as tasks/training/split.py splits: the newest share is held out where it is enough,
        or there is no champion, whose unseen rows begin at ``unseen_from``; else whole batches are
        pooled, each predicted by a fit on what was there before it, and all rows are trained on.
        """
        stream, holdout = self.models.stream, self.models.stream.holdout(batch, share)
        first = batch + 1
        while unseen_from is not None and first > 1:
            if stream.rows(first - 1).start < unseen_from:
                break
            if not self.models.can_train(self.models.training_rows(first - 2, last)):
                break
            first -= 1
            if _enough(stream, stream.rows(first, batch), gate):
                break
        if first > batch or _enough(stream, holdout, gate):
            made = self._counted(self.models.get(batch, last, True, share))
            return Trained(made, holdout, batch, made.of(holdout))
        made = self._counted(self.models.get(batch, last, False))
        tests = [b for b in np.array_split(np.arange(first, batch + 1), FOLDS) if len(b)]
        folds = [self.models.get(int(test[0]) - 1, last, False) for test in tests]
        self.outcome.seconds += sum(fold.seconds for fold in folds)
        unseen = np.concatenate(
            [
                self._ruined(fold).of(stream.rows(int(test[0]), int(test[-1])))
                for test, fold in zip(tests, folds, strict=True)
            ]
        )
        return Trained(made, stream.rows(first, batch), first, unseen)

    def _counted(self, made: Made) -> Made:
        self.outcome.trainings += 1
        self.outcome.seconds += made.seconds
        return self._ruined(made)

    def _ruined(self, made: Made) -> Made:
        return self.ruin(made, self.outcome.trainings)


def _enough(stream: Stream, rows: slice, gate: GateConfig) -> bool:
    return is_enough(
        pd.Series(stream.target[rows]),
        stream.moments[rows],
        stream.objective.problem,
        rows=gate.rows,
        blocks=gate.min_blocks,
        rarer=gate.min_minority,
    )


@dataclass(frozen=True)
class Served:
    """What is served: an ensemble, the weights and the recalibration in force, and those in force
    before.
    """

    members: tuple[EnsembleMember, ...]
    weights: tuple[float, ...]
    recalibration: Recalibration | None = None
    weights_before: tuple[float, ...] = ()
    recalibration_before: Recalibration | None = None


@dataclass
class Replay:
    """One stream under the house's policy, gate, watch, ensemble and recalibration.

    What is trained is one recipe: candidates are not searched anew, and no change of recipe waits
    for proof. A person approves at once, and thaws a frozen model before the next batch.
    """

    models: Models
    rules: Rules
    start: Start
    ruin: Ruin | None = None

    def run(self) -> Outcome:
        """Serve every batch after the first champion's, and answer each as the monitor does."""
        stream, self.outcome = self.models.stream, Outcome()
        self.train = Trainer(self.models, self.outcome, self.ruin)
        self.made: dict[int, Made] = {}
        self.served: Served
        self.served_at: dict[int, Served] = {}
        """What was champion when each batch was judged, after its watch."""
        self.previous: Served | None = None
        """Who was champion before the newest promotion, while it is watched."""
        self.at_serving: dict[int, tuple[float, LabelSummary]] = {}
        """The mean loss on each served batch, and its labels against its predictions."""
        self.summaries: list[LabelSummary] = []
        self.means: list[float] = []
        self.judged: list[int] = []
        """The batches of ``summaries`` and ``means``."""
        self.compared: list[Comparison] = []
        self.trained_at: list[int] = []
        self.gains: list[float | list[Comparison]] = []
        self.rollbacks: list[str] = []
        first = self.start.first
        known = stream.known[first - 1]
        self.promote_first(known)
        for batch in range(first, len(stream.batches)):
            self.serve(batch)
            rolled_back = False
            for matured in range(known + 1, stream.known[batch] + 1):
                rolled_back |= matured >= first and self.learn(matured)
            known = stream.known[batch]
            if batch + 1 < len(stream.batches):
                decided = "RollBack" if rolled_back else self.decide(known)
                self.outcome.decisions[stream.batches[batch]] = decided
        return self.outcome

    def learn(self, batch: int) -> bool:
        """Take in the labels of a batch that was served; return whether the watch has brought the
        previous champion back.
        """
        mean, summary = self.at_serving.pop(batch)
        self.judged.append(batch)
        self.means.append(mean)
        self.summaries.append(summary)
        rolled_back = self.watch(batch)
        self.served_at[batch] = self.served
        self.served = self.refresh(self.served, batch)
        if self.previous is not None:
            self.previous = self.refresh(self.previous, batch)
        return rolled_back

    def decide(self, batch: int) -> str:
        """Train and judge a challenger where the policy says so, with labels known up to a batch;
        return what was decided.
        """
        evidence = self.evidence(batch)
        if not isinstance(decide_retrain(evidence, self.rules.retrain, self.start.first), Retrain):
            return "Hold"
        try:
            return f"Retrain, {self.challenge(batch)}"
        except CannotTrainError:
            return "Hold"

    # --- the way of one batch ---

    def raw(
        self, members: Sequence[EnsembleMember], weights: Sequence[float], rows: slice
    ) -> np.ndarray:
        """Return the mix of ``members`` for ``rows``, before recalibration."""
        return mix([self.made[member.version].of(rows) for member in members], weights)

    def predict(self, served: Served, rows: slice, *, before: bool = False) -> np.ndarray:
        """Return what ``served`` serves for ``rows``, or would by what was in force before."""
        weights = served.weights_before if before else served.weights
        recalibration = served.recalibration_before if before else served.recalibration
        raw = self.raw(served.members, weights, rows)
        return raw if recalibration is None else correct(raw, recalibration)

    def losses(self, predicted: np.ndarray, rows: slice) -> np.ndarray:
        """Return the loss of each row."""
        stream = self.models.stream
        return stream.objective.losses(stream.target[rows], predicted)

    def serve(self, batch: int) -> None:
        """Predict the batch; its labels are known later."""
        stream, rows = self.models.stream, self.models.stream.rows(batch)
        losses = self.losses(self.predict(self.served, rows), rows)
        self.outcome.serve(batch, losses)
        raw, of = self.raw(self.served.members, self.served.weights, rows), stream.objective
        summary = summarise(
            stream.batches[batch],
            stream.target[rows],
            raw,
            of.problem,
            of.classes,
            mean=of.power is not None,
        )
        self.at_serving[batch] = float(losses.mean()), summary

    def watch(self, batch: int) -> bool:
        """Score the previous ensemble in shadow, and bring it back if it was better; whether it
        was.
        """
        watched = self.gains[-1] if self.previous is not None else None
        if (
            self.previous is None
            or not isinstance(watched, list)
            or len(watched) >= self.rules.watch.batches
        ):
            return False
        stream, rows = self.models.stream, self.models.stream.rows(batch)
        previous, champion = (self.predict(one, rows) for one in (self.previous, self.served))
        watched.append(compare_stored(stream, rows, previous, champion))
        evidence = WatchEvidence(
            model=stream.name,
            batch=stream.batches[batch],
            revision=0,
            champion=len(self.made),
            previous=len(self.made) - 1,
            batches_watched=len(watched),
            comparison=watched[-1],
        )
        if not isinstance(decide_watch(evidence, self.rules.watch), RollBack):
            return False
        self.served, self.previous = self.previous, None
        self.outcome.rollbacks += 1
        self.rollbacks.append(stream.batches[batch])
        freeze = FreezeEvidence(
            model=stream.name,
            batch=stream.batches[batch],
            revision=0,
            rollbacks=tuple(self.rollbacks),
            recent=stream.batches[: batch + 1],
        )
        if isinstance(decide_freeze(freeze, self.rules.watch), Freeze):
            self.outcome.freezes += 1
            self.rollbacks = []  # a person looks before the next batch, and thaws the model
        return True

    def refresh(self, served: Served, batch: int) -> Served:
        """Take in the labels of the batch: standings, weights and recalibration follow."""
        stream, rows = self.models.stream, self.models.stream.rows(batch)
        before, now = self.predict(served, rows, before=True), self.predict(served, rows)
        evidence = RecalibrationEvidence(
            model=stream.name,
            batch=stream.batches[batch],
            champion=len(self.made),
            problem=stream.objective.problem,
            members=served.members,
            losses={
                m.version: float(self.losses(self.made[m.version].of(rows), rows).mean())
                for m in served.members
            },
            summaries=tuple(self.summaries[-SUMMARIES:]),
            weights=served.weights,
            recalibration=served.recalibration,
            weights_before=served.weights_before,
            recalibration_before=served.recalibration_before,
            comparison=compare_stored(stream, rows, before, now),
        )
        rules = self.rules
        made = decide_recalibration(evidence, rules.ensemble, rules.recalibrate, rules.watch)
        self.outcome.taken_back += made.taken_back
        return Served(
            made.members, made.weights, made.recalibration, served.weights, served.recalibration
        )

    def evidence(self, batch: int) -> PolicyEvidence:
        """Return what the retrain policy looks at when labels are known up to a batch."""
        stream, gate = self.models.stream, self.rules.gate
        first_unseen = int(np.searchsorted(stream.starts, self.unseen_from))
        news = bool(self.judged) and self.judged[-1] > self.trained_at[-1]
        return PolicyEvidence(
            model=stream.name,
            batch=stream.batches[batch],
            revision=0,
            champion=len(self.made),
            accepted_batches=batch + 1,
            batches_since_training=batch - self.trained_at[-1],
            losses=tuple(self.means[:-1] if news else self.means),
            newest_loss=self.means[-1] if news else None,
            drift_share=None,
            unseen_rows=max(0, int(stream.starts[batch + 1] - stream.starts[first_unseen])),
            least_rows=least_rows(gate, self.rules.retrain, reversed(self.compared)),
            trainings=tuple(batch - at for at in self.trained_at),
            rows_since_training=int(
                stream.starts[batch + 1] - stream.starts[self.trained_at[-1] + 1]
            ),
            gains=tuple(
                realised_gain(one) if isinstance(one, list) else one
                for one in self.gains
                if one != []
            ),
        )

    # --- trainings ---

    def new_member(
        self, batch: int, kind: WindowKind, unseen_from: int | None
    ) -> tuple[int, Trained, float]:
        """Train a model; return its version, what was made, and its loss on what judges it."""
        version = len(self.made) + 1
        last = None if kind == "all history" else self.start.last
        trained = self.train.judged(batch, last, unseen_from, self.rules.gate, self.start.holdout)
        self.made[version] = trained.serves
        self.trained_at.append(batch)
        return version, trained, float(self.losses(trained.unseen, trained.rows).mean())

    def window(self, members: Sequence[EnsembleMember]) -> WindowKind:
        """Return what the next training sees, as flows/steps/ensemble.py says."""
        ensemble = self.rules.ensemble
        if self.start.last is None:
            return "all history"
        if ensemble.members == 1:
            return "sliding"
        return next_window(members, len(self.trained_at), ensemble)

    def promote_first(self, batch: int) -> None:
        """Train the first champion."""
        kind = self.window(())
        version, _, loss = self.new_member(batch, kind, None)
        members = join((), version, kind, loss, self.rules.ensemble)
        self.served = Served(members, (1.0,), None, (1.0,), None)

    @property
    def unseen_from(self) -> int:
        """The first row that no member of the champion was there to be trained on."""
        return max(self.made[member.version].start for member in self.served.members)

    def _before(self, batch: int) -> Served:
        """The champion with the weights it had before ``batch`` was mature, if it served it."""
        versions = {member.version for member in self.served.members}
        then = self.served_at.get(batch, self.served)
        return then if {member.version for member in then.members} == versions else self.served

    def challenge(self, batch: int) -> str:
        """Train a new member; it joins the ensemble if it may, and the new ensemble is champion if
        the gate lets it. Return what the gate decided.

        The members stand as they did when the oldest row that judges was served, so that nothing of
        a contender rests on these rows.
        """
        stream, ensemble = self.models.stream, self.rules.ensemble
        kind = self.window(self.served.members)
        version, trained, loss = self.new_member(batch, kind, self.unseen_from)
        self.gains.append(0.0)
        rows, served = trained.rows, self._before(trained.first)
        champion = self.raw(served.members, served.weights, rows)
        champion_loss = float(self.losses(champion, rows).mean())
        joins = MayJoin().check(loss, champion_loss, rows.stop - rows.start, ensemble)
        if joins.outcome != "passed":
            return "Reject"
        members = join(served.members, version, kind, loss, ensemble)
        weights = member_weights(members, ensemble)
        told = [
            trained.unseen if m.version == version else self.made[m.version].of(rows)
            for m in members
        ]
        evidence = refresh_evidence(
            stream, batch, rows, mix(told, weights), champion, version, self.rules.guardrails
        )
        if evidence.comparison is not None:
            self.compared.append(evidence.comparison)
        if not isinstance(decide_promotion(evidence, self.rules.gate), Promote):
            return "Reject"
        newest = with_newest_losses(members, self.served.members)
        now = recalibrate(
            self.summaries[-SUMMARIES:], stream.objective.problem, self.rules.recalibrate
        )
        self.previous, self.gains[-1] = self.served, []
        self.served = Served(newest, member_weights(newest, ensemble), now, weights, None)
        self.outcome.promotions += 1
        return "Promote"
