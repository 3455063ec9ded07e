"""Profiles of training data, and how far a batch lies from one: histograms that merge, on all rows.

The baseline's bins are fixed when the model is trained and travel with it, so the same batch always gets the same
score, whatever library or sample draws the picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.drift.config import DriftConfig
from tasks.drift.thresholds import psi, psi_threshold
from tasks.records import (
    BaselineProfile,
    DriftSummary,
    FeatureDrift,
    FeatureFrame,
    FeatureProfile,
    Histogram,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BINS = 10
"""Quantile bins of a number: the usual choice for a population stability index (Siddiqi 2006)."""
CATEGORIES = 30
"""Categories told apart; the rest share one bin."""
RARE = 10
"""A category with fewer training rows shares the bin of the rest: chosen for its luck, it would only seem to fall."""
OTHER = "(other)"


def make_profile(
    frame: FeatureFrame, predicted: np.ndarray, importance: Mapping[str, float]
) -> BaselineProfile:
    """Profile the training rows in ``frame``, and ``predicted``, (rows,) or (rows, classes).

    The predictions are those for the holdout: on its own training rows a model is surer than it will ever be again.
    """
    features = [
        _profile_number(frame.features[name], name, importance.get(name)) for name in frame.schema.numerical
    ]
    features += [
        _profile_category(frame.features[name], name, importance.get(name))
        for name in frame.schema.categorical
    ]
    features.append(_profile_prediction(predicted))
    return BaselineProfile(rows=len(frame), features=tuple(features))


def _profile_number(values: pd.Series, name: str, importance: float | None) -> FeatureProfile:
    import numpy as np

    numbers = values.to_numpy(dtype="float64")
    known = numbers[~np.isnan(numbers)]
    finite = known[np.isfinite(known)]
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1])) if len(finite) else np.array([])
    if len(edges) and edges[-1] == finite.max():
        # Many rows hold the largest value: it is a bin of its own, or a batch above it would look the same.
        edges = np.append(edges, np.nextafter(edges[-1], np.inf))
    return FeatureProfile(
        feature=name,
        kind="numerical",
        edges=tuple(edges.tolist()),
        counts=tuple(
            np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1).tolist()
        ),
        missing=len(numbers) - len(known),
        importance=importance,
    )


def _profile_category(values: pd.Series, name: str, importance: float | None) -> FeatureProfile:
    counts = values.value_counts()
    # By count, then by name: the order of the rows must not choose between equals.
    frequent = sorted(counts.index[counts >= RARE], key=lambda category: (-counts[category], category))
    kept = sorted(frequent[:CATEGORIES])
    return FeatureProfile(
        feature=name,
        kind="categorical",
        categories=tuple(kept),
        counts=(*(int(counts[c]) for c in kept), int(counts.sum() - counts[kept].sum())),
        missing=0,
        importance=importance,
    )


def _profile_prediction(predicted: np.ndarray) -> FeatureProfile:
    import pandas as pd

    top = predicted.max(axis=1) if predicted.ndim == 2 else predicted
    return _profile_number(pd.Series(top), "prediction", None).model_copy(update={"kind": "prediction"})


def summarise_drift(
    baseline: BaselineProfile, version: int, frame: FeatureFrame, predicted: np.ndarray, config: DriftConfig
) -> DriftSummary:
    """Hold the batch in ``frame`` against ``baseline``: one score, threshold and histogram a feature.

    Missing values are a bin like any other, so a feature that goes missing drifts. A column that is all missing
    cannot be scored; it is reported as not evaluable and the others still are.
    """
    import pandas as pd

    top = predicted.max(axis=1) if predicted.ndim == 2 else predicted
    columns = len(baseline.features)
    drifts = []
    for profile in baseline.features:
        values = pd.Series(top) if profile.kind == "prediction" else frame.features[profile.feature]
        drifts.append(_drift(profile, values, baseline.rows, columns, config))
    return DriftSummary(
        batch=max(frame.snapshots),
        version=version,
        rows=len(frame),
        baseline_rows=baseline.rows,
        features=tuple(drifts),
    )


def _drift(
    profile: FeatureProfile, values: pd.Series, baseline_rows: int, columns: int, config: DriftConfig
) -> FeatureDrift:
    import numpy as np

    if profile.kind == "categorical":
        position = {category: i for i, category in enumerate(profile.categories)}
        index = values.map(position).fillna(len(position)).to_numpy(dtype="int64")
        counts = np.bincount(index, minlength=len(position) + 1)
        labels, missing = (*profile.categories, OTHER), 0
    else:
        numbers = values.to_numpy(dtype="float64")
        known = numbers[~np.isnan(numbers)]
        edges = np.array(profile.edges)
        counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
        labels, missing = _bin_labels(profile.edges), len(numbers) - len(known)
    before = np.array(profile.counts, dtype="float64")
    after = counts.astype("float64")
    n, m = before.sum(), after.sum()
    gaps = profile.missing > 0 or missing > 0
    all_before, all_after = (
        np.append(known, gap) if gaps else known
        for known, gap in ((before, profile.missing), (after, missing))
    )
    threshold = psi_threshold(
        len(all_before), int(all_before.sum()), int(all_after.sum()),
        at_least=config.psi, false_alarms=config.false_alarms / columns,
    )  # fmt: skip
    note = ""
    if n == 0:
        note = "the champion's training data held no value"
    elif m == 0:
        note = "this batch holds no value"
    elif len(all_before) < 2:
        note = f"no category had {RARE} training rows, so there is nothing to tell apart"
    value = psi(all_before, all_after) if not note else None
    drifted = value is not None and value > threshold
    return FeatureDrift(
        feature=profile.feature,
        kind=profile.kind,
        score=value,
        threshold=threshold,
        outcome="not evaluable" if value is None else "drifted" if drifted else "steady",
        missing_before=profile.missing / baseline_rows,
        missing_after=missing / len(values) if len(values) else 0.0,
        importance=profile.importance,
        histogram=Histogram(
            labels=labels,
            before=tuple((before / n).tolist()) if n else (),
            after=tuple((after / m).tolist()) if m else (),
        ),
        note=note,
    )


def _bin_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    if not edges:
        return ("all",)
    import math

    inner = [
        f"{low:.4g}" if high == math.nextafter(low, math.inf) else f"{low:.4g} to {high:.4g}"
        for low, high in itertools.pairwise(edges)
    ]
    single = len(edges) > 1 and edges[-1] == math.nextafter(edges[-2], math.inf)
    last = f"above {edges[-1]:.4g}" if single else f"{edges[-1]:.4g} and above"
    return (f"below {edges[0]:.4g}", *inner, last)
