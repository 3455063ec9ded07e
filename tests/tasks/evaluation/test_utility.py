"""Tests of what predictions are worth: by a cost matrix, or by code of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.configuration import ConfigurationError
from tasks.evaluation.config import CostsConfig, UtilityConfig
from tasks.evaluation.utility import Utility, UtilityError, check_utility

NOTHING = pd.DataFrame(index=range(4))
Y = np.array([1.0, 1.0, 0.0, 0.0])
P = np.array([0.9, 0.3, 0.4, 0.1])
BLOCKS = np.zeros(4, dtype="int64")


def costs(**given: object) -> Utility:
    """A cost matrix and its threshold."""
    threshold = given.pop("threshold", "costs")
    return Utility(UtilityConfig.model_validate({"costs": {**given}, "threshold": threshold}))


def test_costs_are_those_of_what_came() -> None:
    """Acted on from 0.35 on: one right, one missed, one in vain, one rightly left."""
    utility = costs(
        true_positive=-10, false_positive=3, false_negative=5, true_negative=1, threshold=0.35
    )

    assert utility.worth(Y, P, NOTHING, BLOCKS).tolist() == [10, -5, -3, -1]


@given(
    false_positive=st.floats(0.1, 10),
    false_negative=st.floats(0.1, 10),
    p=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_is_acted_where_it_is_expected_to_cost_less(
    false_positive: float, false_negative: float, p: list[float]
) -> None:
    """From fp / (fp + fn) on (Elkan 2001, equation 2), which scoring.costs takes too."""
    threshold = false_positive / (false_positive + false_negative)
    told = np.array(p)
    clear = np.abs(told - threshold) > 1e-9
    utility = costs(false_positive=false_positive, false_negative=false_negative)

    zeros, blocks = np.zeros(len(p)), np.zeros(len(p), dtype="int64")
    found = utility.worth(zeros, told, pd.DataFrame(index=range(len(p))), blocks)

    expected = np.where(told > threshold, -false_positive, 0.0)
    assert found[clear] == pytest.approx(expected[clear])


def test_a_cost_may_be_a_column() -> None:
    """A missed row costs what stands in it, and is acted on earlier where that is more."""
    amounts = pd.DataFrame({"amount": [100.0, 100.0, 2.0, 100.0]})
    utility = costs(false_positive=5, false_negative="amount")

    assert utility.worth(Y, P, amounts, BLOCKS).tolist() == [0, 0, 0, -5]
    with pytest.raises(UtilityError, match=r"a number of amount in every .*, found 1 of 4"):
        utility.worth(Y, P, amounts.mask(amounts == 2), BLOCKS)


def test_a_forward_threshold_looks_at_earlier_blocks_only() -> None:
    """It is the best one of the blocks before; what comes in its own block does not move it."""
    rng = np.random.default_rng(0)
    rows = 3000
    p = rng.uniform(0, 1, rows)
    y = (rng.uniform(0, 1, rows) < p**3).astype("float64")  # predictions are far too high
    blocks = np.arange(rows) * 10 // rows
    forward = costs(false_positive=1, false_negative=1, threshold="forward")
    nothing = pd.DataFrame(index=range(rows))

    found = forward.worth(y, p, nothing, blocks)
    other = forward.worth(np.where(blocks == 9, 1 - y, y), p, nothing, blocks)

    by_costs = costs(false_positive=1, false_negative=1).worth(y, p, nothing, blocks)
    first = blocks == 0
    assert np.array_equal(found[first], by_costs[first])
    assert found[~first].mean() > by_costs[~first].mean() + 0.05
    assert np.array_equal(found[blocks < 9], other[blocks < 9])
    # In the last block labels are turned round, so what was right is wrong: the same rows are acted
    # on.
    last = blocks == 9
    assert np.array_equal(found[last] + other[last], np.full(last.sum(), -1.0))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "either costs or code"),
        ({"costs": {}, "code": "a:b"}, "either costs or code"),
        ({"costs": {}, "columns": ["a"]}, "columns beside code only"),
        ({"code": "a:b", "threshold": 0.5}, "a threshold beside costs only"),
        ({"costs": {}, "threshold": 1.5}, "a threshold above 0 and below 1"),
    ],
)
def test_what_makes_no_sense_together_is_refused(spec: dict[str, object], said: str) -> None:
    """When the spec is read."""
    given = spec | {"columns": tuple(spec["columns"])} if "columns" in spec else spec

    with pytest.raises(ValidationError, match=said):
        UtilityConfig.model_validate(given)


def test_columns_are_named_once() -> None:
    """Of the costs, those that are text."""
    assert CostsConfig(false_negative="a", true_positive="b", false_positive="a").columns == (
        "b",
        "a",
    )


CODE = {
    "good": "return np.where((predicted > 0.5) == (target == 1), 1.0, -1.0)",
    "beside": "return np.where((predicted > 0.5) == (target == 1), rows['amount'], 0.0)",
    "scalar": "return float(target.mean())",
    "gaps": "return np.log(target)",
    "raises": "return rows['nothing']",
    "upside_down": "return np.abs(target - predicted)",
    "crowd": "return -np.abs(target - predicted) + len(target)",
    "chance": "return np.random.default_rng().uniform(size=len(target))",
}
SAID = {
    "scalar": r"one number a row, \(40,\), found float of shape \(\)",
    "gaps": "finite numbers, found 20 of 40",
    "raises": "raised on 40 rows",
    "upside_down": "worth no less than wrong ones: more is better",
    "crowd": "rest on that row alone",
    "chance": "the same worth for the same rows",
    "nobody": "has no function 'nobody'",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with several functions, sound and not."""
    text = ["import numpy as np"]
    text += [f"def {name}(target, predicted, rows):\n    {body}" for name, body in CODE.items()]
    (tmp_path / "own.py").write_text("\n\n".join(text), encoding="utf-8")
    return tmp_path


def check(project: Path, name: str) -> None:
    """Check one of the functions."""
    config = UtilityConfig(code=f"own:{name}", columns=("amount",))
    check_utility(project / "model.yaml", config, project, "binary", {"amount": False})


@pytest.mark.parametrize("name", ["good", "beside"])
def test_sound_code_passes(project: Path, name: str) -> None:
    """One number a row, the same each time, more for what is right."""
    check(project, name)


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("name", list(SAID))
def test_code_that_is_not_sound_is_refused(project: Path, name: str) -> None:
    """By file, key, and what is wrong with it."""
    with pytest.raises(ConfigurationError, match=r"model\.yaml: utility\.code: ") as refused:
        check(project, name)

    assert refused.match(SAID[name])


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_sign_is_told_for_every_problem(project: Path, problem: str) -> None:
    """Right predictions are made up for each: their negative distance passes, the distance not."""
    (project / "far.py").write_text(
        "import numpy as np\n"
        "def near(target, predicted, rows):\n"
        "    if predicted.ndim == 2:\n"
        "        return predicted[np.arange(len(target)), (target == 'b').astype(int)]\n"
        "    return -np.abs(target - predicted)\n"
        "def far(target, predicted, rows):\n"
        "    return -near(target, predicted, rows)\n",
        encoding="utf-8",
    )

    for name in ("near", "far"):
        config = UtilityConfig(code=f"far:{name}")
        if name == "near":
            check_utility(project / "m", config, project, problem, {})
        else:
            with pytest.raises(ConfigurationError, match="more is better"):
                check_utility(project / "m", config, project, problem, {})
