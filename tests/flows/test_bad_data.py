"""Bad data in the real flow: what a person is told, what is kept, and that the good batches go
through.
"""

from __future__ import annotations

import csv
import io
import random
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from deployments.command.look_cli import status
from flows.monitor import BatchRefusedError, monitor
from flows.steps.pending import is_idle
from tasks.configuration import ConfigurationError
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.registry.aliases import aliased_version
from tests.bad_data.shop import csv_text
from tests.conftest import run_flow
from tests.sample_contract import column, sample_contract, sample_rows

pytestmark = pytest.mark.flow

SPEC = {
    "model": "sales",
    "contract": "sales",
    "problem": "binary",
    "target": "returned",
    "batch": {"every": "day"},
    "training": {
        "first": 2,
        "candidates": [{"estimator": "sklearn.linear_model.LogisticRegression"}],
        "tuning": {"trials": 1},
    },
    "metric": "roc_auc",
}
FIRST = date(2013, 5, 13)
DAYS = tuple(str(FIRST + timedelta(days=i)) for i in range(5))


@pytest.fixture
def shop(use_home, tmp_path):
    """Settings of a shop that predicts which sales come back; five sound days wait in ``sound``."""
    project = tmp_path / "project"
    sample_contract(project / "data_contracts")
    (project / "deployments" / "sales").mkdir(parents=True)
    (project / "deployments" / "sales" / "model.yaml").write_text(
        yaml.safe_dump(SPEC), encoding="utf-8"
    )
    (tmp_path / "home" / "in").mkdir(parents=True)
    return use_home(tmp_path / "home", project)


def a_day(day: str, **columns) -> dict:
    """Columns of 120 sound sales of a day: the dearer one is, the likelier it comes back."""
    draw = random.Random(day)  # noqa: S311 - made-up sales
    start = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC) + timedelta(
        hours=12
    )
    amounts = [draw.uniform(0, 999) for _ in range(120)]
    rows = sample_rows(
        120, amount=amounts, returned=[draw.random() < amount / 999 for amount in amounts]
    )
    rows["sold_at"] = [start + timedelta(minutes=i) for i in range(120)]
    return rows | columns


def deliver(settings, day, content=None):
    """Write the file of a day: a sound one unless ``content`` says otherwise."""
    content = a_day(day) if content is None else content
    file = settings.home / "in" / f"{day}.csv"
    file.write_bytes(csv_text(content).encode() if isinstance(content, dict) else content)


def reasons(settings):
    """Batch, kind and reason of every decision, oldest first."""
    entries = ledger.history(open_ledger(settings.ledger_url), "sales")
    return [(entry.batch, entry.decision.kind, entry.decision.reason) for entry in entries]


def test_bad_days_are_told_and_kept_and_the_good_ones_go_through(shop):
    """A file that cannot be read, one without a column, one with broken rows and a sound one, in
    one run.
    """
    unreadable = csv_text(a_day(DAYS[0], note=["Zürich"] * 120)).encode("latin-1")
    deliver(shop, DAYS[0], unreadable)
    deliver(
        shop, DAYS[1], {name: cells for name, cells in a_day(DAYS[1]).items() if name != "amount"}
    )
    deliver(shop, DAYS[2], a_day(DAYS[2], shop=["X", "Y", "Z", *["A"] * 117]))
    deliver(shop, DAYS[3])

    with pytest.raises(BatchRefusedError) as caught:
        run_flow(monitor("sales"))

    first, second = str(caught.value).split("; sales ")
    assert first.startswith(
        f"sales {DAYS[0]} refused: {shop.home}/in/{DAYS[0]}.csv: cannot be read as utf-8: "
    )
    assert second.startswith(
        f"{DAYS[1]} refused: {shop.home}/in/{DAYS[1]}.csv: column amount is there: it is missing"
    )
    records = ledger.known_batches(open_ledger(shop.ledger_url), "sales")
    assert {id: record.verdict.outcome for id, record in records.items()} == {
        DAYS[1]: "refuse",
        DAYS[2]: "accept with quarantine",
        DAYS[3]: "accept",
    }
    assert records[DAYS[2]].verdict.reason.endswith("(3 rows, such as 'X', 'Y', 'Z')")
    assert all(record.completed for record in records.values())
    (kept,) = (shop.lake / "refused" / "sales" / DAYS[0]).iterdir()
    assert kept.read_bytes() == unreadable

    deliver(shop, DAYS[0])
    (record,) = run_flow(monitor("sales"))

    assert (record.batch.id, record.verdict.outcome) == (DAYS[0], "accept")
    assert kept.read_bytes() == unreadable


class Raises(LogisticRegression):
    """Raises in ``fit``, or gives no number."""

    def __init__(self, where: str = "fit") -> None:
        super().__init__()
        self.where = where

    def fit(self, X, y, sample_weight=None):
        """Fit, unless it is here that it raises."""
        if self.where == "fit":
            raise MemoryError("no room\nfor what comes in a second line")
        return super().fit(X, y)

    def predict_proba(self, X):
        """Predict, unless it is here that it fails."""
        if self.where == "predict":
            raise ValueError("a value is too large")
        return np.full((len(X), 2), np.nan)


def test_estimators_that_raise_are_left_out_by_name(shop, caplog):
    """The others go on, the decision says who was left out and why, and no trace is printed."""
    raises = f"{Raises.__module__}.{Raises.__qualname__}"
    spec = yaml.safe_load((shop.project / "deployments" / "sales" / "model.yaml").read_text())
    spec["training"]["candidates"] += [
        {"estimator": raises, "params": {"where": where}} for where in ("fit", "predict", "nan")
    ]
    (shop.project / "deployments" / "sales" / "model.yaml").write_text(yaml.safe_dump(spec))
    deliver(shop, DAYS[0])
    deliver(shop, DAYS[1])

    run_flow(monitor("sales"))

    assert aliased_version(shop, "sales", "champion") == 1
    (promoted,) = [why for _, kind, why in reasons(shop) if kind == "Promote"]
    assert "left out: Raises: MemoryError: no room; Raises: ValueError: a value is" in promoted
    assert promoted.endswith("; Raises: no trial has a finite loss")
    assert "Traceback" not in caplog.text


def test_champion_that_raises_for_every_row(shop):
    """The batch is taken in and its rows have no prediction, which asks for a retrain and is said;
    the next day goes on.
    """
    spec_file = shop.project / "deployments" / "sales" / "model.yaml"
    spec = yaml.safe_load(spec_file.read_text())
    forest = {"estimator": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 5}}
    spec["training"]["candidates"] = [forest]
    spec_file.write_text(yaml.safe_dump(spec))
    take_out_limits(shop, "amount")
    deliver(shop, DAYS[0])
    deliver(shop, DAYS[1])
    run_flow(monitor("sales"))
    deliver(shop, DAYS[2], a_day(DAYS[2], amount=[1e200] * 120))
    deliver(shop, DAYS[3])

    third, fourth = run_flow(monitor("sales"))

    assert (third.predictions.rows, third.predictions.unknown) == (120, 120)
    why = next(why for batch, _, why in reasons(shop) if batch == DAYS[2])
    assert "the champion gives no number for any of 120 rows" in why
    assert (fourth.completed, fourth.predictions.unknown) == (True, 0)


def take_out_limits(settings, name):
    """Take the limits of a column out of the contract."""
    (file,) = (settings.project / "data_contracts").glob("*.yaml")
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    column(document, name).pop("logicalTypeOptions")
    file.write_text(yaml.safe_dump(document), encoding="utf-8")


def test_growing_file_that_is_broken(shop, capsys):
    """It is refused by name, and status says so; nothing new is taken in until it is whole, and
    then all of it is.
    """
    sample_contract(
        shop.project / "data_contracts",
        lambda d: d["servers"][0].update(path="${KINGMAKER_HOME}/in/all.csv"),
    )
    file = shop.home / "in" / "all.csv"

    def grown(days):
        first, *others = (csv_text(a_day(day)) for day in days)
        return (first + "".join(text.partition("\n")[2] for text in others)).encode()

    file.write_bytes(grown(DAYS[:1]))
    run_flow(monitor("sales"))
    broken = grown(DAYS[:2]) + b'2013-05-15 12:00:00,"\xff\n'
    file.write_bytes(broken)

    with pytest.raises(
        BatchRefusedError, match=rf"^sales refused: {file}: cannot be read as utf-8: .*growing$"
    ):
        run_flow(monitor("sales"))

    assert not is_idle(manage("sales", shop), open_ledger(shop.ledger_url), datetime.now(UTC))
    status()
    assert f"waiting   {file}: cannot be read as utf-8: " in capsys.readouterr().out
    assert list(ledger.known_batches(open_ledger(shop.ledger_url), "sales")) == [DAYS[0]]
    (kept,) = (shop.lake / "refused" / "sales" / "growing").iterdir()
    assert kept.read_bytes() == broken

    file.write_bytes(grown(DAYS[:3]))
    assert [record.batch.id for record in run_flow(monitor("sales"))] == list(DAYS[1:3])
    assert aliased_version(shop, "sales", "champion") == 1


def test_one_class_in_the_target(shop):
    """Days on which everything comes back are accepted, scored and judged by their loss; no
    challenger is compared on them, and the champion goes on.
    """
    for day in DAYS[:2]:
        deliver(shop, day)
    run_flow(monitor("sales"))
    assert aliased_version(shop, "sales", "champion") == 1
    for day in DAYS[2:4]:
        deliver(shop, day, a_day(day, returned=[True] * 120))
    deliver(shop, DAYS[4])

    records = {record.batch.id: record for record in run_flow(monitor("sales"))}

    assert {record.predictions.version for record in records.values()} == {1}
    judged = [record.performances[0] for record in records.values()]
    assert [one.score is None for one in judged] == [True, True, False]
    assert [one.loss.known for one in judged] == [True, True, True]
    *_, (_, kind, reason) = [one for one in reasons(shop) if one[0] == DAYS[3]]
    assert kind == "Reject"
    assert "0 of 240 rows have another label than the most frequent one" in reason
    assert aliased_version(shop, "sales", "champion") == 1
    assert [(batch, kind) for batch, kind, _ in reasons(shop) if kind == "Promote"] == [
        (DAYS[1], "Promote")
    ]


def test_one_class_in_all_that_there_is(shop):
    """Nothing can be learned from one class: held by name; when the other class has come, a model
    is trained.
    """
    for day in DAYS[:2]:
        deliver(shop, day, a_day(day, returned=[True] * 120))

    run_flow(monitor("sales"))

    batch, kind, reason = reasons(shop)[-1]
    assert (batch, kind) == (DAYS[1], "Hold")
    assert reason.endswith("expected at least two classes in the target to train on, found one")
    deliver(shop, DAYS[2])
    run_flow(monitor("sales"))
    # A model was trained; two such days beside one sound one make it lean too far, and the gate
    # says so.
    assert [(batch, kind) for batch, kind, _ in reasons(shop)][-2:] == [
        (DAYS[2], "Retrain"),
        (DAYS[2], "Reject"),
    ]


def test_quarantine_can_be_looked_at(shop, capsys):
    """The command lists the broken rows with their rules, hides what is classified, and writes a
    CSV that is inert.
    """
    from deployments.command.look_cli import quarantine

    deliver(shop, DAYS[0], a_day(DAYS[0], shop=["=cmd()", *["A"] * 119]))
    deliver(shop, DAYS[1])
    run_flow(monitor("sales"))

    quarantine("sales", DAYS[0])
    listed = capsys.readouterr().out
    quarantine("sales", DAYS[0], as_csv=True)
    heading, row = csv.reader(io.StringIO(capsys.readouterr().out))
    quarantine("sales", DAYS[1])

    assert "shop:in_set" in listed
    found = dict(zip(heading, row, strict=True))
    assert (found["rules"], found["shop"], found["email"]) == ("shop:in_set", "'=cmd()", "(hidden)")
    assert "nothing in quarantine: accept" in capsys.readouterr().err
    with pytest.raises(
        ConfigurationError, match=r"expected a batch that sales has taken in, found '2013-06-01'"
    ):
        quarantine("sales", "2013-06-01")


def test_what_is_classified_stands_in_nothing_that_people_read(shop, caplog):
    """Not in pages, MLflow, ledger or log, whether its rows are sound, broken or refused; the lake
    alone has it.
    """
    for number, day in enumerate(DAYS[:4]):
        emails = [f"c4nary{number}-{i}@example.org" for i in range(120)]
        broken = {3: ["c4nary"] * 120, 2: ["c4nary", *emails[1:]]}.get(number, emails)
        deliver(shop, day, a_day(day, email=broken))

    with pytest.raises(BatchRefusedError, match="120 of 120 rows break a rule") as caught:
        run_flow(monitor("sales"))

    assert aliased_version(shop, "sales", "champion") == 1
    written = [
        p for p in shop.home.rglob("*") if p.is_file() and not p.is_relative_to(shop.home / "in")
    ]
    lake = {p for p in written if p.is_relative_to(shop.lake)}
    assert {"index.html", "mlflow.db", "ledger.db", "model.skops"} <= {p.name for p in written}
    assert [p for p in set(written) - lake if b"c4nary" in p.read_bytes()] == []
    tables = [p for p in set(written) - lake if p.suffix == ".parquet"]
    assert tables
    assert not any("email" in pq.read_schema(p).names for p in tables), (
        "what is compressed cannot be searched"
    )
    assert "c4nary" not in str(caught.value) + caplog.text
    assert any("email" in pq.read_schema(p).names for p in lake if p.suffix == ".parquet")
