"""Tests of configuration as types."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from tasks.configuration import Config, ConfigurationError, Duration, load_config


class Inner(Config):
    """A part of a configuration."""

    width: float = 1.0
    names: tuple[str, ...] = ()


class Outer(Config):
    """A configuration with parts."""

    title: str = Field(pattern="^[a-z]+$")
    delay: Duration = timedelta(0)
    count: int = Field(default=1, ge=1)
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()


def load(tmp_path: Path, text: str) -> Outer:
    """The configuration that ``text`` says."""
    file = tmp_path / "outer.yaml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, Outer)


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    """YAML holds only what differs; its lists become tuples."""
    found = load(tmp_path, "title: x\nparts: [{names: [a, b]}]\n")

    assert found == Outer(title="x", parts=(Inner(names=("a", "b")),))


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("6h", timedelta(hours=6)),
        ("1d", timedelta(days=1)),
        ("2w", timedelta(weeks=2)),
        ("0d", timedelta(0)),
    ],
)
def test_durations(tmp_path: Path, text: str, span: timedelta) -> None:
    """A duration is a number with its unit, and goes to JSON and back."""
    found = load(tmp_path, f"title: x\ndelay: {text}\n")

    assert found.delay == span
    assert Outer.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("text", ["1", "1x", "'-1d'", "99999999999999d", "1.5h", "true", "[1d]"])
def test_bad_durations(tmp_path: Path, text: str) -> None:
    """Anything else is refused with examples, a number without its unit too."""
    with pytest.raises(
        ConfigurationError, match="delay: expected a duration such as 90s, 15m, 6h, 1d or 2w"
    ):
        load(tmp_path, f"title: x\ndelay: {text}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "title: x\ncuont: 3\n",
            "cuont: expected one of ['count', 'delay', 'inner', 'parts', 'title'], found 'cuont' "
            "(did you mean 'count'?)",
        ),
        (
            "titel: x\n",
            "titel: expected one of ['count', 'delay', 'inner', 'parts', 'title'], found 'titel' "
            "(did you mean 'title'?)",
        ),
        (
            "title: x\nparts: [{}, {widht: 2}]\n",
            "parts.1.widht: expected one of ['names', 'width'], found 'widht' "
            "(did you mean 'width'?)",
        ),
        ("delay: 1d\n", "title: expected a value, found nothing: this key is required"),
        ("title: '2024'\n", "title: expected text of the form ^[a-z]+$, found '2024'"),
        ("title: 1\n", "title: expected a valid string, found 1"),
        ("title: x\ncount: '3'\n", "count: expected a valid integer, found '3'"),
        ("title: x\ncount: 0\n", "count: expected greater than or equal to 1, found 0"),
        ("title: x\ninner: {width: .nan}\n", "inner.width: expected a finite number, found nan"),
        (
            "title: x\ntitle: y\n",
            "file: expected YAML, found the key 'title' stands twice, again in line 2",
        ),
        ("title: [\n", "file: expected YAML"),
        ("- x\n", "top level: expected a mapping, found ['x']"),
        ("", "top level: expected a mapping, found None"),
    ],
)
def test_refused_by_key_path(tmp_path: Path, text: str, message: str) -> None:
    """A mistake is shown with file, key path, expected, found and the nearest name."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path / 'outer.yaml'}: {message}")


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is refused by its name."""
    with pytest.raises(
        ConfigurationError, match=r"none\.yaml: file: expected a YAML file, found no such file"
    ):
        load_config(tmp_path / "none.yaml", Outer)


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and a directory in the file's place, are refused too."""
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")

    for name in ("bytes.yaml", "."):
        with pytest.raises(ConfigurationError, match="expected YAML"):
            load_config(tmp_path / name, Outer)


def test_huge_values_are_cut(tmp_path: Path) -> None:
    """A message stays readable whatever was found."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, f"title: x\ncount: {'y' * 100_000}\n")

    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_configuration_is_frozen() -> None:
    """Nobody changes a configuration on its way."""
    with pytest.raises(ValidationError, match="frozen"):
        Outer(title="x").count = 2  # type: ignore[misc]
