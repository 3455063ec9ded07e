"""Tests of the model spec: valid ones are managed, and bad ones refused before anything runs."""

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts.contract import ContractError
from tasks.configuration import ConfigurationError
from tasks.model_spec import manage, managed_models
from tasks.settings import REPOSITORY, Settings
from tests.conftest import WEATHER_PROJECT
from tests.tasks.features.deliveries import write_project

Spec = dict[str, Any]
FLIGHTS = Path("deployments/flights/model.yaml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the flights contract and spec, to be changed."""
    for name in ("data_contracts/flights.odcs.yaml", FLIGHTS):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def change(project: Path, edit: Callable[[Spec], object]) -> None:
    """Edit the project's flights spec."""
    spec = yaml.safe_load((project / FLIGHTS).read_text(encoding="utf-8"))
    edit(spec)
    (project / FLIGHTS).write_text(yaml.safe_dump(spec), encoding="utf-8")


def settings_of(project: Path) -> Settings:
    """Settings of the project, with a home in it."""
    return Settings(home=project / "home", project=project)


@pytest.mark.parametrize(
    ("project", "name"), [(REPOSITORY, "flights"), (WEATHER_PROJECT, "weather")]
)
def test_our_models_are_valid(project: Path, name: str) -> None:
    """The built-in example and the second project load, and know their batches."""
    managed = manage(name, settings_of(project))

    assert managed_models(settings_of(project)) == (name,)
    assert managed.name == name
    batch = managed.rows.batch({"flights": "2013-05", "weather": "2013-W20"}[name])
    assert managed.rows.batch_of(batch.start) == batch


def test_labels_and_lateness(project: Path) -> None:
    """Labels mature after their delay, a batch is closed after the contract's lateness; not
    earlier.
    """
    managed = manage("flights", settings_of(project))
    batch = managed.rows.batch("2013-05")
    day, moment = timedelta(days=1), timedelta(microseconds=1)

    assert managed.matures(batch) == batch.end + day
    assert managed.rows.closed(batch, batch.end + day)
    assert not managed.rows.closed(batch, batch.end + day - moment)


@pytest.mark.parametrize("name", [str(FLIGHTS), "data_contracts/flights.odcs.yaml"])
def test_digest_covers_spec_and_contract(project: Path, name: str) -> None:
    """A changed byte in either file is another model."""
    before = manage("flights", settings_of(project)).rows.sha256

    with (project / name).open("a", encoding="utf-8") as file:
        file.write("# changed\n")

    assert manage("flights", settings_of(project)).rows.sha256 != before


@pytest.mark.parametrize(
    ("limits", "added"),
    [("{minimum: 0, maximum: 1}", False), ("{minimum: 0}", True), ("{maximum: 9}", True)],
)
def test_whole_numbers_of_a_binary_target_are_two(project: Path, limits: str, added: bool) -> None:
    """A rule says so, where the contract has none that does."""
    file = project / "data_contracts" / "flights.odcs.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("{minimum: 0, maximum: 1}", limits), encoding="utf-8")

    rules = manage("flights", settings_of(project)).contract.rules

    found = [(r.scope, r.severity, r.columns) for r in rules if r.id == "late:binary"]
    assert found == [("row", "error", ("late",))] * added


def test_unknown_model_names_the_nearest(project: Path) -> None:
    """A typo in the model's name is answered with the right one."""
    with pytest.raises(
        ConfigurationError, match=r"expected one of \['flights'\], found 'flihgts' \(did you mean"
    ):
        manage("flihgts", settings_of(project))


def test_unknown_contract_names_those_that_are_there(project: Path) -> None:
    """A spec whose contract is missing is refused with the contracts of the project."""
    change(project, lambda spec: spec.update(contract="fligths"))

    with pytest.raises(
        ContractError, match=r"fligths\.odcs\.yaml: file: .*did you mean 'flights\.odcs\.yaml'"
    ):
        manage("flights", settings_of(project))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda s: s.update(metrik=s.pop("metric")),
            "metrik: expected one of [.*], found 'metrik' (did you mean 'metric'?)",
        ),
        (
            lambda s: s["training"]["candidates"][0].update(serch={}),
            (
                "training.candidates.0.serch: expected one of ['early_stopping', 'encode',"
                " 'estimator', 'params', 'prepare', 'search'], found 'serch' (did you mean"
                " 'search'?)"
            ),
        ),
        (
            lambda s: s["training"]["candidates"][2]["search"]["learning_rate"].update(hihg=1),
            (
                "training.candidates.2.search.learning_rate.hihg: expected one of ['choices',"
                " 'high', 'log', 'low'], found 'hihg' (did you mean 'high'?)"
            ),
        ),
        (
            lambda s: s["training"].update(seed="0"),
            "training.seed: expected a valid integer, found '0'",
        ),
        (
            lambda s: s.pop("target"),
            "target: expected a value, found nothing: this key is required",
        ),
        (lambda s: s["training"].update(candidates=[]), "training.candidates: expected "),
        (
            lambda s: s.update(target="lat"),
            "target: expected a column of contract flights, found 'lat' (did you mean 'late'?)",
        ),
        (
            lambda s: s.update(target="carrier"),
            (
                "target: expected a column of type boolean or integer for a binary "
                "problem, found 'carrier' of type string"
            ),
        ),
        (
            lambda s: s["features"].update(include=["arr_delay"]),
            (
                "features.include: expected columns that are known at event time, not sensitive,"
                " not unique, and neither date nor time, found 'arr_delay': using it would be a"
                " leak"
            ),
        ),
        (
            lambda s: s["features"].update(include=["late"]),
            "features.include: expected columns that are known",
        ),
        (
            lambda s: s["features"].update(include=["scheduled_departure"]),
            "features.include: expected columns",
        ),
        (
            lambda s: s["features"].update(exclude=["carier"]),
            (
                "features.exclude: expected a column of contract "
                "flights, found 'carier' (did you mean 'carrier'?)"
            ),
        ),
        (
            lambda s: s.update(features={"include": []}),
            "features: expected at least one column, or code of its own",
        ),
        (
            lambda s: s.update(features={"code": "deployments.flights.features"}),
            "features.code: expected ",
        ),
        (
            lambda s: s.update(slices=["orgin"]),
            "slices: expected a column of contract flights, found 'orgin' (did you mean 'origin'?)",
        ),
        (
            lambda s: s.update(metric="mae"),
            "metric: expected one of ['roc_auc', .*] for a binary problem, found 'mae'",
        ),
        (
            lambda s: s.update(metric="roc_acu"),
            (
                "metric: expected one of [.*] for a binary problem, found 'roc_acu' "
                "(did you mean 'roc_auc'?)"
            ),
        ),
        (
            lambda s: s.update(problem="binery"),
            (
                "problem: expected 'binary', 'multiclass' or 'regression', found "
                "'binery' (did you mean 'binary'?)"
            ),
        ),
        (lambda s: s.update(batch={"every": "mnth"}), "batch.every: expected "),
        (
            lambda s: s.update(model="delays"),
            "model: expected the name of its directory, 'flights', found 'delays'",
        ),
        (
            lambda s: s["schedule"].update(timezone="America/NewYork"),
            (
                "schedule.timezone: expected an IANA time zone "
                "(did you mean 'America/New_York'?), found 'America/NewYork'"
            ),
        ),
        (lambda s: s["schedule"].update(cron="daily"), "schedule.cron: expected "),
        (lambda s: s.update(approval=True), "approval: expected 'auto', 'required', or a mapping"),
    ],
)
def test_refused_by_name(project: Path, edit: Callable[[Spec], object], message: str) -> None:
    """A mistake is shown with file, key path, expected, found and the nearest name."""
    change(project, edit)

    with pytest.raises(ConfigurationError) as caught:
        manage("flights", settings_of(project))

    found = str(caught.value)
    assert found.startswith(f"{project / FLIGHTS}: ")
    parts = message.split(".*")
    assert found.removeprefix(f"{project / FLIGHTS}: ").startswith(parts[0])
    assert all(part in found for part in parts)


LATE_7D = {
    "name": "late_7d",
    "function": "share",
    "column": "late",
    "value": 1,
    "by": ["carrier", "origin"],
    "over": "7d",
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, ""),
        (
            {"functon": "mean"},
            (
                "features.history.0.functon: expected one of ['by', 'column', 'function', 'gap',"
                " 'name', 'over', 'rows', 'value'], found 'functon' (did you mean 'function'?)"
            ),
        ),
        ({"function": "shar"}, "features.history.0.function: expected 'last', 'mean', "),
        ({"function": "shar"}, "found 'shar' (did you mean 'share'?)"),
        (
            {"column": "lat"},
            (
                "features.history.0.column: expected a column of contract flights, or the target,"
                " found 'lat' (did you mean 'late'?)"
            ),
        ),
        (
            {"by": ["carier"]},
            (
                "features.history.0.by: expected columns of contract flights, found 'carier' (did"
                " you mean 'carrier'?)"
            ),
        ),
        (
            {"by": ["late"]},
            "features.history.0.by: expected columns that are known at event time, found 'late'",
        ),
        (
            {"by": ["temp"]},
            "features.history.0.by: expected columns of type string, integer, boolean, date, found",
        ),
        ({"by": []}, "features.history.0.by: expected "),
        (
            {"over": 7},
            "features.history.0.over: expected a duration such as 90s, 15m, 6h, 1d or 2w, found 7",
        ),
        ({"over": "7"}, "features.history.0.over: expected a duration such as 90s"),
        ({"over": "0d"}, "features.history.0: expected over to be longer than nothing"),
        ({"over": None}, "features.history.0: expected over, a span of time, or rows"),
        ({"rows": 3}, "features.history.0: expected over, a span of time, or rows"),
        ({"gap": "-1d"}, "features.history.0.gap: expected a duration such as 90s"),
        ({"value": None}, "features.history.0: expected a value with the function share"),
        ({"value": True}, "features.history.0.value: expected a value of type integer, found True"),
        ({"value": "1"}, "features.history.0.value: expected a value of type integer, found '1'"),
        ({"column": None}, "features.history.0: expected a column that share is taken of"),
        (
            {"function": "mean", "column": "carrier", "value": None},
            (
                "features.history.0.column: expected a column of type integer or number or boolean"
                " for mean, found 'carrier' of type string"
            ),
        ),
        (
            {"name": "Carrier"},
            "features.history.0.name: expected a name that no column and no other feature has",
        ),
        ({"name": "late 7d"}, "features.history.0.name: expected "),
    ],
)
def test_history_refused_by_name(project: Path, changed: Spec, message: str) -> None:
    """What cannot be looked back on, or would know the future, is refused by its place."""
    one = {key: value for key, value in (LATE_7D | changed).items() if value is not None}
    change(project, lambda s: s["features"].update(history=[one]))
    if not message:
        assert manage("flights", settings_of(project)).spec.features.history[0].name == "late_7d"
        return

    with pytest.raises(ConfigurationError) as caught:
        manage("flights", settings_of(project))

    assert str(project / FLIGHTS) in str(caught.value)
    assert message in str(caught.value)


def test_history_of_a_label_needs_its_delay(project: Path) -> None:
    """Without one, a label would count as known at the moment of its row."""
    change(project, lambda s: [s["features"].update(history=[LATE_7D]), s.pop("labels")])

    with pytest.raises(ConfigurationError, match=r"labels\.delay: expected how long .*'late'"):
        manage("flights", settings_of(project))


def test_history_of_a_target_that_seems_known_needs_its_delay(tmp_path: Path) -> None:
    """The contract may not say that the target comes later; it does all the same."""
    project = Path(shutil.copytree(WEATHER_PROJECT, tmp_path / "weather"))
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    one = {"name": "seen", "function": "last", "column": "visib", "by": ["origin"], "over": "1d"}
    file.write_text(yaml.safe_dump(spec | {"features": {"history": [one]}}), encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"labels\.delay: expected how long .*'visib'"):
        manage("weather", settings_of(project))


def test_history_rests_on_columns_alone(project: Path) -> None:
    """A feature that rests on another, or on itself, is refused: no cycle can be written."""
    other = LATE_7D | {"name": "again", "column": "late_7d"}
    change(project, lambda s: s["features"].update(history=[LATE_7D, other]))

    with pytest.raises(ConfigurationError, match=r"history\.1\.column: .*no feature may rest on"):
        manage("flights", settings_of(project))


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        ({"sold_at": ["hour", "weekday"], "paid_on": ["age", "month"]}, ""),
        (
            {"sold_att": ["hour"]},
            "features.dates.sold_att: expected a column of contract sales, fou",
        ),
        ({"shop": ["day"]}, "features.dates.shop: expected a date or timestamp, found one of type"),
        (
            {"paid_on": ["hour"]},
            "features.dates.paid_on: expected parts that a date has, found 'ho",
        ),
        (
            {"sold_at": ["age"]},
            "features.dates.sold_at: expected parts other than age of the event",
        ),
        ({"paid_on": ["week"]}, "features.dates.paid_on.0: expected 'hour', 'weekday', 'day', "),
        ({"paid_on": ["day", "day"]}, "features.dates.paid_on: expected features of new names"),
        ({"told_on": ["age"]}, "features.dates.told_on: expected a column that is known at event"),
    ],
)
def test_dates_refused_by_name(tmp_path: Path, dates: Spec, message: str) -> None:
    """What is no date, has no such part, or is known later, is refused by its place."""
    managed = write_project(tmp_path, own_labels=False)
    contract = tmp_path / "data_contracts" / "sales.odcs.yaml"
    document = yaml.safe_load(contract.read_text(encoding="utf-8"))
    later = [{"property": "availability", "value": "later"}]
    told_on = {"name": "told_on", "logicalType": "date", "customProperties": later}
    document["schema"][0]["properties"].append(told_on)
    contract.write_text(yaml.safe_dump(document), encoding="utf-8")
    file = tmp_path / "deployments" / "sales" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8")) | {"features": {"dates": dates}}
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    if not message:
        assert manage("sales", managed.settings).spec.features.of_dates[:1] == ("paid_on_age",)
        return

    with pytest.raises(ConfigurationError) as caught:
        manage("sales", managed.settings)

    assert message in str(caught.value)


PLANES = """\
apiVersion: v3.1.0
kind: DataContract
id: urn:test:planes
name: planes
version: 1.0.0
status: active
servers:
  - {server: here, type: local, path: "planes/{batch}.csv", format: csv}
slaProperties:
  - {property: latency, value: 2, unit: d}
schema:
  - name: planes
    customProperties: [{property: eventTime, value: since}]
    properties:
      - {name: since, logicalType: timestamp, primaryKey: true, primaryKeyPosition: 1}
      - {name: until, logicalType: timestamp}
      - {name: tailnum, logicalType: string, primaryKey: true, primaryKeyPosition: 2}
      - {name: maker, logicalType: string}
      - {name: seats, logicalType: integer}
      - {name: owner, logicalType: string, classification: personal}
      - name: retired
        logicalType: boolean
        customProperties: [{property: availability, value: later}]
"""
PLANE = {"contract": "planes", "by": ["tailnum"], "columns": ["seats", "maker"]}


def _join(project: Path, *joins: Spec) -> None:
    file = project / "data_contracts" / "planes.odcs.yaml"
    file.write_text(PLANES, encoding="utf-8")
    change(project, lambda s: s["features"].update(join=list(joins)))


def test_features_from_another_contract(project: Path) -> None:
    """They are named by it, and its batches are cut as the rows are unless the spec says
    otherwise.
    """
    _join(project, PLANE)
    managed = manage("flights", settings_of(project))

    assert managed.past_kinds == {"planes_seats": False, "planes_maker": True}
    assert str(managed.joined["planes"]) == "flights planes"
    assert managed.joined["planes"].every == managed.rows.every == "month"
    _join(project, PLANE | {"every": "year"})
    assert manage("flights", settings_of(project)).joined["planes"].batch("2013").id == "2013"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"colums": ["seats"]},
            (
                "features.join.0.colums: expected one of ['by', 'columns', 'contract', 'every',"
                " 'gap', 'max_age', 'name', 'valid_until'], found 'colums' (did you mean"
                " 'columns'?)"
            ),
        ),
        (
            {"contract": "plane"},
            (
                "features.join.0.contract: expected one of the project's contracts ['flights',"
                " 'planes'], found 'plane' (did you mean 'planes'?)"
            ),
        ),
        (
            {"contract": "flights"},
            "features.join.0.contract: expected another contract than those of the rows and their",
        ),
        (
            {"by": ["tailnumb"]},
            (
                "features.join.0.by: expected a column of contract flights, found 'tailnumb' (did"
                " you mean 'tailnum'?)"
            ),
        ),
        (
            {"by": {"tailnum": "tail"}},
            "features.join.0.by: expected a column of contract planes, found 'tail' (did you mean",
        ),
        ({"by": ["planes_maker"]}, "features.join.0.by: expected a column of contract flights,"),
        (
            {"by": {"tailnum": "retired"}},
            "features.join.0.by: expected columns that are known at event time, found 'retired'",
        ),
        (
            {"by": {"tailnum": "seats"}},
            "features.join.0.by: expected columns of one type, string, integer, boolean, date, in",
        ),
        (
            {"by": {"carrier": "maker"}},
            (
                "features.join.0.by: expected columns that hold, with its event time, the primary"
                " key of contract planes, found ['since', 'tailnum']: several rows of one moment"
                " would fit"
            ),
        ),
        ({"by": []}, "features.join.0.by"),
        ({"columns": []}, "features.join.0.columns: expected "),
        (
            {"columns": ["seat"]},
            (
                "features.join.0.columns: expected columns of contract planes, found 'seat' (did"
                " you mean 'seats'?)"
            ),
        ),
        (
            {"columns": ["owner"]},
            "features.join.0.columns: expected columns that are known at event time, not sensitive",
        ),
        ({"columns": ["retired"]}, "features.join.0.columns: expected columns that are known at"),
        ({"max_age": "36"}, "features.join.0.max_age: expected a duration such as 90s, 15m, 6h"),
        (
            {"max_age": "36h"},
            (
                "features.join.0.max_age: expected at least 2d, the lateness of planes or the gap:"
                " rows that lie nearer are not joined, found 36h"
            ),
        ),
        (
            {"valid_until": "seats"},
            "features.join.0.valid_until: expected a column of type timestamp, found 'seats' of",
        ),
        (
            {"valid_until": "untill"},
            "features.join.0.valid_until: expected a column of contract planes, found 'untill'",
        ),
        ({"every": "wek"}, "features.join.0.every: expected "),
        (
            {"name": "plane", "columns": ["year"]},
            "features.join.0.columns: expected columns of contract planes, found 'year'",
        ),
    ],
)
def test_join_refused_by_name(project: Path, changed: Spec, message: str) -> None:
    """What cannot be joined, or would find several rows, is refused by its place."""
    _join(project, PLANE | changed)

    with pytest.raises(ConfigurationError) as caught:
        manage("flights", settings_of(project))

    assert str(project / FLIGHTS) in str(caught.value)
    assert message in str(caught.value)


def test_joins_among_one_another(project: Path) -> None:
    """Each makes features of its own names, of batches that are cut in one way; no feature rests on
    another.
    """
    again = PLANE | {"name": "again"}
    for one, message in (
        (PLANE, "features.join.1.name: expected one under which 'planes_seats' is new"),
        (again | {"every": "year"}, "features.join.1.every: expected None, as in the join of"),
        (
            again | {"by": {"planes_maker": "tailnum"}},
            "features.join.1.by: expected a column of contract flights (no feature may rest on",
        ),
    ):
        _join(project, PLANE, one)
        with pytest.raises(ConfigurationError) as caught:
            manage("flights", settings_of(project))
        assert message in str(caught.value)


BOOKINGS = Path(__file__).parent.parent / "projects" / "bookings"


@pytest.fixture
def bookings(tmp_path: Path) -> Path:
    """A copy of the project whose labels come from a contract of their own."""
    return Path(shutil.copytree(BOOKINGS, tmp_path / "bookings"))


def test_labels_from_a_second_contract(bookings: Path) -> None:
    """They are a stream of their own, cut as the rows are unless the spec says otherwise."""
    managed = manage("bookings", settings_of(bookings))

    assert managed.labels is not None
    assert (str(managed.labels), managed.labels.contract.name) == ("bookings labels", "outcomes")
    assert managed.label_key == ("booking_id",)
    assert managed.labels.batch("2024-W05") == managed.rows.batch("2024-W05")
    _change_labels(bookings, lambda labels: [labels.pop("key"), labels.update(every="day")])
    managed = manage("bookings", settings_of(bookings))
    assert managed.labels is not None
    assert managed.label_key == ("booking_id",), "the key of the rows is the default"
    assert managed.labels.batch("2024-02-03").id == "2024-02-03"


def _change_labels(project: Path, edit: Callable[[Spec], object]) -> None:
    file = project / "deployments" / "bookings" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    edit(spec["labels"])
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda s: s.update(contarct=s.pop("contract")),
            (
                "labels.contarct: expected one of ['contract', 'delay', "
                "'every', 'key', 'min_share'], found 'contarct' (did you mean 'contract'?)"
            ),
        ),
        (lambda s: s.update(contract="outcoms"), "file: expected "),
        (
            lambda s: s.update(contract="bookings"),
            "labels.contract: expected another contract than the rows'",
        ),
        (lambda s: s.pop("contract"), "labels: expected labels.contract beside key, "),
        (
            lambda s: s.update(key=["bookng_id"]),
            (
                "labels.key: expected a column of contract bookings, found "
                "'bookng_id' (did you mean 'booking_id'?)"
            ),
        ),
        (
            lambda s: s.update(key=["price"]),
            "labels.key: expected a column of contract outcomes, found 'price'",
        ),
        (lambda s: s.update(key=[]), "labels.key: expected "),
        (lambda s: s.update(min_share=1.5), "labels.min_share: expected "),
        (lambda s: s.update(every="wek"), "labels.every: expected "),
    ],
)
def test_labels_refused_by_name(
    bookings: Path, edit: Callable[[Spec], object], message: str
) -> None:
    """What could not be joined is refused before anything runs, with the nearest name."""
    _change_labels(bookings, edit)

    with pytest.raises((ConfigurationError, ContractError)) as caught:
        manage("bookings", settings_of(bookings))

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("contract", "before", "after", "message"),
    [
        (
            "outcomes",
            "name: cancelled, logicalType: boolean",
            "name: gone, logicalType: boolean",
            "target: expected a column of contract outcomes, found 'cancelled'",
        ),
        (
            "outcomes",
            "logicalType: boolean",
            "logicalType: string",
            (
                "target: expected a column of type boolean or "
                "integer for a binary problem, found 'cancelled' of type string"
            ),
        ),
        (
            "outcomes",
            "name: booking_id, logicalType: integer",
            "name: booking_id, logicalType: string",
            (
                "labels.key: expected a column of one type in bookings and outcomes, found"
                " 'booking_id' of type integer and string"
            ),
        ),
        (
            "outcomes",
            "{name: cancelled, logicalType: boolean}",
            (
                "{name: cancelled, logicalType: boolean}\n      - {name: desk, logicalType: string,"
                " required: true, primaryKey: true, primaryKeyPosition: 3}"
            ),
            (
                "labels.key: expected the primary key of contract outcomes, ['booking_id',"
                " 'known_at', 'desk'], with or without its event time, found ['booking_id']"
            ),
        ),
        (
            "bookings",
            ", primaryKey: true, primaryKeyPosition: 1",
            "",
            (
                "labels.contract: expected a primary key in "
                "contract bookings, to join labels to its rows, found none"
            ),
        ),
        (
            "bookings",
            "name: price,",
            "name: cancelled,",
            (
                "target: expected a column that contract outcomes alone has, "
                "found 'cancelled' in bookings too"
            ),
        ),
    ],
)
def test_contracts_that_do_not_join_are_refused(
    bookings: Path, contract: str, before: str, after: str, message: str
) -> None:
    """Target, key and types of both contracts must fit."""
    file = bookings / "data_contracts" / f"{contract}.odcs.yaml"
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")

    with pytest.raises(ConfigurationError) as caught:
        manage("bookings", settings_of(bookings))

    assert message in str(caught.value)


def test_batches_of_another_period_are_refused(project: Path) -> None:
    """A model of months has no weeks."""
    managed = manage("flights", settings_of(project))

    with pytest.raises(ValueError, match="a monthly batch such as '2013-05', found '2013-W20'"):
        managed.rows.batch("2013-W20")


def test_sensitive_slices_are_refused(project: Path) -> None:
    """Slices are shown in reports, sensitive values never are."""
    file = project / "data_contracts/flights.odcs.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace("- name: carrier\n", "- name: carrier\n        classification: personal\n"),
        "utf-8",
    )

    with pytest.raises(
        ConfigurationError, match="slices: expected columns that are not sensitive, found 'carrier'"
    ):
        manage("flights", settings_of(project))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        ({"visibb": "spline"}, "expected one of the features "),
        ({"temp": {"spline": 4}, "origin": "target"}, ""),
        ({"temp": "target"}, "prepare.temp: expected a category, found 'temp', a number"),
        ({"origin": "spline"}, "prepare.origin: expected a number, found 'origin', a category"),
        ({"origin": "targett"}, "prepare.origin: expected 'onehot', 'ordinal', 'target'"),
        ({"origin": {"onehott": 3}}, "prepare.origin.onehott: expected one of"),
        ({"origin": {"onehot": 0}}, "prepare.origin.onehot: expected "),
    ],
)
def test_preparation_refused_by_name(tmp_path: Path, prepare: Spec, message: str) -> None:
    """A feature that there is not, of the other kind, or without such a way."""
    project = Path(shutil.copytree(WEATHER_PROJECT, tmp_path / "weather"))
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"]["candidates"][0]["prepare"] = prepare
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    if not message:
        assert manage("weather", settings_of(project)).spec.training.candidates[0].prepare
        return

    with pytest.raises(ConfigurationError) as caught:
        manage("weather", settings_of(project))

    assert "training.candidates.0" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"weights": {"half_life": "90d", "column": "temp"}}, ""),
        ({"weights": {"half_life": 90}}, "training.weights.half_life: expected a duration such as"),
        ({"weights": {"half_life": "0d"}}, "training.weights: expected half_life to be longer"),
        ({"weights": {"classes": "balance"}}, "training.weights.classes"),
        ({"weights": {"classes": "balanced"}}, "training.weights.classes: expected none for a reg"),
        (
            {"weights": {"column": "tmp"}},
            (
                "training.weights.column: expected a column of contract weather, found 'tmp' (did"
                " you mean 'temp'?)"
            ),
        ),
        ({"weights": {"column": "origin"}}, "training.weights.column: expected a number beside"),
        ({"weights": {"column": "visib"}}, "training.weights.column: expected a number beside"),
        ({"exclude": [{"from": date(2013, 2, 1), "to": date(2013, 2, 3), "why": "ice"}]}, ""),
        (
            {"exclude": [{"from": date(2013, 2, 3), "to": date(2013, 2, 1), "why": "ice"}]},
            "training.exclude.0: expected to on or after 2013-02-03, found 2013-02-01",
        ),
        (
            {"exclude": [{"from": date(2013, 2, 1), "to": date(2013, 2, 3)}]},
            "training.exclude.0.why: expected a value",
        ),
        (
            {"exclude": [{"from": "now", "to": date(2013, 2, 3), "why": "ice"}]},
            "training.exclude.0.from: expected a valid date",
        ),
    ],
)
def test_weights_and_periods_refused_by_name(tmp_path: Path, training: Spec, message: str) -> None:
    """What cannot be weighted or left out is refused by its place."""
    project = Path(shutil.copytree(WEATHER_PROJECT, tmp_path / "weather"))
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= training
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    if not message:
        manage("weather", settings_of(project))
        return

    with pytest.raises(ConfigurationError) as caught:
        manage("weather", settings_of(project))

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "where", "found"),
    [
        ({"gate": {"loss": "utility"}}, "gate.loss", "found none"),
        ({"utility": {"costs": {"false_negative": "distnace"}}}, "utility", "did you mean"),
        ({"utility": {"costs": {"false_negative": "carrier"}}}, "utility.costs", "of type string"),
        (
            {"utility": {"costs": {"false_negative": "plane_year"}}},
            "utility.costs",
            "which may be missing",
        ),
        (
            {"utility": {"costs": {}}, "problem": "multiclass", "metric": "log_loss"},
            "utility.costs",
            "costs for a multiclass problem",
        ),
        ({"metric": "precision_at_0"}, "metric", "found 'precision_at_0'"),
    ],
)
def test_a_utility_that_cannot_be_is_refused(
    project: Path, keys: dict[str, object], where: str, found: str
) -> None:
    """By file, key and what was found."""
    change(project, lambda spec: spec.update(keys))

    with pytest.raises(ConfigurationError, match=rf"model\.yaml: {where}") as refused:
        manage("flights", settings_of(project))

    assert found in str(refused.value)


def test_a_utility_may_name_a_required_number(project: Path) -> None:
    """It is no feature by that, and the gate may compare by it."""
    change(
        project,
        lambda spec: spec.update(
            utility={"costs": {"false_negative": "distance", "false_positive": 3}},
            gate={"loss": "utility"},
        ),
    )

    spec = manage("flights", settings_of(project)).spec

    assert spec.utility is not None
    assert spec.utility.needs == ("distance",)
    assert spec.gate.loss == "utility"
