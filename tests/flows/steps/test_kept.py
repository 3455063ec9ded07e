"""Tests of what a run keeps of what it made."""

from __future__ import annotations

import pytest

from flows.steps.kept import Kept


def test_a_value_is_made_once() -> None:
    """What is kept is not made again, and is the same object."""
    kept, made = Kept[str, list[int]](2), []

    first = kept.get("a", lambda: made.append("a") or [1])

    assert kept.get("a", lambda: made.append("again") or [2]) is first
    assert made == ["a"]


def test_the_one_used_longest_ago_goes_first() -> None:
    """Never more than so many; a use counts as much as the making."""
    kept = Kept[str, str](2)
    for key in ("a", "b", "a", "c"):
        kept.get(key, lambda key=key: f"{key} once")

    assert kept.get("a", lambda: "anew") == "a once"
    assert kept.get("b", lambda: "anew") == "anew"


def test_large_values_are_fewer() -> None:
    """Those used longest ago go until the others fit; the newest stays, however large it is."""
    kept = Kept[str, str](3, room=4, size=len)
    for value in ("aa", "bb", "ccc"):
        kept.get(value, lambda value=value: value)

    assert kept.get("ccc", lambda: "anew") == "ccc"
    assert kept.get("bb", lambda: "b") == "b"
    assert kept.get("ccc", lambda: "anew") == "ccc"
    assert kept.get("dddddd", lambda: "dddddd") == "dddddd"
    assert kept.get("dddddd", lambda: "anew") == "dddddd"
    assert kept.get("ccc", lambda: "anew") == "anew"


def test_what_cannot_be_made_is_not_kept() -> None:
    """An error is the caller's, and the next may try again."""
    kept = Kept[str, float](1)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 / 0)

    assert kept.get("a", lambda: 2.0) == 2.0
