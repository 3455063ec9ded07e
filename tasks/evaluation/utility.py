"""What predictions are worth to those who act on them, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.configuration import ConfigurationError
from tasks.errors import MisuseError, first_line
from tasks.evaluation.config import CostsConfig, UtilityConfig
from tasks.project_code import load_function
from tasks.records import Problem

Worth = Callable[[np.ndarray, np.ndarray, pd.DataFrame], np.ndarray]
"""From target and predictions, as ``Objective`` has them, and columns of the rows to what each row
is worth, (rows,); more is better.
"""
STEPS = 100
"""Thresholds that are tried."""
TRIED_ON = 40
"""Made-up rows that code of one's own is tried on."""


class UtilityError(MisuseError, ValueError):
    """Code of one's own is not what it must be, or a column that it needs has gaps."""


@dataclass(frozen=True)
class Utility:
    """A cost matrix, or code of one's own."""

    config: UtilityConfig
    code: Worth | None = None
    """The project's function; None where there is a cost matrix."""

    @classmethod
    def of(cls, config: UtilityConfig, project: Path) -> Utility:
        """Return the utility of a spec; UtilityError when there is no such function."""
        if config.code is None:
            return cls(config)
        return cls(config, load_function(config.code, project, "utility.code", UtilityError))

    def worth(
        self, target: np.ndarray, predicted: np.ndarray, amounts: pd.DataFrame, blocks: np.ndarray
    ) -> np.ndarray:
        """Return what each row is worth, (rows,) float64.

        ``amounts`` has the columns that the spec names, and ``blocks`` (rows,) the block of time of
        each row, from 0. UtilityError when the code raises, or gives something else.
        """
        if self.config.costs is not None:
            costs = _by_row(self.config.costs, amounts, len(target))
            return -_costs(
                target.astype("float64"), predicted, costs, self.config.threshold, blocks
            )
        if self.code is None:
            raise UtilityError(f"utility.code: {self.config.code} was not loaded")
        try:
            found = self.code(target.copy(), predicted.copy(), amounts.copy())
        except Exception as error:
            raise UtilityError(
                f"utility.code: {self.config.code} raised on {len(target):,} rows:"
                f" {first_line(error)}"
            ) from error
        return _as_numbers(found, len(target), str(self.config.code))


def _as_numbers(found: object, rows: int, code: str) -> np.ndarray:
    shape = np.asarray(found).shape
    if shape != (rows,):
        raise UtilityError(
            f"utility.code: expected {code} to return one number a row, ({rows},), found"
            f" {type(found).__name__} of shape {shape}"
        )
    numbers = np.asarray(found, dtype="float64")
    if not np.isfinite(numbers).all():
        raise UtilityError(
            f"utility.code: expected {code} to return finite numbers, found"
            f" {int((~np.isfinite(numbers)).sum())} of {rows:,} that are not"
        )
    return numbers


@dataclass(frozen=True)
class _Costs:
    """Of each row, each (rows,)."""

    true_positive: np.ndarray
    false_positive: np.ndarray
    false_negative: np.ndarray
    true_negative: np.ndarray


def _by_row(costs: CostsConfig, amounts: pd.DataFrame, rows: int) -> _Costs:
    def of(given: float | str) -> np.ndarray:
        if not isinstance(given, str):
            return np.full(rows, given)
        values = amounts[given].to_numpy(dtype="float64")
        if not np.isfinite(values).all():
            raise UtilityError(
                f"utility.costs: expected a number of {given} in every labelled row, found"
                f" {int((~np.isfinite(values)).sum())} of {rows:,} without; make it required in the"
                " contract"
            )
        return values

    return _Costs(
        of(costs.true_positive),
        of(costs.false_positive),
        of(costs.false_negative),
        of(costs.true_negative),
    )


def _costs(
    y: np.ndarray, p: np.ndarray, costs: _Costs, threshold: float | str, blocks: np.ndarray
) -> np.ndarray:
    """What each row costs where is acted from the threshold on, (rows,)."""
    acted = np.where(y == 1, costs.true_positive, costs.false_positive)
    left = np.where(y == 1, costs.false_negative, costs.true_negative)
    if isinstance(threshold, float):
        act = p >= threshold
    else:
        expected = p * (costs.true_positive - costs.false_negative)
        act = expected + (1 - p) * (costs.false_positive - costs.true_negative) < 0
        if threshold == "forward":
            act = _forward(acted - left, p, blocks, act)
    cost: np.ndarray = np.where(act, acted, left)
    return cost


def _forward(
    saved: np.ndarray, p: np.ndarray, blocks: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """Whether is acted on each row, (rows,): from the threshold on that cost least in the blocks
    before its own; in the first block as ``before`` says.

    ``saved`` is what acting costs more than leaving it, (rows,).
    """
    tried = np.unique(np.quantile(p, np.linspace(0, 1, STEPS + 1)))
    size = int(blocks.max()) + 1
    by_block = np.stack(
        [
            np.bincount(blocks, weights=np.where(p >= one, saved, 0.0), minlength=size)
            for one in tried
        ]
    )
    so_far = by_block.cumsum(axis=1) - by_block
    best = tried[so_far.argmin(axis=0)]
    known = np.bincount(blocks, minlength=size).cumsum() - np.bincount(blocks, minlength=size) > 0
    act: np.ndarray = np.where(known[blocks], p >= best[blocks], before)
    return act


def check_utility(
    file: Path, config: UtilityConfig, project: Path, problem: Problem, kinds: dict[str, bool]
) -> None:
    """Try code of one's own on made-up rows: shape, numbers, determinism, that a row's worth rests
    on no other row, and its sign.

    ``kinds`` says of each column that it is given whether it is a category. Raises
    ConfigurationError.
    """
    if config.code is None:
        return
    try:
        utility = Utility.of(config, project)
    except UtilityError as error:
        raise ConfigurationError(
            file, "utility.code", "module.path:function", str(error).partition(": ")[2]
        ) from error
    right, wrong, target = _made_up(problem)
    rows = len(target)
    amounts = pd.DataFrame(
        {name: ["a"] * rows if kind else np.ones(rows) for name, kind in kinds.items()}
    )
    blocks = np.zeros(rows, dtype="int64")
    try:
        good, again, bad = (
            utility.worth(target, one, amounts, blocks) for one in (right, right, wrong)
        )
        half = utility.worth(target[::2], right[::2], amounts.iloc[::2], blocks[::2])
    except UtilityError as error:
        expected, _, found = str(error).removeprefix("utility.code: ").partition(", found ")
        raise ConfigurationError(
            file, "utility.code", expected.removeprefix("expected "), found or "an error"
        ) from error
    if not np.array_equal(good, again):
        raise ConfigurationError(
            file, "utility.code", "the same worth for the same rows", "another at the second call"
        )
    if not np.allclose(good[::2], half):
        raise ConfigurationError(
            file,
            "utility.code",
            "what a row is worth to rest on that row alone",
            "another worth where other rows stand beside it",
        )
    if good.sum() < bad.sum():
        raise ConfigurationError(
            file,
            "utility.code",
            "right predictions to be worth no less than wrong ones: more is better",
            f"{good.mean():.4g} a row for right ones and {bad.mean():.4g} for wrong ones",
        )


def _made_up(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right and wrong predictions, and the target that they are of."""
    half = np.arange(TRIED_ON) % 2
    if problem == "multiclass":
        right = np.stack([1 - half, half], axis=1) * 0.98 + 0.01
        return right, right[:, ::-1].copy(), np.array(["a", "b"])[half]
    if problem == "binary":
        right = half * 0.98 + 0.01
        return right, 1 - right, half.astype("float64")
    target = np.linspace(1.0, 2.0, TRIED_ON)
    return target.copy(), target[::-1] * 10, target
