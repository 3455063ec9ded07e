"""A version where only MLflow is: raw rows of the contract in, what is served out.

This module travels with every version, as a package of its own with all that it imports
(``tasks/carried.py``), and MLflow loads it from there. Kingmaker's own runs never do.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pydantic import Field

from data_contracts.contract import Contract, load_contract
from tasks.conform import conform, misfits
from tasks.errors import MisuseError
from tasks.features.config import FeaturesConfig
from tasks.features.frame import build_frame, with_later
from tasks.lake import arrow_type
from tasks.prediction import mixed, predict_rows
from tasks.records import FeatureSchema, Form, InForce, Problem, Record
from tasks.registry.safe_load import CONTRACT, FILES, IN_FORCE, RECORD, read_model


class RowsUnfitError(MisuseError, ValueError):
    """Rows are not what the contract says."""


class PackageError(MisuseError, ValueError):
    """The files of a version are not whole."""


class Packaged(Record):
    """What a version is, beside the stored model and the contract."""

    model: str
    problem: Problem
    target: str
    classes: tuple[str, ...]
    schema_: FeatureSchema
    features: FeaturesConfig
    code: str | None
    """The project's feature code, as ``module:function``, relative to the package."""
    server: str
    """The contract's server that says how text is written."""
    inputs: tuple[str, ...]
    """Columns of the contract that predicting looks at."""
    past: Mapping[str, bool] = Field(default_factory=dict)
    """Features that look back or are joined, which the rows must bring: only the lake can make
    them; and whether each is a category.
    """
    form: Form
    sha256: str
    """Digest of the stored model."""


class PackagedModel:
    """What MLflow calls."""

    def __init__(self, directory: Path) -> None:
        self._record = record = Packaged.model_validate_json(_text(directory / RECORD))
        contract = load_contract(directory / CONTRACT)
        servers = tuple(one for one in contract.servers if one.name == record.server)
        self._contract = replace(contract, servers=servers)
        file = directory / FILES[record.form]
        # Who loads a model by MLflow runs what lies beside it anyway: this file is read as it is.
        pipeline = read_model(file, record.sha256, record.form, record.form)
        self._members = getattr(pipeline, "members", [pipeline])
        self._in_force = InForce(weights=tuple(getattr(pipeline, "weights", (1.0,))))
        if (directory / IN_FORCE).exists():
            self._in_force = InForce.model_validate_json(_text(directory / IN_FORCE))
        self._code = _feature_code(record.code)

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return what is served for the raw ``rows``, (rows, columns of the contract): the column
        ``prediction``, or ``probability_<class>`` for each class, float64, under the same index.

        A column that is not there is missing in all rows. Raises RowsUnfitError when values do not
        fit their column's type.
        """
        record, contract = self._record, self._contract
        table = pa.table({name: _column(rows, contract, name) for name in record.inputs})
        table = with_later(table, contract, record.target)
        for name, categorical in record.past.items():
            table = table.append_column(name, _brought(rows, name, categorical=categorical))
        frame = build_frame(
            {"rows": table},
            {"rows": ""},
            contract,
            record.features,
            target=record.target,
            problem=record.problem,
            slices=(),
            code=self._code,
            past=record.past,
        )
        features, now = frame.features[list(record.schema_.names)], self._in_force
        members = [
            predict_rows(member, features, record.problem, record.classes)
            for member in self._members
        ]
        served = mixed(members, now.weights, now.recalibration)
        names = [f"probability_{label}" for label in record.classes] or ["prediction"]
        return pd.DataFrame(served.reshape(len(rows), len(names)), rows.index, names)


def _load_pyfunc(directory: str) -> PackagedModel:
    """MLflow's way to load a model."""
    return PackagedModel(Path(directory))


def _text(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    if not text:
        raise PackageError(
            f"{file}: expected JSON, found nothing: it may be written anew at this moment; load"
            " the version again"
        )
    return text


def _feature_code(path: str | None) -> Any:  # noqa: ANN401 - a function of a project
    if path is None:
        return None
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module, __name__.partition(".")[0]), name)


def _brought(rows: pd.DataFrame, name: str, *, categorical: bool) -> pa.Array:
    """The values of a feature that looks back."""
    if name not in rows.columns:
        raise RowsUnfitError(
            f"{name}: expected a column with this feature, which looks back on earlier rows and"
            " cannot be made of the rows alone, found none"
        )
    values = pa.array(rows[name], from_pandas=True)
    return values if categorical else values.cast(pa.float64())


def _column(rows: pd.DataFrame, contract: Contract, name: str) -> pa.ChunkedArray:
    """The values of a column in the contract's type."""
    wanted = arrow_type(contract.column(name))
    if name not in rows.columns:
        return pa.chunked_array([pa.nulls(len(rows), wanted)])
    try:
        given = pa.chunked_array([pa.array(rows[name], from_pandas=True)])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise RowsUnfitError(
            f"{name}: expected values of one type, found several ({error})"
        ) from error
    found = conform(given, contract, name)
    if found.type == wanted:
        return found
    unfit = misfits(given, contract, name)
    raise RowsUnfitError(
        f"{name}: expected {contract.column(name).logical_type}, found {unfit.rows} values that are"
        f" none, such as {', '.join(map(repr, unfit.examples))}"
        + (f"; {unfit.advice}" if unfit.advice else "")
    )
