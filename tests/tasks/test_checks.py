"""Tests of the codes of checks: each has one class, and a section of the docs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import tasks.decisions.ensemble
import tasks.evaluation.checks
import tasks.features.checks
import tasks.features.fresh
import tasks.features.neighbours
import tasks.registry.fresh
from tasks.check_codes import TITLES, known_code
from tasks.checks import Check

ROOMS = (
    tasks.decisions.ensemble,
    tasks.evaluation.checks,
    tasks.features.checks,
    tasks.features.fresh,
    tasks.features.neighbours,
    tasks.registry.fresh,
)
"""Every module that defines checks; importing them makes their classes known."""
DOCS = Path(__file__).parents[2] / "docs" / "decisions.md"


def _all_checks(of: type[Check] = Check) -> list[type[Check]]:
    """The classes that make a check, in whatever room."""
    below = [check for kind in of.__subclasses__() for check in _all_checks(kind)]
    return below if inspect.isabstract(of) or of is Check else [of, *below]


def test_every_code_has_one_check() -> None:
    """No code without a class, no class without a code of its own."""
    codes = [check.code for check in _all_checks() if check.__module__.startswith("tasks.")]

    assert sorted(codes) == sorted(TITLES)


def test_codes_are_written_alike() -> None:
    """KM and three digits, rising, with a title that no other has."""
    assert all(re.fullmatch(r"KM\d{3}", code) for code in TITLES)
    assert list(TITLES) == sorted(TITLES)
    assert len(set(TITLES.values())) == len(TITLES)


@pytest.mark.parametrize("code", TITLES)
def test_every_code_can_be_looked_up(code: str) -> None:
    """The docs have a section at the anchor that a check names, with its title, its limit, and what
    to do.
    """
    text = DOCS.read_text(encoding="utf-8")
    (check,) = (kind for kind in _all_checks() if kind.code == code)
    page, _, anchor = Check.anchor.fget(check).partition("#")  # type: ignore[attr-defined]

    assert page == "docs/decisions.md"
    (section,) = re.findall(rf'<a id="{anchor}"></a>\n(.*?)(?=\n<a id=|\n## |\Z)', text, re.DOTALL)
    assert section.startswith(f"#### {code}: {TITLES[code]}\n")
    assert "**Limit:**" in section
    assert "**When it refuses:**" in section
    assert (check.__doc__ or "").startswith(f"{code}: ")


@pytest.mark.parametrize(
    ("given", "hint"),
    [("KMM004", "'KM004'"), ("km005", "'KM005'"), ("Calibration", "'KM005'"), ("leak", "")],
)
def test_an_unknown_code_is_refused_with_the_nearest(given: str, hint: str) -> None:
    """A misspelt code, or a title in its place, says which was probably meant."""
    with pytest.raises(ValueError, match="expected the code of a check") as refused:
        known_code(given)

    assert f"found {given!r}" in str(refused.value)
    assert str(refused.value).endswith(f"(did you mean {hint}?)" if hint else "'leak'")


def test_a_known_code_is_taken() -> None:
    """As it is written."""
    assert known_code("KM005") == "KM005"
