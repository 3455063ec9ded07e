"""A home as frames, and the notebook that is made of them, on a home in which weeks were
replayed.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from sqlalchemy import delete
from sqlalchemy.exc import DBAPIError

from deployments.notebook import Home, NoPredictionsError, NoSuchHomeError, UnknownModelError
from tasks.ledger import entries as ledger
from tasks.ledger.tables import metadata, open_ledger, read_only_ledger
from tasks.settings import REPOSITORY
from tests.conftest import WEATHER_PROJECT, copy_home

pytestmark = pytest.mark.flow

FRAMES = ("batches", "scores", "decisions", "versions", "drift", "predictions")
NOTEBOOK = REPOSITORY / "notebooks" / "review.ipynb"


@pytest.fixture
def home(replayed_home: Path) -> Home:
    """Ten weeks of weather, four before the first champion."""
    return Home(replayed_home, WEATHER_PROJECT)


def test_batches_are_those_of_the_ledger(home, replayed_home):
    """One row a batch, with the champion's score where its labels judged it."""
    known = ledger.known_batches(open_ledger(f"sqlite:///{replayed_home}/ledger.db"), "weather")

    found = home.batches("weather")

    assert list(found.index) == list(known)
    assert found["rows"].sum() == sum(record.verdict.rows for record in known.values())
    for id, record in known.items():
        row = found.loc[id]
        assert row["start"] == record.batch.start
        if record.performances:
            score = record.performances[0].score
            assert (row["score_low"], row["score"], row["score_high"]) == (
                score.low,
                score.value,
                score.high,
            )
        else:
            assert pd.isna(row["score"])
    assert found["score"].notna().sum() >= 5
    scores = home.scores("weather")
    of_champion = scores[scores["metric"] == "mae"].drop_duplicates("batch").set_index("batch")
    assert of_champion["value"].equals(found["score"].dropna().rename("value"))


def test_decisions_carry_their_evidence(home, replayed_home):
    """The record itself, and the numbers of a comparison as columns."""
    engine = open_ledger(f"sqlite:///{replayed_home}/ledger.db")
    known = {entry.id: entry for entry in ledger.history(engine, "weather")}

    found = home.decisions("weather")

    assert list(found.index) == list(known)
    assert all(found.loc[id, "evidence"] == entry.evidence for id, entry in known.items())
    assert all(home.evidence(id) == entry.evidence for id, entry in known.items())
    compared = found.dropna(subset=["difference"])
    assert len(compared)
    for id, row in compared.iterrows():
        assert row["difference"] == known[id].evidence.comparison.difference.value
        assert row["compared_rows"] == known[id].evidence.comparison.rows


def test_versions_say_which_serves(home):
    """One champion, which became it by a decision."""
    found, decisions = home.versions("weather"), home.decisions("weather")

    (champion,) = found.index[found["champion"]]

    changes = decisions[decisions["kind"].isin(["Promote", "RollBack"])]
    assert champion == changes["version"].iloc[-1]
    assert found.loc[champion, "champion_since"] == changes["as_of"].iloc[-1]
    assert (found["trained_from"] < found["trained_until"]).all()
    assert set(found.loc[champion, "importance"]) <= set(home.drift("weather")["feature"])


def test_predictions_stand_beside_their_outcomes(home):
    """As often as the champion's score was made of them, and with the same score."""
    batches = home.batches("weather")

    told = home.predictions("weather", ["2013-W07", "2013-W08"])

    assert told.index.names == ["time_hour", "origin"]
    assert set(told["batch"]) == {"2013-W07", "2013-W08"}
    for batch, rows in told.groupby("batch"):
        error = (rows["prediction"] - rows["outcome"]).abs().mean()
        assert error == pytest.approx(batches.loc[batch, "score"])
        assert rows["outcome"].notna().sum() == batches.loc[batch, "labelled"]


def test_unusual_features_are_those_of_the_share(home):
    """Of the features of which it can be told."""
    drift, batches = home.drift("weather"), home.batches("weather")
    told = drift[
        drift["kind"].isin(["numerical", "categorical"])
        & drift["outcome"].isin(["usual", "unusual"])
    ]

    share = (told["outcome"] == "unusual").groupby(told["batch"]).mean()

    assert share.to_dict() == batches["drift_share"].dropna().to_dict()


@pytest.mark.parametrize("frame", FRAMES)
def test_columns_and_dtypes_are_those_of_the_docstring(home, frame, tmp_path):
    """Each column is named there, and has the same dtype in a home in which nothing ran yet."""
    found = getattr(home, frame)("weather")
    (tmp_path / "empty").mkdir()
    open_ledger(f"sqlite:///{tmp_path}/empty/ledger.db")

    empty = getattr(Home(tmp_path / "empty", WEATHER_PROJECT), frame)("weather")

    said = getattr(Home, frame).__doc__
    for name in [*filter(None, found.index.names), *found.columns]:
        base = name.removesuffix("_low").removesuffix("_high")
        assert f"``{base}``" in said or name in ("time_hour", "origin"), name
    if frame != "predictions":
        assert empty.dtypes.to_dict() == found.dtypes.to_dict()
    assert len(empty) == 0
    assert not any(
        kind == np.dtype("O")
        for kind in found.dtypes.drop("evidence", errors="ignore").drop(
            "importance", errors="ignore"
        )
    )


def test_what_is_not_there_is_named(home, tmp_path):
    """A home, a model, a batch; and no home is made."""
    with pytest.raises(NoSuchHomeError, match="expected a home in which a model has run"):
        Home(tmp_path / "mistyped")
    with pytest.raises(UnknownModelError, match="one of the models weather, found 'weathr'"):
        home.batches("weathr")
    with pytest.raises(NoPredictionsError, match="found \\['2013-W02'\\]"):
        home.predictions("weather", ["2013-W02"])

    assert not (tmp_path / "mistyped").exists()


def test_the_ledger_refuses_writes(tmp_path):
    """The database itself does, whatever is asked of it."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    open_ledger(url)

    for table in metadata.tables.values():
        with read_only_ledger(url).begin() as connection, pytest.raises(DBAPIError):
            connection.execute(delete(table))


def test_the_notebook_tells_a_home_and_leaves_it_as_it_is(replayed_home, tmp_path, monkeypatch):
    """Jupyter runs every cell of it; each file of the home is there afterwards, with its bytes."""
    copy_home(replayed_home, tmp_path / "home")
    with closing(sqlite3.connect(tmp_path / "home" / "ledger.db")) as ledger_file:
        ledger_file.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # as when nobody has it open
    before = _digests(tmp_path / "home")
    for name, value in {
        "KINGMAKER_HOME": tmp_path / "home",
        "KINGMAKER_PROJECT": WEATHER_PROJECT,
        "IPYTHONDIR": tmp_path / "ipython",
        "JUPYTER_RUNTIME_DIR": tmp_path / "runtime",
        "MPLCONFIGDIR": tmp_path / "matplotlib",
        "PYTHONPATH": REPOSITORY,
    }.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()

    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    shown = [kind for one in outputs for kind in one.get("data", ())]
    assert shown.count("image/png") == 4
    assert shown.count("text/html") >= 5
    assert [one for one in outputs if one.output_type in ("error", "stream")] == []
    assert "have their outcome" in outputs[-1]["data"]["text/plain"]
    assert _digests(tmp_path / "home") == before


def test_the_notebook_is_kept_without_outputs():
    """What it shows belongs to the home that it was run on."""
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def _digests(home: Path) -> dict[str, str]:
    return {
        file.relative_to(home).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(home.rglob("*"))
        if file.is_file()
    }
