"""Tests of the package of a version: from raw rows, in whatever form they come, to the very bits
that Kingmaker serves.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks.features.config import FeaturesConfig
from tasks.features.frame import build_frame, inputs, load_code, with_later
from tasks.lake import to_frame
from tasks.mixing import Ensemble
from tasks.prediction import mixed, predict_rows
from tasks.records import FeatureFrame, Problem, Recalibration
from tasks.registry.package import Package, ServesElsewhere, opened, write_package
from tasks.registry.safe_load import IN_FORCE, as_stored
from tasks.training.pipeline import make_pipeline
from tests.sample_contract import sample_contract, sample_table
from tests.tasks.candidates import KINDS, candidate

ROWS = 120
CODE = """
from .more import words


def build(rows):
    return words(rows)
"""
MORE = """
import pandas as pd


def words(rows):
    note = rows["note"].fillna("nothing was said")
    return pd.DataFrame(
        {
            "letters": note.str.len().astype("float64"),
            "first_word": note.str.partition(" ")[0],
            "hour": rows["sold_at"].dt.tz_convert("America/New_York").dt.hour.astype("float64"),
        },
        index=rows.index,
    )
"""


class Shop:
    """A model of the sample contract, fitted, and the package that it travels in."""

    def __init__(
        self,
        directory: Path,
        problem: Problem,
        *,
        code: bool,
        estimator: str,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.contract: Contract = sample_contract(directory / "contract")
        self.problem: Problem = problem
        self.target = {"binary": "returned", "multiclass": "shop", "regression": "amount"}[problem]
        self.config = FeaturesConfig(code="deployments.shop.features:build" if code else None)
        project = directory / "project"
        (project / "deployments" / "shop").mkdir(parents=True)
        (project / "deployments" / "shop" / "features.py").write_text(CODE, encoding="utf-8")
        (project / "deployments" / "shop" / "more.py").write_text(MORE, encoding="utf-8")
        self.code = load_code(str(self.config.code), project) if code else None
        rng = np.random.default_rng(0)
        notes = [("late", "a gift", None, "")[i % 4] for i in range(ROWS)]
        amounts = [None if i % 7 == 0 else float(rng.uniform(0, 900)) for i in range(ROWS)]
        tills = [None if i % 11 == 0 else i % 4 for i in range(ROWS)]
        self.table = sample_table(ROWS, note=notes, amount=amounts, till=tills)
        frame = self.frame(self.table)
        labelled = frame.target.notna().to_numpy()
        self.members = []
        for alpha in (0, 1):
            pipeline = make_pipeline(
                estimator, params or {}, frame.schema, encode="auto", seed=alpha
            )
            chosen = labelled & (np.arange(ROWS) % 3 != alpha)
            self.members.append(pipeline.fit(frame.features[chosen], frame.target[chosen]))
        self.schema = frame.schema
        classes = sorted(frame.target.dropna().unique()) if problem == "multiclass" else []
        self.classes = tuple(classes)
        needed = inputs(self.contract, self.config, self.target)
        self.package = Package(
            entry="flows.steps.packaged",
            record={
                "model": "shop",
                "problem": problem,
                "target": self.target,
                "classes": self.classes,
                "schema_": self.schema.model_dump(),
                "features": self.config.model_dump(mode="json"),
                "server": "till",
                "inputs": needed,
            },
            contract_text=self.contract.file.read_text(encoding="utf-8"),
            project=project,
            code=self.config.code,
            inputs={name: self.contract.column(name).required for name in needed},
            outputs=("prediction",),
            example=to_frame(self.table.select(list(needed))),
        )

    def frame(self, table: pa.Table) -> FeatureFrame:
        """Features as Kingmaker makes them."""
        return build_frame(
            {"rows": with_later(table, self.contract, self.target)},
            {"rows": ""},
            self.contract,
            self.config,
            target=self.target,
            problem=self.problem,
            slices=(),
            code=self.code,
        )

    def served(
        self,
        table: pa.Table,
        weights: tuple[float, ...] = (0.3, 0.7),
        recalibration: Recalibration | None = None,
    ) -> np.ndarray:
        """What Kingmaker serves."""
        features = self.frame(table).features[list(self.schema.names)]
        members = [predict_rows(m, features, self.problem, self.classes) for m in self.members]
        return mixed(members, weights, recalibration)

    def write(self, directory: Path, form: str = "skops") -> Any:
        """The package of both members as an ensemble."""
        content = as_stored(Ensemble(self.members, (0.3, 0.7)), "skops")[1]
        if form == "pickle":
            content = pickle.dumps({"members": self.members, "weights": [0.3, 0.7]})
        return write_package(self.package, form, content, directory)  # type: ignore[arg-type]


BINARY = "sklearn.linear_model.LogisticRegression"
MADE: dict[Problem, str] = {
    "binary": BINARY,
    "multiclass": "sklearn.ensemble.HistGradientBoostingClassifier",
    "regression": "sklearn.linear_model.Ridge",
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A binary model with feature code in two files."""
    return Shop(tmp_path, "binary", code=True, estimator=BINARY)


def _same(found: pd.DataFrame, expected: np.ndarray) -> bool:
    return bool(np.array_equal(found.to_numpy().reshape(expected.shape), expected))


@pytest.mark.parametrize(
    ("problem", "code", "form"),
    [
        ("binary", True, "skops"),
        ("binary", False, "pickle"),
        ("multiclass", True, "pickle"),
        ("multiclass", False, "skops"),
        ("regression", True, "skops"),
    ],
)
def test_raw_rows_are_served_bit_for_bit(
    tmp_path: Path, problem: Problem, code: bool, form: str
) -> None:
    """Of every problem: categories, numbers that are codes, gaps and text in, and what Kingmaker
    serves out; probabilities of each class, never a label.
    """
    shop = Shop(tmp_path, problem, code=code, estimator=MADE[problem])
    expected = shop.served(shop.table)
    (tmp_path / "out").mkdir()

    with opened(shop.write(tmp_path / "out", form)) as model:
        found = model.predict(to_frame(shop.table))

    assert np.isfinite(expected).all()
    assert _same(found, expected)
    assert list(found.columns) == [f"probability_{c}" for c in shop.classes] or ["prediction"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_candidate_travels(tmp_path: Path, kind: str) -> None:
    """An ensemble of two, whatever their library, serves what Kingmaker serves, bit for bit, and
    names the library that it needs.
    """
    one = candidate(kind, "multiclass")
    shop = Shop(tmp_path, "multiclass", code=False, estimator=one.estimator, params=one.params)
    (tmp_path / "out").mkdir()
    written = shop.write(tmp_path / "out")

    with opened(written) as model:
        found = model.predict(to_frame(shop.table))

    assert _same(found, shop.served(shop.table))
    named = {text.partition("==")[0] for text in written.requirements}
    needed = {"xgboost": "xgboost-cpu", "interpret": "interpret-core", "svm": "scikit-learn"}
    assert needed.get(kind, kind if kind != "stack" else "lightgbm") in named


def _as_text(rows: pd.DataFrame) -> pd.DataFrame:
    """As a CSV file has them, every cell text."""
    texts = rows.astype("object").map(lambda value: None if pd.isna(value) else str(value))
    till = texts["till"].str.removesuffix(".0")
    return texts.assign(sold_at=rows["sold_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"), till=till)


def _as_objects(rows: pd.DataFrame) -> pd.DataFrame:
    """As a database driver gives them: None for what is missing."""
    return rows.astype("object").where(rows.notna(), None)


def _as_categories(rows: pd.DataFrame) -> pd.DataFrame:
    """As a person who saves memory has them, in another order, under another index, with columns of
    their own.
    """
    rows = rows.assign(shop=rows["shop"].astype("category"), extra=1)
    return rows[rows.columns[::-1]].set_axis(range(100, 100 + len(rows)), axis=0)


def _as_local(rows: pd.DataFrame) -> pd.DataFrame:
    """With times of the shop's own clock, which the contract says is New York's."""
    local = rows["sold_at"].dt.tz_convert("America/New_York").dt.tz_localize(None)
    return rows.assign(sold_at=local, amount=rows["amount"].astype("Float64"))


@pytest.mark.parametrize("as_given", [_as_text, _as_objects, _as_categories, _as_local])
def test_rows_come_in_many_forms(
    shop: Shop, tmp_path: Path, as_given: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    """The same rows are the same predictions, whatever dtypes a person's frame has."""
    (tmp_path / "out").mkdir()
    rows = as_given(to_frame(shop.table))

    with opened(shop.write(tmp_path / "out")) as model:
        found = model.predict(rows)

    assert _same(found, shop.served(shop.table))
    assert found.index.equals(rows.index)


def test_column_that_is_not_there_is_missing(shop: Shop, tmp_path: Path) -> None:
    """A column that rows may lack can be left out of all; the predictions are those with gaps."""
    (tmp_path / "out").mkdir()
    rows = to_frame(shop.table)
    gone = shop.table.set_column(
        shop.table.column_names.index("till"), "till", pa.nulls(ROWS, pa.int64())
    )

    with opened(shop.write(tmp_path / "out")) as model:
        found = model.predict(rows.drop(columns=["till", "email", "returned"]))

    assert _same(found, shop.served(gone))
    assert shop.package.inputs == {
        "sold_at": True, "id": True, "shop": True, "amount": False, "note": False, "till": False,
        "paid_on": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("amount", "many", "amount: expected number, found 120 values that are none.*'many'"),
        ("sold_at", "soon", "sold_at: expected timestamp, found 120 values.*'soon'"),
        ("till", [1, "x"] * (ROWS // 2), "till: expected values of one type, found several"),
    ],
)
def test_values_that_do_not_fit_are_named(
    shop: Shop, tmp_path: Path, column: str, values: Any, message: str
) -> None:
    """What is no value of the column's type is refused, with examples."""
    (tmp_path / "out").mkdir()

    with (
        opened(shop.write(tmp_path / "out")) as model,
        pytest.raises(ValueError, match=message),
    ):
        model.predict(to_frame(shop.table).assign(**{column: values}))


def test_what_is_in_force_is_served(shop: Shop, tmp_path: Path) -> None:
    """Weights and recalibration of the file beside the model count, and nothing else changes; one
    that is being written is not taken for one.
    """
    (tmp_path / "out").mkdir()
    written = shop.write(tmp_path / "out")
    moved = Recalibration(problem="binary", shift=(0.5,), rows=100, reason="test")
    now = {"served_by": "v3.17", "weights": [0.9, 0.1], "recalibration": moved.model_dump()}
    (written.files / IN_FORCE).write_text(json.dumps(now), encoding="utf-8")

    with opened(written) as model:
        found = model.predict(to_frame(shop.table))

    assert _same(found, shop.served(shop.table, (0.9, 0.1), moved))
    assert not _same(found, shop.served(shop.table))
    (written.files / IN_FORCE).write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="written anew at this moment"), opened(written):
        pass


def test_damaged_model_is_not_read(shop: Shop, tmp_path: Path) -> None:
    """The package knows the digest of its model."""
    (tmp_path / "out").mkdir()
    written = shop.write(tmp_path / "out")
    (file,) = written.files.glob("model.skops")
    file.write_bytes(file.read_bytes() + b" ")

    with pytest.raises(Exception, match="expected sha256"), opened(written):
        pass


def test_guardrail_compares_with_what_is_served(shop: Shop) -> None:
    """KM017: the same bits pass; another last digit, or code that raises elsewhere, is refused and
    named.
    """
    content = as_stored(Ensemble(shop.members, (0.3, 0.7)), "skops")[1]
    expected = shop.served(shop.table)
    other = expected.copy()
    other[7] = np.nextafter(other[7], 1)
    check = ServesElsewhere().check

    same = check(shop.package, expected, "skops", content)
    differing = check(shop.package, other, "skops", content)
    more = shop.package.project / "deployments" / "shop" / "more.py"
    more.write_text("raise RuntimeError('no such table')", encoding="utf-8")
    raising = check(shop.package, expected, "skops", content)

    assert (same.code, same.outcome, same.found) == ("KM017", "passed", "120 raw rows, identical")
    assert (differing.outcome, differing.found) == ("failed", "120 raw rows, other predictions")
    assert (raising.outcome, raising.found) == (
        "failed",
        "RuntimeError: no such table",
    )
