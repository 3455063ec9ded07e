"""How a source writes a date or a time: the letters of Java's DateTimeFormatter, as the standard
has them, read as a regular expression.

=============================  ==============================================================
letters                        stand for
=============================  ==============================================================
``yyyy`` (``uuuu``), ``yy``    the year; two digits are of 2000 to 2099
``M``, ``MM``, ``MMM``         the month as a number, or its first three letters in English
``d``, ``dd``                  the day of the month
``H``, ``HH``; ``h``, ``hh``   the hour of the day; of half a day, with ``a`` for AM or PM
``m``, ``mm``, ``s``, ``ss``   minute, second
``S`` to ``SSSSSSSSS``         the fraction of a second, of as many digits as there are
``X`` to ``XXX``, ``Z``        the offset from UTC, or Z
``'...'``                      text as it stands; other signs than letters stand for themselves
=============================  ==============================================================
"""

from __future__ import annotations

import re
from functools import lru_cache

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIELDS = {
    "yyyy": r"(?P<year>[0-9]{4})",
    "uuuu": r"(?P<year>[0-9]{4})",
    "yy": r"(?P<short_year>[0-9]{2})",
    "MMM": rf"(?P<month_name>(?i:{'|'.join(MONTHS)}))",
    "MM": r"(?P<month>[0-9]{2})",
    "M": r"(?P<month>[0-9]{1,2})",
    "dd": r"(?P<day>[0-9]{2})",
    "d": r"(?P<day>[0-9]{1,2})",
    "HH": r"(?P<hour>[0-9]{2})",
    "H": r"(?P<hour>[0-9]{1,2})",
    "hh": r"(?P<half_hour>[0-9]{2})",
    "h": r"(?P<half_hour>[0-9]{1,2})",
    "mm": r"(?P<minute>[0-9]{2})",
    "m": r"(?P<minute>[0-9]{1,2})",
    "ss": r"(?P<second>[0-9]{2})",
    "s": r"(?P<second>[0-9]{1,2})",
    "a": r"(?P<half>(?i:am|pm))",
    "Z": r"(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})",
    **dict.fromkeys(("X", "XX", "XXX"), r"(?P<offset>Z|[+-][0-9]{2}(?::?[0-9]{2})?)"),
    **{"S" * digits: r"(?P<fraction>[0-9]{1,9})" for digits in range(1, 10)},
}
_PART = re.compile(r"'(?P<text>[^']*)'|(?P<letters>([A-Za-z])\3*)|(?P<sign>[^'A-Za-z])")


@lru_cache(maxsize=64)
def pattern_of(format: str) -> str:
    """Return a regular expression with a named group for each field of ``format``; ValueError when
    it does not give a whole day, or has a letter that is not read.
    """
    found, end = "", 0
    for part in _PART.finditer(format):
        if part.start() != end:
            raise ValueError("a quote that is not closed")
        end = part.end()
        if part["letters"]:
            if part["letters"] not in _FIELDS:
                raise ValueError(f"the letters {part['letters']!r}")
            found += _FIELDS[part["letters"]]
        else:
            found += re.escape(part["text"] or part["sign"] or "'")
    if end != len(format):
        raise ValueError("a quote that is not closed")
    try:
        fields = set(re.compile(found).groupindex)
    except re.error:
        raise ValueError("the same field twice") from None
    if not fields & {"year", "short_year"} or not fields & {"month", "month_name"}:
        raise ValueError("no year or no month")
    if "day" not in fields or ("half_hour" in fields) != ("half" in fields):
        raise ValueError("no day" if "day" not in fields else "'h' without 'a', or 'a' without 'h'")
    return f"^{found}$"
