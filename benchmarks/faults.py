"""Which planted faults are found, by whom, and how often an unaltered batch is called wrong.

    python -m benchmarks.faults [--data DIR] [--streams flights beijing_pm25 ...] [--batches N]
    [--faults N] [--without evidently classifier pca contract]

``--data`` names a folder of streams, each a folder with a data.csv.gz of columns ``ts``, features
and ``y``; without it the built-in example's flights are the one stream. Batches are held against
the six before them; in each, every fault is planted in turn. Found is a fault whose column is named
with it and is not named without it; by what names no column, an alarm with it where there is none
without it. Side by side:

- ours: the drift report;
- contract: what ``kingmaker contract infer`` proposes of the baseline's rows;
- Evidently: its drift preset, as it comes;
- classifier: boosted trees that tell baseline from batch, where they do it better than they tell
  any earlier batch from the others;
- PCA: rows that the baseline's main components rebuild worse than those of any earlier batch.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from benchmarks.drift import Stream, interval, stream_of
from benchmarks.harness import arguments, heading, machine, row, takes_data
from data_contracts.contract import load_contract
from tasks.batches import Batch
from tasks.drift.config import DriftConfig
from tasks.drift.histograms import count_part
from tasks.drift.profile import make_profile
from tasks.drift.relations import draw_rows, learn_relations
from tasks.drift.summary import summarise_drift
from tasks.ingest.infer import infer_contract, read_typed
from tasks.records import BaselineProfile, FeatureDrift, FeatureFrame, FeatureSchema
from tasks.validation.scan import scan_rules
from tasks.validation.sql_rule import run_query

BASELINE = 6
"""Batches before the one that is looked at."""
PERIODS = {"flights": "M", "beijing_pm25": "M", "noaa_weather": "Q"}
"""How long a batch of a stream is, as pandas has it; weeks where nothing is said."""
ROWS = 5_000
"""Rows of each side that the other ways look at."""
WAYS = ("ours", "contract", "Evidently", "classifier", "PCA")

Rng = np.random.Generator
Plant = Callable[[pd.DataFrame, str, Rng], pd.DataFrame]


def _share(share: float, value: Callable[[pd.Series], object]) -> Plant:
    """A fault in a share of the rows of one column."""

    def plant(rows: pd.DataFrame, column: str, rng: Rng) -> pd.DataFrame:
        broken = rng.random(len(rows)) < share
        changed = rows[column].mask(broken, value(rows[column]))
        return rows.assign(**{column: changed.astype(rows[column].dtype)})

    return plant


def _whole(change: Callable[[pd.Series], pd.Series | np.ndarray]) -> Plant:
    """A fault in every row of one column."""
    return lambda rows, column, _: rows.assign(**{column: change(rows[column])})


def _swapped(rows: pd.DataFrame, column: str, rng: Rng) -> pd.DataFrame:
    others = [str(c) for c in rows if c != column and rows[c].dtype == "float64"]
    other = str(rng.choice(others))
    return rows.assign(**{column: rows[other].to_numpy(), other: rows[column].to_numpy()})


def _doubled(rows: pd.DataFrame, column: str, _: Rng) -> pd.DataFrame:
    upper = rows[rows[column] > rows[column].median()]
    return pd.concat([rows, upper, upper], ignore_index=True)


def _dropped(rows: pd.DataFrame, column: str, _: Rng) -> pd.DataFrame:
    return rows[~(rows[column] > rows[column].quantile(0.6))].reset_index(drop=True)


NUMBERS: dict[str, Plant] = {
    "Fahrenheit as Celsius": _whole(lambda s: (s - 32) / 1.8),
    "miles as kilometres": _whole(lambda s: s * 1.609),
    "thousands": _whole(lambda s: s / 1000),
    "sign lost": _whole(lambda s: -s),
    "shifted by 1 sd": _whole(lambda s: s + s.std()),
    "stuck at the median": _whole(lambda s: s * 0 + s.median()),
    "slipped by a tenth of the rows": _whole(lambda s: np.roll(s.to_numpy(), len(s) // 10)),
    "5% missing": _share(0.05, lambda _: np.nan),
    "20% missing": _share(0.2, lambda _: np.nan),
    "50% missing": _share(0.5, lambda _: np.nan),
    "20% are 0": _share(0.2, lambda _: 0.0),
    "20% are -999": _share(0.2, lambda _: -999.0),
    "rounded to tens": _whole(lambda s: (s / 10).round() * 10),
    "two columns swapped": _swapped,
    "a group three times": _doubled,
    "a group is gone": _dropped,
}
WORDS: dict[str, Plant] = {
    "a category renamed": _whole(lambda s: s.replace(s.mode()[0], s.mode()[0] + "_new")),
    "two categories merged": _whole(lambda s: s.replace(*s.value_counts().index[:2])),
    "text cut to one letter": _whole(lambda s: s.str[:1]),
    "all in lower case": _whole(lambda s: s.str.lower()),
}


@dataclass(frozen=True)
class Case:
    """The rows before a batch, each with the number of its batch, and the batch."""

    stream: Stream
    times: pd.Series
    before: np.ndarray
    number: np.ndarray
    batch: np.ndarray


def read(data: Path | None) -> Iterator[tuple[str, pd.DataFrame]]:
    """Read each stream below ``data``, or the built-in flights: its name, and rows in their order,
    with ``ts``, features and ``y``.
    """
    if data is None:
        from deployments.flights.extract import extract

        with tempfile.TemporaryDirectory() as directory:
            extract(Path(directory))
            files = sorted(Path(directory).glob("*.csv.gz"))
            rows = pd.concat([pd.read_csv(file, low_memory=False) for file in files])
        rows = rows.dropna(subset=["late"]).rename(
            columns={"scheduled_departure": "ts", "late": "y"}
        )
        rows["ts"] = pd.to_datetime(rows["ts"], utc=True).dt.tz_localize(None)
        rows = rows.drop(columns=rows.columns[rows.columns.str.contains("delay|tailnum|^flight$")])
        yield "flights", rows.sort_values("ts", ignore_index=True)
        return
    for file in sorted(data.glob("*/data.csv.gz")):
        rows = pd.read_csv(file, parse_dates=["ts"])
        yield file.parent.name, rows.sort_values("ts", ignore_index=True)


def cases(stream: Stream, times: pd.Series, most: int) -> Iterator[Case]:
    """Return so many batches of a stream, evenly spaced, with the ``BASELINE`` before each."""
    naive = times.dt.tz_localize(None)
    periods = naive.dt.to_period(PERIODS.get(stream.name, "W"))
    number, _ = pd.factorize(periods, sort=True)
    last = int(number.max())  # the last one may be cut off
    chosen = np.linspace(BASELINE, last - 1, min(most, last - BASELINE)).round().astype("int64")
    for one in sorted(set(chosen.tolist())):
        before = np.flatnonzero((number >= one - BASELINE) & (number < one))
        batch = np.flatnonzero(number == one)
        yield Case(stream, times, before, number[before], batch)


def _frame(case: Case, rows: np.ndarray, features: pd.DataFrame | None = None) -> FeatureFrame:
    own = case.stream.features.iloc[rows].reset_index(drop=True) if features is None else features
    times = case.times.iloc[np.resize(rows, len(own))].reset_index(drop=True)
    words = tuple(c for c in own if own[c].dtype != "float64")
    schema = FeatureSchema(numerical=tuple(c for c in own if c not in words), categorical=words)
    batch = pd.Series(np.resize(rows, len(own))).map(
        dict(zip(case.before, case.number.astype("str"), strict=True))
    )
    batch = batch.fillna("new").astype("str")
    return FeatureFrame(
        features=own[list(schema.names)],
        target=pd.Series(case.stream.target[np.resize(rows, len(own))]),
        event_time=times.astype("datetime64[us, UTC]"),
        batch=batch,
        slices=pd.DataFrame(index=own.index),
        keys=pd.DataFrame({"ts": times}),
        schema=schema,
        snapshots=dict.fromkeys(sorted(set(batch)), ""),
    )


# --- the ways: each returns what it names, and "" for an alarm that names no column ---------------

Detector = Callable[[pd.DataFrame], set[str]]


def ours(case: Case) -> Callable[[pd.DataFrame], list[str]]:
    """Name what the drift report calls unusual, what is to blame first."""
    train, predicted = _frame(case, case.before), case.stream.predicted
    profile: BaselineProfile = make_profile(
        train,
        train.where(np.arange(len(train)) >= len(train) * 4 // 5),
        predicted[case.before][len(train) * 4 // 5 :],
        (np.arange(len(train)), predicted[case.before]),
        {},
    )
    profile = learn_relations(profile, train, 0)

    def order(f: FeatureDrift) -> tuple[int, float]:
        leans = 0 if f.relation is None else len(f.relation.leans_on)
        return leans, f.p_value if f.p_value is not None else 1.0

    def named(features: pd.DataFrame) -> list[str]:
        batch = _frame(case, case.batch, features)
        rows = np.resize(case.batch, len(features))
        counts = count_part(profile, batch, predicted[rows])
        sample = draw_rows(profile, batch.features, DriftConfig().sample, 0)
        found = summarise_drift(profile, 1, "b", counts, DriftConfig(), 0, sample=sample)
        unusual = [f for f in found.inputs if f.outcome == "unusual"]
        return [f.feature for f in sorted(unusual, key=order)]

    return named


def by_contract(case: Case, directory: Path) -> Detector:
    """Name the columns whose rules break, of the contract that is inferred from the baseline."""
    times = case.times.dt.tz_convert("UTC")
    source = directory / "before.parquet"

    def stored(file: Path, rows: np.ndarray, features: pd.DataFrame) -> Path:
        own = features.assign(ts=times.iloc[np.resize(rows, len(features))].to_numpy())
        table = pa.Table.from_pandas(own, preserve_index=False)
        at = table.column_names.index("ts")
        pq.write_table(
            table.set_column(at, "ts", table["ts"].cast(pa.timestamp("us", "UTC"))), file
        )
        return file

    stored(source, case.before, case.stream.features.iloc[case.before])
    file = directory / "rows.odcs.yaml"
    file.write_text(infer_contract(read_typed(source, time="ts"), "rows", event_time="ts"))
    contract = load_contract(file)
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (1900, 2100))
    ever = Batch(id="all", start=start, end=end)

    def named(features: pd.DataFrame) -> set[str]:
        parts = [stored(directory / "batch.parquet", case.batch, features)]
        rules = [r for r in contract.rules if set(r.columns) <= set(features) and r.columns]
        broken = {
            column
            for result in scan_rules(parts, rules, contract, ever, directory)
            if not result.success
            for column in result.rule.columns
        }
        for rule in contract.rules:
            if rule.check == "sql" and not run_query(rule, contract, parts)[0]:
                broken |= {str(c) for c in features if f'"{c}"' in str(rule.arguments)}
        return broken

    return named


def by_evidently(case: Case) -> Detector:
    """Name what Evidently's drift preset names."""
    warnings.simplefilter("ignore")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    reference = _drawn(case.stream.features.iloc[case.before])

    def named(features: pd.DataFrame) -> set[str]:
        now = _drawn(features)
        usable = [c for c in now if now[c].notna().any() and reference[c].notna().any()]
        words = [c for c in usable if now[c].dtype != "float64"]
        kinds = DataDefinition(
            numerical_columns=[c for c in usable if c not in words], categorical_columns=words
        )
        run = Report([DataDriftPreset()], include_tests=True).run(
            Dataset.from_pandas(now[usable], data_definition=kinds),
            Dataset.from_pandas(reference[usable], data_definition=kinds),
        )
        return {
            str(test["metric_config"]["params"]["column"])
            for test in run.dict()["tests"]
            if test["status"] == "FAIL" and "column" in test["metric_config"]["params"]
        }

    return named


def _drawn(features: pd.DataFrame) -> pd.DataFrame:
    return features.sample(min(len(features), ROWS), random_state=0).reset_index(drop=True)


def _as_numbers(features: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Words by the number of their category in ``like``, -1 for one that is not there."""
    return pd.DataFrame(
        {
            c: features[c]
            if features[c].dtype == "float64"
            else pd.Categorical(features[c], categories=sorted(set(like[c]))).codes.astype(
                "float64"
            )
            for c in features
        }
    )


def _beyond_earlier(case: Case, score: Callable[[pd.DataFrame, pd.DataFrame], float]) -> Detector:
    """Alarm where a batch scores above every earlier one, each against the others."""
    whole = _as_numbers(case.stream.features.iloc[case.before], case.stream.features)
    known = [
        score(_drawn(whole[case.number != one]), _drawn(whole[case.number == one]))
        for one in sorted(set(case.number))
    ]
    limit, reference = max(known), _drawn(whole)

    def named(features: pd.DataFrame) -> set[str]:
        now = _as_numbers(features, case.stream.features)
        return {""} if score(reference, _drawn(now)) > limit else set()

    return named


def _told_apart(before: pd.DataFrame, now: pd.DataFrame) -> float:
    """How well boosted trees tell rows apart that they were not fitted to: the area under ROC."""
    rows = pd.concat([before, now]).to_numpy()
    which = np.repeat([0, 1], [len(before), len(now)])
    half = np.random.default_rng(0).random(len(rows)) < 0.5
    model = HistGradientBoostingClassifier(max_iter=30, random_state=0).fit(rows[half], which[half])
    return float(roc_auc_score(which[~half], model.predict_proba(rows[~half])[:, 1]))


def _rebuilt(before: pd.DataFrame, now: pd.DataFrame) -> float:
    """How badly the main components of ``before`` rebuild ``now``, on average."""
    middle = before.median().fillna(0.0)
    scale = StandardScaler().fit(before.fillna(middle))
    pca = PCA(0.8, svd_solver="full").fit(scale.transform(before.fillna(middle)))
    rows = scale.transform(now.fillna(middle))
    away = rows - pca.inverse_transform(pca.transform(rows))
    return float(np.mean(away**2))


def detectors(case: Case, directory: Path, ways: Sequence[str]) -> dict[str, Detector]:
    """Return the other ways that are asked for, ready to look at batches."""
    made: dict[str, Callable[[], Detector]] = {
        "contract": lambda: by_contract(case, directory),
        "Evidently": lambda: by_evidently(case),
        "classifier": lambda: _beyond_earlier(case, _told_apart),
        "PCA": lambda: _beyond_earlier(case, _rebuilt),
    }
    return {name: make() for name, make in made.items() if name in ways}


def faults_of(features: pd.DataFrame, most: int, rng: Rng) -> Iterator[tuple[str, str, Plant]]:
    """Return so many faults, drawn, each with a column that it can befall."""
    numbers = [c for c in features if features[c].dtype == "float64" and features[c].nunique() > 20]
    words = [c for c in features if features[c].dtype != "float64" and len(set(features[c])) > 1]
    every = [(name, plant, numbers) for name, plant in NUMBERS.items()]
    every += [(name, plant, words) for name, plant in WORDS.items()]
    for i in np.sort(rng.permutation(len(every))[:most]):
        name, plant, columns = every[i]
        if columns:
            yield name, str(rng.choice(columns)), plant


def _changed(before: pd.DataFrame, after: pd.DataFrame) -> set[str]:
    """The columns that a fault changed; of more or fewer rows, all of them may be named."""
    if len(before) != len(after):
        return set(map(str, after))
    return {str(c) for c in after if not after[c].equals(before[c])}


@dataclass(frozen=True)
class Tally:
    """What was found, way by way."""

    ways: tuple[str, ...]
    alarms: dict[str, list[bool]]
    """Of unaltered batches."""
    found: dict[str, dict[str, list[bool]]]
    """Fault -> way -> whether it was found."""
    by_stream: dict[str, list[bool]]
    """Stream -> whether the report found a fault."""
    first: list[bool]
    """Whether what the report names first is to blame, of faults of columns that it finds."""


def look_at(case: Case, number: int, most: int, tally: Tally) -> None:
    """Look at a batch as it is, and with each fault in it, in every way."""
    rng = np.random.default_rng([number, len(case.times)])
    with tempfile.TemporaryDirectory() as directory:
        report, others = ours(case), detectors(case, Path(directory), tally.ways)
        whole = case.stream.features.iloc[case.batch].reset_index(drop=True)
        plain = {"ours": set(report(whole))} | {way: look(whole) for way, look in others.items()}
        for way in tally.ways:
            tally.alarms[way].append(bool(plain[way]))
        for fault, column, plant in faults_of(whole, most, rng):
            broken = plant(whole, column, rng)
            if not (culprits := _changed(whole, broken)):
                continue
            named = report(broken)
            told = {"ours": set(named)} | {way: look(broken) for way, look in others.items()}
            hits = {w: bool((told[w] - plain[w]) & (culprits | {""})) for w in tally.ways}
            for way, hit in hits.items():
                tally.found.setdefault(fault, {w: [] for w in tally.ways})[way].append(hit)
            tally.by_stream.setdefault(case.stream.name, []).append(hits["ours"])
            if hits["ours"] and len(culprits) < len(whole.columns):
                tally.first.append(named[0] in culprits)


def tell(tally: Tally) -> None:
    """Print the tables."""
    ways, reports = tally.ways, len(tally.alarms["ours"])
    print(f"\n{reports} unaltered batches\n")
    heading("", *ways)
    told = [interval(sum(tally.alarms[way]), reports) for way in ways]
    row("alarms on unaltered batches", *told)
    every = {way: [hit for hits in tally.found.values() for hit in hits[way]] for way in ways}
    row("faults found", *(f"{np.mean(every[way]):.0%} of {len(every[way])}" for way in ways))
    for fault, hits in tally.found.items():
        row(fault, *(f"{np.mean(hits[way]):.0%} of {len(hits[way])}" for way in ways))
    if "contract" in ways:
        either = np.logical_or(every["ours"], every["contract"])
        print(f"\nBy report or contract: {either.mean():.0%} of {len(either)}.")
    if tally.first:
        share, of = np.mean(tally.first), len(tally.first)
        print(f"What is to blame is named first in {share:.0%} of {of} that are found.")
    for name, own in tally.by_stream.items():
        print(f"{name}: the report finds {np.mean(own):.0%} of {len(own)}.")


def main(argv: Sequence[str] | None = None) -> None:
    """Plant faults in the batches of each stream, and print what was found."""
    parser = arguments(__doc__, "two batches of each stream")
    takes_data(parser)
    parser.add_argument("--streams", nargs="*", default=[])
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--faults", type=int, default=len(NUMBERS) + len(WORDS))
    parser.add_argument("--without", nargs="*", default=[], choices=[w.lower() for w in WAYS[1:]])
    asked = parser.parse_args(argv)
    machine(1)
    ways = tuple(way for way in WAYS if way.lower() not in asked.without)
    tally = Tally(ways, {way: [] for way in ways}, {}, {}, [])
    for name, rows in read(asked.data):
        if asked.streams and name not in asked.streams:
            continue
        target = rows["y"].to_numpy(dtype="float64")
        stream = stream_of(name, rows.drop(columns=["ts", "y"]), target)
        times = rows["ts"].dt.tz_localize("UTC")
        for number, case in enumerate(cases(stream, times, 2 if asked.quick else asked.batches)):
            look_at(case, number, asked.faults, tally)
    tell(tally)


if __name__ == "__main__":
    main()
