"""Drafts from a file that was never seen before: they load, and they run as they are."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.command.new_model import DraftError, draft_model
from flows.replay import replay
from tasks.configuration import ConfigurationError
from tasks.ingest.arrivals import open_source
from tasks.ingest.infer import read_typed
from tasks.ingest.snapshot import write_snapshot
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.settings import Settings
from tasks.validation.verdict import judge
from tests.conftest import run_flow


def history(file: Path, answer: object = None, hours: int = 24 * 60) -> Path:
    """Two months of hours, with a number, a shop, and an answer that depends on the number."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["when", "shop", "heat", "sold"])
        for hour in range(hours):
            heat = (hour * 37 % 100) / 10
            value = answer(heat, hour) if callable(answer) else round(3 * heat + hour % 5, 2)
            when = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
            writer.writerow([when.isoformat(), "north" if hour % 3 else "south", heat, value])
    return file


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, "regression"),
        (lambda heat, hour: int(heat > 5), "binary"),
        (lambda heat, hour: str(heat > 5).lower(), "binary"),
        (lambda heat, hour: "abc"[hour % 3], "multiclass"),
    ],
)
def test_draft_loads_and_guesses_the_problem(tmp_path, answer, problem):
    """Both files pass the checks of any other project; the target is never a feature."""
    draft_model(tmp_path, "shop", history(tmp_path / "shop.csv", answer), "sold", "when")

    managed = manage("shop", Settings(home=tmp_path / "home", project=tmp_path))

    assert managed.spec.problem == problem
    assert _schema_of(tmp_path / "deployments" / "shop" / "model.yaml").is_file()
    assert managed.contract.event_time == "when"
    assert [column.name for column in managed.contract.feature_columns] == ["shop", "heat"]


def _schema_of(spec):
    """The file that an editor is told to complete and check ``spec`` by."""
    first = spec.read_text(encoding="utf-8").splitlines()[0]
    return spec.parent / first.removeprefix("# yaml-language-server: $schema=")


def test_period_gives_enough_rows_a_batch(tmp_path):
    """Sixty days of 24 rows are cut in weeks: days would hold too few rows."""
    draft_model(tmp_path, "shop", history(tmp_path / "shop.csv"), "sold", "when")

    spec = manage("shop", Settings(home=tmp_path / "home", project=tmp_path)).spec
    assert spec.batch.every == "week"
    assert spec.training.first == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "solt"}, "did you mean 'sold'"),
        ({"time": "wen"}, "did you mean 'when'"),
        ({"target": "when"}, "numbers"),
    ],
)
def test_wrong_column_is_named_and_nothing_is_written(tmp_path, change, message):
    """A column that is not there is answered with the nearest one, and leaves no file behind."""
    given = {"target": "sold", "time": "when"} | change

    with pytest.raises(ConfigurationError, match=message):
        draft_model(
            tmp_path, "shop", history(tmp_path / "shop.csv"), given["target"], given["time"]
        )

    assert not (tmp_path / "deployments").exists()
    assert not (tmp_path / "data_contracts").exists()


def test_wrong_column_of_a_wide_file_names_the_nearest(tmp_path):
    """Of many columns the nearest are named, and how many there are."""
    names = ",".join(f"s{i:04d}" for i in range(600))
    (tmp_path / "wide.csv").write_text(f"{names},when\n{'0,' * 600}2024-01-01\n")

    with pytest.raises(ConfigurationError) as refused:
        draft_model(tmp_path, "wide", tmp_path / "wide.csv", "s00042", "when")

    said = str(refused.value)
    assert "one of the file's 601 columns, such as ['s0042', " in said
    assert len(said) < 400


def test_existing_files_are_never_overwritten(tmp_path):
    """A second draft of the same name is refused."""
    source = history(tmp_path / "shop.csv")
    draft_model(tmp_path, "shop", source, "sold", "when")

    with pytest.raises(ConfigurationError, match="none yet"):
        draft_model(tmp_path, "shop", source, "sold", "when")


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (("0", "1"), "integer"),
        (("0.0", "1.0"), "integer"),
        (("no", "yes"), "boolean"),
        (("N", "Y"), "boolean"),
        (("False", "True"), "boolean"),
        (("1", "2"), "boolean"),
        (("stays", "goes"), "boolean"),
    ],
)
def test_two_values_are_a_binary_problem(tmp_path, answers, kind):
    """However they are written; the row without one waits for its label."""
    source = history(
        tmp_path / "shop.csv", lambda heat, hour: answers[heat > 7] if hour % 40 else ""
    )

    draft_model(tmp_path, "shop", source, "sold", "when")

    managed = manage("shop", Settings(home=tmp_path / "home", project=tmp_path))
    target = managed.contract.column("sold")
    assert (managed.spec.problem, target.logical_type) == ("binary", kind)
    values = read_typed(source).retyped(target).columns["sold"].values.drop_null()
    assert set(values.cast("int64").to_pylist()) == {0, 1}
    assert values[0].as_py() in (False, 0)  # the first hours are cold


def test_few_whole_numbers_are_asked_for(tmp_path):
    """They may be classes or quantities: the option that says so is named, and decides."""
    source = history(tmp_path / "shop.csv", lambda heat, hour: hour % 5)

    with pytest.raises(ConfigurationError, match="--problem multiclass or --problem regression"):
        draft_model(tmp_path, "shop", source, "sold", "when")
    assert not (tmp_path / "deployments").exists()

    draft_model(tmp_path, "shop", source, "sold", "when", problem="multiclass")
    assert manage("shop", Settings(home=tmp_path / "home", project=tmp_path)).spec.problem == (
        "multiclass"
    )


@pytest.mark.parametrize(
    "name", ["Price: EUR", "# sold", "on", "no", "null", "2024", "{amount}", "note [raw]", "a, b"]
)
def test_names_that_yaml_reads_otherwise(tmp_path, name):
    """The target that was given is the target of the draft."""
    source = history(tmp_path / "shop.csv")
    text = source.read_text().replace("sold", f'"{name}"', 1)
    source.write_text(text)

    draft_model(tmp_path, "on", source, name, "when")

    managed = manage("on", Settings(home=tmp_path / "home", project=tmp_path))
    assert (managed.name, managed.spec.target) == ("on", name)


@pytest.mark.parametrize("model", ["2024", "Shop", "a b"])
def test_drafts_that_fail_their_check_are_not_written(tmp_path, model):
    """A name that a spec cannot have leaves no file behind, and the second try says the same."""
    source = history(tmp_path / "shop.csv")

    for _ in range(2):
        with pytest.raises(DraftError, match=r"nothing was written: .*model: expected"):
            draft_model(tmp_path, model, source, "sold", "when")

    assert [path.name for path in tmp_path.iterdir()] == ["shop.csv"]


def test_a_third_value_of_a_binary_target_costs_its_row(tmp_path):
    """It goes to quarantine by name: no model could be trained or judged with it."""
    source = history(tmp_path / "shop.csv", lambda heat, hour: int(heat > 5))
    draft_model(tmp_path, "shop", source, "sold", "when")
    with source.open("a", encoding="utf-8") as stream:
        stream.write("2024-01-01T12:30:00+00:00,north,1.0,7\n")

    stream = manage("shop", Settings(home=tmp_path / "home", project=tmp_path)).rows
    batch = stream.batch(min(open_source(stream).batches()))
    rows = open_source(stream).read(batch)
    snapshot = write_snapshot(tmp_path, rows, stream.contract, batch, "shop.csv")
    verdict = judge(tmp_path, snapshot, stream.contract, stream.validation)

    assert (verdict.outcome, verdict.quarantined) == ("accept with quarantine", 1)
    assert "sold, the target of a binary problem, is 0 or 1 (1 row, such as 7)" in verdict.reason


def test_times_that_are_still_to_come_are_told(tmp_path):
    """No batch of them would be taken in, and a person would not know why."""
    source = history(tmp_path / "shop.csv")
    source.write_text(source.read_text().replace("2024-", "2824-"))

    draft = draft_model(tmp_path, "shop", source, "sold", "when")

    assert any("in the future, up to 2824-02-29" in guess.what for guess in draft.guesses)


@pytest.mark.parametrize("name", ["a*b.csv", "{batch}.csv", "$HOME.csv", "what?.csv"])
def test_path_that_a_contract_reads_otherwise(tmp_path, name):
    """It is refused by name before anything is read."""
    with pytest.raises(ConfigurationError, match="--source: expected a path without"):
        draft_model(tmp_path, "shop", history(tmp_path / name), "sold", "when")


def test_strays_decide_no_period(tmp_path):
    """One row of 1900 and one of 2204 do not make years of weeks, and are spoken of."""
    source = history(tmp_path / "shop.csv")
    with source.open("a") as stream:
        stream.write("1900-01-01T00:00:00+00:00,north,1.0,3.5\n")
        stream.write("2204-01-01T00:00:00+00:00,north,1.0,3.5\n")

    draft = draft_model(tmp_path, "shop", source, "sold", "when")

    spec = manage("shop", Settings(home=tmp_path / "home", project=tmp_path)).spec
    assert spec.batch.every == "week"
    assert any("2 rows far from all others" in guess.why for guess in draft.guesses)


def test_a_spec_is_a_few_lines(tmp_path):
    """Eight keys at most; what is left out comes from the preset."""
    draft = draft_model(tmp_path, "shop", history(tmp_path / "shop.csv"), "sold", "when")

    lines = [line for line in draft.spec.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) <= 8
    assert all(guess.what and guess.why and guess.change for guess in draft.guesses)


def test_later_days_keep_a_draft(tmp_path):
    """Limits that were guessed from history warn of what lies beyond them, and refuse nothing."""
    source = history(tmp_path / "shop.csv")
    draft_model(tmp_path, "shop", source, "sold", "when")
    with source.open("a") as stream:
        for hour in range(24 * 7):
            when = datetime(2024, 3, 4, tzinfo=UTC) + timedelta(hours=hour)
            stream.write(f"{when.isoformat()},west,{1000 + hour},99999.5\n")
    rows = manage("shop", Settings(home=tmp_path / "home", project=tmp_path)).rows
    batch = rows.batch("2024-W10")

    snapshot = write_snapshot(
        rows.settings.lake, open_source(rows).read(batch), rows.contract, batch, "shop"
    )
    verdict = judge(rows.settings.lake, snapshot, rows.contract, rows.validation)

    assert verdict.outcome == "accept"
    failed = {rule.rule for rule in verdict.rules if rule.outcome == "failed"}
    assert failed == {"shop:in_set", "heat:between", "sold:between"}


@pytest.mark.flow
def test_draft_is_replayed_as_it_stands(use_home, tmp_path):
    """From one file and one command to a champion, without a line of Python."""
    draft_model(tmp_path, "shop", history(tmp_path / "shop.csv", hours=24 * 36), "sold", "when")
    settings = use_home(tmp_path / "home", tmp_path)

    batches = run_flow(replay("shop"))

    entries = ledger.history(open_ledger(settings.ledger_url), "shop")
    assert batches == 6
    assert entries.champion_changes[0].decision.version == 1
    assert all(
        r.accepted for r in ledger.known_batches(open_ledger(settings.ledger_url), "shop").values()
    )


def test_a_second_time_says_when_labels_are_known(tmp_path):
    """A time that is never before the event is that of the label: the delay is drafted from how
    long it takes, and the column is known later.
    """
    source = history(tmp_path / "shop.csv")
    rows = list(csv.reader(source.open(encoding="utf-8")))
    for number, row in enumerate(rows):
        if number:
            known = datetime.fromisoformat(row[0]) + timedelta(days=number % 20, hours=1)
            row.append(known.isoformat() if number % 7 else "")
    rows[0].append("settled")
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)

    draft = draft_model(tmp_path, "shop", source, "sold", "when")

    managed = manage("shop", Settings(home=tmp_path / "home", project=tmp_path))
    assert managed.spec.labels.delay == timedelta(days=19)
    assert not managed.contract.column("settled").available
    assert "labels are known 19d after their batch" in [guess.what for guess in draft.guesses]


def test_a_gap_of_months_is_said(tmp_path):
    """It is no batch, and a person should know."""
    source = history(tmp_path / "shop.csv", hours=24 * 300)
    lines = source.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not "2024-03" <= line[:7] <= "2024-07"]
    source.write_text("\n".join(kept), encoding="utf-8")

    draft = draft_model(tmp_path, "shop", source, "sold", "when", every="week")

    (gap,) = [guess for guess in draft.guesses if guess.what.startswith("no row lies")]
    assert gap.what == "no row lies from 2024-03-04 to 2024-07-29, 147 days"


def test_period_is_one_in_which_nearly_all_batches_have_enough(tmp_path):
    """A few large weeks do not make the small ones large enough."""
    source = history(tmp_path / "shop.csv", hours=24 * 300)
    lines = source.read_text(encoding="utf-8").splitlines()
    busy = [line for line in lines if line[:7] == "2024-05"]
    source.write_text("\n".join([*lines, *busy * 30]), encoding="utf-8")

    draft_model(tmp_path, "shop", source, "sold", "when")

    spec = manage("shop", Settings(home=tmp_path / "home", project=tmp_path)).spec
    assert spec.batch.every == "month"
