"""Feature frames: one code path for training and for scoring.

What is fitted to data (imputing, scaling, encoding) lives inside the model's pipeline; what stands
here depends on nothing but the row itself: the same row gives the same features, whatever rows
stand beside it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from data_contracts.contract import Contract
from tasks.carried import project_sha256
from tasks.errors import MisuseError
from tasks.features.config import FeaturesConfig
from tasks.features.dates import date_features
from tasks.lake import arrow_type, to_frame
from tasks.project_code import load_function, project_file
from tasks.records import FeatureFrame, FeatureSchema, Problem

if TYPE_CHECKING:
    from tasks.model_spec import ManagedModel

    FeatureCode = Callable[[pd.DataFrame], pd.DataFrame]

MISSING = "(missing)"
"""The category of a missing value: a category like any other, so an unseen gap never breaks a
prediction.
"""


class FeatureError(MisuseError, ValueError):
    """The model's feature code, or a label, is not what it must be."""


def raw_columns(contract: Contract, config: FeaturesConfig, target: str) -> tuple[str, ...]:
    """Return the contract's columns that become features as they are, in the contract's order."""
    allowed = [column.name for column in contract.feature_columns if column.name != target]
    wanted = (
        allowed if config.include is None else [name for name in allowed if name in config.include]
    )
    return tuple(name for name in wanted if name not in config.exclude)


def inputs(contract: Contract, config: FeaturesConfig, target: str) -> tuple[str, ...]:
    """Return the contract's columns that features are made of: code of a project may look at all
    that are known at event time and not sensitive.
    """
    if config.code is not None:
        return _known(contract, target)
    dates = [contract.event_time, *config.dates] if config.dates else []
    return tuple(dict.fromkeys([*raw_columns(contract, config, target), *dates]))


def _known(contract: Contract, target: str) -> tuple[str, ...]:
    return tuple(
        c.name for c in contract.columns if c.available and not c.sensitive and c.name != target
    )


def load_code(path: str, project: Path) -> FeatureCode:
    """Return the function that ``module.path:name`` means, looked for in the project first.

    Raises FeatureError when there is no such module or function.
    """
    return load_function(path, project, "features.code", FeatureError)


def code_sha256(path: str | None, project: Path) -> str:
    """Return a digest of the feature code's text; of nothing when there is no code.

    It covers the module and what it imports of the project, not the libraries. Raises FeatureError
    when there is no such module.
    """
    if path is None:
        return hashlib.sha256(b"").hexdigest()
    module_name = path.partition(":")[0]
    file = project_file(module_name, project, "features.code", FeatureError)
    if file is None:
        try:
            spec = importlib.util.find_spec(module_name)
        except ModuleNotFoundError:
            spec = None
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            raise FeatureError(
                f"features.code: expected a module in {project} or an installed one, found {path!r}"
            )
        return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
    return str(project_sha256(module_name, project))


def build_by_spec(
    managed: ManagedModel, tables: Mapping[str, pa.Table], snapshots: Mapping[str, str]
) -> FeatureFrame:
    """Build a feature frame as the model spec says; see ``build_frame``."""
    spec = managed.spec
    code = load_code(spec.features.code, managed.settings.project) if spec.features.code else None
    return build_frame(
        tables,
        snapshots,
        managed.contract,
        spec.features,
        target=spec.target,
        problem=spec.problem,
        slices=spec.slices,
        code=code,
        audit=spec.fairness.columns,
        amounts=() if spec.utility is None else spec.utility.needs,
        past=managed.past_kinds,
        weight=spec.training.weights.column,
    )


def with_later(rows: pa.Table, contract: Contract, target: str) -> pa.Table:
    """Return rows whose outcome is not known yet with all columns of ``contract`` and the
    ``target``: what comes later is missing, and no code of a project is given it.
    """
    for column in contract.columns:
        if column.name not in rows.column_names:
            rows = rows.append_column(column.name, pa.nulls(rows.num_rows, arrow_type(column)))
    if target not in rows.column_names:
        rows = rows.append_column(target, pa.nulls(rows.num_rows, pa.float64()))
    return rows


def build_frame(
    tables: Mapping[str, pa.Table],
    snapshots: Mapping[str, str],
    contract: Contract,
    config: FeaturesConfig,
    *,
    target: str,
    problem: Problem,
    slices: Sequence[str],
    code: FeatureCode | None,
    audit: Sequence[str] = (),
    amounts: Sequence[str] = (),
    past: Mapping[str, bool] | None = None,
    weight: str | None = None,
) -> FeatureFrame:
    """Turn the accepted rows of some batches into one feature frame.

    ``tables`` and ``snapshots`` map batch ids to rows and to snapshot digests. The model's own code
    sees only what the contract says is known at event time, with event time and keys: a leak cannot
    be written there. A column that some of the batches lack, because the contract has grown, is
    missing there. ``past`` says of columns that look back or were joined whether they are
    categories: they become features, unless the spec leaves them out, and the code sees them, too.
    ``weight`` is a column that says how much each row counts in training.
    Raises FeatureError when a column is in none of them, or when the code does not
    return what it must.
    """
    if not tables:
        raise FeatureError("features: expected the rows of at least one batch, found none")
    rows = pd.concat([to_frame(table) for table in tables.values()], ignore_index=True)
    absent = [name for name in contract.column_names if name not in rows.columns]
    if absent:
        raise FeatureError(
            f"features: batches {', '.join(tables)} have no column {absent}; ingest them again"
        )
    batch = pd.Series(
        [id for id, table in tables.items() for _ in range(table.num_rows)], dtype="str"
    )
    kinds = {
        name: contract.column(name).categorical for name in raw_columns(contract, config, target)
    }
    looking_back = {} if past is None else dict(past)
    kinds |= {name: kind for name, kind in looking_back.items() if name not in config.exclude}
    features, categorical = {}, []
    for name, kind in kinds.items():
        if kind:
            features[name] = _category(rows[name])
            categorical.append(name)
        else:
            features[name] = _number(rows[name])
    frame = pd.DataFrame(features, index=rows.index)
    if config.dates:
        frame = pd.concat([frame, date_features(rows, config.dates, contract)], axis=1)
    if code is not None:
        own = _own_features(code, rows[[*_known(contract, target), *looking_back]], frame)
        categorical += [
            name for name in own.columns if not pd.api.types.is_numeric_dtype(own[name].dtype)
        ]
        frame = pd.concat([frame, own], axis=1)
    if frame.empty and not len(frame.columns):
        raise FeatureError(
            f"features: expected at least one column of {contract.name} to be a feature, found none"
        )
    schema = FeatureSchema(
        numerical=tuple(name for name in frame.columns if name not in categorical),
        categorical=tuple(name for name in frame.columns if name in categorical),
    )
    return FeatureFrame(
        features=frame[list(schema.names)],
        target=_target(rows[target], problem, target),
        event_time=rows[contract.event_time],
        batch=batch,
        slices=pd.DataFrame({name: _category(rows[name]) for name in slices}, index=rows.index),
        keys=rows[[contract.event_time, *(k for k in contract.key if k != contract.event_time)]],
        schema=schema,
        snapshots=dict(snapshots),
        amounts=(
            pd.DataFrame({name: _amounts(rows[name], contract) for name in amounts})
            if amounts
            else None
        ),
        audit=(
            pd.DataFrame({name: _groups(rows[name], contract) for name in audit}) if audit else None
        ),
        weight=None if weight is None else _number(rows[weight]),
    )


def _own_features(code: FeatureCode, rows: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    own = code(rows.copy())
    if not isinstance(own, pd.DataFrame) or not own.index.equals(rows.index):
        found = f" with {len(own)} rows for {len(rows)}" if isinstance(own, pd.DataFrame) else ""
        raise FeatureError(
            "features.code: expected a DataFrame with the index of its argument, found "
            f"{type(own).__name__}{found}"
        )
    if not own.columns.is_unique or not all(isinstance(name, str) for name in own.columns):
        raise FeatureError(
            f"features.code: expected each column once, named by text, found {list(own.columns)}"
        )
    double = sorted(set(own.columns) & set(frame.columns))
    if double:
        raise FeatureError(
            f"features.code: {double} are contract columns already; exclude them or rename yours"
        )
    columns = {}
    for name in own.columns:
        values = own[name]
        numeric = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(
            values.dtype
        )
        if isinstance(values.dtype, pd.DatetimeTZDtype) or values.dtype.kind in "mM":
            raise FeatureError(
                f"features.code: {name!r} is a time: expected a number or a category made from it"
            )
        columns[name] = _number(values) if numeric else _category(values)
    return pd.DataFrame(columns, index=rows.index)


def _number(values: pd.Series) -> pd.Series:
    """float64; an infinite value is no measurement but the trace of a division by zero: it is
    missing.
    """
    numbers = values.astype("float64")
    return numbers.where(np.isfinite(numbers))


def _category(values: pd.Series) -> pd.Series:
    """Text of the values; whole numbers without a decimal point, gaps as a category of their
    own.
    """
    texts = {value: _text(value) for value in values.dropna().unique()}
    named = values.astype("object").map(texts).astype("str")
    return named.where(values.notna(), MISSING)


def _amounts(values: pd.Series, contract: Contract) -> pd.Series:
    """Numbers, or categories where the contract says so."""
    return (_category if contract.column(str(values.name)).categorical else _number)(values)


def _groups(values: pd.Series, contract: Contract) -> pd.Series:
    """Categories to audit by; those of a personal column as ``group 1``, ``group 2``, from the
    largest on.

    A digest would hide nothing: those of the few values there are can be computed. Which group is
    which, only a look into the lake tells.
    """
    named = _category(values)
    if not contract.column(str(values.name)).sensitive:
        return named
    ordered = named.value_counts().index
    return named.map({value: f"group {i}" for i, value in enumerate(ordered, start=1)}).astype(
        "str"
    )


def _text(value: object) -> str:
    """A number's text must not depend on its column's dtype: gaps elsewhere turn 1 into 1.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _target(values: pd.Series, problem: Problem, name: str) -> pd.Series:
    if problem == "multiclass":
        return _category(values).where(values.notna())
    numbers = pd.to_numeric(values.astype("object"), errors="raise").astype("float64")
    if problem == "binary" and not numbers.dropna().isin([0.0, 1.0]).all():
        odd = sorted(set(numbers.dropna()) - {0.0, 1.0})[:3]
        raise FeatureError(f"target {name!r}: expected 0 and 1 (or false and true), found {odd}")
    return _number(numbers)
