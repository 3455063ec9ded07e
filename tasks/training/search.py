"""The search: candidates, compared on folds that only look forward, with one seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import joblib
import numpy as np
import optuna
from threadpoolctl import threadpool_limits

from tasks.errors import KingmakerError, first_line
from tasks.prediction import predict
from tasks.records import FeatureFrame, LeftOut, Problem, Recipe, TrainedModel, Trial
from tasks.training.config import Candidate, Range, TrainingConfig, Weights
from tasks.training.estimators import fit_pipeline, rounds_found
from tasks.training.failure import why_left_out
from tasks.training.libraries import MOST_ROUNDS, library_of
from tasks.training.pipeline import check_constraints, make_pipeline, with_values
from tasks.training.preparation import check_prepared
from tasks.training.split import NoTrainingRowsError, forward_folds
from tasks.training.weights import sample_weights, weighted

if TYPE_CHECKING:
    MeanLoss = Callable[[np.ndarray, np.ndarray], float]


T = TypeVar("T")


class SearchFailedError(KingmakerError):
    """No candidate gave a finite loss: there is nothing to train."""


@dataclass(frozen=True)
class Found:
    """The best parameters of one candidate."""

    candidate: Candidate
    trial: Trial


@dataclass(frozen=True)
class Searched:
    """What the search found of its candidates."""

    found: tuple[Found, ...]
    """Each candidate with its best parameters, best first; at least one."""
    left_out: tuple[LeftOut, ...] = ()
    """Those whose every trial raised, or had no finite loss."""
    anew: bool = True
    """Whether the spec's candidates were compared; else a known recipe was looked at alone."""


def search_is_due(trainings: Iterable[TrainedModel], every: int, spec_sha256: str) -> bool:
    """Return whether the next training searches: the spec has changed since the newest of the
    ``trainings``, newest first, or ``every`` trainings have gone by with it.
    """
    for trained, training in enumerate(trainings, start=1):
        if training.spec_sha256 != spec_sha256:
            return True
        if training.searched or trained == every:
            return trained >= every
    return True


def search(
    frame: FeatureFrame,
    config: TrainingConfig,
    problem: Problem,
    loss: MeanLoss,
    classes: Sequence[str] = (),
    incumbent: Recipe | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Searched:
    """Return each candidate with its best parameters, best first, and those that were left out.

    ``frame`` holds the training rows; a seeded sample of at most ``tuning.rows`` of them is
    searched. ``loss`` maps target and prediction to a mean loss. The incumbent's parameters are
    tried first where its estimator is a candidate and the spec still allows them, so the search
    never overlooks what is champion. A candidate whose every trial raises, or has no finite loss,
    is left out by name, and the others go on. The same inputs give the same result, but for
    ``Trial.seconds``, and where ``tuning.seconds`` ends the search.

    Raises NoTrainingRowsError when a classification target holds one class, SearchFailedError when
    no candidate is left.
    """
    if problem != "regression" and frame.target.nunique() < 2:
        raise NoTrainingRowsError(
            f"batches {sorted(frame.snapshots)}: expected at least two classes in the target to"
            " train on, found one"
        )
    sample = frame.sample(config.tuning.rows, config.seed)
    folds = [
        (train, test)
        for train, test in forward_folds(sample.moments, config.tuning.folds)
        if problem == "regression" or sample.target.iloc[train].nunique() > 1
    ]
    forward = bool(folds)
    if not forward:
        folds = [(np.arange(len(sample)), np.arange(len(sample)))]
        say(
            "no forward fold has rows to learn from: candidates are compared on their training rows"
        )
    found, left_out = list[Found](), list[LeftOut]()
    began = time.perf_counter()
    for i, candidate in enumerate(config.candidates):
        left = (config.tuning.seconds or math.inf) - (time.perf_counter() - began)
        result = _search_one(
            candidate,
            _Folds(
                sample, folds, forward, problem, tuple(classes), loss, config.seed, config.weights
            ),
            config,
            incumbent,
            left / (len(config.candidates) - i),
        )
        name = candidate.estimator.rpartition(".")[2]
        if isinstance(result, LeftOut):
            say(f"left out: {result}")
            left_out.append(result)
            continue
        mean = result.trial.loss
        shown = f"{mean:.4f}" if abs(mean) < 1e6 else f"{mean:.4g}"
        say(f"{name}: loss {shown} over {len(folds)} folds")
        found.append(result)
    if not found:
        raise SearchFailedError(
            f"batches {sorted(frame.snapshots)}: expected a candidate with a finite loss, found"
            f" none; {'; '.join(map(str, left_out))}"
        )
    return Searched(tuple(sorted(found, key=lambda item: item.trial.loss)), tuple(left_out))


@dataclass(frozen=True)
class _Folds:
    """What every trial is measured on."""

    sample: FeatureFrame
    folds: Sequence[tuple[np.ndarray, np.ndarray]]
    forward: bool
    """Whether they look forward; else the rows to fit on are those to predict."""
    problem: Problem
    classes: tuple[str, ...]
    loss: MeanLoss
    seed: int
    weights: Weights

    def stopped_early(self, candidate: Candidate, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters of a candidate that stops early with the rounds that the folds
        found, their median; those of any other as they are.
        """
        library, patience = library_of(candidate.estimator), candidate.early_stopping
        if library is None or patience is None or not self.forward:
            return params
        most = {library.rounds: MOST_ROUNDS, **params}
        sample, weights = self.sample, sample_weights(self.weights, self.sample)

        def one(train: np.ndarray, test: np.ndarray) -> int:
            return rounds_found(
                self._pipeline(candidate, most, train),
                sample.features.iloc[train],
                sample.target.iloc[train],
                sample.features.iloc[test],
                sample.target.iloc[test],
                patience,
                threads=1,
                weights=None if weights is None else weights[train] / weights[train].mean(),
            )

        return {**params, library.rounds: int(np.median(self._each(one)))}

    def losses(self, candidate: Candidate, params: Mapping[str, Any]) -> list[float]:
        """Return the loss on each fold."""
        sample, weights = self.sample, sample_weights(self.weights, self.sample)

        def one(train: np.ndarray, test: np.ndarray) -> float:
            pipeline = self._pipeline(candidate, params, train)
            features, target = sample.features.iloc[train], sample.target.iloc[train]
            own = None if weights is None else weights[train] / weights[train].mean()
            fit_pipeline(pipeline, features, target, 1, **weighted(own))
            predicted = predict(pipeline, sample.features.iloc[test], self.problem, self.classes)
            return self.loss(sample.target.iloc[test].to_numpy(), predicted)

        return self._each(one)

    def _pipeline(self, candidate: Candidate, params: Mapping[str, Any], train: np.ndarray) -> Any:  # noqa: ANN401 - a scikit-learn Pipeline
        schema = with_values(self.sample.schema, self.sample.features.iloc[train])
        return make_pipeline(
            candidate.estimator,
            params,
            schema,
            encode=candidate.encode,
            seed=self.seed,
            prepare=candidate.prepare,
        )

    def _each(self, one: Callable[[np.ndarray, np.ndarray], T]) -> list[T]:
        """Return what ``one`` gives for each fold; folds run in parallel, one core each."""

        # One thread a fold: folds fill the cores, and sums in one thread are the same every time.
        # BLAS counts its threads for the whole process, so its limit is set around all folds: set
        # in each, one that ends would lift or keep it for the others. OpenMP counts them for each
        # thread that starts some.
        def limited(train: np.ndarray, test: np.ndarray) -> T:
            with threadpool_limits(1, user_api="openmp"):
                return one(train, test)

        with threadpool_limits(1, user_api="blas"):
            return list(
                joblib.Parallel(n_jobs=-1, prefer="threads")(
                    joblib.delayed(limited)(*f) for f in self.folds
                )
            )


def _search_one(
    candidate: Candidate,
    folds: _Folds,
    config: TrainingConfig,
    incumbent: Recipe | None,
    seconds: float,
) -> Found | LeftOut:
    """Return the candidate's best trial, or why none has a finite loss; no trial but the first
    begins after ``seconds``.
    """
    began = time.perf_counter()
    try:
        check_constraints(candidate.params, folds.sample.schema)
        check_prepared(candidate.prepare, folds.sample.schema)
    except ValueError as error:
        return LeftOut(estimator=candidate.estimator, why=first_line(error))
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a trial without a loss is told below
    errors: list[str] = []
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=config.seed))
    if incumbent is not None and incumbent.estimator == candidate.estimator:
        # A value that the spec no longer allows is left to the sampler: Optuna refuses an unknown
        # choice.
        known = {
            name: _frozen(incumbent.params[name])
            for name in candidate.search
            if name in incumbent.params
        }
        study.enqueue_trial(
            {name: v for name, v in known.items() if candidate.search[name].holds(v)}
        )

    def objective(trial: optuna.Trial) -> float:
        params: Mapping[str, Any] = {
            **candidate.params,
            **{n: _suggest(trial, n, r) for n, r in candidate.search.items()},
        }
        try:
            params = folds.stopped_early(candidate, params)
            losses = folds.losses(candidate, params)
        except Exception as error:  # noqa: BLE001 - an estimator may raise anything
            errors.append(first_line(error))
            return math.nan
        trial.set_user_attr("params", params)
        trial.set_user_attr("losses", losses)
        mean = sum(losses) / len(losses)
        return mean if math.isfinite(mean) else math.nan  # Optuna leaves out a trial that gives NaN

    def stop(study: optuna.Study, _: object) -> None:
        if time.perf_counter() - began >= seconds:
            study.stop()

    trials = config.tuning.trials if candidate.search else 1
    study.optimize(objective, n_trials=trials, callbacks=[stop])
    if not study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]):
        return LeftOut(
            estimator=candidate.estimator,
            why=why_left_out(errors[-1] if errors else "no trial has a finite loss", folds.sample),
        )
    best = study.best_trial
    return Found(
        candidate,
        Trial(
            estimator=candidate.estimator,
            params=best.user_attrs["params"],
            loss=best.value,
            loss_by_fold=tuple(best.user_attrs["losses"]),
            trials=len(study.trials),
            seconds=round(time.perf_counter() - began, 2),
        ),
    )


def _frozen(value: Any) -> Any:  # noqa: ANN401 - any parameter value
    """A choice as the spec holds it: the ledger's JSON gives tuples back as lists."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _suggest(trial: optuna.Trial, name: str, span: Range) -> Any:  # noqa: ANN401 - any parameter value
    if span.choices is not None:
        return trial.suggest_categorical(name, list(span.choices))
    low, high = span.low, span.high
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=span.log)
    return trial.suggest_float(name, low, high, log=span.log)
