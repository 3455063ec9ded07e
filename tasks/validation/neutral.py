"""Neutral names for the columns that Great Expectations is given, and the way back.

It matches names without regard to case (of ``amount`` and ``Amount`` it judges one twice), and a
condition on rows is code in which a name such as ``index`` or ``a b`` means something else.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ARGUMENTS = ("column", "column_A", "column_B", "column_list", "column_set")
"""Arguments of an expectation that name columns, beside a condition on rows."""
_CONDITIONS = ("row_condition", "pass_through_filter")
_TOKENS = re.compile(
    r"""(?P<call>col\(\s*")(?P<called>[^"]*)(?P<end>"\s*\))"""
    r"""|(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"""|`(?P<quoted>[^`]*)`"""
    r"""|(?<![\w.@])(?P<bare>[^\W\d]\w*)(?!\w|\s*\(|\s*=[^=])"""
)
"""Where a condition names columns: ``col("a b")`` in Great Expectations' words, ``a`` and backticks
in those of pandas; text, functions, attributes and arguments are left alone.
"""
_NEUTRAL = re.compile(r"\bcolumn_(\d+)\b")


@dataclass(frozen=True)
class NeutralNames:
    """Columns by the names ``column_0``, ``column_1``, ..."""

    columns: Sequence[str]

    def __post_init__(self) -> None:
        """Number the columns once."""
        names = {name: f"column_{i}" for i, name in enumerate(self.columns)}
        object.__setattr__(self, "_names", names)

    def of(self, name: str) -> str:
        """Return the neutral name of a column; of what is no column, its own."""
        found: str = self._names.get(name, name)  # type: ignore[attr-defined]  # set above
        return found

    def in_arguments(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return an expectation's arguments with each column by its neutral name."""
        found = dict(kwargs)
        for key in _ARGUMENTS:
            if isinstance(found.get(key), str):
                found[key] = self.of(found[key])
            elif isinstance(found.get(key), list | tuple | set):
                found[key] = [self.of(name) for name in found[key]]
        if "row_condition" in found:
            found["row_condition"] = self._in_condition(found["row_condition"])
        return found

    def in_text(self, text: str) -> str:
        """Return a text of Great Expectations with the columns' own names."""

        def own(found: re.Match[str]) -> str:
            place = int(found[1])
            return self.columns[place] if place < len(self.columns) else found[0]

        return _NEUTRAL.sub(own, text)

    def _in_condition(self, given: Any) -> Any:  # noqa: ANN401 - text, or the mapping of a condition
        if isinstance(given, str):
            return _TOKENS.sub(self._in_token, given)
        if isinstance(given, list | tuple):
            return [self._in_condition(one) if isinstance(one, Mapping) else one for one in given]
        if not isinstance(given, Mapping):
            return given
        found: dict[str, Any] = {}
        for key, value in given.items():
            if key == "column":
                inner = value.get("name") if isinstance(value, Mapping) else value
                found[key] = {"name": self.of(str(inner))}
            elif key in _CONDITIONS or isinstance(value, Mapping | list):
                found[key] = self._in_condition(value)
            else:
                found[key] = value
        return found

    def _in_token(self, found: re.Match[str]) -> str:
        if found["call"] is not None:
            return f"{found['call']}{self.of(found['called'])}{found['end']}"
        if found["quoted"] is not None:
            own = self.of(found["quoted"])
            return own if own != found["quoted"] else found[0]
        if found["bare"] is not None and not keyword.iskeyword(found["bare"]):
            return self.of(found["bare"])
        return found[0]
