"""Five streams replayed under a policy: the decisions are those of ``tasks/decisions/``, the models are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmarks.simulation.judging import compare_stored, refresh_evidence
from benchmarks.simulation.models import Made, Models, Window
from benchmarks.simulation.streams import Stream
from tasks.configuration import Config
from tasks.decisions.config import GateConfig, PanelConfig, PolicyConfig, RecalibrationConfig, WatchConfig
from tasks.decisions.gate import decide_promotion
from tasks.decisions.panel import join, judge_members, may_join, member_weights, next_window
from tasks.decisions.policy import decide_retrain, realised_gain
from tasks.decisions.recalibration import recalibrate
from tasks.decisions.watch import decide_freeze, decide_watch
from tasks.evaluation.metrics import row_losses
from tasks.mixing import correct, mix, summarise
from tasks.records import (
    Comparison,
    Freeze,
    FreezeEvidence,
    LabelSummary,
    PanelMember,
    PolicyEvidence,
    Promote,
    Recalibration,
    Retrain,
    RollBack,
    WatchEvidence,
    WindowKind,
)

if TYPE_CHECKING:
    import numpy as np

Asks = Callable[[int, int, Sequence[float]], bool]
"""From the newest batch, that of the newest training, and the mean losses of what was served, to whether to train."""
_WINDOWS: dict[WindowKind, Window] = {"all history": "all", "sliding": "sliding"}


class Spec(Config):
    """What a model spec says of decisions; the defaults are the house's."""

    retrain: PolicyConfig = PolicyConfig()
    panel: PanelConfig = PanelConfig()
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

    @property
    def loss(self) -> float:
        """Mean over the served rows."""
        return sum(self.losses) / self.rows


def broken(made: Made, stream: Stream, kind: int) -> Made:
    """Return what a model would say that was ruined in one of three ways, which are taken in turn.

    Its features were joined to the wrong rows; it learned from the labels that come first and are mostly positive, or
    high; it says the same for every row, nearly.
    """
    import numpy as np

    p = made.predictions
    if kind % 3 == 0:
        return replace(made, predictions=np.random.default_rng(kind).permutation(p))
    if kind % 3 == 1:
        odds = np.exp(2.0)
        return replace(
            made,
            predictions=2 * p if stream.setting.problem == "regression" else p * odds / (1 - p + p * odds),
        )
    return replace(made, predictions=0.999 * np.median(p) + 0.001 * p)


class _Trainer:
    """Trains what is asked for, ruins every so many, and keeps the bill."""

    def __init__(self, models: Models, outcome: Outcome, broken_every: int | None, held_out: bool) -> None:
        self.models, self.outcome, self.broken_every, self.held_out = models, outcome, broken_every, held_out

    def __call__(self, batch: int, window: Window) -> Made:
        made = self.models.get(batch, window, self.held_out)
        self.outcome.trainings += 1
        self.outcome.seconds += made.seconds
        number = self.outcome.trainings
        if self.broken_every and number % self.broken_every == 0:
            return broken(made, self.models.stream, number // self.broken_every - 1)
        return made


def replay_bare(models: Models, window: Window, asks: Asks, broken_every: int | None = None) -> Outcome:
    """Serve the newest model of one window, trained on all rows whenever ``asks`` says so: no gate, no panel."""
    stream, outcome = models.stream, Outcome()
    train, first = _Trainer(models, outcome, broken_every, held_out=False), stream.setting.first
    trained, reigning = first - 1, train(first - 1, window)
    means: list[float] = []
    for batch in range(first, len(stream.batches)):
        rows = stream.rows(batch)
        losses = row_losses(stream.target[rows], reigning.of(rows), stream.setting.problem)
        _serve(outcome, losses)
        means.append(float(losses.mean()))
        if batch + 1 < len(stream.batches) and asks(batch, trained, means):
            trained, reigning = batch, train(batch, window)
    return outcome


def _serve(outcome: Outcome, losses: np.ndarray) -> None:
    outcome.losses.append(float(losses.sum()))
    outcome.rows += len(losses)


@dataclass
class Replay:
    """One stream under the house's policy, gate, watch, panel and recalibration."""

    models: Models
    spec: Spec
    broken_every: int | None = None

    def run(self) -> Outcome:
        """Serve every batch after the first window, and answer each as the monitor does."""
        stream, self.outcome = self.models.stream, Outcome()
        self.train = _Trainer(self.models, self.outcome, self.broken_every, held_out=True)
        self.made: dict[int, Made] = {}
        self.members: tuple[PanelMember, ...] = ()
        self.previous: tuple[PanelMember, ...] = ()
        """The panel before the newest promotion, while it is watched."""
        self.summaries: list[LabelSummary] = []
        self.means: list[float] = []
        self.trained_at: list[int] = []
        self.gains: list[float | list[Comparison]] = []
        self.rollbacks: list[str] = []
        self.challenge(stream.setting.first - 1)
        for batch in range(stream.setting.first, len(stream.batches)):
            self.serve(batch)
            rolled_back = self.watch(batch)
            self.judge(batch)
            if not rolled_back and batch + 1 < len(stream.batches):
                evidence = self.evidence(batch)
                if isinstance(decide_retrain(evidence, self.spec.retrain, stream.setting.first), Retrain):
                    self.challenge(batch)
        return self.outcome

    # --- the way of one batch ---

    def predict(self, members: Sequence[PanelMember], rows: slice) -> np.ndarray:
        """Return the mix of ``members`` for ``rows``, before recalibration."""
        return mix([self.made[m.version].of(rows) for m in members], member_weights(members, self.spec.panel))

    def serve(self, batch: int) -> None:
        """Predict the batch, and learn its labels afterwards."""
        stream, rows = self.models.stream, self.models.stream.rows(batch)
        raw = self.predict(self.members, rows)
        losses = row_losses(stream.target[rows], correct(raw, self.correction()), stream.setting.problem)
        _serve(self.outcome, losses)
        self.means.append(float(losses.mean()))
        self.newest_summary = summarise(
            stream.batches[batch], stream.target[rows], raw, stream.setting.problem
        )

    def correction(self) -> Recalibration:
        """Return the recalibration by the batches that are mature."""
        return recalibrate(self.summaries, self.models.stream.setting.problem, self.spec.recalibrate)

    def watch(self, batch: int) -> bool:
        """Score the previous panel in shadow, and bring it back if it was better; whether it was."""
        watched = self.gains[-1] if self.previous and self.gains else None
        if not isinstance(watched, list) or len(watched) >= self.spec.watch.batches:
            return False
        stream, rows = self.models.stream, self.models.stream.rows(batch)
        seats = {
            name: correct(self.predict(members, rows), self.correction())
            for name, members in (("previous", self.previous), ("champion", self.members))
        }
        watched.append(compare_stored(stream, rows, seats, "previous", "champion"))
        evidence = WatchEvidence(
            model=stream.setting.name, batch=stream.batches[batch], revision=0, champion=len(self.made),
            previous=len(self.made) - 1, batches_watched=len(watched), comparison=watched[-1],
        )  # fmt: skip
        if not isinstance(decide_watch(evidence, self.spec.watch), RollBack):
            return False
        self.members, self.previous = self.previous, ()
        self.outcome.rollbacks += 1
        self.rollbacks.append(stream.batches[batch])
        freeze = FreezeEvidence(
            model=stream.setting.name, batch=stream.batches[batch], revision=0, rollbacks=tuple(self.rollbacks),
            recent=stream.batches[: batch + 1],
        )  # fmt: skip
        if isinstance(decide_freeze(freeze, self.spec.watch), Freeze):
            self.outcome.freezes += 1
            self.rollbacks = []  # a person looks before the next batch, and thaws the model
        return True

    def judge(self, batch: int) -> None:
        """Take in the labels of the batch: standings, weights and recalibration follow."""
        stream, rows = self.models.stream, self.models.stream.rows(batch)
        self.summaries.append(self.newest_summary)
        losses = {
            m.version: float(
                row_losses(stream.target[rows], self.made[m.version].of(rows), stream.setting.problem).mean()
            )
            for m in {*self.members, *self.previous}
        }
        self.members = judge_members(self.members, losses, self.spec.panel)
        self.previous = judge_members(self.previous, losses, self.spec.panel)

    def evidence(self, batch: int) -> PolicyEvidence:
        """Return what the retrain policy looks at."""
        stream = self.models.stream
        since = batch - self.trained_at[-1]
        return PolicyEvidence(
            model=stream.setting.name,
            batch=stream.batches[batch],
            revision=0,
            champion=len(self.made),
            accepted_batches=batch + 1,
            batches_since_training=since,
            losses=tuple(self.means[:-1]),
            newest_loss=self.means[-1],
            drift_share=None,
            trainings=tuple(batch - at for at in self.trained_at),
            gains=tuple(
                realised_gain(one) if isinstance(one, list) else one for one in self.gains if one != []
            ),
        )

    def challenge(self, batch: int) -> None:
        """Train a newcomer; it joins the panel if it may, and the new panel reigns if the gate lets it."""
        stream, panel = self.models.stream, self.spec.panel
        kind = next_window(self.members, len(self.trained_at), panel)
        version = len(self.made) + 1
        self.made[version] = self.train(batch, _WINDOWS[kind])
        self.trained_at.append(batch)
        rows = stream.holdout(batch)
        newcomer = self.made[version].of(rows)
        loss = float(row_losses(stream.target[rows], newcomer, stream.setting.problem).mean())
        if not self.members:
            self.members = join((), version, kind, loss, panel)
            return
        champion = self.predict(self.members, rows)
        self.gains.append(0.0)
        if not may_join(
            loss, float(row_losses(stream.target[rows], champion, stream.setting.problem).mean()), panel
        ):
            return
        members = join(self.members, version, kind, loss, panel)
        evidence = refresh_evidence(stream, batch, self.predict(members, rows), champion, version)
        if isinstance(decide_promotion(evidence, self.spec.gate), Promote):
            self.members, self.previous, self.gains[-1] = members, self.members, []
            self.outcome.promotions += 1
