"""What the other columns say that a number should be.

A season moves temperature, dew point and humidity together; a unit that changed, a sensor that
stands still, a join that slipped and two columns that changed places move one against the others.
So for each number a small model is fitted when the champion is trained, by the bins and, for what
lies beyond them, the values of all other columns (ridge regression, Hoerl and Kennard 1970; values
are standardised, and cut off where no training row is near). How far a batch is from it is scored
as any column is, by the population stability index of value minus expected value. Only numbers of
which the others explain a fifth are looked at, in rows where no other number is outside of
training.

How large that gets when nothing is wrong is known from later training rows, expected by models of
the rows before them: stretches as long as a batch, each against the others. A model is the more
wrong the farther the other columns have moved, so each score is divided by their mean score. The
logarithms of these are taken to spread about a mean of each column's own as far as those of all
columns do on average, or as far as its own where that is more: few stretches of many columns tell
the spread, and a batch's is judged by Student's t. Columns swing together, so they count half.

Of several that are unusual the one is named first without which the others are least so: its values
are replaced by the expected ones, and the others are looked at again. What only leaned on it is not
named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from tasks.drift.histograms import POINTS, codes
from tasks.drift.profile import time_blocks
from tasks.drift.reference import run_length
from tasks.drift.thresholds import psi, psi_reach, thin
from tasks.records import BaselineProfile, FeatureFrame, FeatureProfile, RelationProfile

COLUMNS = 30
"""Columns that are related to each other: of more, those that the champion relies on most."""
ROWS = 10_000
"""Training rows that the models are fitted to, drawn with a seed."""
LEAST_ROWS = 500
"""Rows that a model needs."""
FOLDS = 4
"""Later parts of training time, each expected by a model of the rows before it."""
FIRST = 1 / 3
"""Share of training time before the first of them."""
BINS = 10
EXPLAINED = 0.2
"""Share of the variance of later rows that the others must explain: of less they say nothing."""
RIDGE = 10.0
"""As if so many rows of each bin had shown no effect."""
LEAST_STRETCHES = 2
STILL = 0.05
"""Added to how far the others moved: a little is no move."""
TRIED = 5
"""Unusual columns that are replaced in turn, to see which is to blame."""
FARTHEST = 6.0
"""Standard deviations beyond which a value is as far as any."""
FULL = 30
"""Rows in a stretch, or in a batch, below which nothing is said."""


@dataclass(frozen=True)
class RowSample:
    """Rows of a batch in the bins of the related columns, and their values."""

    bins: np.ndarray
    """(rows, columns) uint8."""
    numbers: np.ndarray
    """(rows, columns) float32, standardised by the training rows; NaN for what is no number."""

    def __add__(self, other: RowSample) -> RowSample:
        return RowSample(
            np.concatenate([self.bins, other.bins]), np.concatenate([self.numbers, other.numbers])
        )


@dataclass(frozen=True)
class Related:
    """One number against what the others say, before the report's level is known."""

    feature: str
    score: float
    center: float
    """Mean logarithm of the scores of training's stretches."""
    spread: float
    """Standard deviation of a new one about it."""
    freedom: float
    expected: float
    """Standardised median, expected and found."""
    found: float
    reach: float
    """The largest score of any batch."""
    leans_on: tuple[str, ...] = ()
    """Columns whose values were replaced before it was looked at."""

    @property
    def p_value(self) -> float:
        """Probability of a score as large as this one when nothing has changed."""
        if self.score <= 0:
            return 1.0
        return float(stats.t.sf((np.log(self.score) - self.center) / self.spread, self.freedom))

    def score_at(self, level: float) -> float:
        """The score whose p-value is ``level``."""
        reach = float(stats.t.isf(level, self.freedom)) * self.spread
        return float(np.exp(min(self.center + reach, 700.0)))


def learn_relations(profile: BaselineProfile, train: FeatureFrame, seed: int) -> BaselineProfile:
    """Return the profile with the relations of its numbers, from at most ``ROWS`` rows of ``train``
    drawn with ``seed``.
    """
    related, block = _related(profile), time_blocks(train)[0]
    rows = np.flatnonzero(block >= 0)
    if len(related) < 2 or len(rows) < LEAST_ROWS:
        return profile
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ROWS, replace=False))
    sample, own = _sampled(related, train.features.iloc[rows]), block[rows]
    cuts = np.linspace(FIRST, 1, FOLDS + 1) * len(profile.blocks)
    part = np.searchsorted(cuts, own, side="right")  # 0 before the first fold
    cells = _cells(sample, related)
    grams = [_gram(cells[part == i]) for i in range(FOLDS + 1)]
    first = 1
    relations = []
    for i, f in enumerate(related):
        last = first + len(f.counts) + 1
        if f.quantiles:
            value = cells.shape[1] - len(related) + i
            others = np.r_[0:first, last:value, value + 1 : cells.shape[1]]
            found = _learned(f, others, cells, grams, sample.numbers[:, i], part, own)
            relations += [] if found is None else [found]
        first = last
    return profile.but(related=tuple(f.feature for f in related), relations=tuple(relations))


def draw_rows(
    baseline: BaselineProfile, features: pd.DataFrame, rows: int, seed: int
) -> RowSample | None:
    """Return at most ``rows`` rows of a part of a batch, drawn with ``seed``; None where nothing is
    related.
    """
    if not baseline.relations:
        return None
    if len(features) > rows:
        drawn = np.random.default_rng(seed).choice(len(features), rows, replace=False)
        features = features.iloc[np.sort(drawn)]
    known = {f.feature: f for f in baseline.features}
    return _sampled([known[name] for name in baseline.related], features)


def relations_of(baseline: BaselineProfile, sample: RowSample, seed: int) -> list[Related]:
    """Return each relation's score on the rows of a batch as they are."""
    held = _held(baseline, list(baseline.relations), _of(baseline), sample, seed)
    return [one for one, _ in held]


def hold_relations(
    baseline: BaselineProfile, sample: RowSample, level: float, smallest: float, seed: int
) -> list[Related]:
    """Hold the rows of a batch against each relation: what is unusual at ``level`` and above
    ``smallest`` first, what is to blame before what leans on it, then the others.
    """
    related = _of(baseline)
    left, named, rows = list(baseline.relations), list[Related](), sample

    def excess(one: Related) -> float:
        return float(np.log(max(one.score, 1e-12) / max(smallest, one.score_at(level))))

    while left:
        found = _held(baseline, left, related, rows, seed)
        leaned = tuple(one.feature for one in named)
        unusual = sorted(
            (pair for pair in found if excess(pair[0]) > 0), key=lambda pair: -excess(pair[0])
        )
        if not unusual:
            return named + [replace(one, leans_on=leaned) for one, _ in found]
        tried = []
        for one, away in unusual[:TRIED]:
            others = [relation for relation in left if relation.feature != one.feature]
            without = _replaced(rows, related, baseline.related.index(one.feature), away)
            rest = _held(baseline, others, related, without, seed)
            tried.append((sum(max(excess(other), 0.0) for other, _ in rest), one, others, without))
        _, worst, left, rows = min(tried, key=lambda one: one[0])
        named.append(replace(worst, leans_on=leaned))
    return named


def _replaced(
    rows: RowSample, related: list[FeatureProfile], at: int, away: np.ndarray
) -> RowSample:
    """The rows with one column as the others say it should be, within training; ``away`` (rows,) is
    how far it is from that.
    """
    middle, width = _scale(related[at])
    low, high = ((end - middle) / width for end in np.array(related[at].quantiles)[[0, -1]])
    bins, numbers = rows.bins.copy(), rows.numbers.copy()
    expected = np.clip(numbers[:, at] - away, low, high)
    there = ~np.isnan(expected)
    numbers[there, at] = expected[there]
    bins[there, at] = _bins_of(related[at], expected[there])
    return RowSample(bins, numbers)


def value_at(profile: FeatureProfile, standard: float) -> float:
    """Return a standardised value in the column's own unit."""
    middle, width = _scale(profile)
    return middle + standard * width


def _related(profile: BaselineProfile) -> list[FeatureProfile]:
    """The features that vary, those that the champion relies on most where they are many."""
    inputs = [
        f
        for f in profile.features
        if f.kind in ("numerical", "categorical")
        and sum(count > 0 for count in f.counts) > 1
        and (not f.quantiles or np.isfinite(_scale(f)).all())
    ]
    if len(inputs) > COLUMNS:
        most = sorted(inputs, key=lambda f: -(f.importance or 0.0))[:COLUMNS]
        inputs = [f for f in inputs if f in most]
    return inputs


def _of(baseline: BaselineProfile) -> list[FeatureProfile]:
    known = {f.feature: f for f in baseline.features}
    return [known[name] for name in baseline.related]


def _sampled(related: list[FeatureProfile], features: pd.DataFrame) -> RowSample:
    bins = [codes(f, features[f.feature]).astype("uint8") for f in related]
    numbers = [_standardised(f, features[f.feature]) for f in related]
    return RowSample(np.column_stack(bins), np.column_stack(numbers))


def _scale(profile: FeatureProfile) -> tuple[float, float]:
    """The middle of a number's training rows, and about their standard deviation."""
    known = np.array(profile.quantiles)
    low, middle, high = known[[POINTS * 16 // 100, POINTS // 2, POINTS * 84 // 100]]
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest double
        width = (high - low) / 2 or float(known.std())
    return float(middle), float(width) or 1.0


def _standardised(profile: FeatureProfile, values: pd.Series) -> np.ndarray:
    """Values less the middle over the spread, (rows,) float32, cut off at ``FARTHEST``."""
    if not profile.quantiles:
        return np.full(len(values), np.nan, dtype="float32")
    middle, width = _scale(profile)
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest double
        standard = (values.to_numpy(dtype="float64") - middle) / width
    cut: np.ndarray = np.clip(standard, -FARTHEST, FARTHEST).astype("float32")
    return cut


def _bins_of(profile: FeatureProfile, standard: np.ndarray) -> np.ndarray:
    """The bin of each standardised value, (rows,)."""
    middle, width = _scale(profile)
    return codes(profile, pd.Series(standard * width + middle)).astype("uint8")


def _beyond(related: list[FeatureProfile], sample: RowSample) -> np.ndarray:
    """Whether a number lies outside of training, (rows, columns): there no model knows better."""
    beyond = np.zeros(sample.numbers.shape, dtype=bool)
    for i, f in enumerate(related):
        if f.quantiles:
            middle, width = _scale(f)
            low, high = ((end - middle) / width for end in (f.quantiles[0], f.quantiles[-1]))
            room = 1e-6 * max(abs(low), abs(high))
            own = sample.numbers[:, i]
            beyond[:, i] = (own < low - room) | (own > high + room)
    return beyond


def _cells(sample: RowSample, related: list[FeatureProfile]) -> np.ndarray:
    """A constant, one column for each bin of each related column, and one for each value, 0 where
    there is none: (rows, 1 + bins + columns) float32.
    """
    widths = np.array([len(f.counts) + 1 for f in related])
    first = 1 + np.cumsum(widths) - widths
    ends = 1 + int(widths.sum())
    cells = np.zeros((len(sample.bins), ends + len(related)), dtype="float32")
    cells[:, 0] = 1.0
    cells[np.arange(len(cells))[:, np.newaxis], first + sample.bins] = 1.0
    cells[:, ends:] = np.nan_to_num(sample.numbers)
    return cells


def _gram(cells: np.ndarray) -> np.ndarray:
    """The sums of products of all cells, (cells, cells) float64."""
    sums: np.ndarray = (cells.T @ cells).astype("float64")
    return sums


def _learned(
    f: FeatureProfile,
    others: np.ndarray,
    cells: np.ndarray,
    grams: list[np.ndarray],
    values: np.ndarray,
    part: np.ndarray,
    block: np.ndarray,
) -> RelationProfile | None:
    """The relation of one number by the cells of the ``others``; None where too few rows have it.

    ``grams`` are the sums of products of each part of time, ``part`` (rows,) a row's part.
    """
    known = ~np.isnan(values)
    if known.sum() < LEAST_ROWS:
        return None
    gram, sums = np.zeros_like(grams[0]), np.zeros(cells.shape[1])
    weights, rows = np.zeros(cells.shape[1]), 0
    away, where = list[np.ndarray](), list[np.ndarray]()
    for i, whole in enumerate(grams):
        own = known & (part == i)
        if rows >= LEAST_ROWS // 2 and own.any():
            away.append(values[own] - cells[own] @ weights)
            where.append(block[own])
        gaps = cells[~known & (part == i)]
        gram += whole - _gram(gaps) if len(gaps) < own.sum() else _gram(cells[own])
        sums += cells[own].T.astype("float64") @ values[own]
        rows += int(own.sum())
        weights[others] = _ridge(gram[np.ix_(others, others)], sums[others])
    if not away:
        return None
    residual, at = np.concatenate(away), np.concatenate(where)
    own = known & np.isin(block, at)
    if residual.var() > (1 - EXPLAINED) * values[own].var():
        return None
    edges = np.unique(np.quantile(residual, np.linspace(0, 1, BINS + 1)[1:-1]))
    blocks, width = int(block.max()) + 1, len(edges) + 1
    flat = at * width + np.searchsorted(edges, residual, side="right")
    counts = np.bincount(flat, minlength=blocks * width).reshape(blocks, width)
    return RelationProfile(
        feature=f.feature,
        weights=tuple(np.round(weights, 6).tolist()),
        edges=tuple(edges.tolist()),
        blocks=tuple(map(tuple, counts.tolist())),
    )


def _ridge(gram: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """The weights of the cells, the constant first, which is not drawn to 0."""
    penalty = np.full(len(gram), RIDGE)
    penalty[0] = 0.0
    weights: np.ndarray = np.linalg.solve(gram + np.diag(penalty), sums)
    return weights


def _held(
    baseline: BaselineProfile,
    relations: list[RelationProfile],
    related: list[FeatureProfile],
    sample: RowSample,
    seed: int,
) -> list[tuple[Related, np.ndarray]]:
    """Each relation's score on the batch's rows, with value minus expected value, (rows,)."""
    if not relations:
        return []
    expected = _cells(sample, related) @ np.array([r.weights for r in relations]).T
    rng, found = np.random.default_rng(seed), []
    beyond, numbers = _beyond(related, sample), _numbers(related)
    moves = np.array([_moved(counts, sample.bins[:, i]) for i, counts in numbers.items()])
    for i, relation in enumerate(relations):
        at = baseline.related.index(relation.feature)
        others = np.arange(len(related)) != at
        within = ~beyond[:, others].any(axis=1)
        own = np.where(within, sample.numbers[:, at], np.nan)
        residual = own - expected[:, i]
        known = residual[~np.isnan(residual)]
        besides = np.array([i != at for i in numbers])
        inputs = [counts for i, counts in numbers.items() if i != at]
        scored = _stretches(baseline, relation, inputs, len(known), rng)
        if len(known) < FULL or scored is None:
            continue
        bins = np.searchsorted(np.array(relation.edges), known, side="right")
        after = np.bincount(bins, minlength=len(relation.edges) + 1)[np.newaxis]
        before = np.array(relation.blocks).sum(0)[np.newaxis]
        rows, logs, number = scored
        (score,) = psi(before, thin(after, rows, rng))
        medians = float(np.median(expected[~np.isnan(residual), i])), float(np.nanmedian(own))
        reach = psi_reach(before[0], rows)
        logs = logs + _log_move(moves[besides][np.newaxis])
        found.append((relation, residual, float(score), reach, logs, number, medians))
    if not found:
        return []
    spread = sum(float(((logs - logs.mean()) ** 2).sum()) for *_, logs, _, _ in found)
    freedom = sum(len(logs) - 1 for *_, logs, _, _ in found)
    each = float(np.sqrt(max(spread / freedom, 1e-4)))
    return [
        (
            Related(
                feature=relation.feature,
                score=score,
                center=float(logs.mean()),
                spread=max(each, float(logs.std())) * float(np.sqrt(1 + 1 / number)),
                freedom=max((number - 1) * max(len(found) / 2, 1.0), 1.0),
                expected=expected_median,
                found=found_median,
                reach=reach,
            ),
            residual,
        )
        for relation, residual, score, reach, logs, number, (expected_median, found_median) in found
    ]


def _numbers(related: list[FeatureProfile]) -> dict[int, np.ndarray]:
    """The counts in time blocks (blocks, bins) of the related numbers, by their position."""
    return {
        i: np.array(f.blocks, dtype="int64")[:, :-1] for i, f in enumerate(related) if f.quantiles
    }


def _moved(blocks: np.ndarray, bins: np.ndarray) -> float:
    """The population stability index of a batch's bins (rows,) against those of training."""
    now = np.bincount(bins, minlength=blocks.shape[1] + 1)[: blocks.shape[1]]
    return float(psi(blocks.sum(0), now))


def _log_move(moves: np.ndarray) -> np.ndarray:
    """The logarithm of how far the other numbers moved, of (stretches, numbers): (stretches,)."""
    logs: np.ndarray = np.log(moves.sum(1) / max(moves.shape[1], 1) + STILL)
    return logs


def _runs_and_rest(blocks: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The counts (runs, bins) of every run of so many blocks (blocks, bins), and of all others."""
    sums = np.concatenate([np.zeros((1, blocks.shape[1]), dtype="int64"), blocks.cumsum(0)])
    runs = sums[length:] - sums[:-length]
    return runs, blocks.sum(0) - runs


def _stretches(
    baseline: BaselineProfile,
    relation: RelationProfile,
    inputs: list[np.ndarray],
    rows: int,
    rng: np.random.Generator,
) -> tuple[int, np.ndarray, float] | None:
    """The rows that a stretch is thinned to, the logarithms of the scores of all stretches as long
    as a batch less those of how far the ``inputs`` moved in them, and how many there are that do
    not overlap; None where they are too few.
    """
    blocks = np.array(relation.blocks, dtype="int64")
    told = np.flatnonzero(blocks.sum(1) > 0)
    length = run_length(baseline)
    if not length or len(told) < LEAST_STRETCHES * length:
        return None
    blocks = blocks[told[0] : told[-1] + 1]
    runs, rest = _runs_and_rest(blocks, length)
    full = (runs.sum(1) >= FULL) & (rest.sum(1) >= FULL)
    if full.sum() < LEAST_STRETCHES:
        return None
    rows = int(min(rows, np.median(runs[full].sum(1))))
    scores = psi(rest[full], thin(runs[full], rows, rng))
    moves = np.zeros((len(full), len(inputs)))
    for i, own in enumerate(inputs):
        moves[:, i] = psi(*_runs_and_rest(own, length)[::-1])[told[0] :][: len(full)]
    logs = np.log(np.maximum(scores, 1e-12)) - _log_move(moves[full])
    return rows, logs, len(blocks) / length
