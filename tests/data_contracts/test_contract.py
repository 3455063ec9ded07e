"""Tests of the contract's view."""

from datetime import timedelta
from pathlib import Path

import pytest

from data_contracts.contract import load_contract, nearest
from tasks.settings import REPOSITORY
from tests.sample_contract import column, sample_contract

FLIGHTS = REPOSITORY / "data_contracts" / "flights.odcs.yaml"


def test_flights_contract_loads() -> None:
    """The built-in example's contract says what the example needs."""
    contract = load_contract(FLIGHTS)

    assert (contract.name, contract.version) == ("flights", "1.0.0")
    assert contract.key == ("scheduled_departure", "carrier", "flight", "origin")
    assert contract.event_time == "scheduled_departure"
    assert contract.timezone == "America/New_York"
    assert contract.lateness == timedelta(days=1)
    assert contract.server.path == "${KINGMAKER_HOME}/sources/flights/{batch}.csv.gz"
    assert contract.column("distance").unit == "mile"
    assert contract.column("flight").categorical


@pytest.mark.parametrize(
    "file",
    [FLIGHTS, Path(__file__).parents[1] / "projects/weather/data_contracts/weather.odcs.yaml"],
)
def test_every_rule_has_its_own_id(file: Path) -> None:
    """Outcomes are told apart by the rule's id."""
    ids = [rule.id for rule in load_contract(file).rules]

    assert len(set(ids)) == len(ids) > 30


def test_columns_known_later_are_no_features() -> None:
    """The allow-list leaves out labels and times."""
    names = [column.name for column in load_contract(FLIGHTS).feature_columns]

    assert not {"arr_delay", "late", "scheduled_departure"} & set(names)
    assert {"carrier", "distance", "seats"} <= set(names)


def test_sensitive_and_unique_columns_are_no_features(tmp_path: Path) -> None:
    """Neither a person's address nor an identifier is ever a feature."""
    contract = sample_contract(tmp_path, lambda d: column(d, "note").update(unique=True))

    assert [c.name for c in contract.feature_columns] == ["id", "shop", "amount", "till"]


def test_a_column_that_is_the_whole_key_is_no_feature(tmp_path: Path) -> None:
    """A key of one column identifies the row, declared unique or not."""
    contract = sample_contract(tmp_path, lambda d: column(d, "sold_at").pop("primaryKey"))

    assert contract.key == ("id",)
    assert contract.column("id").unique
    assert "id" not in [c.name for c in contract.feature_columns]


def test_unknown_column_names_the_nearest(tmp_path: Path) -> None:
    """A typo in a column's name is answered with the right one."""
    with pytest.raises(KeyError, match=r"no column 'amuont' \(did you mean 'amount'\?\)"):
        sample_contract(tmp_path).column("amuont")


@pytest.mark.parametrize(("word", "hint"), [("amuont", " (did you mean 'amount'?)"), ("xyz", "")])
def test_nearest(word: str, hint: str) -> None:
    """The nearest word, or nothing when none is near."""
    assert nearest(word, ["amount", "shop"]) == hint
