"""A model's own labelled rows, from ledger and lake, as a stream to be replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import packages_distributions, version
from pathlib import Path

import numpy as np
import pandas as pd

from flows.steps.maturity import of_one_meaning, readable
from flows.whatif.models import Bill, CannotTrainError, Models
from flows.whatif.stream import Stream
from tasks.cohorts import why_waiting
from tasks.evaluation.config import power_of, quantile_of
from tasks.evaluation.objective import Objective
from tasks.features.task import build_features, features_sha256
from tasks.ledger import entries as ledger
from tasks.ledger.tables import Engine
from tasks.model_spec import ManagedModel
from tasks.prediction import predict
from tasks.records import BatchRecord, FeatureFrame, KnownLabels, Past, Problem, Recipe
from tasks.training.config import Excluded
from tasks.training.fit import class_labels, fit_recipe
from tasks.training.weights import excluded

LOSS: dict[Problem, str] = {"binary": "log_loss", "multiclass": "log_loss", "regression": "mae"}
"""The metric beside the loss, which decides nothing in a replay: the cheapest there is."""


def own_rows(
    managed: ManagedModel,
    engine: Engine,
    now: datetime,
    most: int,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Stream, FeatureFrame] | None:
    """Return the labelled rows of the accepted batches whose labels are mature at ``now``, as a
    stream and as a frame in the same order; None when there are none.

    At most ``most`` rows, the same share of each batch, drawn with the spec's seed. Labels are
    those that are known now, and each is taken to have been known when it matured.
    """
    name, spec = managed.name, managed.spec
    records = _usable(managed, engine, now)
    if not records:
        return None
    labels = (
        ()
        if managed.labels is None
        else tuple(ledger.known_batches(engine, name, "labels").values())
    )
    known = KnownLabels(batches=labels, as_of=now)
    past = Past(now)
    if spec.features.of_past:
        past = ledger.past(engine, name, now, managed.joined)
    rows = sum(r.verdict.accepted_rows for r in records)
    share = min(1.0, most / rows)
    frames, kept = list[FeatureFrame](), list[BatchRecord]()
    for record in records:
        say(f"reading {record.batch.id}")
        frame = build_features.fn(managed, [record], known, past)
        frame = frame.where(frame.target.notna().to_numpy())
        if not len(frame):
            continue
        frame = frame.sample(max(1, round(share * len(frame))), spec.training.seed)
        frames.append(_in_order(frame))
        kept.append(record)
    if not frames:
        return None
    frame = _joined(frames)
    digest = features_sha256(managed, frame)
    problem = spec.problem
    classes = class_labels(frame.target, problem)
    own = quantile_of(spec.metric) is not None or power_of(spec.metric) is not None
    metric = spec.metric if own else LOSS[problem]
    stream = Stream(
        name=name,
        objective=Objective(problem, metric, classes),
        features=frame.features,
        target=np.asarray(frame.target.to_numpy()),
        moments=frame.moments,
        slices=frame.slices,
        batches=tuple(r.batch.id for r in kept),
        starts=np.cumsum([0, *map(len, frames)]),
        known=_known(managed, kept),
        contents=tuple(
            _content(managed, record, digest, len(part))
            for record, part in zip(kept, frames, strict=True)
        ),
    )
    return stream, frame


def _usable(managed: ManagedModel, engine: Engine, now: datetime) -> list[BatchRecord]:
    """The accepted batches with mature labels, oldest first."""
    known = ledger.known_batches(engine, managed.name).values()
    labels = tuple(ledger.cohorts(engine, managed.name, "labels").values())
    found = [r for r in known if r.accepted and not why_waiting(managed, r.cohort, labels, now)]
    texts = ledger.contract_texts(engine, managed.name)
    return of_one_meaning(managed, found, lambda version: texts.get(version, ""))


def _in_order(frame: FeatureFrame) -> FeatureFrame:
    """The rows by time; those of one moment by a hash of their keys, as a holdout cuts them."""
    hashes = pd.util.hash_pandas_object(frame.keys, index=False).to_numpy()
    order = np.lexsort((hashes, frame.moments))
    return _taken(frame, order)


def _taken(frame: FeatureFrame, order: np.ndarray) -> FeatureFrame:
    return FeatureFrame(
        features=frame.features.iloc[order],
        target=frame.target.iloc[order],
        event_time=frame.event_time.iloc[order],
        batch=frame.batch.iloc[order],
        slices=frame.slices.iloc[order],
        keys=frame.keys.iloc[order],
        schema=frame.schema,
        snapshots=frame.snapshots,
        weight=None if frame.weight is None else frame.weight.iloc[order],
    )


def _joined(frames: Sequence[FeatureFrame]) -> FeatureFrame:
    weights = [one.weight for one in frames if one.weight is not None]
    return FeatureFrame(
        features=pd.concat([one.features for one in frames], ignore_index=True),
        target=pd.concat([one.target for one in frames], ignore_index=True),
        event_time=pd.concat([one.event_time for one in frames], ignore_index=True),
        batch=pd.concat([one.batch for one in frames], ignore_index=True),
        slices=pd.concat([one.slices for one in frames], ignore_index=True),
        keys=pd.concat([one.keys for one in frames], ignore_index=True),
        schema=frames[-1].schema,
        snapshots={id: digest for one in frames for id, digest in one.snapshots.items()},
        weight=pd.concat(weights, ignore_index=True) if weights else None,
    )


def _known(managed: ManagedModel, records: Sequence[BatchRecord]) -> tuple[int, ...]:
    """For each batch, taken in when it has closed, the newest whose labels can be read by then."""
    mature = [readable(managed, record.batch) for record in records]
    found, newest = list[int](), -1
    for record in records:
        closed = record.batch.end + managed.contract.lateness
        while newest + 1 < len(records) and mature[newest + 1] <= closed:
            newest += 1
        found.append(newest)
    return tuple(found)


def _content(managed: ManagedModel, record: BatchRecord, features: str, rows: int) -> str:
    """A digest of the rows of a batch: what was read of it, of its labels, and how features are
    made.
    """
    labelled = record.labelled
    text = [
        record.snapshot.sha256,
        record.verdict.quarantine or "",
        "" if labelled is None else f"{labelled.read} {labelled.labelled}",
        features,
        managed.spec.target,
        str(rows),
    ]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()


def stored_in(managed: ManagedModel) -> Path:
    """Return the directory of the stored predictions of a model; it may be removed at any time."""
    return managed.settings.home.resolve() / "whatif" / managed.name


class RecipeModels(Models):
    """The models of one recipe on a model's own rows, without those of the periods ``exclude``,
    which stand in the recipe's window.
    """

    def __init__(
        self,
        managed: ManagedModel,
        stream: Stream,
        frame: FeatureFrame,
        recipe: Recipe,
        bill: Bill,
        exclude: Sequence[Excluded] = (),
    ) -> None:
        super().__init__(stream, stored_in(managed), bill)
        self.managed, self.frame, self.recipe = managed, frame, recipe
        self._left = ~excluded(frame, exclude, managed.contract)

    @property
    def digest(self) -> str:
        """The recipe, the seed, and the version of the estimator's library."""
        package = self.recipe.estimator.partition(".")[0]
        libraries = packages_distributions().get(package, [])
        installed = [f"{one} {version(one)}" for one in libraries]
        made = [self.recipe.digest(), str(self.managed.spec.training.seed), *sorted(installed)]
        return "\n".join(made)

    def fit(self, rows: slice) -> Callable[[slice], tuple[np.ndarray, tuple[str, ...]]]:
        """Fit the recipe, as a training does."""
        spec, seen = self.managed.spec, np.zeros(len(self.frame), dtype=bool)
        seen[rows] = self._left[rows]
        try:
            pipeline, classes = fit_recipe(
                self.recipe, self.frame.where(seen), spec.problem, spec.training.seed
            )
        except Exception as error:
            raise CannotTrainError(f"{self.recipe.estimator}: {error}") from error

        def told(later: slice) -> tuple[np.ndarray, tuple[str, ...]]:
            features = self.stream.features.iloc[later]
            if not len(features):
                return np.empty((0, len(classes)) if classes else 0), classes
            return predict(pipeline, features, spec.problem, classes), classes

        return told
