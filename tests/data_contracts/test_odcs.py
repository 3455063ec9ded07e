"""Tests of reading an ODCS file: each mistake is refused with file, key path, expected, found,
nearest name.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from data_contracts.contract import ContractError, load_contract
from data_contracts.odcs import parse_yaml
from tests.sample_contract import Document, column, sample_contract


def refusal(tmp_path: Path, change: Callable[[Document], object]) -> str:
    """The message, without the file that it begins with, of the contract changed by ``change``."""
    with pytest.raises(ContractError) as caught:
        sample_contract(tmp_path, change)
    start = f"{tmp_path / 'sales.odcs.yaml'}: "
    assert str(caught.value).startswith(start)
    return str(caught.value).removeprefix(start)


def test_missing_file_names_those_that_are_there(tmp_path: Path) -> None:
    """A typo in the contract's name is answered with the contracts of the project."""
    sample_contract(tmp_path)

    with pytest.raises(
        ContractError, match=r"saels\.odcs\.yaml: file: .*did you mean 'sales\.odcs\.yaml'"
    ):
        load_contract(tmp_path / "saels.odcs.yaml")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"a: [1", "file: expected YAML"),
        (b"\xff\xfe\x00", "file: expected YAML"),
        (b"", "top level: expected a mapping"),
        (b"- 1", "top level: expected a mapping"),
        (
            b"kind: DataContract\nkind: DataContract\n",
            "file: expected YAML, found the key 'kind' stands twice",
        ),
    ],
)
def test_not_yaml(tmp_path: Path, content: bytes, where: str) -> None:
    """What is not a YAML mapping with each key once is refused."""
    file = tmp_path / "bad.odcs.yaml"
    file.write_bytes(content)

    with pytest.raises(ContractError) as caught:
        load_contract(file)

    assert str(caught.value).startswith(f"{file}: {where}")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """A directory in the file's place gives a ContractError, not a traceback from the file
    system.
    """
    (tmp_path / "sales.odcs.yaml").mkdir()

    with pytest.raises(ContractError, match="Is a directory"):
        load_contract(tmp_path / "sales.odcs.yaml")


def test_double_key_in_depth_is_refused() -> None:
    """YAML itself would keep the last of two equal keys in silence; merges are still allowed."""
    with pytest.raises(yaml.YAMLError, match="'b' stands twice, again in line 3"):
        parse_yaml("a:\n  b: 1\n  b: 2\n")

    assert parse_yaml("a: &x {b: 1}\nc:\n  <<: *x\n  b: 2\n") == {"a": {"b": 1}, "c": {"b": 2}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d.pop("kind"),
            "kind: expected 'DataContract' (this must be an ODCS v3 file), found None",
        ),
        (lambda d: d.update(apiVersion="v2.2.2"), "apiVersion: expected a version of ODCS v3"),
        (
            lambda d: d.pop("version"),
            "top level: expected what ODCS v3 allows, found 'version' is a required",
        ),
        (
            lambda d: d.update(version=1.0),
            "version: expected what ODCS v3 allows, found 1.0 is not of type",
        ),
        (
            lambda d: d.update(servrs=d.pop("servers")),
            "top level: expected only keys of ODCS v3, found 'servrs' (did you mean 'servers'?)",
        ),
        (
            lambda d: column(d, "id").pop("name"),
            (
                "schema.0.properties.1: expected what ODCS v3 allows, found 'name' is a required"
                " property"
            ),
        ),
        (
            lambda d: column(d, "shop")["quality"][0].update(
                mustBee=column(d, "shop")["quality"][0].pop("mustBe")
            ),
            (
                "schema.0.properties.2.quality.0: expected only keys of ODCS v3, found 'mustBee'"
                " (did you mean 'mustBe'?)"
            ),
        ),
        (
            lambda d: column(d, "shop").update(logicalType="strng"),
            "schema.0.properties.2.logicalType: expected one of ['string', ",
        ),
        (
            lambda d: column(d, "shop").update(requird=True),
            (
                "schema.0.properties.2: expected only keys of ODCS v3, found 'requird' (did you"
                " mean 'required'?)"
            ),
        ),
        (
            lambda d: column(d, "amount")["logicalTypeOptions"].update(minimun=1),
            (
                "schema.0.properties.3.logicalTypeOptions: expected only keys of ODCS v3, found"
                " 'minimun'"
            ),
        ),
        (
            lambda d: column(d, "shop")["quality"][0].update(mustBeLessThan=4),
            "schema.0.properties.2.quality.0: expected exactly one of ['mustBe', ",
        ),
        (
            lambda d: column(d, "shop")["quality"][0].update(metric="invalidValue"),
            "schema.0.properties.2.quality.0.metric: expected one of",
        ),
    ],
)
def test_each_mistake_is_shown_with_its_place(
    tmp_path: Path, change: Callable[[Document], object], message: str
) -> None:
    """What the standard does not allow is refused at its key path."""
    assert refusal(tmp_path, change).startswith(message)


def test_wrong_type_names_the_nearest(tmp_path: Path) -> None:
    """A misspelt value of an enumeration is answered with the right one."""
    message = refusal(tmp_path, lambda d: column(d, "shop").update(logicalType="strng"))

    assert message.endswith("found 'strng' (did you mean 'string'?)")
