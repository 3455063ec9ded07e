"""Configuration as types: frozen, strict, and refused by file and key path when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args
from zoneinfo import available_timezones

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from data_contracts.contract import nearest
from data_contracts.odcs import parse_yaml
from tasks.errors import MisuseError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = "([0-9]{1,9})([smhdw])"


class ConfigurationError(MisuseError, ValueError):
    """A file of ours cannot be used; the message names file, key path, expected and found."""

    def __init__(self, file: Path, where: str, expected: str, found: str) -> None:
        super().__init__(f"{file}: {where}: expected {expected}, found {found}")


class Config(BaseModel):
    """Base of every configuration: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class AbbreviatedConfig(Config):
    """A configuration that may also be given in one word."""

    words: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What each word stands for, such as ``never`` for ``{never: true}``."""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, given: object) -> object:
        if isinstance(given, Mapping | cls):
            return given
        if not isinstance(given, str) or given not in cls.words:
            raise ValueError(f"expected {', '.join(map(repr, cls.words))}, or a mapping")
        return dict(cls.words[given])


def parse_duration(value: object) -> object:
    """Read ``90s``, ``15m``, ``6h``, ``1d`` or ``2w`` as a timedelta; ValueError for anything
    else.
    """
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(_DURATION, value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as 90s, 15m, 6h, 1d or 2w")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def duration_text(value: timedelta) -> str:
    """Return ``value`` in the largest unit that measures it, such as ``36h``."""
    seconds = int(value.total_seconds())
    unit = next(unit for unit in "dhms" if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION}$"}),
]


class Schedule(Config):
    """When something runs."""

    cron: str = Field(pattern=r"^\S+( +\S+){4}$")
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    """IANA name of the zone of ``cron``."""

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"expected an IANA time zone{nearest(zone, available_timezones())}")
        return zone


ConfigT = TypeVar("ConfigT", bound=Config)


def load_config(
    file: Path, kind: type[ConfigT], instead: Mapping[str, Any] | None = None
) -> ConfigT:
    """Read the YAML ``file`` as a ``kind``; with ``instead``, other values at some key paths, such
    as ``retrain.every``, in place of the file's.

    Raises ConfigurationError, with the first mistake, when the file is missing, is not YAML, or
    does not fit.
    """
    try:
        document = parse_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(file, "file", "a YAML file", "no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(file, "file", "YAML", " ".join(str(error).split())) from error
    if not isinstance(document, dict):
        raise ConfigurationError(file, "top level", "a mapping", repr(document)[:200])
    for path, value in (instead or {}).items():
        _put(document, path.split("."), value)
    try:
        return kind.model_validate(_tuples(document))
    except ValidationError as error:
        raise _refusal(file, kind, error) from error


def _put(document: dict[str, Any], path: Sequence[str], value: Any) -> None:  # noqa: ANN401 - any YAML value
    """Set the value at a key path; a word on the way, such as ``never``, gives way to a mapping."""
    for step in path[:-1]:
        if not isinstance(document.get(step), dict):
            document[step] = {}
        document = document[step]
    document[path[-1]] = value


def _tuples(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """YAML has lists only; a frozen configuration holds tuples."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value


def _refusal(file: Path, kind: type[Config], error: ValidationError) -> ConfigurationError:
    # A misspelt key comes first: it also explains the key that seems to be missing.
    first = min(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
    where = ".".join(str(step) for step in first["loc"]) or "top level"
    if first["type"] == "extra_forbidden":
        word = str(first["loc"][-1])
        valid = _keys_at(kind, first["loc"][:-1])
        hint = nearest(word, valid)
        return ConfigurationError(file, where, f"one of {sorted(valid)}", f"{word!r}{hint}")
    if first["type"] == "missing":
        return ConfigurationError(file, where, "a value", "nothing: this key is required")
    if first["type"] == "string_pattern_mismatch":
        form = f"text of the form {first['ctx']['pattern']}"
        return ConfigurationError(file, where, form, repr(first["input"])[:200])
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    expected = expected.removeprefix("expected ")
    found = repr(first["input"])[:200]
    return ConfigurationError(file, where, expected, f"{found}{_hint(first)}")


def _hint(error: Mapping[str, Any]) -> str:
    choices = re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    return nearest(str(error["input"]), choices)


def _keys_at(kind: type[BaseModel], path: tuple[int | str, ...]) -> set[str]:
    """The keys that the configuration type found by following ``path`` from ``kind`` knows."""
    here: type[BaseModel] = kind
    for step in path:
        if isinstance(step, str) and step in here.model_fields:
            here = _config_type(here.model_fields[step].annotation) or here
    return {field.alias or name for name, field in here.model_fields.items()}


def _config_type(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if (found := _config_type(argument)) is not None:
            return found
    return None
