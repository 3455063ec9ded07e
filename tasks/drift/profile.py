"""Profiles of training data: the bins, fixed when the model is trained, and the counts in blocks of
training time.

They travel with the model, so the same batch always gets the same score, whatever library or sample
draws the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC

import numpy as np
import pandas as pd

from tasks.drift.histograms import codes, count, quantiles, watched_prediction
from tasks.lake import own_columns
from tasks.records import BaselineProfile, FeatureFrame, FeatureProfile, TimeBlock

BINS = 10
"""Quantile bins of a number: the usual choice for a population stability index (Siddiqi 2006)."""
CATEGORIES = 30
"""Categories told apart; the rest share one bin."""
SEEN_CATEGORIES = 1_000
"""Names of the others that are kept, to tell a category that training never held."""
RARE = 10
"""A category with fewer training rows shares the bin of the rest: chosen for its luck, it would
only seem to fall.
"""
BLOCKS = 64
"""Time blocks wanted: with fewer batches, each is cut into several."""
MOST_BLOCKS = 128
"""Of more batches than this, so many are drawn: the profile stays small. At equal distances they
might all be of one hour of the day.
"""
MOST_EARLIER = 400
"""Blocks of batches before the training rows that are kept, the newest: a year of days, and a
season more.
"""
PREDICTION, TARGET = "prediction", "target"
"""Kinds of columns that are no features, and their names where no feature has them."""


def make_profile(
    train: FeatureFrame,
    holdout: FeatureFrame,
    predicted: np.ndarray,
    seen: tuple[np.ndarray, np.ndarray],
    importance: Mapping[str, float],
) -> BaselineProfile:
    """Profile the training rows, and the predictions for the holdout, (rows,) or (rows, classes).

    ``seen`` holds positions of training rows, and the predictions for them.

    On its own training rows a model is surer than it will ever be again, so the predictions for the
    holdout are the reference; those for rows that it has seen only say how much predictions swing
    over time.
    """
    block, blocks, per_batch = time_blocks(train)
    schema = train.schema
    prediction, target = own_columns(schema.names, (PREDICTION, TARGET))
    found = [
        *(
            (_number_bins(train.features[name], name), train.features[name])
            for name in schema.numerical
        ),
        *(
            (_category_bins(train.features[name], name), train.features[name])
            for name in schema.categorical
        ),
        (_target_bins(train.target, target), train.target),
    ]
    features = [
        profile.model_copy(
            update={
                **_counted(profile, values),
                **_known(profile, values),
                "blocks": _in_blocks(profile, values, block, len(blocks)),
                "importance": None if profile.kind == TARGET else importance.get(profile.feature),
            }
        )
        for profile, values in found
    ]
    watched = watched_prediction(predicted)
    # Not the holdout's own quantiles: in its own bins a short reference looks even, and everything
    # else uneven.
    bins = _number_bins(watched_prediction(seen[1]), prediction).model_copy(
        update={"kind": PREDICTION}
    )
    features.append(
        bins.model_copy(
            update={
                **_counted(bins, watched),
                **_known(bins, watched),
                "blocks": _in_blocks(
                    bins, watched_prediction(seen[1]), block[seen[0]], len(blocks)
                ),
                "span": _span(holdout, blocks),
            }
        )
    )
    return BaselineProfile(
        rows=len(train), features=tuple(features), blocks=blocks, blocks_per_batch=per_batch
    )


def add_history(
    profile: BaselineProfile, history: Iterable[tuple[FeatureFrame, frozenset[str]]]
) -> BaselineProfile:
    """Return the profile with the batches before its training rows, each with the columns that it
    is no reference of.

    ``history`` begins with the newest; it is asked for no more batches than are kept. Predictions
    have no history: no champion's are another's.
    """
    earlier: list[TimeBlock] = []
    counted: list[list[tuple[int, ...]]] = [[] for _ in profile.features]
    left_out: list[list[str]] = [[] for _ in profile.features]
    for frame, moved in history:
        block, blocks, _ = time_blocks(frame, profile.blocks_per_batch)
        earlier = [*blocks, *earlier]
        for f, counts, without in zip(profile.features, counted, left_out, strict=True):
            if f.kind == PREDICTION:
                continue
            known = frame.target.notna().to_numpy()
            if f.kind == TARGET:
                own = _in_blocks(f, frame.target[known], block[known], len(blocks))
            else:
                own = _in_blocks(f, frame.features[f.feature], block, len(blocks))
            if f.feature in moved:
                without[:0] = sorted(set(frame.batch))
                own = tuple(map(tuple, np.zeros_like(own).tolist()))
            counts[:0] = own
        if len(earlier) >= MOST_EARLIER:
            break
    features = tuple(
        f.model_copy(update={"earlier": tuple(counts), "left_out": tuple(without)})
        for f, counts, without in zip(profile.features, counted, left_out, strict=True)
    )
    return profile.model_copy(update={"features": features, "earlier": tuple(earlier)})


def time_blocks(
    frame: FeatureFrame, cuts: int | None = None
) -> tuple[np.ndarray, tuple[TimeBlock, ...], int]:
    """Cut the rows' time into blocks of equal spans within each batch: ``cuts`` of them, or enough
    for ``BLOCKS``.

    Returns each row's block, (rows,) int64, -1 where its batch was not taken; the blocks; and how
    many a batch has.
    """
    batches = sorted(set(frame.batch))
    taken = batches
    if len(batches) > MOST_BLOCKS:
        drawn = np.random.default_rng(0).choice(len(batches), MOST_BLOCKS, replace=False)
        taken = [batches[i] for i in np.sort(drawn)]
    if cuts is None:
        cuts = max(1, BLOCKS // len(taken)) if taken else 1
    times = frame.moments.astype("int64")
    batch = pd.Index(taken).get_indexer(pd.Index(frame.batch))
    block = np.full(len(times), -1, dtype="int64")
    for i in range(len(taken)):
        rows = batch == i
        own = times[rows]
        start, length = own.min(), own.max() - own.min() + 1
        block[rows] = i * cuts + (own - start) * cuts // length
    names, block[block >= 0] = np.unique(
        block[block >= 0], return_inverse=True
    )  # an empty block says nothing
    blocks = []
    for i in range(len(names)):
        own = times[block == i]
        start, end = (
            pd.Timestamp(int(moment), unit="us", tz=UTC).to_pydatetime()
            for moment in (own.min(), own.max() + 1)
        )
        blocks.append(TimeBlock(start=start, end=end, rows=len(own)))
    return block, tuple(blocks), max(1, round(len(blocks) / max(len(taken), 1)))


def _in_blocks(
    profile: FeatureProfile, values: pd.Series, block: np.ndarray, blocks: int
) -> tuple[tuple[int, ...], ...]:
    width, taken = len(profile.counts) + 1, block >= 0
    flat = block[taken] * width + codes(profile, values)[taken]
    return tuple(
        map(tuple, np.bincount(flat, minlength=blocks * width).reshape(blocks, width).tolist())
    )


def _counted(profile: FeatureProfile, values: pd.Series) -> dict[str, object]:
    *counts, missing = count(profile, values).tolist()
    return {"counts": tuple(counts), "missing": missing}


def _known(profile: FeatureProfile, values: pd.Series) -> dict[str, object]:
    """The quantiles of a number; the categories that have no bin of their own."""
    if profile.kind == "categorical":
        others = sorted(set(values.dropna().unique()) - set(profile.categories))
        return {"rare": tuple(others) if len(others) <= SEEN_CATEGORIES else None}
    if profile.categories:
        return {}
    numbers = values.to_numpy(dtype="float64")
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return {}
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest double
        return {"quantiles": tuple(quantiles(finite).tolist())}


def _span(holdout: FeatureFrame, blocks: tuple[TimeBlock, ...]) -> int:
    """How many time blocks are as long as the holdout."""
    typical = (
        float(np.median([(b.end - b.start).total_seconds() for b in blocks])) if blocks else 0.0
    )
    moments = holdout.moments
    length = (moments.max() - moments.min()) / np.timedelta64(1, "s") if len(moments) else 0.0
    return max(1, round(length / typical)) if typical > 0 else 1


def _number_bins(values: pd.Series, name: str) -> FeatureProfile:
    numbers = values.to_numpy(dtype="float64")
    finite = numbers[np.isfinite(numbers)]
    edges = (
        np.unique(np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1]))
        if len(finite)
        else np.array([])
    )
    if len(edges) and edges[-1] == finite.max():
        # Many rows hold the largest value: it is a bin of its own, or a batch above it would look
        # the same.
        with np.errstate(over="ignore"):  # above the largest double lies infinity, and it will do
            edges = np.append(edges, np.nextafter(edges[-1], np.inf))
    return FeatureProfile(
        feature=name,
        kind="numerical",
        edges=tuple(edges.tolist()),
        counts=(0,) * (len(edges) + 1),
        missing=0,
    )


def _category_bins(values: pd.Series, name: str) -> FeatureProfile:
    counts = values.value_counts()
    # By count, then by name: the order of the rows must not choose between equals.
    frequent = sorted(
        counts.index[counts >= RARE], key=lambda category: (-counts[category], category)
    )
    kept = tuple(sorted(frequent[:CATEGORIES]))
    return FeatureProfile(
        feature=name, kind="categorical", categories=kept, counts=(0,) * (len(kept) + 1), missing=0
    )


def _target_bins(target: pd.Series, name: str) -> FeatureProfile:
    """Classes are categories, two numbers are classes, other numbers are cut by quantiles."""
    if pd.api.types.is_numeric_dtype(target.dtype) and target.nunique() > 2:
        return _number_bins(target, name).model_copy(update={"kind": TARGET})
    text = target.dropna().map(
        lambda v: str(int(v)) if isinstance(v, float) and v.is_integer() else str(v)
    )
    return _category_bins(text.astype("str"), name).model_copy(update={"kind": TARGET})
