"""What features that look back cost, against the bare queries, and what they are worth.

    python -m benchmarks.features [--quick] [--rows MILLIONS] [--repeat N] [--only speed gain]
    [--work DIR]

Prints Markdown tables:

- speed: ten features of every row of a lake, by two keys, over spans and numbers of rows; beside
  ten window queries by hand over the same Parquet files, with the same memory and threads. The bare
  ones know no lateness of a label, no revised batch and no row in quarantine, and check no file;
  each in a process of its own;
- gain: the demo's flights with three such features, the same with a gap of a week, and without: the
  same model, trained on the first half of the year, judged on the second.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from benchmarks.harness import (
    COSTS,
    Cost,
    arguments,
    cells,
    cost_of_module,
    heading,
    machine,
    ratios_to,
    row,
)
from deployments.flights.extract import extract
from tasks.batches import Batch
from tasks.features.config import FeaturesConfig, HistoryConfig
from tasks.features.frame import build_by_spec
from tasks.features.history import add_history
from tasks.features.past import MEMORY
from tasks.ingest.arrivals import closed_batches
from tasks.ingest.task import ingest
from tasks.lake import file_sha256, read_snapshot
from tasks.model_spec import ManagedModel, manage
from tasks.records import FeatureFrame, Part, Past, Revision, Snapshot
from tasks.settings import REPOSITORY, Settings

# ruff: noqa: S608 - the SQL is written down here

START = datetime(2020, 1, 1, tzinfo=UTC)
BATCHES = 16
"""Months that the rows are cut into, as far as the lake is concerned."""
DAY = 86_400_000_000
"""Microseconds."""
CUSTOMERS, SHOPS = 100_000, 200
SALES = {
    "apiVersion": "v3.1.0",
    "kind": "DataContract",
    "id": "urn:bench:sales",
    "name": "sales",
    "version": "1.0.0",
    "status": "active",
    "servers": [
        {"server": "none", "type": "local", "path": "{batch}.parquet", "format": "parquet"}
    ],
    "schema": [
        {
            "name": "sales",
            "customProperties": [{"property": "eventTime", "value": "sold_at"}],
            "properties": [
                {"name": "sold_at", "logicalType": "timestamp"},
                {"name": "customer", "logicalType": "integer"},
                {"name": "shop", "logicalType": "integer"},
                {"name": "amount", "logicalType": "number"},
                {
                    "name": "returned",
                    "logicalType": "integer",
                    "customProperties": [{"property": "availability", "value": "later"}],
                },
            ],
        }
    ],
}
SPEC = {
    "model": "sales",
    "contract": "sales",
    "problem": "binary",
    "target": "returned",
    "batch": {"every": "month"},
    "labels": {"delay": "1d"},
}
WEEK, MONTH = timedelta(days=7), timedelta(days=30)
FEATURES = (
    HistoryConfig(name="f0", function="count", by=("customer",), over=MONTH),
    HistoryConfig(name="f1", function="mean", column="amount", by=("customer",), over=MONTH),
    HistoryConfig(name="f2", function="max", column="amount", by=("customer",), over=MONTH),
    HistoryConfig(name="f3", function="std", column="amount", by=("customer",), over=MONTH),
    HistoryConfig(name="f4", function="last", column="amount", by=("customer",), over=MONTH),
    HistoryConfig(name="f5", function="mean", column="amount", by=("customer",), rows=5),
    HistoryConfig(name="f6", function="time_since_last", by=("customer",), over=MONTH),
    HistoryConfig(name="f7", function="sum", column="amount", by=("shop",), over=WEEK),
    HistoryConfig(name="f8", function="count", by=("shop",), over=WEEK),
    HistoryConfig(name="f9", function="share", column="returned", value=1, by=("shop",), over=WEEK),
)
_SPAN = "PARTITION BY {} ORDER BY epoch_us(sold_at) RANGE BETWEEN {} PRECEDING AND {} PRECEDING"
_MONTHLY = _SPAN.format("customer", 30 * DAY, 1)
_WEEKLY = _SPAN.format("shop", 7 * DAY, 1)
BARE = (
    f"count(*) OVER ({_MONTHLY})",
    f"avg(amount) OVER ({_MONTHLY})",
    f"max(amount) OVER ({_MONTHLY})",
    f"stddev_samp(amount) OVER ({_MONTHLY})",
    f"last_value(amount) OVER ({_MONTHLY})",
    "avg(amount) OVER (PARTITION BY customer ORDER BY sold_at ROWS BETWEEN 5 PRECEDING"
    " AND 1 PRECEDING)",
    f"epoch_us(sold_at) - max(epoch_us(sold_at)) OVER ({_MONTHLY})",
    f"sum(amount) OVER ({_WEEKLY})",
    f"count(*) OVER ({_WEEKLY})",
    f"avg(returned) OVER ({_SPAN.format('shop', 8 * DAY, DAY + 1)})",
)
FLIGHTS = (
    HistoryConfig(
        name="late_7d",
        function="share",
        column="late",
        value=1,
        by=("carrier", "origin"),
        over=WEEK,
    ),
    HistoryConfig(name="flown_2d", function="count", by=("tailnum",), over=timedelta(days=2)),
    HistoryConfig(name="delay_5", function="mean", column="arr_delay", by=("tailnum",), rows=5),
)
WEEK_BEFORE = tuple(one.model_copy(update={"gap": WEEK}) for one in FLIGHTS)
"""What is known of a whole week on its Monday, when the demo scores it."""


def write_lake(directory: Path, rows: int) -> None:
    """Write a project of sales, and its rows month by month, in parts of a million at most."""
    for name, document in (("data_contracts/sales.odcs", SALES), ("deployments/sales/model", SPEC)):
        file = directory / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
    random = np.random.default_rng(0)
    each = rows // BATCHES
    for number, batch in enumerate(_months(_sales(directory))):
        length = int((batch.end - batch.start).total_seconds() * 1e6)
        moments = np.sort(random.integers(0, length, each))
        start = int(batch.start.timestamp() * 1e6)
        table = pa.table(
            {
                "sold_at": pa.array(start + moments).cast(pa.timestamp("us", tz="UTC")),
                "customer": random.integers(0, CUSTOMERS, each),
                "shop": random.integers(0, SHOPS, each),
                "amount": random.gamma(2.0, 20.0, each).round(2),
                "returned": random.integers(0, 2, each),
            }
        )
        path = directory / "home" / "lake" / f"{number:02d}" / "0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path, compression="zstd")


def _sales(directory: Path) -> ManagedModel:
    managed = manage("sales", Settings(home=directory / "home", project=directory))
    config = FeaturesConfig(history=FEATURES)
    return replace(managed, spec=managed.spec.model_copy(update={"features": config}))


def _months(managed: ManagedModel) -> Iterator[Batch]:
    batch = managed.rows.batch_of(START)
    for _ in range(BATCHES):
        yield batch
        batch = managed.rows.batch_of(batch.end)


def ours(directory: Path) -> None:
    """Make the ten features of every row."""
    managed = _sales(directory)
    lake = managed.settings.lake
    revisions = []
    for number, batch in enumerate(_months(managed)):
        file = lake / f"{number:02d}" / "0.parquet"
        rows = pq.read_metadata(file).num_rows
        snapshot = Snapshot(
            contract="sales",
            contract_version="1.0.0",
            batch=batch,
            sha256=f"{number:064d}",
            rows=rows,
            parts=(Part(file="0.parquet", rows=rows, sha256=file_sha256(file)),),
            path=file.parent.name,
            source="here",
        )
        revisions.append(Revision(snapshot=snapshot, accepted=True))
    past = Past(datetime(2030, 1, 1, tzinfo=UTC), rows=tuple(revisions))
    asked = pa.concat_tables(
        pq.read_table(file, columns=["sold_at", "customer", "shop"]) for file in _files(directory)
    )
    made = add_history(managed, {"all": asked}, past)["all"]
    print(sum(float(np.nansum(made[one.name].to_numpy())) for one in FEATURES))


def bare(directory: Path) -> None:
    """Run ten queries, and take their columns as ours are taken."""
    files = [str(file) for file in _files(directory)]
    with (
        tempfile.TemporaryDirectory(dir=directory) as scratch,
        duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": scratch}) as connection,
    ):
        total = 0.0
        for query in BARE:
            found = connection.execute(
                f"SELECT {query} AS v FROM read_parquet($files)", {"files": files}
            )
            total += float(np.nansum(found.to_arrow_table()["v"].to_numpy()))
    print(total)


def _files(directory: Path) -> list[Path]:
    return sorted((directory / "home" / "lake").glob("*/0.parquet"))


def speed(directory: Path, rows: int, repeat: int) -> None:
    """Time both."""
    write_lake(directory, rows)
    took: dict[str, list[Cost]] = {"bare": [], "ours": []}
    for _ in range(repeat):
        for way, costs in took.items():
            costs.append(cost_of_module("benchmarks.features", way, str(directory)))
    heading("ten features", "rows", *COSTS, *ratios_to("bare"))
    row("bare queries", f"{rows:,}", *cells(took["bare"]), "1.00", "1.00")
    row("ours", f"{rows:,}", *cells(took["ours"], took["bare"]))


def flights(directory: Path, months: int) -> tuple[ManagedModel, dict[str, pa.Table], Past]:
    """Take in the first months of the demo's flights below ``directory``; return its model, their
    rows by batch, and what features of theirs may look back on.
    """
    for name in ("data_contracts", "deployments/flights"):
        shutil.copytree(REPOSITORY / name, directory / name)
    settings = Settings(home=directory / "home", project=directory)
    extract(settings.home / "sources" / "flights")
    with _environment_of(settings):
        managed = manage("flights", settings)
        found = closed_batches(managed.rows, datetime(2014, 2, 1, tzinfo=UTC))[:months]
        snapshots = [ingest.fn(managed.rows, source) for source in found]
    past = Past(
        datetime(2014, 2, 1, tzinfo=UTC),
        rows=tuple(Revision(snapshot=one, accepted=True) for one in snapshots),
    )
    return managed, {one.batch.id: read_snapshot(settings.lake, one) for one in snapshots}, past


def gain(directory: Path, months: int, rows: int) -> None:
    """Judge the demo's boosted trees with three features that look back, up to the flight's moment
    or to a week before it, and without.
    """
    managed, tables, past = flights(directory, months)
    heading("features", "ROC AUC", "log loss", "late_7d missing")
    for name, history in (
        ("the demo's", ()),
        ("and three that look back", FLIGHTS),
        ("and the three, a week before", WEEK_BEFORE),
    ):
        features = managed.spec.features.model_copy(update={"history": history})
        own = replace(managed, spec=managed.spec.model_copy(update={"features": features}))
        frame = build_by_spec(own, add_history(own, tables, past), dict.fromkeys(tables, ""))
        print_gain(name, frame.where(frame.target.notna().to_numpy()), sorted(tables), rows)


def print_gain(name: str, frame: FeatureFrame, months: Sequence[str], rows: int) -> None:
    """Train on the older half of the months, and judge on the newer one."""
    older = frame.batch.isin(months[: len(months) // 2]).to_numpy()
    train, test = frame.where(older).sample(rows, seed=0), frame.where(~older)
    categorical = list(frame.schema.categorical)
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("codes", encode, categorical)], remainder="passthrough")
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=150, random_state=0))
    model.fit(train.features, train.target)
    predicted = model.predict_proba(test.features)[:, 1]
    auc, loss = roc_auc_score(test.target, predicted), log_loss(test.target, predicted)
    gaps = test.features["late_7d"].isna().mean() if "late_7d" in test.features else None
    row(name, f"{auc:.4f}", f"{loss:.4f}", "" if gaps is None else f"{gaps:.1%}")


@contextmanager
def _environment_of(settings: Settings) -> Iterator[None]:
    """The source of the flights lies below ``KINGMAKER_HOME``, which the contract refers to."""
    import os

    before = os.environ.get("KINGMAKER_HOME")
    os.environ["KINGMAKER_HOME"] = str(settings.home)
    try:
        yield
    finally:
        del os.environ["KINGMAKER_HOME"]
        if before is not None:
            os.environ["KINGMAKER_HOME"] = before


def main() -> None:
    """Print what was asked for."""
    parser = arguments(__doc__, "a hundred thousand rows, and two months of flights")
    parser.add_argument("--rows", type=float, default=16.0, help="millions of rows")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=("speed", "gain"), default=("speed", "gain"))
    given = parser.parse_args()
    rows = 100_000 if given.quick else int(given.rows * 1e6)
    machine(1 if given.quick else given.repeat)
    with tempfile.TemporaryDirectory(dir=given.work) as temporary:
        if "speed" in given.only:
            speed(Path(temporary) / "sales", rows, 1 if given.quick else given.repeat)
        if "gain" in given.only:
            most = 5_000 if given.quick else 10**9
            gain(Path(temporary) / "flights", 2 if given.quick else 12, most)


if __name__ == "__main__":
    if sys.argv[1:2] in (["ours"], ["bare"]):
        {"ours": ours, "bare": bare}[sys.argv[1]](Path(sys.argv[2]))
    else:
        main()
