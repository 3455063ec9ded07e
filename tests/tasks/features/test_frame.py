"""Tests of feature frames: one code path, nothing that was not known, the same row always the same
features.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks.features.config import FeaturesConfig
from tasks.features.frame import (
    MISSING,
    FeatureError,
    build_frame,
    code_sha256,
    load_code,
    raw_columns,
)
from tasks.records import FeatureFrame, Problem
from tasks.settings import REPOSITORY
from tests.conftest import WEATHER_PROJECT
from tests.sample_contract import column, sample_contract, sample_table


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The sample contract."""
    return sample_contract(tmp_path_factory.mktemp("contract"))


def build(
    contract: Contract,
    tables: Mapping[str, pa.Table] | pa.Table,
    code: Callable[[pd.DataFrame], Any] | None = None,
    *,
    target: str = "returned",
    problem: Problem = "binary",
    slices: tuple[str, ...] = (),
    **config: Any,
) -> FeatureFrame:
    """The frame of one table or of several batches."""
    batches = tables if isinstance(tables, Mapping) else {"2013-05-17": tables}
    return build_frame(
        batches,
        dict.fromkeys(batches, "digest"),
        contract,
        FeaturesConfig(**config),
        target=target,
        problem=problem,
        slices=slices,
        code=code,
    )


def test_kinds_come_from_the_contract(contract: Contract) -> None:
    """Strings, booleans and declared codes are categories, other numbers numbers; no label, time,
    or email.
    """
    frame = build(contract, sample_table())

    assert frame.schema.categorical == ("shop", "note", "till")
    assert frame.schema.numerical == ("id", "amount")
    assert tuple(frame.features.columns) == frame.schema.names
    assert {str(dtype) for dtype in frame.features[["id", "amount"]].dtypes} == {"float64"}
    assert {str(dtype) for dtype in frame.features[["shop", "note", "till"]].dtypes} == {"str"}


def test_include_and_exclude(contract: Contract) -> None:
    """The columns stand in the contract's order, whatever the order of asking."""
    config = FeaturesConfig(include=("amount", "shop", "id"), exclude=("id",))

    assert raw_columns(contract, config, "returned") == ("shop", "amount")


def test_target_is_never_a_feature(tmp_path: Path) -> None:
    """Not even when the contract says that it is known at event time."""
    contract = sample_contract(tmp_path, lambda d: column(d, "returned").pop("customProperties"))

    assert "returned" not in raw_columns(contract, FeaturesConfig(), "returned")
    assert "returned" in raw_columns(contract, FeaturesConfig(), "amount")


def test_missing_values(contract: Contract) -> None:
    """A gap is a category of its own, not empty text; a missing number stays missing."""
    frame = build(
        contract, sample_table(3, note=[None, "", "x"], amount=[None, 0.0, 1.0], till=[None, 1, 2])
    )

    assert frame.features["note"].tolist() == [MISSING, "", "x"]
    assert frame.features["till"].tolist() == [MISSING, "1", "2"]
    assert np.isnan(frame.features["amount"].iloc[0])
    assert frame.features["amount"].tolist()[1:] == [0.0, 1.0]


def test_infinite_numbers_are_missing(contract: Contract) -> None:
    """No estimator takes infinity: one division by zero must not end a run."""
    frame = build(
        contract,
        sample_table(2, amount=[float("inf"), 1.0]),
        lambda rows: pd.DataFrame({"r": 1 / (rows["id"] - 1)}),
    )

    assert frame.features[["amount", "r"]].isna().to_numpy().tolist() == [
        [True, True],
        [False, False],
    ]


@pytest.mark.parametrize(
    "columns",
    [
        {"till": [None, 7, 8]},
        {"amount": [None, 1.0, 2.0], "returned": [None, True, False]},
        {"note": [None, None, "x"], "till": [2**60 + 1, None, 3]},
    ],
)
def test_a_row_has_the_same_features_in_any_company(
    contract: Contract, columns: dict[str, list[Any]]
) -> None:
    """Scored alone, in its batch, or after other batches: the same row gives the same features and
    kinds.
    """
    table = sample_table(3, **columns)
    together = build(contract, {"a": sample_table(4), "b": table})
    whole = build(contract, table)

    for i in range(3):
        alone = build(contract, table.slice(i, 1))
        assert alone.schema == whole.schema == together.schema
        pd.testing.assert_frame_equal(
            alone.features, whole.features.iloc[[i]].reset_index(drop=True), check_exact=True
        )
    pd.testing.assert_frame_equal(whole.features, together.features.iloc[4:].reset_index(drop=True))


def test_codes_that_are_fractions_keep_their_text(tmp_path: Path) -> None:
    """The text of 1.0 does not depend on whether a 1.5 stands beside it."""
    kind = [{"property": "featureKind", "value": "categorical"}]
    contract = sample_contract(
        tmp_path, lambda d: column(d, "amount").update(customProperties=kind)
    )

    assert build(contract, sample_table(2, amount=[1.0, 1.5])).features["amount"].tolist() == [
        "1",
        "1.5",
    ]
    assert build(contract, sample_table(2, amount=[1.0, 2.0])).features["amount"].tolist() == [
        "1",
        "2",
    ]


def test_unseen_categories_pass_through(contract: Contract) -> None:
    """A category that no training row had is text like any other; a model decides what it means."""
    seen = build(contract, sample_table(3))
    unseen = build(contract, sample_table(3, shop=["Z", "A", "B"], note=["new"] * 3))

    assert unseen.schema == seen.schema
    assert unseen.features["shop"].tolist() == ["Z", "A", "B"]


def test_frame_carries_what_belongs_to_its_rows(contract: Contract) -> None:
    """Batch, event time, key and slices stand beside the features, row by row."""
    frame = build(
        contract,
        {"a": sample_table(2), "b": sample_table(1, shop=[None])},
        slices=("shop",),
        include=("amount",),
    )

    assert frame.batch.tolist() == ["a", "a", "b"]
    assert frame.slices["shop"].tolist() == ["A", "B", MISSING]
    assert list(frame.keys.columns) == ["sold_at", "id"]
    assert str(frame.event_time.dtype) == "datetime64[us, UTC]"
    assert dict(frame.snapshots) == {"a": "digest", "b": "digest"}


@pytest.mark.parametrize(
    ("target", "problem", "columns", "values"),
    [
        ("returned", "binary", {"returned": [True, None, False]}, [1.0, None, 0.0]),
        ("returned", "binary", {"returned": [None, None, None]}, [None, None, None]),
        ("till", "binary", {"till": [0, None, 1]}, [0.0, None, 1.0]),
        ("shop", "multiclass", {"shop": ["A", None, "B"]}, ["A", None, "B"]),
        ("till", "multiclass", {"till": [3, None, 4]}, ["3", None, "4"]),
        ("amount", "regression", {"amount": [1.5, None, float("inf")]}, [1.5, None, None]),
    ],
)
def test_targets(
    contract: Contract,
    target: str,
    problem: Problem,
    columns: dict[str, list[Any]],
    values: list[Any],
) -> None:
    """0 and 1, class names, or numbers; a missing label stays missing."""
    found = build(contract, sample_table(3, **columns), target=target, problem=problem).target

    assert [None if pd.isna(value) else value for value in found] == values


def test_target_of_other_values_is_refused(contract: Contract) -> None:
    """A binary target is 0 or 1."""
    with pytest.raises(FeatureError, match=r"target 'till': expected 0 and 1 .*, found \[2\.0\]"):
        build(contract, sample_table(3, till=[0, 1, 2]), target="till")


def test_no_batches_and_absent_columns_are_refused(contract: Contract) -> None:
    """What cannot be built is refused by name."""
    with pytest.raises(FeatureError, match="at least one batch"):
        build(contract, {})
    with pytest.raises(FeatureError, match=r"batches 2013-05-17 have no column \['amount'\]"):
        build(contract, sample_table().drop_columns(["amount"]))
    with pytest.raises(FeatureError, match="at least one column of sales"):
        build(contract, sample_table(), include=())


def test_column_that_the_contract_has_since_gained(contract: Contract) -> None:
    """Batches from before are not lost: the new column is missing in them."""
    frame = build(
        contract, {"old": sample_table(2).drop_columns(["amount", "note"]), "new": sample_table(2)}
    )

    assert frame.features["amount"].isna().tolist() == [True, True, False, False]
    assert frame.features["note"].tolist() == [MISSING, MISSING, MISSING, ""]


# --- the model's own code -------------------------------------------------------------------------


def test_code_sees_nothing_that_was_not_known(contract: Contract) -> None:
    """The leak test: no target, no column that becomes known later, no sensitive one; it cannot be
    written.
    """
    seen: list[str] = []

    def spy(rows: pd.DataFrame) -> pd.DataFrame:
        seen.extend(rows.columns)
        return pd.DataFrame({"leak": rows["returned"]})

    with pytest.raises(KeyError, match="returned"):
        build(contract, sample_table(), spy, target="amount", problem="regression")

    assert seen == ["sold_at", "id", "shop", "note", "till", "paid_on"]


def test_code_cannot_change_the_rows(contract: Contract) -> None:
    """What the code does to its argument stays there."""

    def vandal(rows: pd.DataFrame) -> pd.DataFrame:
        rows["amount"] = -1.0
        rows.loc[:, "shop"] = "Z"
        return pd.DataFrame({"x": rows["id"]})

    def thief(rows: pd.DataFrame) -> pd.DataFrame:
        rows.drop(index=0, inplace=True)  # noqa: PD002 - what a careless author does
        return pd.DataFrame({"x": rows["id"]})

    frame = build(contract, sample_table(), vandal, slices=("shop",))

    assert frame.features["amount"].tolist() == sample_table()["amount"].to_pylist()
    assert "Z" not in set(frame.features["shop"]) | set(frame.slices["shop"])
    with pytest.raises(FeatureError, match="found DataFrame with 5 rows for 6"):
        build(contract, sample_table(), thief)


def test_own_features_by_dtype(contract: Contract) -> None:
    """Numbers are numbers; text, booleans and the rest are categories."""

    def code(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "half": rows["amount"] / 2,
                "whole": pd.array([1, None] * 3, dtype="Int64"),
                "flag": rows["id"] > 3,
                "word": rows["shop"].str.lower(),
            },
            index=rows.index,
        )

    frame = build(contract, sample_table(), code, include=("amount",))

    assert frame.schema.numerical == ("amount", "half", "whole")
    assert frame.schema.categorical == ("flag", "word")
    assert frame.features["flag"].tolist() == ["False"] * 3 + ["True"] * 3


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            lambda rows: pd.DataFrame({"x": rows["id"].to_numpy()}, index=rows.index + 1),
            "with the index of its argument",
        ),
        (lambda rows: pd.DataFrame({"x": rows["id"]}).head(2), "found DataFrame with 2 rows for 6"),
        (lambda rows: rows["id"], "found Series"),
        (lambda rows: None, "found NoneType"),
        (
            lambda rows: pd.DataFrame({"amount": rows["id"]}),
            r"\['amount'\] are contract columns already",
        ),
        (lambda rows: pd.DataFrame({"t": rows["sold_at"]}), "'t' is a time"),
        (
            lambda rows: pd.DataFrame({"t": rows["sold_at"] - rows["sold_at"].min()}),
            "'t' is a time",
        ),
        (lambda rows: pd.DataFrame({0: rows["id"]}), "named by text"),
        (
            lambda rows: pd.concat([rows[["id"]].rename(columns={"id": "x"})] * 2, axis=1),
            "each column once",
        ),
    ],
)
def test_code_that_returns_something_else_is_refused(
    contract: Contract, code: Callable[[pd.DataFrame], Any], message: str
) -> None:
    """A wrong index would give rows the features of others; the rest would end deep in a
    library.
    """
    with pytest.raises(FeatureError, match=message):
        build(contract, sample_table(), code)


def _write_code(project: Path, text: str, path: str = "deployments/flights/features.py") -> Path:
    file = project / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_code_of_another_project(tmp_path: Path) -> None:
    """Another project's module is loaded from its own directory, though ours has the same name."""
    _write_code(tmp_path, "def build(rows):\n    return 'theirs'\n")
    path = "deployments.flights.features:build"

    assert load_code(path, tmp_path)(pd.DataFrame()) == "theirs"  # type: ignore[comparison-overlap]
    assert load_code(path, REPOSITORY).__module__ != load_code(path, tmp_path).__module__
    assert code_sha256(path, tmp_path) != code_sha256(path, REPOSITORY)


def test_code_in_several_files(tmp_path: Path) -> None:
    """What it imports from beside it is the project's own, and as it is by now."""
    _write_code(tmp_path, "from . import more\n\n\ndef build(rows):\n    return more.WORD\n")
    path, more = "deployments.flights.features:build", "deployments/flights/more.py"
    for word in ("theirs", "changed since"):
        _write_code(tmp_path, f"WORD = {word!r}\n", more)

        assert load_code(path, tmp_path)(pd.DataFrame()) == word  # type: ignore[comparison-overlap]


def test_other_project_never_runs_our_code() -> None:
    """Where its own file is missing, a project does not get the module of the same name from this
    repository.
    """
    for ask in (load_code, code_sha256):
        with pytest.raises(
            FeatureError, match=r"expected the file .*weather/deployments/flights/features\.py"
        ):
            ask("deployments.flights.features:build", WEATHER_PROJECT)


def test_code_may_be_a_package_or_installed(tmp_path: Path) -> None:
    """A package of the project, or a module of an installed one."""
    _write_code(tmp_path, "def build(rows):\n    return rows\n", "own/__init__.py")

    assert load_code("own:build", tmp_path).__name__ == "build"
    assert load_code("json:loads", tmp_path).__name__ == "loads"
    assert code_sha256("json:loads", tmp_path) != code_sha256(None, tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.at.all:build", "found 'nowhere.at.all"),
        ("json:laods", r"no function 'laods' \(did you mean 'loads'\?\)"),
        ("json:__name__", "no function '__name__'"),
    ],
)
def test_code_that_is_not_there(tmp_path: Path, path: str, message: str) -> None:
    """Module or function: what is missing is named, with the nearest."""
    with pytest.raises(FeatureError, match=message):
        load_code(path, tmp_path)


def test_code_that_fails_to_load_leaves_no_module(tmp_path: Path) -> None:
    """A mistake in the code shows as itself, and the next attempt starts anew."""
    file = _write_code(tmp_path, "raise RuntimeError('broken')\n")
    with pytest.raises(RuntimeError, match="broken"):
        load_code("deployments.flights.features:build", tmp_path)

    file.write_text("def build(rows):\n    return rows\n", encoding="utf-8")

    assert callable(load_code("deployments.flights.features:build", tmp_path))


def test_changed_code_is_another_recipe(tmp_path: Path) -> None:
    """The digest is of the code's text; no code has a digest of its own."""
    file = _write_code(tmp_path, "def build(rows):\n    return rows\n")
    before = code_sha256("deployments.flights.features:build", tmp_path)
    file.write_text("def build(rows):\n    return rows * 2\n", encoding="utf-8")

    assert code_sha256("deployments.flights.features:build", tmp_path) != before
    assert code_sha256(None, tmp_path) == hashlib.sha256(b"").hexdigest()


def test_flights_code() -> None:
    """The built-in example's own features, at a known row."""
    from data_contracts.contract import load_contract

    contract = load_contract(REPOSITORY / "data_contracts" / "flights.odcs.yaml")
    values: dict[str, Any] = dict.fromkeys(contract.column_names)
    moment = pd.Timestamp("2013-11-03T05:30", tz="UTC")
    values.update(scheduled_departure=moment, plane_year=2003, carrier="AA", late=1)
    table = pa.table({name: pa.array([value]) for name, value in values.items()})
    code = load_code("deployments.flights.features:build", REPOSITORY)

    frame = build(contract, table, code, target="late", exclude=("flight", "tailnum", "plane_year"))

    assert frame.features[["minute_of_day", "weekday", "plane_age"]].iloc[0].tolist() == [
        90.0,
        "Sunday",
        10.0,
    ]


def test_dates_reach_the_code(contract: Contract) -> None:
    """Dates are no features themselves, but features can be made from them."""
    frame = build(
        contract,
        sample_table(1, paid_on=[date(2013, 5, 17)]),
        lambda rows: pd.DataFrame({"year": [day.year for day in rows["paid_on"]]}),
    )

    assert frame.features["year"].tolist() == [2013.0]
