"""How keys, types and tables are written in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOTICE = "<!-- Written by 'make reference' from the code: change it there. -->"

Schema = Mapping[str, Any]
"""A JSON Schema, or a part of one."""


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def type_text(schema: Schema) -> str:
    """Return the type of a key with its bounds, such as ``whole number, at least 1``."""
    if "anyOf" in schema:
        texts = dict.fromkeys(type_text(option) for option in schema["anyOf"])
        return " or ".join(
            text for text in texts if not (text == "whole number" and "number" in texts)
        )
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        return "mapping"
    if "pattern" in schema and schema["pattern"].endswith("([smhdw])$"):
        return "duration such as `90s`, `6h`, `30d`"
    match schema.get("type"):
        case "array":
            return f"list of {type_text(schema.get('items', {}))}"
        case "integer" | "number" as kind:
            return ", ".join([_NUMBERS[kind], *_bounds(schema)])
        case "string":
            pattern = schema.get("pattern")
            return f"text matching `{pattern}`" if pattern else "text"
        case "object" | "boolean" | "null" as kind:
            return _NAMES[kind]
    return "any value"


_NUMBERS = {"integer": "whole number", "number": "number"}
_NAMES = {"object": "mapping", "boolean": "`true` or `false`", "null": "`null`"}


def _bounds(schema: Schema) -> list[str]:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return [f"{word} {schema[key]:,}" for key, word in words.items() if key in schema]


def value_text(value: object) -> str:
    """Return a default as a person would write it in YAML."""
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"
