"""What is tried: the model's own spec, and the same with other values in some of its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from data_contracts.contract import nearest
from flows.whatif.replay import Start
from flows.whatif.stream import Stream
from tasks.configuration import load_config
from tasks.errors import MisuseError
from tasks.model_spec import ManagedModel, ModelSpec
from tasks.records import Recipe
from tasks.training.config import Candidate
from tasks.training.fit import prepared_in_order

KEYS = (
    "preset",
    "retrain",
    "ensemble",
    "recalibrate",
    "guardrails",
    "gate",
    "watch",
    "training.candidates",
    "training.window",
    "training.exclude",
    "training.weights",
    "training.holdout",
    "training.first",
    "training.first_rows",
)
"""What a replay follows; other keys change what is read or shown, and no decision here."""


class NoSuchAlternativeError(MisuseError, ValueError):
    """What was asked to be tried is no other value of a key that a replay follows."""


@dataclass(frozen=True)
class Alternative:
    """A spec to replay."""

    name: str
    spec: ModelSpec


def parse(text: str) -> dict[str, Any]:
    """Return key path -> value from ``KEY=VALUE`` pairs between spaces, each value as YAML.

    Raises NoSuchAlternativeError for anything else, or a key that no replay follows.
    """
    found = dict[str, Any]()
    for pair in text.split():
        key, equals, value = pair.partition("=")
        if not equals:
            raise NoSuchAlternativeError(
                f"--try: expected KEY=VALUE such as retrain.every=4, found {pair!r}"
            )
        if not any(key == known or key.startswith(f"{known}.") for known in KEYS):
            raise NoSuchAlternativeError(
                f"--try: expected a key at or below one of {list(KEYS)}, found"
                f" {key!r}{nearest(key, KEYS)}"
            )
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise NoSuchAlternativeError(
                f"--try: expected a YAML value of {key}, found {value!r}"
            ) from error
    return found


def asked_for(managed: ManagedModel, texts: Sequence[str]) -> tuple[Alternative, ...]:
    """Return what was asked for; ConfigurationError when a value is none of its key."""
    return tuple(Alternative(text, _with(managed, parse(text))) for text in texts)


def usual(managed: ManagedModel, batches: int) -> tuple[Alternative, ...]:
    """Return what is tried where nothing is asked for: other clocks, the other window, each other
    candidate, and what the spec has switched on, off.
    """
    spec, found = managed.spec, list[Alternative]()
    for text in _usual_texts(spec, batches):
        other = _with(managed, parse(text))
        if other != spec:
            found.append(Alternative(text, other))
    for candidate in spec.training.candidates:
        given = candidate.model_dump(mode="json", exclude_none=True)
        alone = _with(managed, {"training.candidates": [given]})
        if alone != spec:
            found.append(Alternative(f"only {_short(candidate.estimator)}", alone))
    return tuple(found)


def _usual_texts(spec: ModelSpec, batches: int) -> Iterator[str]:
    yield from ("retrain.never=true", "retrain.every=1", "retrain.every=2", "retrain.every=4")
    last = spec.training.window.last
    yield (
        f"training.window.last={max(2, batches // 4)}"
        if last is None
        else ("training.window.last=null")
    )
    if spec.ensemble.members > 1:
        yield "ensemble=single"
    if spec.recalibrate.strength > 0:
        yield "recalibrate=never"
    yield "gate.refresh=better"
    yield "gate.without_evidence=refresh"


def _short(estimator: str) -> str:
    return estimator.rpartition(".")[2]


def _with(managed: ManagedModel, values: Mapping[str, Any]) -> ModelSpec:
    file = managed.settings.project / "deployments" / managed.name / "model.yaml"
    return load_config(file, ModelSpec, values)


def recipe_of(spec: ModelSpec, known: Sequence[Recipe]) -> Recipe:
    """Return what a replay of ``spec`` trains: of the recipes that the model was made by, newest
    first, the newest whose estimator is a candidate, else the first candidate, with the values that
    it fixes.

    Arguments that are searched have the values that were found last, or the estimator's own.
    """
    candidates = {one.estimator: one for one in spec.training.candidates}
    for recipe in known:
        candidate = candidates.get(recipe.estimator)
        if candidate is not None and _allows(candidate, recipe.params):
            return _plain(spec, recipe.params, candidate)
    first = spec.training.candidates[0]
    return _plain(spec, first.params, first)


def _allows(candidate: Candidate, params: Mapping[str, Any]) -> bool:
    searched = set(candidate.search)
    fixed = {name: value for name, value in params.items() if name not in searched}
    held = all(candidate.search[name].holds(params[name]) for name in searched & set(params))
    if candidate.early_stopping is not None:  # the rounds that it found are none of the spec's
        fixed = {name: value for name, value in fixed.items() if name in candidate.params}
    return held and fixed == dict(candidate.params)


def _plain(spec: ModelSpec, params: Mapping[str, Any], candidate: Candidate) -> Recipe:
    return Recipe(
        estimator=candidate.estimator,
        params=dict(sorted(params.items())),
        encode=candidate.encode,
        prepare=prepared_in_order(candidate.prepare),
        weights=spec.training.weights.in_recipe,
        window=", ".join(map(str, spec.training.exclude)),
        features="",
    )


def start_of(spec: ModelSpec, stream: Stream) -> Start | None:
    """Return when the first champion is trained; None when no batch is served after it."""
    training, starts = spec.training, stream.starts
    for batch, known in enumerate(stream.known[:-1]):
        if known + 1 >= training.first and starts[known + 1] >= training.first_rows:
            return Start(batch + 1, training.window.last, training.holdout)
    return None
