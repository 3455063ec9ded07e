"""The ``quality`` entries of the standard as rules: library metrics, SQL queries, custom
expectations.

Where a limit allows no row at all, the rows that break it are to blame: a row rule. Any other limit
is on the count or the share of such rows: a batch rule. ``docs/contracts.md`` is the table of them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast, get_args

import yaml

from data_contracts.contract import Column, ContractError, LogicalType, Rule, Severity, nearest
from data_contracts.limits import OPERATORS, Operator, allows_none_only, interval, limit_text
from data_contracts.odcs import parse_yaml

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality

_SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_VALUE_TYPES: dict[LogicalType, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "date": (date,),
}
_ARGUMENTS = {
    "rowCount": (),
    "nullValues": (),
    "missingValues": ("missingValues",),
    "invalidValues": ("validValues", "pattern", "minimum", "maximum"),
    "duplicateValues": ("properties",),
}
_TABLE_PLACEHOLDERS = ("{table}", "{object}")
_PLACEHOLDER = re.compile(r"\$?(\{\w+\})")
_ROW_EXPECTATIONS = (
    "expect_column_values_",
    "expect_column_value_lengths_",
    "expect_column_value_z_scores_",
    "expect_column_pair_values_",
    "expect_compound_columns_",
    "expect_select_column_values_",
    "expect_multicolumn_",
)
"""How the names of the expectations begin that judge row by row; a test holds them against the
library's classes.
"""
_RESERVED = (
    "meta",
    "severity",
    "result_format",
    "catch_exceptions",
    "id",
    "rendered_content",
    "batch_id",
)
"""Arguments of an expectation that are ours to give."""


def one_line(text: str | None) -> str:
    """Return ``text`` with every run of white space as one space."""
    return " ".join((text or "").split())


@dataclass(frozen=True)
class Qualities:
    """Compiles the quality entries of one contract file with these columns."""

    file: Path
    columns: tuple[Column, ...]

    def compile(self, where: str, quality: DataQuality, column: Column | None) -> list[Rule]:
        """Return the rules behind one entry of ``column``, or of the table when that is None.

        Raises ContractError, with ``where`` as the key path, for an entry that cannot be compiled.
        """
        if quality.type == "text":
            return []  # the standard's kind for prose: a description, not a promise
        severity = quality.severity or "error"
        if severity not in _SEVERITIES:
            hint = nearest(severity, _SEVERITIES)
            self._refuse(f"{where}.severity", f"one of {list(_SEVERITIES)}", f"{severity!r}{hint}")
        if quality.type == "custom":
            rules = [self._custom(where, quality, column)]
        else:
            operator, limit = self._limit(where, quality)
            if quality.type == "sql":
                rules = [self._sql(where, quality, column, operator, limit)]
            else:
                rules = self._library(where, quality, column, operator, limit)
        text = one_line(quality.description)
        return [
            replace(
                rule,
                id=self._id(rule, quality.id, len(rules)),
                severity=severity,
                description=text or rule.description,
            )
            for rule in rules
        ]

    def in_set(self, where: str, column: Column, values: object) -> Rule:
        """Return the rule that ``column`` holds one of ``values``."""
        found = self._values(where, column, values)
        shown = ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
        return Rule(
            f"{column.name}:in_set",
            "row",
            "in_set",
            (column.name,),
            {"values": found},
            description=f"{column.name} is one of {shown}",
        )

    def matches(self, where: str, name: str, pattern: object) -> Rule:
        """Return the rule that the column ``name`` matches the regular expression ``pattern``."""
        try:
            re.compile(cast("str", pattern))
        except (re.error, TypeError) as error:
            raise ContractError(
                self.file, where, "a regular expression", f"{pattern!r} ({error})"
            ) from error
        return Rule(
            f"{name}:matches",
            "row",
            "matches",
            (name,),
            {"pattern": pattern},
            description=f"{name} matches {pattern}",
        )

    def between(
        self,
        where: str,
        column: Column,
        low: Any,  # noqa: ANN401 - any ordered type
        high: Any,  # noqa: ANN401 - any ordered type
        strict: tuple[bool, bool] = (False, False),
    ) -> Rule:
        """Return the rule that ``column`` lies from ``low`` to ``high``, None for an open end;
        ``strict`` says which of them are left out.
        """
        for end, bound in (("minimum", low), ("maximum", high)):
            try:
                comparable(bound, column)
            except ValueError as error:
                expected = f"a finite {column.logical_type}"
                if column.logical_type in ("timestamp", "date"):
                    expected = f"a {column.logical_type} in ISO 8601"
                raise ContractError(
                    self.file, f"{where}.{end} ({column.name})", expected, repr(bound)
                ) from error
        self.in_order(where, low, high, column)
        left, right = "(" if strict[0] else "[", ")" if strict[1] else "]"
        shown = f"{left}{'-inf' if low is None else low}, {'inf' if high is None else high}{right}"
        return Rule(
            f"{column.name}:between",
            "row",
            "between",
            (column.name,),
            {"min": low, "max": high, "strict_min": strict[0], "strict_max": strict[1]},
            description=f"{column.name} lies in {shown}",
        )

    def in_order(self, where: str, low: Any, high: Any, column: Column) -> None:  # noqa: ANN401 - any ordered type
        """Refuse bounds of which the first is above the second."""
        first, last = comparable(low, column), comparable(high, column)
        try:
            ordered = first is None or last is None or first <= last
        except TypeError:
            self._refuse(
                where, "both bounds with an offset or both without", f"{low!r} and {high!r}"
            )
        if not ordered:
            self._refuse(where, "the smaller bound first", f"{low!r} and {high!r}")

    # --- library metrics --------------------------------------------------------------------------

    def _library(
        self,
        where: str,
        quality: DataQuality,
        column: Column | None,
        operator: Operator,
        limit: Any,  # noqa: ANN401 - a number or a pair
    ) -> list[Rule]:
        metric, arguments, unit = (
            str(quality.metric),
            quality.arguments or {},
            quality.unit or "rows",
        )
        if unit not in ("rows", "percent"):
            self._refuse(f"{where}.unit", "'rows' or 'percent'", repr(quality.unit))
        if metric not in _ARGUMENTS:
            self._refuse(
                f"{where}.metric",
                f"one of {list(_ARGUMENTS)}",
                f"{metric!r}{nearest(metric, _ARGUMENTS)}",
            )
        known = _ARGUMENTS[metric]
        for key in arguments:
            if key not in known:
                self._refuse(
                    f"{where}.arguments",
                    f"one of {list(known)}" if known else "none",
                    f"{key!r}{nearest(key, known)}",
                )
        if metric == "rowCount":
            if unit == "percent":
                self._refuse(
                    f"{where}.unit", "'rows': a count of rows is no share of itself", "'percent'"
                )
            return [self._row_count(operator, limit)]
        if column is None and metric != "duplicateValues":
            self._refuse(
                where, "rowCount or duplicateValues on the table", f"{metric}, which is a column's"
            )
        blamed = self._blamed(where, metric, column, arguments)
        if allows_none_only(operator, limit, unit):
            return blamed
        gaps_only = [rule.check for rule in blamed] == ["not_null"]
        if gaps_only and unit == "percent" and (most := _at_most(operator, limit)) is not None:
            name = blamed[0].columns[0]
            return [
                Rule(
                    f"{name}:null_share",
                    "batch",
                    "null_share",
                    (name,),
                    {"max": most / 100},
                    description=f"at most {most:g}% of {name} are missing",
                )
            ]
        return [_count(metric, blamed, operator, limit, unit)]

    def _row_count(self, operator: Operator, limit: Any) -> Rule:  # noqa: ANN401 - a number or a pair
        ends = interval(operator, limit)
        if ends is None:
            return _count("rowCount", [], operator, limit, "rows")
        return Rule(
            "batch:row_count",
            "batch",
            "row_count",
            (),
            {"min": ends[0], "max": ends[1]},
            description=f"the batch has {_range_text(*ends)} rows",
        )

    def _blamed(
        self, where: str, metric: str, column: Column | None, arguments: dict[str, Any]
    ) -> list[Rule]:
        """The row rules that blame exactly the rows that the metric counts."""
        if metric == "duplicateValues":
            return [self._no_duplicates(where, column, arguments)]
        assert column is not None  # noqa: S101 - the caller's condition, for the type checker
        name = column.name
        if metric == "invalidValues":
            rules = []
            if "validValues" in arguments:
                rules.append(
                    self.in_set(f"{where}.arguments.validValues", column, arguments["validValues"])
                )
            if "pattern" in arguments:
                if column.logical_type != "string":
                    self._refuse(
                        f"{where}.arguments.pattern",
                        "no pattern on a column that is not a string",
                        f"one on {name}, {_article(column.logical_type)}",
                    )
                rules.append(self.matches(f"{where}.arguments.pattern", name, arguments["pattern"]))
            if "minimum" in arguments or "maximum" in arguments:
                low, high = arguments.get("minimum"), arguments.get("maximum")
                rules.append(self.between(f"{where}.arguments", column, low, high))
            if not rules:
                self._refuse(
                    f"{where}.arguments", "validValues, pattern, minimum or maximum", "none"
                )
            return rules
        rules = [
            Rule(f"{name}:not_null", "row", "not_null", (name,), description=f"{name} has a value")
        ]
        if "missingValues" in arguments:
            given = arguments["missingValues"]
            at = f"{where}.arguments.missingValues"
            if not isinstance(given, list) or not given:
                self._refuse(at, "a list of values", repr(given))
            # A gap is missing whatever the list says; what stands for one depends on the column.
            if stand_ins := [value for value in given if value is not None]:
                values = self._values(at, column, stand_ins)
                rules.append(
                    Rule(
                        f"{name}:not_in_set",
                        "row",
                        "not_in_set",
                        (name,),
                        {"values": values},
                        description=(
                            f"{name} is none of {', '.join(map(repr, values))}, which stand for"
                            " a gap"
                        ),
                    )
                )
        return rules

    def _no_duplicates(self, where: str, column: Column | None, arguments: dict[str, Any]) -> Rule:
        among = arguments.get("properties", [column.name] if column else [])
        where, names = f"{where}.arguments.properties", [one.name for one in self.columns]
        if not isinstance(among, list) or not among:
            self._refuse(where, "a list of columns", repr(among))
        for name in among:
            if name not in names:
                self._refuse(where, "a column", f"{name!r}{nearest(str(name), names)}")
        return Rule(
            f"{'+'.join(among)}:unique",
            "row",
            "unique",
            tuple(among),
            description=f"({', '.join(among)}) is unique",
        )

    def _values(self, where: str, column: Column, values: object) -> tuple[Any, ...]:
        allowed = _VALUE_TYPES.get(column.logical_type, ())
        if not isinstance(values, list | tuple) or not values:
            self._refuse(where, "a list of values", repr(values))
        for value in values:
            is_bool = isinstance(value, bool) and bool not in allowed
            if not isinstance(value, allowed) or is_bool or isinstance(value, datetime):
                hint = " (YAML reads yes, no, on, off, dates and numbers as such: put it in quotes)"
                self._refuse(
                    where,
                    f"values of type {column.logical_type}",
                    repr(value) + (hint if column.logical_type == "string" else ""),
                )
        return tuple(values)

    def _limit(self, where: str, quality: DataQuality) -> tuple[Operator, Any]:
        """The one operator of the entry (the standard's schema sees to that) and its number or
        pair.
        """
        operator, limit = next(
            ((name, value) for name in OPERATORS if (value := getattr(quality, name)) is not None),
            (None, None),
        )
        numbers: list[Any] = limit if isinstance(limit, list) else [limit]
        sound = all(
            isinstance(number, int | float)
            and not isinstance(number, bool)
            and math.isfinite(number)
            for number in numbers
        )
        if (
            operator is None
            or not sound
            or len(numbers) != (2 if operator.endswith("Between") else 1)
        ):
            self._refuse(
                where, "mustBe a number, or another operator with its numbers", _given(quality)
            )
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            self._refuse(where, "the smaller limit first", _given(quality))
        return operator, tuple(numbers) if len(numbers) == 2 else limit

    # --- queries and custom expectations ----------------------------------------------------------

    def _sql(
        self,
        where: str,
        quality: DataQuality,
        column: Column | None,
        operator: Operator,
        limit: Any,  # noqa: ANN401 - a number or a pair
    ) -> Rule:
        query = str(quality.query or "").strip().removesuffix(";").strip()
        where = f"{where}.query"
        if quality.unit not in (None, "rows"):
            self._refuse(
                where.replace(".query", ".unit"),
                "none: a query returns what it returns",
                repr(quality.unit),
            )
        if not re.match(r"(?i)(select|with)\b", query):
            self._refuse(where, "a query: one SELECT that returns one number", repr(query[:80]))
        known = (*_TABLE_PLACEHOLDERS, "{column}", "{property}") if column else _TABLE_PLACEHOLDERS
        found = _PLACEHOLDER.findall(query)
        for placeholder in found:
            if placeholder not in known:
                hint = nearest(placeholder, known)
                self._refuse(where, f"placeholders among {list(known)}", f"{placeholder!r}{hint}")
        if not set(found) & set(_TABLE_PLACEHOLDERS):
            self._refuse(where, "{table} in place of the batch", repr(query[:80]))
        subject = column.name if column else "batch"
        named = [
            one.name
            for one in self.columns
            if re.search(rf"(?i)(?<!\w){re.escape(one.name)}(?!\w)", query)
        ]
        if column and column.name not in named:
            named.append(column.name)
        return Rule(
            f"{subject}:sql",
            "batch",
            "sql",
            tuple(named),
            {
                "query": query,
                "column": column.name if column else None,
                "operator": operator,
                "limit": limit,
                "where": where,
            },
            description=(
                f"the query of {quality.name or subject} returns {limit_text(operator, limit)}"
            ),
        )

    def _custom(self, where: str, quality: DataQuality, column: Column | None) -> Rule:
        engine = re.sub(r"[^a-z]", "", (quality.engine or "").lower())
        if engine not in ("greatexpectations", "gx"):
            hint = nearest(quality.engine or "", ["greatExpectations"])
            self._refuse(f"{where}.engine", "'greatExpectations'", f"{quality.engine!r}{hint}")
        at = f"{where}.implementation"
        given: Any = quality.implementation
        if isinstance(given, str):
            try:
                given = parse_yaml(given)
            except yaml.YAMLError as error:
                raise ContractError(
                    self.file, at, "a mapping in YAML", one_line(str(error))
                ) from error
        if not isinstance(given, dict):
            self._refuse(at, "a mapping with type and kwargs", repr(given))
        for key in given:
            if key not in ("type", "expectation", "kwargs"):
                self._refuse(
                    at, "type and kwargs", f"{key!r}{nearest(str(key), ['type', 'kwargs'])}"
                )
        name, kwargs = given.get("type") or given.get("expectation"), given.get("kwargs") or {}
        if not isinstance(name, str) or not name:
            self._refuse(f"{at}.type", "the name of an expectation", repr(name))
        if not isinstance(kwargs, dict):
            self._refuse(f"{at}.kwargs", "a mapping", repr(kwargs))
        for key in _RESERVED:
            if key in kwargs:
                self._refuse(f"{at}.kwargs", "the expectation's own arguments", repr(key))
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
        kwargs = dict(kwargs)
        mostly = kwargs.get("mostly", 1)
        by_row = snake.startswith(_ROW_EXPECTATIONS) and mostly == 1
        needs_column = snake.startswith("expect_column_") and not snake.startswith(
            "expect_column_pair_"
        )
        if column and needs_column:
            kwargs.setdefault("column", column.name)
        return Rule(
            f"{column.name if column else 'batch'}:{snake}",
            "row" if by_row else "batch",
            "custom",
            self._named_columns(f"{at}.kwargs", kwargs, column),
            {"expectation": snake, "kwargs": kwargs, "where": at},
            description=(
                f"{snake}({', '.join(f'{key}={value!r}' for key, value in kwargs.items())})"
            ),
        )

    def _named_columns(
        self, where: str, kwargs: dict[str, Any], column: Column | None
    ) -> tuple[str, ...]:
        """Every column that the arguments speak of, in a query or a condition too: one decides what
        is shown.
        """
        names = [one.name for one in self.columns]
        columns = []
        for key in ("column", "column_A", "column_B", "column_list"):
            for name in kwargs[key] if isinstance(kwargs.get(key), list) else [kwargs.get(key)]:
                if name is not None and name not in names:
                    self._refuse(
                        f"{where}.{key}", "a column", f"{name!r}{nearest(str(name), names)}"
                    )
                if name is not None:
                    columns.append(str(name))
        text = repr({key: value for key, value in kwargs.items() if not key.startswith("column")})
        spoken = [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
        sensitive = [one.name for one in self.columns if one.sensitive and one.name in spoken]
        own = [column.name] if column and not columns else []
        return tuple(dict.fromkeys([*columns, *own, *sensitive]))

    def _id(self, rule: Rule, given: str | None, siblings: int) -> str:
        """The entry's own id in place of the check's name, so that one column can have two of a
        kind.
        """
        if not given:
            return rule.id
        own = f"{rule.id.rpartition(':')[0]}:{given}"
        return own if siblings == 1 else f"{own}.{rule.check}"

    def _refuse(self, where: str, expected: str, found: str) -> NoReturn:
        raise ContractError(self.file, where, expected, found)


def comparable(bound: object, column: Column) -> Any:  # noqa: ANN401 - any ordered type
    """Return the bound as a value that can be compared; ValueError when it has no meaning for the
    column.
    """
    if bound is None:
        return None
    if column.logical_type == "timestamp":
        return datetime.fromisoformat(str(bound))
    if column.logical_type == "date":
        return date.fromisoformat(str(bound))
    if not isinstance(bound, int | float) or isinstance(bound, bool):
        raise ValueError(bound)
    if isinstance(bound, float) and not math.isfinite(bound):
        raise ValueError(bound)
    return bound


def _count(metric: str, blamed: list[Rule], operator: Operator, limit: Any, unit: str) -> Rule:  # noqa: ANN401 - a number or a pair
    columns = tuple(dict.fromkeys(name for rule in blamed for name in rule.columns))
    subject = "+".join(columns) or "batch"
    counted = {
        "rowCount": "in the batch",
        "nullValues": f"in which {subject} is missing",
        "missingValues": f"in which {subject} is missing",
        "invalidValues": f"in which {subject} is invalid",
        "duplicateValues": f"that share ({', '.join(columns)}) with another",
    }[metric]
    sign = "% of the" if unit == "percent" else ""
    return Rule(
        f"{subject}:{metric}",
        "batch",
        "count",
        columns,
        {"rules": tuple(blamed), "operator": operator, "limit": limit, "unit": unit},
        description=f"{limit_text(operator, limit)}{sign} rows {counted}",
    )


def _at_most(operator: Operator, limit: Any) -> float | None:  # noqa: ANN401 - a number or a pair
    """The largest share, in percent, when the limit is no more than that."""
    if operator == "mustBeLessOrEqualTo" and 0 < limit <= 100:
        return float(limit)
    if operator == "mustBeBetween" and limit[0] == 0 and 0 < limit[1] <= 100:
        return float(limit[1])
    return None


def _given(quality: DataQuality) -> str:
    given = {
        key: value
        for key, value in quality.model_dump(exclude_none=True).items()
        if key.startswith("must") or key in ("unit", "arguments")
    }
    return repr(given)


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _range_text(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low:g}"
    return f"at most {high:g}" if low is None else f"{low:g} to {high:g}"
