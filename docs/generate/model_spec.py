"""The reference of model specs, from the types that read them and their docstrings."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

from docs.generate.pages import NOTICE, Schema, table, type_text, value_text
from tasks.configuration import AbbreviatedConfig, Config, duration_text
from tasks.model_spec import ModelSpec

_BY_PROBLEM = ("metric", "candidates")
"""Keys whose default depends on the problem: ``tasks/presets.py``."""

_INTRODUCTION = f"""\
{NOTICE}

# Model spec: every key

`deployments/<model>/model.yaml` describes one model under management. Five keys are required; each
other key has a default, and [presets](../presets.md) move several of them together.
`kingmaker check MODEL --effective` prints all keys with the values in force. A key that does
not exist is refused with the nearest one that does.

Editors complete and check the keys when the file begins with the path to
[model-spec.schema.json](model-spec.schema.json), as what `kingmaker new` drafts does:

```yaml
# yaml-language-server: $schema=../../docs/reference/model-spec.schema.json
```
"""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a model spec, with a description for every key."""
    found = ModelSpec.model_json_schema()
    kinds = {kind.__name__: kind for kind in _kinds(ModelSpec)}
    definitions = {"ModelSpec": found} | found["$defs"]
    for name, definition in definitions.items():
        definition["description"] = _plain(inspect.getdoc(kinds[name]) or "")
        texts = _docstrings(kinds[name])
        fields = {field.alias or own: own for own, field in kinds[name].model_fields.items()}
        for key, part in definition["properties"].items():
            part["description"] = _plain(texts.get(fields[key], ""))
            part.pop("title", None)
            default = kinds[name].model_fields[fields[key]].default
            if isinstance(default, timedelta):
                part["default"] = duration_text(default)
            if "$ref" in part or key in _BY_PROBLEM:
                part.pop("default", None)
        definition.pop("title", None)
    for name, kind in kinds.items():
        if issubclass(kind, AbbreviatedConfig):
            words = {"enum": list(kind.words), "description": "In one word."}
            found["$defs"][name] = {"anyOf": [words, found["$defs"][name]]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Kingmaker model spec",
        **found,
    }


def _kinds(kind: type[Config]) -> Iterator[type[Config]]:
    """``kind`` and every configuration below it."""
    yield kind
    for field in kind.model_fields.values():
        for inner in _configs(field.annotation):
            yield from _kinds(inner)


def _configs(annotation: Any) -> Iterator[type[Config]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for argument in get_args(annotation):
        yield from _configs(argument)


def _docstrings(kind: type[Config]) -> dict[str, str]:
    """The docstring below each field.

    Pydantic would read them too (``use_attribute_docstrings``), at each import of a configuration:
    40 ms of each run, for what only this page needs.
    """
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - the source of a class
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def page() -> str:
    """Return the page: a table of keys for the spec, and one for each mapping in it."""
    whole = schema()
    parts = [_INTRODUCTION, "## The spec\n", _keys(whole, whole, "")]
    for name, part in whole["properties"].items():
        parts += _section(whole, name, part)
    return "\n".join(parts)


def _section(whole: Schema, path: str, part: Schema) -> list[str]:
    """The section of the mapping at ``path``, and those of the mappings in it."""
    definition = _definition(whole, part)
    if definition is None:
        return []
    words = [word for option in definition.get("anyOf", ()) for word in option.get("enum", ())]
    properties = next(
        option for option in definition.get("anyOf", [definition]) if "properties" in option
    )
    short = f" In one word: {', '.join(f'`{word}`' for word in words)}." if words else ""
    found = [f"## {path}\n", f"{properties['description']}{short}\n"]
    found.append(_keys(whole, properties, path))
    for name, inner in properties["properties"].items():
        found += _section(whole, f"{path}.{name}", inner)
    return found


def _definition(whole: Schema, part: Schema) -> Schema | None:
    """The definition that a key refers to: directly, in a list, or as the values of a mapping."""
    for option in (part, *part.get("anyOf", ()), part.get("items", {})):
        if "$ref" in option:
            found: Schema = whole["$defs"][option["$ref"].rpartition("/")[2]]
            return found
    values = part.get("additionalProperties")
    return _definition(whole, values) if isinstance(values, dict) else None


def _keys(whole: Schema, definition: Schema, path: str) -> str:
    rows = [
        (f"`{key}`", text, _default(key, part, definition), part["description"])
        for key, part in definition["properties"].items()
        for text in [_linked(type_text(part), path + key, _definition(whole, part))]
    ]
    return table(("Key", "Value", "Default", "Meaning"), rows)


def _linked(text: str, path: str, definition: Schema | None) -> str:
    """The type's text, in which ``mapping`` leads to its section."""
    anchor = path.replace(".", "")
    return text if definition is None else text.replace("mapping", f"[mapping](#{anchor})")


def _default(key: str, part: Schema, definition: Schema) -> str:
    if key in definition.get("required", ()):
        return "**required**"
    if key in _BY_PROBLEM:
        return "by the problem"
    return value_text(part["default"]) if part.get("default") not in (None, [], "") else ""
