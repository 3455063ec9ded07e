"""The row rules that Great Expectations has no expectation for: multiples, how a string is written,
local times that stand twice on the clock, and limits that a double does not hold.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from data_contracts.contract import Contract, Rule

_CHECKS = ("multiple_of", "format", "once_on_clock")
_EXACT = 2**53
"""Whole numbers below it are the same in int64 and float64."""
_TOLERANCE = 1e-9
"""Largest distance from a whole multiple, in multiples: 0.3 is one of 0.1, in spite of binary
fractions.
"""
_EMAIL = re.compile(r"[^@\s\"(),:;<>\[\]\\]+@(?=.+\.)")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!#$%&'()*+,/:;=?@\[\]\w.~-]+", re.ASCII)


def judged_here(rule: Rule, contract: Contract) -> bool:
    """Return whether no expectation judges the rule: its kind has none, or Great Expectations would
    round one of its whole numbers to a double.
    """
    if rule.check in ("between", "in_set", "not_in_set"):
        whole = contract.column(rule.columns[0]).logical_type == "integer"
        return whole and any(abs(value) >= _EXACT for value in _compared(rule))
    return rule.check in _CHECKS


def _compared(rule: Rule) -> list[float]:
    if rule.check == "between":
        ends = (rule.arguments["min"], rule.arguments["max"])
        return [whole(end) for end in ends if end is not None]
    return list(rule.arguments["values"])


def whole(bound: float) -> float:
    """Return the bound as an int where it is a whole number, so that it is compared to the last
    digit.
    """
    return int(bound) if float(bound).is_integer() and not isinstance(bound, int) else bound


def broken_positions(rule: Rule, column: pd.Series) -> tuple[int, ...]:
    """Return the positions of the rows whose value breaks ``rule``; a gap breaks none."""
    values = column.reset_index(drop=True).dropna()
    if rule.check in ("between", "in_set", "not_in_set"):
        broken = _beyond(values, rule) if rule.check == "between" else _listed(values, rule)
        return tuple(int(i) for i in values.index[broken])
    if rule.check == "once_on_clock":
        zone = rule.arguments["timezone"]
        local = values.dt.tz_convert(zone).dt.tz_localize(None)
        twice = local.dt.tz_localize(zone, ambiguous="NaT").isna()
        return tuple(int(i) for i in values.index[twice])
    if rule.check == "multiple_of":
        return tuple(int(i) for i in values.index[~_is_multiple(values, rule.arguments["factor"])])
    sound = _FORMATS[rule.arguments["format"]]
    fits = {value: sound(str(value)) for value in values.unique()}
    return tuple(int(i) for i in values.index[~values.map(fits).astype(bool)])


def _beyond(values: pd.Series, rule: Rule) -> np.ndarray:
    numbers, given = values.to_numpy(dtype="int64"), rule.arguments
    broken = np.zeros(len(numbers), dtype=bool)
    if given["min"] is not None:
        low = whole(given["min"])
        broken |= numbers <= low if given["strict_min"] else numbers < low
    if given["max"] is not None:
        high = whole(given["max"])
        broken |= numbers >= high if given["strict_max"] else numbers > high
    return broken


def _listed(values: pd.Series, rule: Rule) -> np.ndarray:
    listed = set(rule.arguments["values"])
    found = [value in listed for value in values.to_numpy(dtype="int64").tolist()]
    broken: np.ndarray = np.array(found, dtype=bool) == (rule.check == "not_in_set")
    return broken


def _is_multiple(values: pd.Series, factor: float) -> pd.Series:
    """Whole numbers by whole numbers exactly, others within the tolerance; an infinite one is no
    multiple.
    """
    if float(factor).is_integer() and values.dtype.kind in "iu":
        return values % int(factor) == 0
    ratio = values.astype("float64") / factor
    with np.errstate(invalid="ignore"):
        return (ratio - ratio.round()).abs() <= _TOLERANCE * ratio.abs().clip(lower=1)


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def sound(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return sound


def _hostname(text: str) -> bool:
    """RFC 1123: labels of letters, digits and hyphens, 253 characters in all."""
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def _email(text: str) -> bool:
    """A part before the one @, and a host name with a dot after it; whether anybody reads it is
    another matter.
    """
    local = _EMAIL.match(text)
    return local is not None and len(text) <= 254 and _hostname(text[local.end() :])


def _uri(text: str) -> bool:
    """RFC 3986 as far as scheme and characters go, with a port that is a number."""
    return _URI.fullmatch(text) is not None and _parses(lambda t: urlsplit(t).port)(text)


def _date_time(text: str) -> bool:
    """RFC 3339: a date, a time to the second at least, and an offset."""
    return _DATE_TIME.fullmatch(text) is not None and _parses(datetime.fromisoformat)(text.upper())


_FORMATS: dict[str, Callable[[str], bool]] = {
    "email": _email,
    "uuid": lambda text: _UUID.fullmatch(text) is not None and _parses(uuid.UUID)(text),
    "uri": _uri,
    "date": lambda text: _DATE.fullmatch(text) is not None and _parses(date.fromisoformat)(text),
    "date-time": _date_time,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "hostname": _hostname,
}
