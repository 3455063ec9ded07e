"""Tests of what changed between two versions of a contract, and what that breaks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_contracts.diff import broken_promises, diff
from tests.sample_contract import Document, column, sample_contract


def _set(name: str, **values: Any) -> Callable[[Document], object]:
    return lambda document: column(document, name).update(values)


def _custom(name: str, property: str, value: str) -> Callable[[Document], object]:
    return _set(name, customProperties=[{"property": property, "value": value}])


@pytest.mark.parametrize(
    ("change", "where", "what", "effect"),
    [
        (lambda d: d["schema"][0]["properties"].pop(4), "note", "removed", "breaking"),
        (
            lambda d: d["schema"][0]["properties"].append(
                {"name": "x", "logicalType": "date", "required": True}
            ),
            "x",
            "added",
            "compatible",
        ),
        (_set("amount", logicalType="integer"), "amount", "number -> integer", "breaking"),
        (_custom("amount", "unit", "EUR"), "amount", "no unit -> EUR", "breaking"),
        (_set("till", customProperties=[]), "till", "categorical -> numerical", "breaking"),
        (
            _custom("amount", "availability", "later"),
            "amount",
            "known at event time -> known later",
            "breaking",
        ),
        (
            _set("returned", customProperties=[]),
            "returned",
            "known later -> known at event time",
            "compatible",
        ),
        (_set("shop", required=False), "shop", "required -> optional", "breaking"),
        (_set("note", required=True), "note", "optional -> required", "compatible"),
        (_set("note", unique=True), "note", "not unique -> unique", "breaking"),
        (_set("note", classification="personal"), "note", "open -> classified", "breaking"),
        (_set("email", classification="public"), "email", "classified -> open", "compatible"),
        (
            _set("shop", primaryKey=True, primaryKeyPosition=3),
            "key",
            "('sold_at', 'id') -> ('sold_at', 'id', 'shop')",
            "breaking",
        ),
        (
            _set("sold_at", logicalTypeOptions={}),
            "time zone",
            "America/New_York -> UTC",
            "breaking",
        ),
        (_set("note", logicalTypeOptions={}), "note:length_between", "removed", "compatible"),
        (
            _set("note", logicalTypeOptions={"maxLength": 20, "pattern": "a"}),
            "note:matches",
            "added",
            "compatible",
        ),
        (
            _set("amount", logicalTypeOptions={"minimum": 0}),
            "amount:between",
            "amount lies in [0, 1000) -> amount lies in [0, inf]",
            "compatible",
        ),
        (
            lambda d: column(d, "shop")["quality"][0].update(severity="info"),
            "shop:in_set",
            "shop is one of A, B, C -> shop is one of A, B, C, error -> info",
            "compatible",
        ),
        (
            lambda d: d["servers"][0].update(path="elsewhere/{batch}.csv"),
            "servers",
            "",
            "compatible",
        ),
        (
            lambda d: d.update(slaProperties=[{"property": "latency", "value": 1, "unit": "d"}]),
            "latency",
            "0:00:00 -> 1 day, 0:00:00",
            "compatible",
        ),
    ],
)
def test_each_change(
    tmp_path: Path, change: Callable[[Document], object], where: str, what: str, effect: str
) -> None:
    """Told by name, from what to what, with what it does to a model that was trained before."""
    old, new = sample_contract(tmp_path), sample_contract(tmp_path, change)

    found = {item.where: item for item in diff(old, new)}

    assert found[where].what.startswith(what)
    assert found[where].effect == effect
    assert found[where].why
    assert [
        item for item in found.values() if item.effect == "breaking" and item.where != where
    ] == []


def test_what_only_reads_differently_is_no_change(tmp_path: Path) -> None:
    """Descriptions, versions and the order of columns change nothing."""

    def reword(document: Document) -> None:
        document["version"] = "1.0.1"
        document["schema"][0]["properties"].reverse()
        column(document, "note")["description"] = "free text"

    assert diff(sample_contract(tmp_path), sample_contract(tmp_path, reword)) == ()


def test_breaking_changes_since_a_text(tmp_path: Path) -> None:
    """The text that a training kept against the contract in force; without a text nothing is known
    to be broken.
    """
    text = sample_contract(tmp_path).file.read_text("utf-8")
    tighter = sample_contract(tmp_path, _set("note", required=True))
    broken = sample_contract(tmp_path, _set("note", classification="personal", required=True))

    assert broken_promises(text, tighter) == ()
    assert [change.what for change in broken_promises(text, broken)] == ["open -> classified"]
    assert broken_promises("", broken) == ()
