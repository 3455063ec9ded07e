"""The way of one batch when things go wrong: bad data, a crash, two at once."""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select, update

from deployments.command.explain import explain
from deployments.command.look_cli import status
from flows.monitor import BatchRefusedError, monitor
from flows.replay import replay
from flows.retrain import retrain
from flows.steps.intake import BatchNotThereError
from flows.steps.score import ContractBrokenError
from tasks.ingest.source import SourceError
from tasks.ledger import entries as ledger
from tasks.ledger.lease import LeaseHeldError, lease
from tasks.ledger.tables import leases, open_ledger
from tests.conftest import WEATHER_WEEKS, run_flow
from tests.projects.test_weather import write_table
from tests.versions import known_versions

pytestmark = pytest.mark.flow


def _without_column(file: Path, name: str) -> None:
    lines = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
    position = lines[0].index(name)
    kept = [",".join(cells[:position] + cells[position + 1 :]) for cells in lines]
    file.write_text("\n".join(kept), encoding="utf-8")


def test_refused_batch_fails_by_name_and_the_next_goes_through(
    use_home, make_weather_home, quick_project
):
    """Nothing is trained or scored on a batch without a column; the run says which, and the good
    ones pass.
    """
    settings = use_home(make_weather_home(4), quick_project)
    broken = WEATHER_WEEKS[2]
    _without_column(settings.home / "sources" / "weather" / f"{broken}.csv", "pressure")

    with pytest.raises(BatchRefusedError, match=rf"weather {broken} refused.*pressure"):
        run_flow(monitor("weather"))

    records = ledger.known_batches(open_ledger(settings.ledger_url), "weather")
    assert records[broken].verdict.refused
    assert records[broken].predictions is None
    assert records[WEATHER_WEEKS[3]].predictions is not None
    assert list((settings.lake / "snapshots" / "weather" / broken).iterdir()), (
        "the refused batch is kept"
    )


def test_mended_source_becomes_a_new_revision(use_home, make_weather_home):
    """A batch delivered again with other content is read again, and the old snapshot stays."""
    settings = use_home(make_weather_home(1))
    week = WEATHER_WEEKS[0]
    file = settings.home / "sources" / "weather" / f"{week}.csv"
    good = file.read_text(encoding="utf-8")
    _without_column(file, "pressure")
    with pytest.raises(BatchRefusedError):
        run_flow(monitor("weather"))

    file.write_text(good, encoding="utf-8")
    (record,) = run_flow(monitor("weather"))

    assert record.revision == 2
    assert record.accepted
    assert len(list((settings.lake / "snapshots" / "weather" / week).iterdir())) == 2


def test_late_rows_are_a_new_revision_and_what_rests_on_the_old_one_is_told(
    use_home, quick_project, make_weather_home, capsys
):
    """Rows that come after their batch was closed are read; status names the version that was
    trained without them.
    """
    settings = use_home(make_weather_home(3), quick_project)
    file = settings.home / "sources" / "weather" / f"{WEATHER_WEEKS[0]}.csv"
    whole = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(whole[:-5]), encoding="utf-8")
    run_flow(monitor("weather"))

    file.write_text("".join([whole[0], *reversed(whole[1:])]), encoding="utf-8")
    (record,) = run_flow(monitor("weather"))
    status()

    assert (record.batch.id, record.revision, record.snapshot.rows) == (
        WEATHER_WEEKS[0],
        2,
        len(whole) - 1,
    )
    rows = f"({len(whole) - 6} rows), now revision 2 ({len(whole) - 1} rows)"
    assert (
        f"replaced  {WEATHER_WEEKS[0]} revision 1 {rows}; trained on it: version 1"
        in capsys.readouterr().out
    )


def test_table_as_a_source_and_its_secret_nowhere(
    use_home, quick_project, make_weather_home, tmp_path, monkeypatch, caplog
):
    """A table goes the whole way, and what the environment filled in is in nothing that was written
    or logged.
    """
    secret = tmp_path / "c4nary"
    monkeypatch.setenv("SHOP", str(secret))
    settings = use_home(make_weather_home(1), quick_project)
    contract = quick_project / "data_contracts" / "weather.odcs.yaml"
    custom = [{"property": "url", "value": "sqlite:///${SHOP}/weather.db"}]
    server = {"server": "shop", "type": "custom", "customProperties": custom}
    document = yaml.safe_load(contract.read_text(encoding="utf-8")) | {"servers": [server]}
    contract.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    with pytest.raises(SourceError, match=r"\$\{SHOP\}/weather\.db: no such database"):
        run_flow(monitor("weather"))
    secret.mkdir()
    week = settings.home / "sources" / "weather" / f"{WEATHER_WEEKS[0]}.csv"
    write_table(
        secret / "weather.db", list(csv.DictReader(week.read_text(encoding="utf-8").splitlines()))
    )

    (record,) = run_flow(monitor("weather"))

    assert record.accepted
    assert record.snapshot.source == "sqlite:///${SHOP}/weather.db#weather"
    assert run_flow(monitor("weather")) == ()
    written = [path for path in settings.home.rglob("*") if path.is_file()]
    assert settings.home / "ledger.db" in written
    assert [path for path in written if b"c4nary" in path.read_bytes()] == []
    assert "c4nary" not in caplog.text


def test_other_bytes_with_the_same_rows_change_nothing(use_home, make_weather_home):
    """A new time of modification is no news; other line ends are looked at once, and the same rows
    are the same snapshot and revision.
    """
    settings = use_home(make_weather_home(1))
    run_flow(monitor("weather"))
    file = settings.home / "sources" / "weather" / f"{WEATHER_WEEKS[0]}.csv"
    os.utime(file, (1, 1))
    assert run_flow(monitor("weather")) == ()
    change_line_ends(file)

    (record,) = run_flow(monitor("weather"))

    assert record.revision == 1
    assert run_flow(monitor("weather")) == ()


def change_line_ends(file):
    """Have the file hold the same rows by other bytes."""
    content = file.read_bytes()
    crlf = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    file.write_bytes(crlf if crlf != content else content.replace(b"\r\n", b"\n"))


def test_batch_taken_up_again_keeps_what_was_said_of_it(
    use_home, make_replayed_home, quick_project
):
    """A file of the past that was written anew with the same rows is not scored by the champion of
    today, nor answered or logged again.
    """
    settings = use_home(make_replayed_home(3), quick_project)
    engine = open_ledger(settings.ledger_url)
    before, entries = ledger.known_batches(engine, "weather"), ledger.history(engine, "weather")
    for week in WEATHER_WEEKS[:3]:
        change_line_ends(settings.home / "sources" / "weather" / f"{week}.csv")

    run_flow(monitor("weather"))

    after = ledger.known_batches(engine, "weather")
    same = {"fingerprint": ""}
    assert [r.model_copy(update=same) for r in after.values()] == [
        r.model_copy(update=same) for r in before.values()
    ]
    assert ledger.history(engine, "weather") == entries


def test_batches_that_are_not_closed_do_not_exist_yet(use_home, make_weather_home):
    """As of the middle of a week, that week is not read."""
    use_home(make_weather_home(3))

    records = run_flow(monitor("weather", None, datetime(2013, 1, 23, tzinfo=UTC)))

    assert [record.batch.id for record in records] == [WEATHER_WEEKS[0], WEATHER_WEEKS[1]]


def test_unknown_batch_is_refused_by_name(use_home, make_weather_home):
    """Asking for a batch that is not there says which ones are."""
    use_home(make_weather_home(1))

    with pytest.raises(BatchNotThereError, match=r"2013-W40.*found 2013-W02"):
        run_flow(monitor("weather", "2013-W40"))


def test_idle_run_looks_and_acts_for_nobody(use_home, make_weather_home):
    """With nothing new no lease is taken; after a death it is, so that what was left half done is
    ended.
    """
    settings = use_home(make_weather_home(1))
    engine = open_ledger(settings.ledger_url)
    run_flow(monitor("weather"))

    def token() -> int:
        with engine.connect() as connection:
            return connection.execute(select(leases.c.token)).scalar_one()

    assert (run_flow(monitor("weather")), token()) == ((), 1)
    with engine.begin() as connection:
        gone = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(
            update(leases).values(holder="other machine process 1 run a", expires_at=gone)
        )
    assert (run_flow(monitor("weather")), token()) == ((), 2)


def test_two_at_once_one_acts(use_home, make_weather_home):
    """While another run holds the lease, the monitor says who has it and writes nothing."""
    settings = use_home(make_weather_home(1))
    engine = open_ledger(settings.ledger_url)

    with (
        lease(engine, "weather", "another machine process 1 run 2"),
        pytest.raises(LeaseHeldError, match="another machine"),
    ):
        run_flow(monitor("weather"))

    assert ledger.known_batches(engine, "weather") == {}


def test_relaxed_contract_lets_a_refused_batch_in(use_home, make_weather_home, quick_project):
    """Asked for by name after the contract was mended, a refused batch is judged anew and answered
    anew.
    """
    settings = use_home(make_weather_home(1), quick_project)
    contract = quick_project / "data_contracts" / "weather.odcs.yaml"
    good = contract.read_text(encoding="utf-8")
    contract.write_text(
        good.replace("mustBeBetween: [400, 507]", "mustBeBetween: [600, 700]"), encoding="utf-8"
    )
    with pytest.raises(BatchRefusedError, match="504"):
        run_flow(monitor("weather"))

    contract.write_text(good, encoding="utf-8")
    (record,) = run_flow(monitor("weather", WEATHER_WEEKS[0]))

    assert record.accepted
    assert record.completed
    answers = [
        e.decision.reason for e in ledger.history(open_ledger(settings.ledger_url), "weather")
    ]
    assert "the batch is refused" in answers[0]
    assert answers[1].startswith("collecting: 1 of the 2")


def test_untrainable_batch_is_held_and_not_tried_for_ever(
    use_home, make_weather_home, quick_project
):
    """When no candidate can be fitted, the training fails by name once, and the batch is held with
    that reason.
    """
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    broken = {"estimator": "sklearn.linear_model.Ridge", "params": {"solver": "none of them"}}
    spec["training"]["candidates"] = [broken]
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    settings = use_home(make_weather_home(2), quick_project)

    run_flow(monitor("weather"))

    history = ledger.history(open_ledger(settings.ledger_url), "weather")
    assert [e.decision.kind for e in history] == ["Hold", "Retrain", "Hold"]
    assert "nothing could be trained" in history.entries[-1].decision.reason
    assert "solver" in history.entries[-1].decision.reason
    assert history.unfinished == ()


def test_without_labels_nothing_is_trained(use_home, make_weather_home, quick_project):
    """Rows alone train nothing: each batch is held, and says how many labelled rows there are."""
    settings = use_home(make_weather_home(2), quick_project)
    for week in WEATHER_WEEKS[:2]:
        file = settings.home / "sources" / "weather" / f"{week}.csv"
        lines = file.read_text(encoding="utf-8").splitlines()
        file.write_text(
            "\n".join([lines[0], *(line.rsplit(",", 1)[0] + "," for line in lines[1:])]), "utf-8"
        )

    run_flow(monitor("weather"))

    history = ledger.history(open_ledger(settings.ledger_url), "weather")
    assert [e.decision.kind for e in history] == ["Hold", "Hold"]
    assert "0 of the 100 labelled rows" in history.entries[-1].decision.reason


def test_broken_contract_stops_the_champion_by_name(
    use_home, make_replayed_home, make_weather_home, quick_project
):
    """Under a contract that breaks its own it is not scored on the next batch; under a compatible
    one it is.
    """
    settings = use_home(make_replayed_home(3), quick_project)
    file = quick_project / "data_contracts" / "weather.odcs.yaml"
    before = yaml.safe_load(file.read_text(encoding="utf-8"))
    columns = before["schema"][0]["properties"]
    pressure = next(item for item in columns if item["name"] == "pressure")
    pressure["classification"] = "restricted"
    file.write_text(yaml.safe_dump(before, sort_keys=False), encoding="utf-8")
    make_weather_home(4)

    with pytest.raises(
        ContractBrokenError, match=r"version 1 was trained under .* pressure: open -> classified"
    ):
        run_flow(monitor("weather"))

    records = ledger.known_batches(open_ledger(settings.ledger_url), "weather")
    assert records[WEATHER_WEEKS[3]].predictions is None
    del pressure["classification"]
    before["schema"][0]["quality"] = [{"metric": "rowCount", "mustBeGreaterThan": 1}]
    file.write_text(yaml.safe_dump(before, sort_keys=False), encoding="utf-8")
    assert run_flow(monitor("weather"))[-1].predictions is not None


def test_change_of_recipe_with_too_few_rows_goes_on_in_shadow(
    use_home, quick_project, make_weather_home
):
    """Judged again with each batch's rows, at one attempt, until it is proven or four batches have
    not proven it.
    """
    spec = quick_project / "deployments" / "weather" / "model.yaml"
    document = yaml.safe_load(spec.read_text(encoding="utf-8"))
    document |= {
        "ensemble": "single",
        "retrain": {"every": 20},
        "gate": {"rows": 300, "min_rows": 300},
    }  # a fifth of a week is 100
    spec.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    settings = use_home(make_weather_home(2), quick_project)
    run_flow(replay("weather"))
    document["training"]["candidates"] = [{"estimator": "sklearn.dummy.DummyRegressor"}]
    document["training"]["candidates"].append(
        {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 5.0}}
    )
    spec.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    run_flow(retrain("weather", "another recipe", datetime(2013, 1, 21, 5, tzinfo=UTC)))
    make_weather_home(7)
    run_flow(replay("weather"))

    history = ledger.history(open_ledger(settings.ledger_url), "weather")
    waiting = next(e for e in history if e.decision.kind == "Shadow").decision.version
    judged = history.judgements(waiting)
    kinds = [e.decision.kind for e in judged]
    assert kinds[:2] == ["Shadow", "Shadow"]
    assert kinds[-1] in ("Reject", "Promote")
    assert len(kinds) == len({e.batch for e in judged}) <= 5
    assert {e.evidence.attempt for e in judged} == {1}
    rows = [e.evidence.comparison.rows for e in judged]
    assert rows == sorted(set(rows)), "each look has more rows than the one before"
    assert rows[0] < 300 < rows[1]
    assert all("made again  the same" in explain(e, e.evidence_sha256) for e in judged)


def test_dry_run_decides_and_does_nothing(use_home, quick_project, make_weather_home):
    """The policy's word is in the ledger, in effect and without effect: nothing is trained, now or
    by the next run.
    """
    spec = quick_project / "deployments" / "weather" / "model.yaml"
    document = yaml.safe_load(spec.read_text(encoding="utf-8")) | {"retrain": {"dry_run": True}}
    spec.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    settings = use_home(make_weather_home(3), quick_project)

    run_flow(replay("weather"))

    engine = open_ledger(settings.ledger_url)
    history = ledger.history(engine, "weather")
    assert [e.decision.kind for e in history] == ["Hold", "Retrain", "Retrain"]
    assert history.entries[-1].decision.reason.endswith("a dry run: nothing is done")
    assert history.unfinished == ()
    assert known_versions(engine, "weather") == ()
