"""From the parsed standard to our view: columns, rules, server.

What would be ignored is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from data_contracts.contract import (
    Ambiguous,
    Column,
    Contract,
    ContractError,
    Epoch,
    LogicalType,
    Rule,
    nearest,
)
from data_contracts.quality import Qualities, one_line
from data_contracts.servers import compile_servers
from data_contracts.time_format import pattern_of

if TYPE_CHECKING:
    from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty

_LOGICAL_TYPES: tuple[LogicalType, ...] = get_args(LogicalType)
_EPOCHS: tuple[Epoch, ...] = get_args(Epoch)
_AMBIGUOUS: tuple[Ambiguous, ...] = get_args(Ambiguous)
_OWN_KEYS: dict[str, tuple[str, ...]] = {
    "timestamp": ("epoch", "ambiguousTime"),
    "boolean": ("trueValues", "falseValues"),
}
_OPEN = ("public", "internal")
_SENSITIVE = ("personal", "restricted", "confidential", "sensitive", "secret", "pii")
_STRING_FORMATS = ("email", "uuid", "uri", "date", "date-time", "ipv4", "ipv6", "hostname")
# Whole numbers are stored in 64 bits with a sign: beyond that there is nothing to check.
_INTEGER_FORMATS: dict[str, tuple[int | None, int | None]] = {
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32)},
    "i64": (None, None),
    "u64": (0, None),
    "i128": (None, None),
    "u128": (0, None),
}
_SPANS = {
    "seconds": ("s", "sec", "second", "seconds"),
    "minutes": ("m", "min", "minute", "minutes"),
    "hours": ("h", "hr", "hour", "hours"),
    "days": ("d", "day", "days"),
    "weeks": ("w", "wk", "week", "weeks"),
}


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
        qualities = Qualities(self.file, columns)
        rules = _schema_rules(names)
        for i, (column, item) in enumerate(zip(columns, items, strict=True)):
            rules += self._column_rules(f"schema.0.properties.{i}", column, item, key, qualities)
        rules += [
            _once_on_clock(one.name, zone) for one in columns if one.ambiguous == "quarantine"
        ]
        if key:
            rules.append(
                Rule(
                    "primaryKey:unique" if "key" in names else "key:unique",
                    "row",
                    "unique",
                    key,
                    description=f"({', '.join(key)}) identifies a row",
                )
            )
        rules.append(
            Rule(
                f"{event_time}:within_batch",
                "row",
                "within_batch",
                (event_time,),
                description=f"{event_time} lies within the batch",
            )
        )
        for i, quality in enumerate(table.quality or []):
            rules += qualities.compile(f"schema.0.quality.{i}", quality, None)
        lateness, sla_rules = self._sla(event_time)
        rules += sla_rules
        self._ids_are_unique(rules)
        said = self.document.description
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
            servers=compile_servers(
                self.file, self.document.servers, table.physicalName or table.name or ""
            ),
            purpose=one_line(said.purpose if said else None),
            usage=one_line(said.usage if said else None),
            limitations=one_line(said.limitations if said else None),
            owner=self._owner(),
        )

    def _refuse(self, where: str, expected: str, found: str) -> NoReturn:
        raise ContractError(self.file, where, expected, found)

    def _owner(self) -> str:
        """The team's name, else those of its members who have not left; the standard of 3.1 and
        later has a team, that of before a list of members.
        """
        team = self.document.team
        if team is None:
            return ""
        named, members = ("", team) if isinstance(team, list) else (team.name, team.members or [])
        staying = [one.name or one.username for one in members if not one.dateOut]
        return one_line(named or ", ".join(name for name in staying if name))

    # --- columns ----------------------------------------------------------------------------------

    def _key(self, items: Sequence[SchemaProperty]) -> tuple[str, ...]:
        parts = [item for item in items if item.primaryKey]
        return tuple(
            item.name or "" for item in sorted(parts, key=lambda item: item.primaryKeyPosition or 0)
        )

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

    def _column(
        self, i: int, item: SchemaProperty, key: tuple[str, ...], event_time: str
    ) -> Column:
        name, where = item.name or "", f"schema.0.properties.{i}"
        if not name.strip() or "\0" in name:
            self._refuse(
                f"{where}.name",
                "a name that can be seen; a column without one is left out of the contract, or"
                " named where the data is made",
                repr(name),
            )
        if item.logicalType not in _LOGICAL_TYPES:
            self._refuse(
                f"{where}.logicalType ({name})",
                f"one of {list(_LOGICAL_TYPES)}",
                f"{item.logicalType!r}{nearest(item.logicalType or '', _LOGICAL_TYPES)}",
            )
        if item.relationships:
            self._refuse(
                f"{where}.relationships", "none: they cannot be checked within a batch", "some"
            )
        custom = self._custom(
            where,
            item.customProperties or [],
            ("availability", "featureKind", "unit", *_OWN_KEYS.get(item.logicalType, ())),
        )
        availability = custom.get("availability", "atEventTime")
        if availability not in ("atEventTime", "later"):
            self._refuse(f"{where}.availability", "'atEventTime' or 'later'", repr(availability))
        if name == event_time and availability == "later":
            self._refuse(
                f"{where}.availability", "'atEventTime' for the event time", repr(availability)
            )
        kind = custom.get("featureKind")
        if kind not in (None, "categorical", "numerical"):
            self._refuse(f"{where}.featureKind", "'categorical' or 'numerical'", repr(kind))
        return Column(
            name=name,
            logical_type=cast("LogicalType", item.logicalType),
            description=one_line(item.description),
            unit=str(custom.get("unit", "")),
            required=bool(item.required) or name in key or name == event_time,
            unique=bool(item.unique) or key == (name,),
            sensitive=self._sensitive(where, item),
            available=availability == "atEventTime",
            categorical=kind == "categorical" or item.logicalType in ("string", "boolean"),
            format=self._time_format(where, item),
            epoch=self._one_of(where, custom, "epoch", (None, *_EPOCHS)),
            ambiguous=self._one_of(where, custom, "ambiguousTime", _AMBIGUOUS),
            true_values=self._spellings(where, custom, "trueValues"),
            false_values=self._spellings(where, custom, "falseValues"),
        )

    def _one_of(self, where: str, custom: dict[str, Any], key: str, known: tuple[Any, ...]) -> Any:  # noqa: ANN401 - one of ``known``
        """The value of ``key``, the first of ``known`` when it is not given."""
        found = custom.get(key, known[0])
        if found not in known:
            self._refuse(
                f"{where}.{key}",
                f"one of {[word for word in known if word]}",
                f"{found!r}{nearest(str(found), [word for word in known if word])}",
            )
        return found

    def _spellings(self, where: str, custom: dict[str, Any], key: str) -> tuple[str, ...]:
        other = {"trueValues": "falseValues", "falseValues": "trueValues"}[key]
        found = custom.get(key, [])
        if not isinstance(found, list) or not all(
            isinstance(value, str | int) and not isinstance(value, bool) for value in found
        ):
            hint = " (YAML reads yes, no, on and off as true and false: put them in quotes)"
            self._refuse(f"{where}.{key}", f"a list of texts or whole numbers{hint}", repr(found))
        texts = {str(value).lower() for value in found}
        if bool(found) != bool(custom.get(other)) or texts & {
            str(value).lower() for value in custom.get(other) or []
        }:
            self._refuse(f"{where}.{key}", f"some, and others in {other}", repr(found))
        return tuple(str(value) for value in found)

    def _time_format(self, where: str, item: SchemaProperty) -> str:
        """The format in which text of a date or a timestamp is read; of others it is a rule."""
        format = str((item.logicalTypeOptions or {}).get("format") or "")
        if not format or item.logicalType not in ("timestamp", "date"):
            return ""
        try:
            pattern_of(format)
        except ValueError as error:
            self._refuse(
                f"{where}.logicalTypeOptions.format ({item.name})",
                "a format of Java's DateTimeFormatter such as 'dd.MM.yyyy HH:mm' (docs/files.md)",
                f"{format!r}: {error}",
            )
        return format

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
                hint = (
                    nearest(item.property or "", known) if item.property not in known else " twice"
                )
                self._refuse(
                    f"{where}.customProperties",
                    f"one of {list(known)}, once",
                    f"{item.property!r}{hint}",
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
            self._refuse(
                where, "an IANA time zone", f"{zone!r}{nearest(zone, available_timezones())}"
            )
        for name, other in zones.items():
            if other not in ("", zone):
                self._refuse(
                    f"{name}.logicalTypeOptions.defaultTimezone",
                    f"the zone of {event_time}, {zone}",
                    repr(other),
                )
        return zone

    # --- rules ------------------------------------------------------------------------------------

    def _column_rules(
        self,
        where: str,
        column: Column,
        item: SchemaProperty,
        key: tuple[str, ...],
        qualities: Qualities,
    ) -> list[Rule]:
        name = column.name
        rules = [
            Rule(
                f"{name}:type",
                "schema",
                "type",
                (name,),
                {"logical_type": column.logical_type},
                description=f"{name} is {_article(column.logical_type)}",
            )
        ]
        if column.required:
            rules.append(
                Rule(
                    f"{name}:not_null",
                    "row",
                    "not_null",
                    (name,),
                    description=f"{name} has a value",
                )
            )
        if item.unique and key != (name,):
            rules.append(
                Rule(f"{name}:unique", "row", "unique", (name,), description=f"{name} is unique")
            )
        if item.enum:
            values = [entry.value for entry in item.enum]
            rules.append(qualities.in_set(f"{where}.enum", column, values))
        rules += self._option_rules(
            f"{where}.logicalTypeOptions", column, dict(item.logicalTypeOptions or {}), qualities
        )
        for i, quality in enumerate(item.quality or []):
            rules += qualities.compile(f"{where}.quality.{i}", quality, column)
        return rules

    def _option_rules(
        self, where: str, column: Column, options: dict[str, Any], qualities: Qualities
    ) -> list[Rule]:
        name = column.name
        if (
            column.logical_type == "boolean" and options
        ):  # the one type that the standard's schema leaves open
            given = min(options)
            self._refuse(f"{where} ({column.name})", "none for a boolean", repr(given))
        for harmless in ("timezone", "defaultTimezone"):
            options.pop(harmless, None)
        rules = self._format_rules(f"{where}.format ({name})", column, options.pop("format", None))
        low, open_low = self._bound(where, "inimum", options)
        high, open_high = self._bound(where, "aximum", options)
        if low is not None or high is not None:
            rules.append(qualities.between(where, column, low, high, (open_low, open_high)))
        if (pattern := options.pop("pattern", None)) is not None:
            rules.append(qualities.matches(f"{where}.pattern", name, pattern))
        shortest, longest = options.pop("minLength", None), options.pop("maxLength", None)
        if shortest is not None or longest is not None:
            qualities.in_order(where, shortest, longest, column)
            rules.append(
                Rule(
                    f"{name}:length_between",
                    "row",
                    "length_between",
                    (name,),
                    {"min": shortest, "max": longest},
                    description=(
                        f"{name} has between {shortest or 0} and "
                        f"{'any number of' if longest is None else longest} characters"
                    ),
                )
            )
        if (factor := options.pop("multipleOf", None)) is not None:
            rules.append(
                Rule(
                    f"{name}:multiple_of",
                    "row",
                    "multiple_of",
                    (name,),
                    {"factor": factor},
                    description=f"{name} is a multiple of {factor:g}",
                )
            )
        return rules

    def _format_rules(self, where: str, column: Column, format: str | None) -> list[Rule]:
        """A string's format is checked, an integer's is a range; a time's says how it is read."""
        name = column.name
        if format is None or column.logical_type in ("timestamp", "date", "number"):
            return []
        known = _STRING_FORMATS if column.logical_type == "string" else tuple(_INTEGER_FORMATS)
        if format not in known:
            self._refuse(where, f"one of {list(known)}", f"{format!r}{nearest(format, known)}")
        if column.logical_type == "string":
            return [
                Rule(
                    f"{name}:format",
                    "row",
                    "format",
                    (name,),
                    {"format": format},
                    description=f"{name} is written as {_article(format)}",
                )
            ]
        low, high = _INTEGER_FORMATS[format]
        if low is None and high is None:
            return []  # every whole number that the lake can hold
        return [
            Rule(
                f"{name}:format",
                "row",
                "between",
                (name,),
                {"min": low, "max": high, "strict_min": False, "strict_max": False},
                description=f"{name} is a whole number of format {format}",
            )
        ]

    def _bound(self, where: str, end: str, options: dict[str, Any]) -> tuple[Any, bool]:
        """The bound ``minimum`` or ``maximum`` as it is written, and whether it is open."""
        closed, open_ = options.pop(f"m{end}", None), options.pop(f"exclusiveM{end}", None)
        if closed is not None and open_ is not None:
            self._refuse(where, f"m{end} or exclusiveM{end}", "both")
        return (closed, False) if open_ is None else (open_, True)

    # --- service level and server -----------------------------------------------------------------

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
            if (
                unit is None
                or isinstance(value, bool)
                or not isinstance(value, int | float)
                or value < 0
            ):
                self._refuse(
                    f"slaProperties.{i}",
                    "a number that is not negative, with unit s, m, h, d or w",
                    f"{item.value!r} {item.unit!r}",
                )
            found[name] = timedelta(**{unit: float(value)})
        span = found.get("freshness")
        rules = (
            [
                Rule(
                    f"{event_time}:fresh",
                    "batch",
                    "fresh",
                    (event_time,),
                    {"seconds": span.total_seconds()},
                    description=f"the newest event is within {span} of the batch's end",
                )
            ]
            if span is not None
            else []
        )
        return found.get("latency", timedelta(0)), rules

    def _ids_are_unique(self, rules: list[Rule]) -> None:
        seen: set[str] = set()
        for rule in rules:
            if rule.id in seen:
                hint = "; a quality entry's own id tells two of a kind apart"
                self._refuse(
                    "rules",
                    "each rule once",
                    f"{rule.id} more than once ({rule.description}){hint}",
                )
            seen.add(rule.id)


def _schema_rules(names: tuple[str, ...]) -> list[Rule]:
    rules = [
        Rule(f"{name}:present", "schema", "present", (name,), description=f"column {name} is there")
        for name in names
    ]
    known = Rule(
        "columns:known",
        "schema",
        "known_columns",
        names,
        severity="warning",
        description="there is no column that the contract does not name",
    )
    return [*rules, known]


def _once_on_clock(name: str, zone: str) -> Rule:
    return Rule(
        f"{name}:once_on_clock",
        "row",
        "once_on_clock",
        (name,),
        {"timezone": zone},
        description=f"{name} is a time that stands once on the clock of {zone}",
    )


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
