"""Five streams replayed under a policy: the decisions are those of ``tasks/decisions/``, the models
are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from benchmarks.simulation.judging import compare_stored, refresh_evidence
from benchmarks.simulation.models import Made, Models, Window
from benchmarks.simulation.streams import Stream
from tasks.configuration import Config
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
from tasks.decisions.recalibration import decide_recalibration, recalibrate
from tasks.decisions.watch import decide_freeze, decide_watch
from tasks.evaluation.compare import is_enough
from tasks.evaluation.objective import Objective
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

Asks = Callable[[int, int, Sequence[float]], bool]
"""From the newest batch, that of the newest training, and the mean losses of what was served, to
whether to train.
"""
SUMMARIES = 12
"""Mature batches that recalibration looks back on, as in flows/steps/ensemble.py."""
FOLDS = 8
"""Most fits that predict the batches that are pooled to judge by, as in tasks/training/split.py."""
_WINDOWS: dict[WindowKind, Window] = {"all history": "all", "sliding": "sliding"}


class Spec(Config):
    """What a model spec says of decisions, with its defaults."""

    retrain: PolicyConfig = PolicyConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    recalibrate: RecalibrationConfig = RecalibrationConfig()
    gate: GateConfig = GateConfig()
    watch: WatchConfig = WatchConfig()


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

    @property
    def loss(self) -> float:
        """Mean over the served rows."""
        return sum(self.losses) / self.rows


def broken(made: Made, stream: Stream, kind: int) -> Made:
    """Return what a model would say that was ruined in one of three ways, which are taken in turn.

    Its features were joined to the wrong rows; it learned from the labels that come first and are
    mostly positive, or high; it says the same for every row, nearly.
    """
    p = made.predictions
    if kind % 3 == 0:
        return replace(made, predictions=np.random.default_rng(kind).permutation(p))
    if kind % 3 == 1:
        odds = np.exp(2.0)
        return replace(
            made,
            predictions=(
                2 * p if stream.setting.problem == "regression" else p * odds / (1 - p + p * odds)
            ),
        )
    return replace(made, predictions=0.999 * np.median(p) + 0.001 * p)


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


class _Trainer:
    """Trains what is asked for, ruins every so many, and keeps the bill."""

    def __init__(self, models: Models, outcome: Outcome, broken_every: int | None) -> None:
        self.models, self.outcome, self.broken_every = models, outcome, broken_every

    def __call__(self, batch: int, window: Window) -> Made:
        """Train on all rows of the window."""
        return self._counted(self.models.get(batch, window, False))

    def judged(
        self, batch: int, window: Window, unseen_from: int | None, gate: GateConfig
    ) -> Trained:
        """Train as tasks/training/split.py splits: the newest share is held out where it is enough,
        or there is no champion, whose unseen rows begin at ``unseen_from``; else whole batches are
        pooled, each predicted by a fit on what was there before it, and all rows are trained on.
        """
        stream, holdout = self.models.stream, self.models.stream.holdout(batch)
        first = batch + 1
        while unseen_from is not None and first > 1:
            if stream.rows(first - 1).start < unseen_from:
                break
            first -= 1
            if _enough(stream, stream.rows(first, batch), gate):
                break
        if first > batch or _enough(stream, holdout, gate):
            made = self._counted(self.models.get(batch, window, True))
            return Trained(made, holdout, batch, made.of(holdout))
        made = self._counted(self.models.get(batch, window, False))
        tests = [b for b in np.array_split(np.arange(first, batch + 1), FOLDS) if len(b)]
        folds = [self.models.get(int(test[0]) - 1, window, False) for test in tests]
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
        number = self.outcome.trainings
        if self.broken_every and number % self.broken_every == 0:
            return broken(made, self.models.stream, number // self.broken_every - 1)
        return made


def _enough(stream: Stream, rows: slice, gate: GateConfig) -> bool:
    return is_enough(
        pd.Series(stream.target[rows]),
        stream.moments[rows],
        stream.setting.problem,
        rows=gate.rows,
        blocks=gate.min_blocks,
        rarer=gate.min_minority,
    )


def replay_bare(
    models: Models, window: Window, asks: Asks, broken_every: int | None = None
) -> Outcome:
    """Serve the newest model of one window, trained on all rows whenever ``asks`` says so: no gate,
    no ensemble.
    """
    stream, outcome = models.stream, Outcome()
    losses_of = Objective(stream.setting.problem).losses
    train, first = _Trainer(models, outcome, broken_every), stream.setting.first
    trained, current_champion = first - 1, train(first - 1, window)
    means: list[float] = []
    for batch in range(first, len(stream.batches)):
        rows = stream.rows(batch)
        losses = losses_of(stream.target[rows], current_champion.of(rows))
        _serve(outcome, losses)
        means.append(float(losses.mean()))
        if batch + 1 < len(stream.batches) and asks(batch, trained, means):
            trained, current_champion = batch, train(batch, window)
    return outcome


def _serve(outcome: Outcome, losses: np.ndarray) -> None:
    outcome.losses.append(float(losses.sum()))
    outcome.rows += len(losses)


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
    """One stream under the house's policy, gate, watch, ensemble and recalibration."""

    models: Models
    spec: Spec
    broken_every: int | None = None

    def run(self) -> Outcome:
        """Serve every batch after the first window, and answer each as the monitor does."""
        stream, self.outcome = self.models.stream, Outcome()
        self.train = _Trainer(self.models, self.outcome, self.broken_every)
        self.made: dict[int, Made] = {}
        self.served: Served
        self.served_at: dict[int, Served] = {}
        """What served each batch, after its watch."""
        self.previous: Served | None = None
        """Who was champion before the newest promotion, while it is watched."""
        self.summaries: list[LabelSummary] = []
        self.means: list[float] = []
        self.trained_at: list[int] = []
        self.gains: list[float | list[Comparison]] = []
        self.rollbacks: list[str] = []
        self.promote_first(stream.setting.first - 1)
        for batch in range(stream.setting.first, len(stream.batches)):
            self.serve(batch)
            rolled_back = self.watch(batch)
            self.served_at[batch] = self.served
            self.served = self.refresh(self.served, batch)
            if self.previous is not None:
                self.previous = self.refresh(self.previous, batch)
            if not rolled_back and batch + 1 < len(stream.batches):
                evidence = self.evidence(batch)
                if isinstance(
                    decide_retrain(evidence, self.spec.retrain, stream.setting.first), Retrain
                ):
                    self.challenge(batch)
        return self.outcome

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
        return Objective(stream.setting.problem).losses(stream.target[rows], predicted)

    def serve(self, batch: int) -> None:
        """Predict the batch, and learn its labels afterwards."""
        stream, rows = self.models.stream, self.models.stream.rows(batch)
        losses = self.losses(self.predict(self.served, rows), rows)
        _serve(self.outcome, losses)
        self.means.append(float(losses.mean()))
        raw = self.raw(self.served.members, self.served.weights, rows)
        self.summaries.append(
            summarise(stream.batches[batch], stream.target[rows], raw, stream.setting.problem)
        )

    def watch(self, batch: int) -> bool:
        """Score the previous ensemble in shadow, and bring it back if it was better; whether it
        was.
        """
        watched = self.gains[-1] if self.previous is not None else None
        if (
            self.previous is None
            or not isinstance(watched, list)
            or len(watched) >= self.spec.watch.batches
        ):
            return False
        stream, rows = self.models.stream, self.models.stream.rows(batch)
        previous, champion = (self.predict(one, rows) for one in (self.previous, self.served))
        watched.append(compare_stored(stream, rows, previous, champion))
        evidence = WatchEvidence(
            model=stream.setting.name,
            batch=stream.batches[batch],
            revision=0,
            champion=len(self.made),
            previous=len(self.made) - 1,
            batches_watched=len(watched),
            comparison=watched[-1],
        )
        if not isinstance(decide_watch(evidence, self.spec.watch), RollBack):
            return False
        self.served, self.previous = self.previous, None
        self.outcome.rollbacks += 1
        self.rollbacks.append(stream.batches[batch])
        freeze = FreezeEvidence(
            model=stream.setting.name,
            batch=stream.batches[batch],
            revision=0,
            rollbacks=tuple(self.rollbacks),
            recent=stream.batches[: batch + 1],
        )
        if isinstance(decide_freeze(freeze, self.spec.watch), Freeze):
            self.outcome.freezes += 1
            self.rollbacks = []  # a person looks before the next batch, and thaws the model
        return True

    def refresh(self, served: Served, batch: int) -> Served:
        """Take in the labels of the batch: standings, weights and recalibration follow."""
        stream, rows = self.models.stream, self.models.stream.rows(batch)
        before, now = self.predict(served, rows, before=True), self.predict(served, rows)
        evidence = RecalibrationEvidence(
            model=stream.setting.name,
            batch=stream.batches[batch],
            champion=len(self.made),
            problem=stream.setting.problem,
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
        spec = self.spec
        made = decide_recalibration(evidence, spec.ensemble, spec.recalibrate, spec.watch)
        self.outcome.taken_back += made.taken_back
        return Served(
            made.members, made.weights, made.recalibration, served.weights, served.recalibration
        )

    def evidence(self, batch: int) -> PolicyEvidence:
        """Return what the retrain policy looks at."""
        stream, gate = self.models.stream, self.spec.gate
        first_unseen = int(np.searchsorted(stream.starts, self.unseen_from))
        return PolicyEvidence(
            model=stream.setting.name,
            batch=stream.batches[batch],
            revision=0,
            champion=len(self.made),
            accepted_batches=batch + 1,
            batches_since_training=batch - self.trained_at[-1],
            losses=tuple(self.means[:-1]),
            newest_loss=self.means[-1],
            drift_share=None,
            unseen_rows=max(0, int(stream.starts[batch + 1] - stream.starts[first_unseen])),
            least_rows=gate.min_rows if gate.without_evidence == "keep" else 0,
            trainings=tuple(batch - at for at in self.trained_at),
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
        trained = self.train.judged(batch, _WINDOWS[kind], unseen_from, self.spec.gate)
        self.made[version] = trained.serves
        self.trained_at.append(batch)
        return version, trained, float(self.losses(trained.unseen, trained.rows).mean())

    def promote_first(self, batch: int) -> None:
        """Train the first champion."""
        kind = next_window((), 0, self.spec.ensemble)
        version, _, loss = self.new_member(batch, kind, None)
        members = join((), version, kind, loss, self.spec.ensemble)
        self.served = Served(members, (1.0,), None, (1.0,), None)

    @property
    def unseen_from(self) -> int:
        """The first row that no member of the champion was there to be trained on."""
        return max(self.made[member.version].start for member in self.served.members)

    def _before(self, batch: int) -> Served:
        """The champion with the weights it had before ``batch`` was mature, if it served it."""
        versions = {member.version for member in self.served.members}
        then = self.served_at[batch]
        return then if {member.version for member in then.members} == versions else self.served

    def challenge(self, batch: int) -> None:
        """Train a new member; it joins the ensemble if it may, and the new ensemble is champion if
        the gate lets it.

        The members stand as they did when the oldest row that judges was served, so that nothing of
        a contender rests on these rows.
        """
        stream, ensemble = self.models.stream, self.spec.ensemble
        kind = next_window(self.served.members, len(self.trained_at), ensemble)
        version, trained, loss = self.new_member(batch, kind, self.unseen_from)
        self.gains.append(0.0)
        rows, served = trained.rows, self._before(trained.first)
        champion = self.raw(served.members, served.weights, rows)
        champion_loss = float(self.losses(champion, rows).mean())
        joins = MayJoin().check(loss, champion_loss, rows.stop - rows.start, ensemble)
        if joins.outcome != "passed":
            return
        members = join(served.members, version, kind, loss, ensemble)
        weights = member_weights(members, ensemble)
        told = [
            trained.unseen if m.version == version else self.made[m.version].of(rows)
            for m in members
        ]
        evidence = refresh_evidence(stream, batch, rows, mix(told, weights), champion, version)
        if not isinstance(decide_promotion(evidence, self.spec.gate), Promote):
            return
        newest = with_newest_losses(members, self.served.members)
        now = recalibrate(
            self.summaries[-SUMMARIES:], stream.setting.problem, self.spec.recalibrate
        )
        self.previous, self.gains[-1] = self.served, []
        self.served = Served(newest, member_weights(newest, ensemble), now, weights, None)
        self.outcome.promotions += 1
