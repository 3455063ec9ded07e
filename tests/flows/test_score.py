"""Tests of the scoring of open rows: on a real Prefect harness, MLflow store and ledger."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from deployments.command.score_cli import app
from flows.monitor import monitor
from flows.replay import replay
from flows.retrain import retrain
from flows.score import NotToBeScoredError, ScoringIncompleteError, score
from flows.steps.open_rows import RowsRefusedError, checked_rows
from flows.steps.pending import scoring_idle
from flows.steps.predictions import score_file, write_predictions_of
from flows.steps.serving import (
    ChampionUnusableError,
    NoChampionError,
    champion_to_score_by,
    scored,
    write_down,
)
from tasks.ingest.open_rows import rows_of_batch
from tasks.ledger import entries as ledger
from tasks.ledger.lease import lease
from tasks.ledger.served import served_parts
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import Past, ServedPart
from tasks.registry.runs import client
from tasks.scoring.current import current_file
from tasks.scoring.served import ServedBefore
from tasks.scoring.sinks.files import FileSink
from tasks.settings import Settings
from tests.conftest import WEATHER_WEEKS, run_flow

pytestmark = pytest.mark.flow

MONDAY = datetime(2013, 1, 21, 12, tzinfo=UTC)
"""In the third week, which is open; a champion was trained on the two before it."""
THURSDAY, SATURDAY = MONDAY + timedelta(days=3), MONDAY + timedelta(days=5)
CLOSED = datetime(2013, 1, 29, tzinfo=UTC)
"""The third week has closed, and its labels are mature."""
WEEK = WEATHER_WEEKS[2]


class Desk:
    """A home with a champion, the third week still to come, and a table that is delivered to."""

    def __init__(self, home: Path, project: Path, use: Callable[..., Settings]) -> None:
        self.home, self.project = home, project
        self.weeks = home / "sources" / "weather"
        self.whole = home / "whole"
        shutil.copytree(self.weeks, self.whole)
        (self.weeks / f"{WEEK}.csv").unlink()
        self.change(scoring={"sinks": [{"name": "desk", "url": f"sqlite:///{home}/out/desk.db"}]})
        self.settings = use(home, project)

    def change(self, **keys: Any) -> None:
        """Change keys of the spec."""
        file = self.project / "deployments" / "weather" / "model.yaml"
        spec = yaml.safe_load(file.read_text(encoding="utf-8")) | keys
        file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")

    def arrive(self, until: datetime, **empty: bool) -> None:
        """Have the source hold the third week up to a moment; ``empty`` columns are not known."""
        with (self.whole / f"{WEEK}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        kept = [row for row in rows if datetime.fromisoformat(row["time_hour"]) < until]
        for row in kept:
            row |= dict.fromkeys(empty, "NA")
        with (self.weeks / f"{WEEK}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(kept)

    @property
    def managed(self) -> ManagedModel:
        """The model as its spec is now."""
        return manage("weather", self.settings)

    @property
    def engine(self) -> Any:
        """The ledger."""
        return open_ledger(self.settings.ledger_url)

    def score(self, as_of: datetime) -> int:
        """Run the flow, and return how many rows it wrote down."""
        return sum(part.rows for part in run_flow(score("weather", as_of)))

    def table(self, columns: str = "*", name: str = "predictions") -> list[tuple[Any, ...]]:
        """What was delivered."""
        with closing(sqlite3.connect(self.home / "out" / "desk.db")) as connection:
            return connection.execute(f"SELECT {columns} FROM {name}").fetchall()  # noqa: S608

    def record(self) -> Any:
        """What the ledger knows of the third week."""
        return ledger.known_batches(self.engine, "weather")[WEEK]


@pytest.fixture
def desk(
    make_replayed_home: Callable[[int], Path],
    make_weather_home: Callable[[int], Path],
    quick_project: Path,
    use_home: Callable[..., Settings],
) -> Desk:
    """The desk on Monday morning."""
    make_replayed_home(2)
    return Desk(make_weather_home(3), quick_project, use_home)


def test_a_replay_that_goes_on_scores_no_rows_of_what_it_has_monitored(
    desk: Desk, make_weather_home: Callable[[int], Path]
) -> None:
    """Each week's rows were scored by who was champion before they happened, and by nobody who came
    after it; where the week before is still open at the first moment of the next piece, too.
    """
    desk.change(scoring={"schedule": {"cron": "0 4 * * 0"}}, retrain={"every": 1})
    make_weather_home(3)
    run_flow(replay("weather"))
    first = served_parts(desk.engine, "weather")
    make_weather_home(4)

    run_flow(replay("weather"))

    found = served_parts(desk.engine, "weather")
    assert len({part.served_by for part in found}) > 1, "another champion serves by then"
    assert {part.batch for part in found} == {WEEK, WEATHER_WEEKS[3]}
    assert [part for part in found if part.batch == WEEK] == list(first)


def test_an_interval_is_delivered_where_it_is_asked_for(desk: Desk) -> None:
    """Around each prediction, by the errors on rows that the champion was not trained on; of the
    week's labels about as many lie within as were asked for.
    """
    desk.change(
        scoring={
            "interval": 0.8,
            "sinks": [{"name": "desk", "url": f"sqlite:///{desk.home}/out/desk.db"}],
        }
    )
    desk.arrive(SATURDAY)
    desk.score(MONDAY)

    told = desk.table("prediction_low, prediction, prediction_high")
    assert len(told) > 100
    assert all(low <= prediction <= high for low, prediction, high in told)
    assert len({round(high - low, 6) for low, _, high in told}) == 1


def test_open_rows_are_scored_as_they_come(desk: Desk) -> None:
    """Each once, delivered at once, and nothing is done when nothing is new; none of a batch that
    begins earlier than is asked for.
    """
    desk.arrive(THURSDAY)
    open_from = desk.managed.rows.batch(WEEK).start
    later_ones = scoring_idle(desk.managed, desk.engine, MONDAY, None, open_from + timedelta(1))
    from_it_on = scoring_idle(desk.managed, desk.engine, MONDAY, None, open_from)
    first = desk.score(MONDAY)
    again = desk.score(MONDAY)
    idle = scoring_idle(desk.managed, desk.engine, MONDAY)
    desk.arrive(SATURDAY)
    later = desk.score(THURSDAY)

    parts = served_parts(desk.engine, "weather")
    assert (later_ones, from_it_on) == (True, False)
    assert (again, idle) == (0, True)
    assert [part.rows for part in parts] == [first, later]
    assert [part.scored_at for part in parts] == [MONDAY, THURSDAY]
    assert min(first, later) > 100
    assert len(desk.table()) == len(desk.table(name="predictions_current")) == first + later
    current = pq.read_table(current_file(desk.settings.lake, "weather"), partitioning=None)
    assert current.num_rows == first + later
    assert {row[0] for row in desk.table("version")} == {"v1"}


def test_no_lease_is_needed(desk: Desk) -> None:
    """A training may hold it for hours."""
    desk.arrive(THURSDAY)

    with lease(desk.engine, "weather", "a training"):
        assert desk.score(MONDAY) > 0


def test_several_runs_at_once_lose_nothing_and_double_nothing(desk: Desk) -> None:
    """Six look at the same rows at the same time: each row is written down once."""
    desk.arrive(SATURDAY)
    managed, engine = desk.managed, desk.engine
    champion = champion_to_score_by(managed, engine)
    batch = managed.rows.batch(WEEK)

    def run(_: int) -> int:
        rows = rows_of_batch(managed.open_rows, batch)
        earlier = ServedBefore(desk.settings.lake, managed.contract)
        with checked_rows(managed, rows) as checked:
            parts = [
                written
                for part in scored(managed, champion, checked, Past(MONDAY))
                for written in write_down(managed, engine, part, MONDAY, "here", earlier)
            ]
        return sum(part.rows for part in parts)

    with ThreadPoolExecutor(6) as pool:
        wrote = list(pool.map(run, range(6)))

    rows = len(pc.read_csv(desk.weeks / f"{WEEK}.csv"))
    assert sum(wrote) == sum(part.rows for part in served_parts(engine, "weather")) == rows
    assert desk.score(MONDAY) == 0
    assert len(desk.table()) == rows


def test_processes_that_score_beside_a_training_lose_nothing(desk: Desk, tmp_path: Path) -> None:
    """Three commands score files that share rows, while a challenger is trained and judged: each
    row is kept as served once, and delivered; the training has come to its decision.
    """
    desk.arrive(SATURDAY)
    lines = (desk.weeks / f"{WEEK}.csv").read_text(encoding="utf-8").splitlines()
    rows, decided = lines[1:], len(ledger.history(desk.engine, "weather"))
    third = len(rows) // 3
    shares = [rows[: 2 * third], rows[third:], rows]
    command = [sys.executable, "-m", "deployments.command", "--project", str(desk.project)]
    started = []
    for i, share in enumerate(shares):
        file = tmp_path / f"share{i}.csv"
        file.write_text("\n".join([lines[0], *share]), encoding="utf-8")
        words = ["score", "weather", "--rows", str(file), "--out", str(tmp_path / f"{i}.parquet")]
        started.append(
            subprocess.Popen([*command, *words, "--record"], stderr=subprocess.PIPE, text=True)
        )
    run_flow(retrain("weather", as_of=MONDAY))
    said = [process.communicate()[1] for process in started]

    kept = [int(re.search(r"(\d+) of them kept", text).group(1)) for text in said]
    written = [pq.read_metadata(tmp_path / f"{i}.parquet").num_rows for i in range(3)]
    assert written == [len(share) for share in shares], said
    assert sum(kept) == sum(part.rows for part in served_parts(desk.engine, "weather")) == len(rows)
    desk.score(MONDAY)  # a table that was locked at that moment is given what it missed
    assert len(desk.table("DISTINCT time_hour, origin")) == len(rows)
    assert len(ledger.history(desk.engine, "weather")) > decided


def test_what_was_served_is_judged(desk: Desk) -> None:
    """By key; the rows that came later are scored with the batch and told apart."""
    desk.arrive(THURSDAY)
    served = desk.score(MONDAY)
    desk.arrive(CLOSED)
    run_flow(monitor("weather", as_of=CLOSED))

    record = desk.record()
    assert record.predictions.served == served
    assert record.apart.by == {"v1": served}
    assert record.apart.served.rows + record.apart.others.rows == record.performances[0].rows
    shares = np.array([record.apart.served.rows, record.apart.others.rows])
    losses = np.array([record.apart.served.loss.value, record.apart.others.loss.value])
    assert record.performances[0].loss.value == pytest.approx(
        float((shares * losses).sum() / shares.sum())
    )
    assert record.skew.rows == served
    assert record.skew.features == ()
    page = (desk.settings.reports / "weather" / WEEK / "drift.html").read_text(encoding="utf-8")
    assert "What was served before the batch closed" in page
    assert "Served before the batch closed" in page
    assert "Why did the loss change?" in page
    run = client(desk.settings.tracking_uri).get_run(record.mlflow_run)
    assert run.data.metrics["served_share"] == pytest.approx(served / record.predictions.rows)
    assert run.data.metrics["skew_worst"] == 0


def test_a_prediction_that_was_served_stands_whatever_the_champion_says_later(desk: Desk) -> None:
    """Served on other values than the batch's: it is judged by what was predicted then."""
    desk.arrive(THURSDAY, temp=True, dewp=True)
    desk.score(MONDAY)
    delivered = {(row[0], row[1]): row[2] for row in desk.table("time_hour, origin, prediction")}
    desk.arrive(CLOSED)
    run_flow(monitor("weather", as_of=CLOSED))

    out = desk.home / "done.csv"
    count = write_predictions_of(desk.managed, WEEK, out)
    rows = pc.read_csv(out).to_pylist()
    served = {
        (f"{row['time_hour']:%Y-%m-%d %H:%M:%S.%f}", row["origin"]): row["prediction"]
        for row in rows
        if row["scored_at"] is not None
    }
    assert count == len(rows) == desk.record().predictions.rows
    assert served == delivered
    known = {
        (datetime.fromisoformat(row["time_hour"]), row["origin"]): float(row["visib"])
        for row in csv.DictReader(
            (desk.weeks / f"{WEEK}.csv").read_text(encoding="utf-8").splitlines()
        )
        if row["visib"] != "NA"
    }
    errors = [
        abs(row["prediction"] - known[at])
        for row in rows
        if (at := (row["time_hour"], row["origin"])) in known
    ]
    assert desk.record().performances[0].metrics["mae"].value == pytest.approx(np.mean(errors))


def test_a_column_that_arrives_late_is_found(desk: Desk) -> None:
    """Named with its share on the page, in MLflow, and as an alarm; the others are not."""
    desk.change(scoring={"skew": {"limit": 0.05}})
    desk.arrive(THURSDAY, wind_speed=True)
    served = desk.score(MONDAY)
    desk.arrive(CLOSED)
    run_flow(monitor("weather", as_of=CLOSED))

    record = desk.record()
    (alarm,) = record.skew.alarms
    assert alarm.feature == "wind_speed"
    assert alarm.share == pytest.approx(alarm.differing / served)
    assert alarm.share > 0.9
    assert alarm.examples[0].served == "missing"
    page = (desk.settings.reports / "weather" / WEEK / "drift.html").read_text(encoding="utf-8")
    assert "these features were others when the rows were served" in page
    run = client(desk.settings.tracking_uri).get_run(record.mlflow_run)
    assert run.data.metrics["skew_wind_speed"] == pytest.approx(alarm.share)


def test_a_sink_that_is_away_delays_nothing_and_is_served_later(desk: Desk) -> None:
    """In order, and nothing twice."""
    blocked = desk.home / "blocked"
    blocked.write_text("a file where a directory is expected")
    desk.change(
        scoring={
            "sinks": [
                {"name": "away", "path": f"{blocked}/{{batch}}-{{part}}.csv"},
                {"name": "desk", "url": f"sqlite:///{desk.home}/out/desk.db"},
            ]
        }
    )
    for until, moment in ((THURSDAY, MONDAY), (SATURDAY, THURSDAY)):
        desk.arrive(until)
        with pytest.raises(ScoringIncompleteError, match=r"sink away: .*delivered at the next run"):
            desk.score(moment)
    parts = served_parts(desk.engine, "weather")
    assert len(desk.table()) == sum(part.rows for part in parts)
    assert not scoring_idle(desk.managed, desk.engine, THURSDAY)

    blocked.unlink()
    desk.score(THURSDAY)

    assert sorted(path.name for path in blocked.iterdir()) == [
        f"{WEEK}-{part.number:06d}.csv" for part in parts
    ]
    assert scoring_idle(desk.managed, desk.engine, THURSDAY)


def test_a_file_of_a_batch_is_written_once_for_all_parts_that_wait(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rows of all of them; none of them waits any more."""
    written, deliver = list[int](), FileSink.deliver

    def counted(sink: FileSink, part: ServedPart, *rest: Any) -> None:
        deliver(sink, part, *rest)
        written.append(part.number)

    monkeypatch.setattr(FileSink, "deliver", counted)
    blocked = desk.home / "blocked"
    blocked.write_text("a file where a directory is expected")
    desk.change(scoring={"sinks": [{"name": "whole", "path": f"{blocked}/{{batch}}.parquet"}]})
    for until, moment in ((THURSDAY, MONDAY), (SATURDAY, THURSDAY)):
        desk.arrive(until)
        with pytest.raises(ScoringIncompleteError, match="sink whole"):
            desk.score(moment)
    parts = served_parts(desk.engine, "weather")
    blocked.unlink()

    desk.score(THURSDAY)

    assert len(parts) > 1
    assert written == [parts[-1].number]
    there = pq.read_metadata(blocked / f"{WEEK}.parquet").num_rows
    assert there == sum(part.rows for part in parts)
    assert scoring_idle(desk.managed, desk.engine, THURSDAY)


def test_command_fails_by_name_when_a_sink_missed_rows(desk: Desk, tmp_path: Path) -> None:
    """The rows are scored, written and kept all the same."""
    blocked = desk.home / "blocked"
    blocked.write_text("a file where a directory is expected")
    desk.change(scoring={"sinks": [{"name": "away", "path": f"{blocked}/{{batch}}.csv"}]})
    desk.arrive(THURSDAY)
    out = tmp_path / "out.parquet"
    words = ["score", "weather", "--rows", str(desk.weeks / f"{WEEK}.csv"), "--out", str(out)]

    told = CliRunner().invoke(app, [*words, "--record"])

    assert isinstance(told.exception, ScoringIncompleteError)
    assert str(told.exception).startswith("sink away: ")
    kept = sum(part.rows for part in served_parts(desk.engine, "weather"))
    assert pq.read_metadata(out).num_rows == kept > 0


def test_broken_rows_are_kept_and_the_others_scored(desk: Desk) -> None:
    """An impossible wind is no reason to tell the others nothing."""
    desk.arrive(THURSDAY)
    file = desk.weeks / f"{WEEK}.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    cells = lines[5].split(",")
    cells[6] = "1048.36"
    file.write_text("\n".join([*lines[:5], ",".join(cells), *lines[6:]]) + "\n", encoding="utf-8")

    assert desk.score(MONDAY) == len(lines) - 2
    kept = desk.settings.lake / "quarantine" / "weather" / WEEK / "open.parquet"
    assert pq.read_table(kept, partitioning=None)["wind_speed"].to_pylist() == [1048.36]


def test_rows_without_a_column_are_refused_by_name(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is written down or delivered, and the log does not say that nothing was new; when
    they are put right they are scored.
    """
    (desk.weeks / f"{WEEK}.csv").write_text("time_hour,origin\n2013-01-22T05:00:00Z,EWR\n")

    with pytest.raises(ScoringIncompleteError, match=rf"{WEEK}: .*temp is there: it is missing"):
        desk.score(MONDAY)
    assert served_parts(desk.engine, "weather") == ()
    (warned,) = (one for one in caplog.records if one.levelname == "WARNING")
    assert "temp is there: it is missing" in warned.getMessage()
    assert "none is new" not in caplog.text
    desk.arrive(THURSDAY)
    assert desk.score(MONDAY) > 0


def test_a_file_is_scored_and_nothing_written_down(desk: Desk) -> None:
    """Unless it is asked for; then once, and it is delivered."""
    desk.arrive(THURSDAY)
    rows, out = desk.weeks / f"{WEEK}.csv", desk.home / "out.parquet"

    done = score_file(desk.managed, rows, "", out, MONDAY)
    assert served_parts(desk.engine, "weather") == ()
    kept = [score_file(desk.managed, rows, "", out, MONDAY, record=True) for _ in range(2)]

    assert (done.served_by, done.broken) == ("v1", {})
    assert [one.recorded for one in kept] == [done.rows, 0]
    assert len(desk.table()) == done.rows == pq.read_table(out).num_rows
    assert pq.read_table(out).column_names == [
        "time_hour",
        "origin",
        "prediction",
        "version",
        "scored_at",
    ]


def test_predictions_are_explained_where_it_is_asked_for(desk: Desk) -> None:
    """By the command for a file, by the spec for what is delivered; the named features move the
    prediction from the mean to it.
    """
    desk.arrive(THURSDAY)
    sink = {"name": "desk", "url": f"sqlite:///{desk.home}/out/desk.db"}
    desk.change(scoring={"explain": 2, "sinks": [sink]})
    out = desk.home / "out.parquet"
    score_file(desk.managed, desk.weeks / f"{WEEK}.csv", "", out, MONDAY, explain=99)

    rows = pq.read_table(out).to_pylist()
    moved = [sum(one["effect"] for one in json.loads(row["reasons"])) for row in rows]
    means = [row["prediction"] - by for row, by in zip(rows, moved, strict=True)]
    assert len(json.loads(rows[0]["reasons"])) > 2
    assert np.ptp(means) < 1e-6 * abs(means[0])  # Ridge is linear: one mean for all

    assert desk.score(MONDAY) == len(rows)
    delivered = [json.loads(text) for (text,) in desk.table("reasons")]
    assert {len(one) for one in delivered} == {2}
    assert delivered[0][0].keys() == {"feature", "value", "effect"}


def test_rows_in_quarantine_are_those_of_the_newest_look(desk: Desk) -> None:
    """What was broken is kept; when it has been put right, nothing is."""
    desk.arrive(THURSDAY)
    file = desk.weeks / f"{WEEK}.csv"
    sound = file.read_text(encoding="utf-8")
    lines = sound.splitlines()
    file.write_text("\n".join([*lines, lines[3]]) + "\n", encoding="utf-8")
    kept = desk.settings.lake / "quarantine" / "weather" / WEEK / "open.parquet"

    desk.score(MONDAY)
    broken = pq.read_table(kept).num_rows
    file.write_text(sound, encoding="utf-8")
    desk.score(THURSDAY)

    assert (broken, kept.exists()) == (2, False)


def test_rows_that_the_champion_was_trained_on_are_not_written_down(desk: Desk) -> None:
    """They are scored, but are no evidence of how it does."""
    rows = desk.whole / f"{WEATHER_WEEKS[0]}.csv"

    done = score_file(desk.managed, rows, "", desk.home / "x.csv", MONDAY, record=True)

    assert (done.rows > 100, done.recorded) == (True, 0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("time_hour,origin\n", "expected rows to score, found no rows"),
        ("origin,temp\nEWR,1\n", "time_hour is there: it is missing"),
    ],
)
def test_a_file_that_says_nothing_is_refused_and_nothing_left(
    desk: Desk, content: str, sentence: str
) -> None:
    """The sentence names the file; no half of an answer stands anywhere."""
    rows, out = desk.home / "rows.csv", desk.home / "out.csv"
    rows.write_text(content)

    with pytest.raises(RowsRefusedError, match=rf"rows\.csv: .*{sentence}"):
        score_file(desk.managed, rows, "", out, MONDAY)

    assert not out.exists()


def test_duplicate_keys_are_named_and_the_others_scored(desk: Desk) -> None:
    """Both rows of a key that stands twice: nobody knows which is meant."""
    desk.arrive(THURSDAY)
    lines = (desk.weeks / f"{WEEK}.csv").read_text(encoding="utf-8").splitlines()
    rows = desk.home / "rows.csv"
    rows.write_text("\n".join([*lines[:11], lines[3]]) + "\n")

    done = score_file(desk.managed, rows, "", desk.home / "out.csv", MONDAY)

    assert sorted(done.broken) == [2, 10]
    assert all("unique" in reasons for reasons in done.broken.values())
    assert len(pc.read_csv(desk.home / "out.csv")) == 9


def test_what_the_contract_warns_of_is_said(desk: Desk) -> None:
    """A category that no one has seen is scored, and named."""
    contract = desk.settings.project / "data_contracts" / "weather.odcs.yaml"
    text = contract.read_text(encoding="utf-8")
    known = "arguments: {validValues: [EWR, JFK, LGA]}\n            mustBe: 0\n"
    assert known in text
    contract.write_text(text.replace(known, known + "            severity: warning\n"))
    desk.arrive(THURSDAY)
    lines = (desk.weeks / f"{WEEK}.csv").read_text(encoding="utf-8").splitlines()
    rows = desk.home / "rows.csv"
    rows.write_text("\n".join([*lines[:11], lines[3].replace("EWR", "XYZ")]) + "\n")

    done = score_file(manage("weather", desk.settings), rows, "", desk.home / "out.csv", MONDAY)

    assert (done.rows, done.broken) == (11, {})
    assert done.warned.startswith("origin is one of EWR, JFK, LGA (1 row, such as 'XYZ')")


def test_without_a_champion_nothing_is_scored(
    make_weather_home: Callable[[int], Path], quick_project: Path, use_home: Callable[..., Settings]
) -> None:
    """A scheduled run waits, an order by hand is told so."""
    settings = use_home(make_weather_home(1), quick_project)
    file = quick_project / "deployments" / "weather" / "model.yaml"
    with pytest.raises(NotToBeScoredError, match=r"weather: expected scoring in its model\.yaml"):
        run_flow(score("weather"))
    file.write_text(file.read_text(encoding="utf-8") + "scoring: {}\n", encoding="utf-8")

    assert run_flow(score("weather", datetime(2013, 1, 8, tzinfo=UTC))) == ()
    with pytest.raises(NoChampionError, match="'kingmaker run weather' trains the first"):
        champion_to_score_by(manage("weather", settings), open_ledger(settings.ledger_url))


def test_a_champion_whose_contract_was_broken_tells_nothing(desk: Desk) -> None:
    """Its inputs no longer mean what they meant: one sentence says what to do."""
    file = desk.project / "data_contracts" / "weather.odcs.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    temperature = next(p for p in document["schema"][0]["properties"] if p["name"] == "temp")
    temperature["customProperties"] = [{"property": "unit", "value": "degC"}]
    document["version"] = "2.0.0"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    desk.arrive(THURSDAY)

    with pytest.raises(ChampionUnusableError, match=r"breaks it: .*temp.*kingmaker retrain"):
        desk.score(MONDAY)
    assert served_parts(desk.engine, "weather") == ()
