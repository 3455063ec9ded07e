"""Tests of KM015: feature code that rests on the process is named; honest code passes."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv

from tasks.features.fresh import SameElsewhere
from tasks.model_spec import ManagedModel, manage
from tasks.settings import Settings

CODE = """
import zlib

def build(rows):
    number = {how}
    return rows["origin"].map(number).astype("float64").to_frame("origin_number")
"""


@pytest.fixture
def rows(weather_source: Path) -> pa.Table:
    """A week of weather, as its contract has it."""
    return csv.read_csv(next(iter(sorted(weather_source.glob("*.csv")))))


def _managed(project: Path, how: str = "") -> ManagedModel:
    """The weather's model, with feature code that makes a number of a text."""
    if how:
        folder = project / "deployments" / "weather"
        (folder / "features.py").write_text(CODE.format(how=how), encoding="utf-8")
        with (folder / "model.yaml").open("a", encoding="utf-8") as spec:
            spec.write("features: {code: 'deployments.weather.features:build'}\n")
    return manage("weather", Settings(project=project))


@pytest.mark.parametrize(
    ("how", "outcome", "found"),
    [
        ("lambda text: zlib.crc32(text.encode())", "passed", "rows, none differs in a new"),
        ("hash", "failed", "origin_number differ in a new interpreter"),
    ],
)
def test_features_that_rest_on_the_process_are_named(
    quick_project: Path, rows: pa.Table, how: str, outcome: str, found: str
) -> None:
    """A hash of a text is another one in each process; a checksum of it is not."""
    guardrail = SameElsewhere().check(_managed(quick_project, how), rows, None)

    assert (guardrail.code, guardrail.outcome) == ("KM015", outcome)
    assert found in guardrail.found


def test_the_champions_feature_code_is_not_asked_again(quick_project: Path, rows: pa.Table) -> None:
    """It was checked when the champion was made."""
    guardrail = SameElsewhere().check(_managed(quick_project, "hash"), rows, 3)

    assert (guardrail.outcome, guardrail.found) == ("passed", "the feature code of version 3")


def test_without_feature_code_nothing_is_built(quick_project: Path, rows: pa.Table) -> None:
    """The library's own features are the same everywhere."""
    guardrail = SameElsewhere().check(_managed(quick_project), rows, None)

    assert (guardrail.outcome, guardrail.found) == ("passed", "no feature code of the project's")
