"""Reading an ODCS file: YAML without double keys, checked against the standard's own JSON
schema.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from data_contracts.contract import ContractError, nearest
from data_contracts.limits import OPERATORS

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from open_data_contract_standard.model import OpenDataContractStandard


class _OneKeyLoader(yaml.CSafeLoader):
    """YAML keeps the last of two equal keys and says nothing; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != "tag:yaml.org,2002:merge":
                if key_node.value in seen:
                    line = key_node.start_mark.line + 1
                    raise yaml.YAMLError(
                        f"the key {key_node.value!r} stands twice, again in line {line}"
                    )
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return the document in ``text``; yaml.YAMLError when it is not YAML or a mapping has a key
    twice.
    """
    return yaml.load(text, Loader=_OneKeyLoader)  # noqa: S506 - a SafeLoader


def read_text(file: Path) -> str:
    """Return the text of a contract's file; ContractError when it is missing or no text."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = sorted(path.name for path in file.parent.glob("*.odcs.yaml"))
        hint = nearest(file.name, there)
        raise ContractError(
            file, "file", "a data contract", f"no such file{hint}; there are {there or 'none'}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(file, "file", "YAML", " ".join(str(error).split())) from error


def parse_document(file: Path, text: str) -> OpenDataContractStandard:
    """Return the parsed contract; ContractError when ``text`` is not YAML, or not ODCS v3. ``file``
    only names it.
    """
    from open_data_contract_standard.model import OpenDataContractStandard

    try:
        document = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ContractError(file, "file", "YAML", " ".join(str(error).split())) from error
    if not isinstance(document, dict):
        raise ContractError(
            file, "top level", "a mapping in the Open Data Contract Standard", repr(document)[:200]
        )
    _check_schema(file, document)
    return OpenDataContractStandard(**document)


@functools.cache
def _odcs_schema() -> dict[str, Any]:
    from open_data_contract_standard.model import OpenDataContractStandard

    schema: dict[str, Any] = json.loads(OpenDataContractStandard.json_schema())
    return schema


def _known_keys(schema: Any) -> set[str]:  # noqa: ANN401 - a JSON schema is any JSON
    """Every property name that the standard knows, to find the nearest valid name of a misspelt
    one.
    """
    if isinstance(schema, dict):
        own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
        return own.union(*(_known_keys(value) for value in schema.values())) if schema else own
    if isinstance(schema, list):
        return set().union(*(_known_keys(value) for value in schema)) if schema else set()
    return set()


def _check_schema(file: Path, document: dict[str, Any]) -> None:
    """Check against the standard's bundled JSON schema: the package's own model accepts misspelt
    keys.
    """
    import jsonschema

    kind, api = document.get("kind"), document.get("apiVersion")
    if kind != "DataContract":
        raise ContractError(
            file, "kind", "'DataContract' (this must be an ODCS v3 file)", repr(kind)
        )
    if not str(api).startswith("v3."):
        raise ContractError(file, "apiVersion", "a version of ODCS v3, such as 'v3.1.0'", repr(api))
    validator = jsonschema.Draft201909Validator(_odcs_schema())
    errors = sorted(validator.iter_errors(document), key=lambda error: -len(error.absolute_path))
    if errors:
        raise _refusal(file, errors)


def _refusal(file: Path, errors: list[ValidationError]) -> ContractError:
    """The one mistake to show: an unknown key first, because it often explains the others."""
    known = _known_keys(_odcs_schema())
    for error in errors:
        keys = [str(key) for key in error.instance] if isinstance(error.instance, dict) else []
        unknown = [key for key in keys if key not in known]
        if unknown:
            return ContractError(
                file,
                _path(error),
                "only keys of ODCS v3",
                f"{unknown[0]!r}{nearest(unknown[0], known)}",
            )
    error = errors[0]
    if error.validator == "enum":
        allowed = [str(value) for value in cast("list[object]", error.validator_value)]
        hint = nearest(str(error.instance), allowed)
        return ContractError(file, _path(error), f"one of {allowed}", f"{error.instance!r}{hint}")
    if error.validator in ("oneOf", "anyOf") and isinstance(error.instance, dict):
        given = [key for key in error.instance if key in OPERATORS]
        return ContractError(
            file, _path(error), f"exactly one of {list(OPERATORS)}", str(given or "none")
        )
    return ContractError(file, _path(error), "what ODCS v3 allows", error.message[:300])


def _path(error: ValidationError) -> str:
    return ".".join(str(step) for step in error.absolute_path) or "top level"
