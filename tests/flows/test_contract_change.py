"""A contract that changes while its model is in service: what is compatible goes on, what is
breaking has a way out.
"""

from __future__ import annotations

import os
import re
import sys
from unittest.mock import patch

import pytest
import yaml

from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.registry.aliases import aliased_version
from tests.conftest import WEATHER_WEEKS
from tests.versions import known_versions

pytestmark = pytest.mark.flow


def cli(*arguments: str) -> int:
    """Run the command line, and return its exit code."""
    from deployments.command.cli import main

    with patch.object(sys, "argv", ["kingmaker", *arguments]), patch.dict(os.environ):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def change_contract(project, change):
    """Change the columns of the project's contract by ``change``, in a new version."""
    file = project / "data_contracts" / "weather.odcs.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["version"] = "2.0.0"
    columns = {item["name"]: item for item in document["schema"][0]["properties"]}
    change(columns)
    document["schema"][0]["properties"] = list(columns.values())
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def change_cells(home, weeks, column, change, name=None):
    """Have a column of some weeks delivered otherwise, or under another name."""
    for week in weeks:
        file = home / "sources" / "weather" / f"{week}.csv"
        header, *rows = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
        at = header.index(column)
        header[at] = name or column
        rows = [[*row[:at], change(row[at]), *row[at + 1 :]] for row in rows]
        file.write_text("\n".join(map(",".join, [header, *rows])) + "\n", encoding="utf-8")


def predicted_by(settings, week):
    """The version that predicted a week."""
    return ledger.known_batches(open_ledger(settings.ledger_url), "weather")[
        week
    ].predictions.version


def renamed(columns):
    """The pressure is called otherwise."""
    columns["pressure"] = columns["pressure"] | {"name": "air_pressure"}


def in_celsius(columns):
    """The temperature is told in another unit."""
    columns["temp"]["customProperties"] = [{"property": "unit", "value": "degC"}]


@pytest.mark.parametrize(
    ("change", "column", "deliver", "name", "first"),
    [
        (renamed, "pressure", str, "air_pressure", 0),
        (
            in_celsius,
            "temp",
            lambda cell: cell and str(round((float(cell) - 32) / 1.8, 2)),
            None,
            3,
        ),
    ],
    ids=["renamed", "another unit"],
)
def test_way_out_of_a_broken_contract(
    use_home,
    make_replayed_home,
    make_weather_home,
    quick_project,
    capsys,
    change,
    column,
    deliver,
    name,
    first,
):
    """What the error says to do is done, word by word: retrain, promote by hand, and the next run
    scores again.

    Rows from before are trained on when they mean the same, from the week ``first`` on.
    """
    settings = use_home(make_replayed_home(3), quick_project)
    change_contract(quick_project, change)
    home = make_weather_home(5)
    change_cells(home, WEATHER_WEEKS[3:5], column, deliver, name)
    last = home / "sources" / "weather" / f"{WEATHER_WEEKS[4]}.csv"
    last.rename(home / "waiting.csv")

    assert cli("run", "weather") == 1  # something failed, as the page on operations has it
    told = capsys.readouterr().err
    way = re.search(
        r"train under the new one with 'kingmaker (retrain weather)' and promote it with "
        r"'kingmaker (promote weather --version )N'",
        told,
    )
    assert way is not None, told
    batches = ledger.known_batches(open_ledger(settings.ledger_url), "weather")
    assert batches[WEATHER_WEEKS[3]].predictions is None

    assert cli(*way[1].split()) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert (
        "nothing was compared with the champion (version 1 was trained under weather 1.0.0, and"
        " 2.0.0 breaks" in said
    )
    version = aliased_version(settings, "weather", "challenger")
    trained = ledger.training(open_ledger(settings.ledger_url), "weather", version)
    assert {span.batch for span in trained.trained_on} == set(WEATHER_WEEKS[first:4])
    assert cli(*way[2].split(), str(version), "--reason", "the contract changed") == 0
    assert cli("run", "weather") == 0, capsys.readouterr().err

    assert predicted_by(settings, WEATHER_WEEKS[3]) == version
    (home / "waiting.csv").rename(last)
    assert cli("run", "weather") == 0, capsys.readouterr().err
    assert predicted_by(settings, WEATHER_WEEKS[4]) == version


def test_a_column_that_was_added(
    use_home, make_replayed_home, make_weather_home, quick_project, capsys
):
    """The champion goes on without it; the next training has it, missing in the weeks before it
    came.
    """
    settings = use_home(make_replayed_home(3), quick_project)
    change_contract(
        quick_project, lambda columns: columns.update(sky={"name": "sky", "logicalType": "number"})
    )
    home = make_weather_home(4)
    file = home / "sources" / "weather" / f"{WEATHER_WEEKS[3]}.csv"
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([f"{header},sky", *(f"{row},1.5" for row in rows)]), encoding="utf-8")

    assert cli("run", "weather") == 0, capsys.readouterr().err

    assert predicted_by(settings, WEATHER_WEEKS[3]) == 1
    engine = open_ledger(settings.ledger_url)
    version = max(known_versions(engine, "weather"))
    assert version > 1, "the clock has trained on the week with the column"
    assert "sky" in ledger.training(engine, "weather", version).schema_.numerical
