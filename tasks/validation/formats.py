"""The row rules that Great Expectations has no expectation for: multiples, how a string is written,
and local times that stand twice on the clock.
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

from data_contracts.contract import Rule

CHECKS = ("multiple_of", "format", "once_on_clock")
"""The checks that are judged here."""
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


def broken_positions(rule: Rule, column: pd.Series) -> tuple[int, ...]:
    """Return the positions of the rows whose value breaks ``rule``; a gap breaks none."""
    values = column.reset_index(drop=True).dropna()
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
