"""From the parsed standard to our view: columns, rules, server. What would be ignored is refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from data_contracts.contract import (
    Column,
    Contract,
    ContractError,
    LogicalType,
    Rule,
    Severity,
    nearest,
)
from data_contracts.servers import compile_server

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality, OpenDataContractStandard, SchemaProperty

_LOGICAL_TYPES: tuple[LogicalType, ...] = get_args(LogicalType)
_SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_OPEN = ("public", "internal")
_SENSITIVE = ("personal", "restricted", "confidential", "sensitive", "secret", "pii")
_SPANS = {
    "seconds": ("s", "sec", "second", "seconds"),
    "minutes": ("m", "min", "minute", "minutes"),
    "hours": ("h", "hr", "hour", "hours"),
    "days": ("d", "day", "days"),
    "weeks": ("w", "wk", "week", "weeks"),
}
_VALUE_TYPES: dict[LogicalType, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "date": (date,),
}
_COMPILABLE = (
    "a rule that can be compiled: rowCount; nullValues or missingValues with mustBe 0, or at most a "
    "percentage; invalidValues with validValues or pattern, and mustBe 0; duplicateValues with mustBe 0"
)


def compile_contract(file: Path, document: OpenDataContractStandard) -> Contract:
    """Return our view of ``document``; ContractError for anything in it that would not be kept."""
    return _Compiler(file, document).compile()


@dataclass(frozen=True)
class _Compiler:
    file: Path
    document: OpenDataContractStandard

    def compile(self) -> Contract:
        tables = self.document.schema_ or []
        if len(tables) != 1:
            self._refuse("schema", "exactly one table", f"{len(tables)}")
        table = tables[0]
        items = table.properties or []
        if not items:
            self._refuse("schema.0.properties", "at least one column", "none")
        key = self._key(items)
        event_time = self._event_time(table.customProperties or [], items)
        columns = tuple(self._column(i, item, key, event_time) for i, item in enumerate(items))
        names = tuple(column.name for column in columns)
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            self._refuse("schema.0.properties", "each column once", f"{doubles} more than once")
        zone = self._zone(event_time, items)
        rules = _schema_rules(names)
        for i, (column, item) in enumerate(zip(columns, items, strict=True)):
            rules += self._column_rules(f"schema.0.properties.{i}", column, item, names, key)
        if key:
            rules.append(
                Rule("key:unique", "row", "unique", key, description=f"({', '.join(key)}) identifies a row")
            )
        rules.append(
            Rule(
                f"{event_time}:within_batch", "row", "within_batch", (event_time,),
                description="the event lies within the batch",
            )
        )  # fmt: skip
        for i, quality in enumerate(table.quality or []):
            rules += self._quality(f"schema.0.quality.{i}", quality, None, names)
        lateness, sla_rules = self._sla(event_time)
        rules += sla_rules
        self._ids_are_unique(rules)
        return Contract(
            file=self.file,
            name=self.file.name.removesuffix(".odcs.yaml"),
            version=str(self.document.version),
            columns=columns,
            key=key,
            event_time=event_time,
            timezone=zone,
            lateness=lateness,
            rules=tuple(rules),
            server=compile_server(self.file, self.document.servers, table.physicalName or table.name or ""),
        )

    def _refuse(self, where: str, expected: str, found: str) -> NoReturn:
        raise ContractError(self.file, where, expected, found)

    # --- columns -----------------------------------------------------------------------------------------

    def _key(self, items: Sequence[SchemaProperty]) -> tuple[str, ...]:
        parts = [item for item in items if item.primaryKey]
        return tuple(item.name or "" for item in sorted(parts, key=lambda item: item.primaryKeyPosition or 0))

    def _event_time(self, custom: Iterable[Any], items: Sequence[SchemaProperty]) -> str:
        name = self._custom("schema.0", custom, ("eventTime",)).get("eventTime")
        timestamps = [str(item.name) for item in items if item.logicalType == "timestamp"]
        if name not in timestamps:
            self._refuse(
                "schema.0.customProperties.eventTime",
                f"the name of a timestamp column, one of {timestamps}",
                f"{name!r}{nearest(str(name), timestamps)}",
            )
        return str(name)

    def _column(self, i: int, item: SchemaProperty, key: tuple[str, ...], event_time: str) -> Column:
        name, where = item.name or "", f"schema.0.properties.{i}"
        if item.logicalType not in _LOGICAL_TYPES:
            self._refuse(
                f"{where}.logicalType ({name})",
                f"one of {list(_LOGICAL_TYPES)}",
                f"{item.logicalType!r}{nearest(item.logicalType or '', _LOGICAL_TYPES)}",
            )
        if item.relationships:
            self._refuse(f"{where}.relationships", "none: they cannot be checked within a batch", "some")
        custom = self._custom(where, item.customProperties or [], ("availability", "featureKind", "unit"))
        availability = custom.get("availability", "atEventTime")
        if availability not in ("atEventTime", "later"):
            self._refuse(f"{where}.availability", "'atEventTime' or 'later'", repr(availability))
        if name == event_time and availability == "later":
            self._refuse(f"{where}.availability", "'atEventTime' for the event time", repr(availability))
        kind = custom.get("featureKind")
        if kind not in (None, "categorical", "numerical"):
            self._refuse(f"{where}.featureKind", "'categorical' or 'numerical'", repr(kind))
        return Column(
            name=name,
            logical_type=cast("LogicalType", item.logicalType),
            description=_one_line(item.description),
            unit=str(custom.get("unit", "")),
            required=bool(item.required) or name in key or name == event_time,
            unique=bool(item.unique) or key == (name,),
            sensitive=self._sensitive(where, item),
            available=availability == "atEventTime",
            categorical=kind == "categorical" or item.logicalType in ("string", "boolean"),
        )

    def _sensitive(self, where: str, item: SchemaProperty) -> bool:
        """A classification that we do not know must not be taken for 'public'."""
        found = (item.classification or _OPEN[0]).strip().lower()
        if found not in _OPEN + _SENSITIVE:
            self._refuse(
                f"{where}.classification ({item.name})",
                f"one of {[*_OPEN, *_SENSITIVE]}",
                f"{item.classification!r}{nearest(found, _OPEN + _SENSITIVE)}",
            )
        return found in _SENSITIVE

    def _custom(self, where: str, items: Iterable[Any], known: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for item in items:
            if item.property not in known or item.property in found:
                hint = nearest(item.property or "", known) if item.property not in known else " twice"
                self._refuse(
                    f"{where}.customProperties", f"one of {list(known)}, once", f"{item.property!r}{hint}"
                )
            found[item.property] = item.value
        return found

    def _zone(self, event_time: str, items: Sequence[SchemaProperty]) -> str:
        zones = {
            str(item.name): str((item.logicalTypeOptions or {}).get("defaultTimezone", ""))
            for item in items
            if item.logicalType == "timestamp"
        }
        zone = zones[event_time] or "UTC"
        where = f"{event_time}.logicalTypeOptions.defaultTimezone"
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._refuse(where, "an IANA time zone", f"{zone!r}{nearest(zone, available_timezones())}")
        for name, other in zones.items():
            if other not in ("", zone):
                self._refuse(
                    f"{name}.logicalTypeOptions.defaultTimezone",
                    f"the zone of {event_time}, {zone}",
                    repr(other),
                )
        return zone

    # --- rules -------------------------------------------------------------------------------------------

    def _column_rules(
        self, where: str, column: Column, item: SchemaProperty, names: tuple[str, ...], key: tuple[str, ...]
    ) -> list[Rule]:
        name = column.name
        rules = [
            Rule(
                f"{name}:type", "schema", "type", (name,), {"logical_type": column.logical_type},
                description=f"{name} is {_article(column.logical_type)}",
            )
        ]  # fmt: skip
        if column.required:
            rules.append(
                Rule(f"{name}:not_null", "row", "not_null", (name,), description=f"{name} has a value")
            )
        if item.unique and key != (name,):
            rules.append(Rule(f"{name}:unique", "row", "unique", (name,), description=f"{name} is unique"))
        if item.enum:
            values = [entry.value for entry in item.enum]
            rules.append(self._in_set(f"{where}.enum", column, values, "error"))
        rules += self._option_rules(
            f"{where}.logicalTypeOptions", column, dict(item.logicalTypeOptions or {})
        )
        for i, quality in enumerate(item.quality or []):
            rules += self._quality(f"{where}.quality.{i}", quality, column, names)
        return rules

    def _option_rules(self, where: str, column: Column, options: dict[str, Any]) -> list[Rule]:
        name = column.name
        for harmless in ("format", "timezone", "defaultTimezone"):
            options.pop(harmless, None)
        rules = []
        low, open_low = self._bound(where, column, "inimum", options)
        high, open_high = self._bound(where, column, "aximum", options)
        if low is not None or high is not None:
            self._in_order(where, low, high, column)
            arguments = {"min": low, "max": high, "strict_min": open_low, "strict_max": open_high}
            left, right = "(" if open_low else "[", ")" if open_high else "]"
            shown = f"{left}{'-inf' if low is None else low}, {'inf' if high is None else high}{right}"
            rules.append(
                Rule(
                    f"{name}:between",
                    "row",
                    "between",
                    (name,),
                    arguments,
                    description=f"{name} lies in {shown}",
                )
            )
        if (pattern := options.pop("pattern", None)) is not None:
            rules.append(self._matches(f"{where}.pattern", name, pattern, "error"))
        shortest, longest = options.pop("minLength", None), options.pop("maxLength", None)
        if shortest is not None or longest is not None:
            self._in_order(where, shortest, longest, column)
            rules.append(
                Rule(
                    f"{name}:length_between", "row", "length_between", (name,),
                    {"min": shortest, "max": longest},
                    description=f"{name} has between {shortest or 0} and "
                    f"{'any number of' if longest is None else longest} characters",
                )
            )  # fmt: skip
        if options:
            self._refuse(
                f"{where} ({name})",
                "minimum, maximum, exclusiveMinimum, exclusiveMaximum, pattern, minLength or maxLength",
                repr(sorted(options)[0]),
            )
        return rules

    def _bound(self, where: str, column: Column, end: str, options: dict[str, Any]) -> tuple[Any, bool]:
        """The bound ``minimum`` or ``maximum`` as it is written, and whether it is open."""
        closed, open_ = options.pop(f"m{end}", None), options.pop(f"exclusiveM{end}", None)
        if closed is not None and open_ is not None:
            self._refuse(where, f"m{end} or exclusiveM{end}", "both")
        bound = closed if open_ is None else open_
        try:
            _comparable(bound, column)
        except ValueError as error:
            expected = f"a finite {column.logical_type}"
            if column.logical_type in ("timestamp", "date"):
                expected = f"a {column.logical_type} in ISO 8601"
            raise ContractError(
                self.file, f"{where}.m{end} ({column.name})", expected, repr(bound)
            ) from error
        return bound, open_ is not None

    def _in_order(self, where: str, low: Any, high: Any, column: Column) -> None:  # noqa: ANN401 - any ordered type
        first, last = _comparable(low, column), _comparable(high, column)
        try:
            ordered = first is None or last is None or first <= last
        except TypeError:
            self._refuse(where, "both bounds with an offset or both without", f"{low!r} and {high!r}")
        if not ordered:
            self._refuse(where, "the smaller bound first", f"{low!r} and {high!r}")

    def _in_set(self, where: str, column: Column, values: object, severity: Severity, text: str = "") -> Rule:
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
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        return Rule(
            f"{column.name}:in_set", "row", "in_set", (column.name,), {"values": tuple(values)}, severity,
            text or f"{column.name} is one of {shown}",
        )  # fmt: skip

    def _matches(self, where: str, name: str, pattern: object, severity: Severity, text: str = "") -> Rule:
        try:
            re.compile(cast("str", pattern))
        except (re.error, TypeError) as error:
            raise ContractError(self.file, where, "a regular expression", f"{pattern!r} ({error})") from error
        return Rule(
            f"{name}:matches", "row", "matches", (name,), {"pattern": pattern}, severity,
            text or f"{name} matches {pattern}",
        )  # fmt: skip

    def _quality(
        self, where: str, quality: DataQuality, column: Column | None, names: tuple[str, ...]
    ) -> list[Rule]:
        if quality.type == "text":
            return []  # the standard's kind for prose: a description, not a promise
        severity = quality.severity or "error"
        if severity not in _SEVERITIES:
            hint = nearest(severity, _SEVERITIES)
            self._refuse(f"{where}.severity", f"one of {list(_SEVERITIES)}", f"{severity!r}{hint}")
        if quality.type not in (None, "library"):
            self._refuse(f"{where}.type", "a library rule", f"{quality.type!r}")
        if quality.unit not in (None, "rows", "percent"):
            self._refuse(f"{where}.unit", "'rows' or 'percent'", repr(quality.unit))
        low, high = self._limits(where, quality)
        if low is not None and high is not None and low > high:
            self._refuse(where, "the smaller limit first", _given(quality))
        rule = self._counted(where, quality, column, names, low, high)
        if rule is None:
            self._refuse(where, _COMPILABLE, f"metric {quality.metric!r} with {_given(quality)}")
        return [rule]

    def _counted(
        self, where: str, quality: DataQuality, column: Column | None, names: tuple[str, ...],
        low: float | None, high: float | None,
    ) -> Rule | None:  # fmt: skip
        """The rule behind a library metric with the limits ``low`` and ``high``; None when there is none."""
        severity = cast("Severity", quality.severity or "error")
        text, arguments = _one_line(quality.description), quality.arguments or {}
        none_allowed = high == 0 and low in (None, 0)
        if quality.metric == "duplicateValues" and none_allowed and not set(arguments) - {"properties"}:
            return self._no_duplicates(where, column, arguments, names, severity, text)
        if quality.metric == "rowCount" and not arguments and quality.unit != "percent":
            return Rule(
                "batch:row_count", "batch", "row_count", (), {"min": low, "max": high}, severity,
                text or f"the batch has {_range_text(low, high)} rows",
            )  # fmt: skip
        if column is None:
            return None
        name = column.name
        if quality.metric in ("nullValues", "missingValues") and not arguments:
            if none_allowed:
                return Rule(
                    f"{name}:not_null",
                    "row",
                    "not_null",
                    (name,),
                    {},
                    severity,
                    text or f"{name} has a value",
                )
            if quality.unit == "percent" and low in (None, 0) and high is not None and 0 < high <= 100:
                return Rule(
                    f"{name}:null_share", "batch", "null_share", (name,), {"max": high / 100}, severity,
                    text or f"at most {high:g}% of {name} are missing",
                )  # fmt: skip
        if quality.metric == "invalidValues" and none_allowed:
            if set(arguments) == {"validValues"}:
                values = arguments["validValues"]
                return self._in_set(f"{where}.arguments.validValues", column, values, severity, text)
            if set(arguments) == {"pattern"} and column.logical_type == "string":
                pattern = arguments["pattern"]
                return self._matches(f"{where}.arguments.pattern", name, pattern, severity, text)
        return None

    def _no_duplicates(
        self, where: str, column: Column | None, arguments: dict[str, Any], names: tuple[str, ...],
        severity: Severity, text: str,
    ) -> Rule:  # fmt: skip
        among = arguments.get("properties", [column.name] if column else [])
        if not isinstance(among, list) or not among:
            self._refuse(f"{where}.arguments.properties", "a list of columns", repr(among))
        for name in among:
            if name not in names:
                self._refuse(
                    f"{where}.arguments.properties", "a column", f"{name!r}{nearest(str(name), names)}"
                )
        return Rule(
            f"{'+'.join(among)}:unique", "row", "unique", tuple(among), {}, severity,
            text or f"({', '.join(among)}) is unique",
        )  # fmt: skip

    def _limits(self, where: str, quality: DataQuality) -> tuple[float | None, float | None]:
        """Inclusive lower and upper limit that the rule's must-be operator names."""
        exact = quality.mustBe
        if isinstance(exact, int | float) and not isinstance(exact, bool):
            return exact, exact
        if quality.mustBeBetween is not None:
            return quality.mustBeBetween[0], quality.mustBeBetween[1]
        if quality.mustBeGreaterOrEqualTo is not None:
            return quality.mustBeGreaterOrEqualTo, None
        if quality.mustBeLessOrEqualTo is not None:
            return None, quality.mustBeLessOrEqualTo
        if quality.mustBeGreaterThan is not None and quality.unit != "percent":
            return math.floor(quality.mustBeGreaterThan) + 1, None
        if quality.mustBeLessThan is not None and quality.unit != "percent":
            return None, math.ceil(quality.mustBeLessThan) - 1
        raise ContractError(
            self.file,
            where,
            "mustBe a number, mustBeBetween, mustBeGreaterOrEqualTo, mustBeLessOrEqualTo, or "
            "mustBeGreaterThan and mustBeLessThan of a count of rows",
            _given(quality),
        )

    # --- service level and server ------------------------------------------------------------------------

    def _sla(self, event_time: str) -> tuple[timedelta, list[Rule]]:
        found: dict[str, timedelta] = {}
        units = {spelling: unit for unit, spellings in _SPANS.items() for spelling in spellings}
        for i, item in enumerate(self.document.slaProperties or []):
            name = item.property or ""
            if name not in ("latency", "freshness"):
                continue  # promises about support, price or retention are not about one batch
            if name in found:
                self._refuse(f"slaProperties.{i}", f"{name} once", "it again")
            unit, value = units.get(item.unit or ""), item.value
            if unit is None or isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                self._refuse(
                    f"slaProperties.{i}", "a number that is not negative, with unit s, m, h, d or w",
                    f"{item.value!r} {item.unit!r}",
                )  # fmt: skip
            found[name] = timedelta(**{unit: float(value)})
        span = found.get("freshness")
        rules = [
            Rule(
                f"{event_time}:fresh", "batch", "fresh", (event_time,), {"seconds": span.total_seconds()},
                description=f"the newest event is within {span} of the batch's end",
            )
        ] if span is not None else []  # fmt: skip
        return found.get("latency", timedelta(0)), rules

    def _ids_are_unique(self, rules: list[Rule]) -> None:
        seen: set[str] = set()
        for rule in rules:
            if rule.id in seen:
                self._refuse("rules", "each rule once", f"{rule.id} more than once ({rule.description})")
            seen.add(rule.id)


def _schema_rules(names: tuple[str, ...]) -> list[Rule]:
    rules = [
        Rule(f"{name}:present", "schema", "present", (name,), description=f"column {name} is there")
        for name in names
    ]
    known = Rule(
        "columns:known", "schema", "known_columns", names, severity="warning",
        description="there is no column that the contract does not name",
    )  # fmt: skip
    return [*rules, known]


def _comparable(bound: object, column: Column) -> Any:  # noqa: ANN401 - any ordered type
    """The bound as a value that can be compared; ValueError when it has no meaning for the column."""
    if bound is None:
        return None
    if column.logical_type == "timestamp":
        return datetime.fromisoformat(str(bound))
    if column.logical_type == "date":
        return date.fromisoformat(str(bound))
    if isinstance(bound, float) and not math.isfinite(bound):
        raise ValueError(bound)
    return bound


def _given(quality: DataQuality) -> str:
    given = {
        key: value
        for key, value in quality.model_dump(exclude_none=True).items()
        if key.startswith("must") or key in ("unit", "arguments")
    }
    return repr(given)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _range_text(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low:g}"
    return f"at most {high:g}" if low is None else f"{low:g} to {high:g}"
