"""How often a drift report is wrong, what it finds, and what it costs.

    python -m benchmarks.drift [--data DIR] [--quick] [--reports N] [--sizes N ...]
    [--only shuffled autocorrelated evidently speed] [--parts DIR] [--work DIR]

``--data`` names a folder of streams, each a folder with a data.csv.gz of columns ``ts``, features
and ``y``; without it the built-in example's flights are the one stream. Prints Markdown tables:

- shuffled: rows drawn at random, so nothing has drifted; the share of reports that name anything at
  all (95% interval by Clopper and Pearson), and the share of planted shifts that are found, by size
  of the batch. The baseline is six batches;
- autocorrelated: the same on consecutive blocks of stationary autoregressive series, beside
  thresholds that take rows for independent;
- evidently: Evidently's own preset on the same shuffled rows;
- speed: a verdict on 16 million rows by parts, beside one scan of the same columns by DuckDB; each
  in a process of its own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats
from scipy.signal import lfilter
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from benchmarks.harness import (
    COSTS,
    Cost,
    arguments,
    cells,
    cost_of_module,
    folder,
    heading,
    ratios_to,
    row,
    takes_data,
)
from tasks.drift.config import DriftConfig
from tasks.drift.histograms import count_part
from tasks.drift.profile import make_profile
from tasks.drift.relations import draw_rows, learn_relations
from tasks.drift.summary import summarise_drift
from tasks.records import BaselineProfile, DriftSummary, FeatureFrame, FeatureSchema

# ruff: noqa: S608 - the SQL is written down here


SIZES = (50, 200, 1_000, 5_000, 50_000)
BATCHES = 6
"""Batches in the baseline."""
LEAST = 75
"""Reports of each size: with fewer, the interval of a rate of 0 reaches beyond 5%."""
DAYS = 30
PART = 500_000
SHIFTS = ("mean + 0.5 sd", "share doubled", "missing + 10 points")
PLAIN = ("wind_dir", "dow", "season", "weathersit", "cbwd", "carrier", "origin")
"""Columns that are categories, whatever they are written as."""


@dataclass(frozen=True)
class Stream:
    """Rows to draw from: features (float64 and str), target, and a model's predictions."""

    name: str
    features: pd.DataFrame
    target: np.ndarray
    predicted: np.ndarray


def streams(data: Path | None) -> Iterator[Stream]:
    """Read each stream below ``data``, or the built-in flights."""
    if data is None:
        from deployments.flights.extract import extract

        with tempfile.TemporaryDirectory() as directory:
            extract(Path(directory))
            months = [
                pd.read_csv(file, low_memory=False)
                for file in sorted(Path(directory).glob("*.csv.gz"))
            ]
        rows = pd.concat(months, ignore_index=True).dropna(subset=["late"])
        times = rows.columns[
            rows.columns.str.contains("scheduled_departure|delay|tailnum|^flight$")
        ]
        yield stream_of(
            "flights", rows.drop(columns=[*times, "late"]), rows["late"].to_numpy(dtype="float64")
        )
        return
    for file in sorted(data.glob("*/data.csv.gz")):
        rows = pd.read_csv(file)
        yield stream_of(
            file.parent.name, rows.drop(columns=["ts", "y"]), rows["y"].to_numpy(dtype="float64")
        )


def stream_of(name: str, features: pd.DataFrame, target: np.ndarray) -> Stream:
    """Make categories text and numbers float64, and predict every row by a small boosted model."""
    words = [c for c in features if c in PLAIN or not pd.api.types.is_numeric_dtype(features[c])]
    features = pd.DataFrame(
        {
            c: (
                features[c].fillna("(missing)").astype("str")
                if c in words
                else features[c].astype("float64")
            )
            for c in features
        }
    )
    numbers = features.drop(columns=words).to_numpy()
    fit = np.random.default_rng(0).choice(len(target), min(len(target), 20_000), replace=False)
    if len(np.unique(target)) == 2:
        model = HistGradientBoostingClassifier(max_iter=30, random_state=0).fit(
            numbers[fit], target[fit]
        )
        predicted = model.predict_proba(numbers)[:, 1]
    else:
        predicted = (
            HistGradientBoostingRegressor(max_iter=30, random_state=0)
            .fit(numbers[fit], target[fit])
            .predict(numbers)
        )
    return Stream(name, features, target, predicted)


def frame_of(features: pd.DataFrame, target: np.ndarray, first: float, last: float) -> FeatureFrame:
    """Spread rows evenly over the days from ``first`` to ``last``, in batches of thirty days."""
    features = features.reset_index(drop=True)
    days = np.linspace(first, last, len(features), endpoint=False)
    moments = pd.Series(pd.Timestamp("2020-01-01", tz=UTC) + pd.to_timedelta(days, unit="D"))
    words = tuple(c for c in features if not pd.api.types.is_numeric_dtype(features[c]))
    schema = FeatureSchema(
        numerical=tuple(c for c in features if c not in words), categorical=words
    )
    batch = pd.Series([f"b{int(day // DAYS):03d}" for day in days], dtype="str")
    return FeatureFrame(
        features=features[list(schema.names)],
        target=pd.Series(target),
        event_time=moments.astype("datetime64[us, UTC]"),
        batch=batch,
        slices=pd.DataFrame(index=features.index),
        keys=pd.DataFrame({"event_time": moments}),
        schema=schema,
        snapshots=dict.fromkeys(sorted(set(batch)), ""),
    )


def profile_of(
    stream: Stream, rows: np.ndarray, size: int, batches: int = BATCHES
) -> BaselineProfile:
    """Profile ``batches`` batches of ``size`` rows, and a holdout of a fifth of one, in the order
    of ``rows``.
    """
    train, held = rows[: batches * size], rows[batches * size :][: max(size // 5, 10)]
    baseline = frame_of(stream.features.iloc[train], stream.target[train], 0, batches * DAYS)
    holdout = frame_of(
        stream.features.iloc[held], stream.target[held], batches * DAYS, (batches + 0.2) * DAYS
    )
    seen = np.arange(len(train)), stream.predicted[train]
    profile = make_profile(baseline, holdout, stream.predicted[held], seen, {})
    return learn_relations(profile, baseline, 0)


def report(
    profile: BaselineProfile,
    stream: Stream,
    rows: np.ndarray,
    seed: int,
    features: pd.DataFrame | None = None,
) -> DriftSummary:
    """Hold the rows, or ``features`` in their place, against the profile; the target is known."""
    after = stream.features.iloc[rows] if features is None else features
    batch = frame_of(after, stream.target[rows], (BATCHES + 1) * DAYS, (BATCHES + 2) * DAYS)
    counts = count_part(profile, batch, stream.predicted[rows], target=True)
    sample = draw_rows(profile, batch.features, DriftConfig().sample, seed)
    return summarise_drift(profile, 1, "batch", counts, DriftConfig(), seed, sample=sample)


def named(summary: DriftSummary) -> list[str]:
    """Return what a report says has drifted, prediction and target included."""
    return [f.feature for f in summary.features if f.outcome == "unusual"]


def plant(
    features: pd.DataFrame, shift: str, rng: np.random.Generator
) -> tuple[pd.DataFrame, str] | None:
    """Return the features with one column shifted, and which; None where there is no such
    column.
    """
    moved = features.copy()
    numbers = [
        c for c in features.columns if features[c].dtype == "float64" and features[c].nunique() > 20
    ]
    words = [c for c in features.columns if features[c].dtype != "float64"]
    if shift == "share doubled":
        if not words:
            return None
        column = words[0]
        shares = features[column].value_counts(normalize=True)
        value = str((shares - 0.2).abs().idxmin())
        share = float(shares[value])
        if share >= 0.5:
            return None
        changed = (features[column] != value).to_numpy() & (
            rng.random(len(features)) < share / (1 - share)
        )
        moved.loc[changed, column] = value
        return moved, column
    column = str(rng.choice(numbers))
    if shift == "missing + 10 points":
        moved.loc[rng.random(len(features)) < 0.1, column] = np.nan
    else:
        moved[column] += 0.5 * features[column].std()
    return moved, column


def interval(found: int, of: int) -> str:
    """Return a share in percent with its 95% interval (Clopper and Pearson 1934)."""
    low = stats.beta.ppf(0.025, found, of - found + 1) if found else 0.0
    high = stats.beta.ppf(0.975, found + 1, of - found) if found < of else 1.0
    return f"{found / of:.1%} [{low:.1%}, {high:.1%}] of {of}"


def shuffled(sources: list[Stream], sizes: Sequence[int], reports: int, seed: int = 0) -> None:
    """False alarms and power on rows drawn at random (with replacement: the larger batches need
    more than there are).
    """
    heading("rows a batch", "reports that name anything", *(f"found: {s}" for s in SHIFTS))
    for size in sizes:
        each = round(reports / max(1, size / 500) ** 0.5)
        each = -(-max(each, min(reports, LEAST)) // len(sources))
        alarms, tried, found = 0, 0, {shift: [0, 0] for shift in SHIFTS}
        for number, stream in enumerate(sources):
            for repeat in range(each):
                rng = np.random.default_rng([seed, number, size, repeat])
                rows = rng.integers(0, len(stream.features), (BATCHES + 2) * size + 10)
                profile, after = profile_of(stream, rows, size), rows[-size:]
                alarms += bool(named(report(profile, stream, after, repeat)))
                tried += 1
                shift = SHIFTS[repeat % len(SHIFTS)]
                if (planted := plant(stream.features.iloc[after], shift, rng)) is not None:
                    hit = planted[1] in named(report(profile, stream, after, repeat, planted[0]))
                    found[shift] = [found[shift][0] + hit, found[shift][1] + 1]
        power = (f"{hits / of:.0%} of {of}" if of else "-" for hits, of in found.values())
        row(f"{size:,}", interval(alarms, tried), *power)


def autoregressive(phi: float, rows: int, columns: int, rng: np.random.Generator) -> Stream:
    """Stationary series of first order: numbers, a category cut from one, predictions and a target
    that follow.
    """
    shocks = rng.normal(size=(rows + 2_000, columns + 3))
    series = lfilter([1], [1, -phi], shocks, axis=0)[2_000:] * np.sqrt(1 - phi**2)
    features = pd.DataFrame(series[:, :columns], columns=[f"n{i}" for i in range(columns)])
    features["word"] = np.array(["a", "b", "c", "d"])[np.digitize(series[:, columns], [-1, 0, 1])]
    return Stream(
        f"AR(1), {phi}",
        features,
        (series[:, columns + 2] > 0).astype("float64"),
        series[:, columns + 1],
    )


def autocorrelated(cases: tuple[tuple[float, int, int], ...], reports: int, seed: int = 0) -> None:
    """False alarms on consecutive blocks of a stationary series, and those of thresholds for
    independent rows.
    """
    heading(
        "autocorrelation",
        "rows a batch",
        "batches in the baseline",
        "reports that name anything",
        "with thresholds for independent rows",
    )
    for phi, size, batches in cases:
        alarms, naive = 0, 0
        for repeat in range(reports):
            rng = np.random.default_rng([seed, size, batches, repeat])
            stream = autoregressive(phi, (batches + 2) * size, 8, rng)
            rows = np.arange((batches + 2) * size)
            profile = profile_of(stream, rows, size, batches)
            alarms += bool(named(report(profile, stream, rows[-size:], repeat)))
            alone = profile.model_copy(update={"blocks": ()})
            naive += bool(named(report(alone, stream, rows[-size:], repeat)))
        shares = (interval(alarms, reports), interval(naive, reports))
        row(str(phi), f"{size:,}", str(batches), *shares)


def evidently(sources: list[Stream], sizes: tuple[int, ...], reports: int, seed: int = 0) -> None:
    """How often Evidently's preset names a column, and calls the whole drifted, on rows drawn at
    random.
    """
    warnings.simplefilter("ignore")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    heading("rows a batch", "Evidently's preset names any column", "it calls the data set drifted")
    for size in sizes:
        any_, whole, tried = 0, 0, 0
        for number, stream in enumerate(sources):
            words = [c for c in stream.features if stream.features[c].dtype != "float64"]
            definition = DataDefinition(
                numerical_columns=[c for c in stream.features if c not in words],
                categorical_columns=words,
            )
            for repeat in range(max(2, reports // len(sources))):
                rng = np.random.default_rng([seed, number, size, repeat])
                rows = rng.integers(0, len(stream.features), (BATCHES + 1) * size)
                halves = [
                    stream.features.iloc[part].reset_index(drop=True)
                    for part in (rows[-size:], rows[:-size])
                ]
                usable = [
                    c for c in stream.features if all(half[c].notna().any() for half in halves)
                ]
                kinds = DataDefinition(
                    numerical_columns=[
                        c for c in definition.numerical_columns or [] if c in usable
                    ],
                    categorical_columns=words,
                )
                now, before = (
                    Dataset.from_pandas(half[usable], data_definition=kinds) for half in halves
                )
                share = Report([DataDriftPreset()]).run(now, before).dict()["metrics"][0]["value"]
                any_, whole, tried = (
                    any_ + (share["count"] > 0),
                    whole + (share["share"] >= 0.5),
                    tried + 1,
                )
        row(f"{size:,}", interval(any_, tried), interval(whole, tried))


# --- speed ----------------------------------------------------------------------------------------

NUMBERS = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
    "plane_year",
    "seats",
    "engines",
    "distance",
    "minute_of_day",
)
WORDS = ("carrier", "origin", "dest")
WAYS = ("scan by DuckDB", "drift verdict by parts")


def write_parts(directory: Path, rows: int, data: Path | None) -> None:
    """Write parts of 500,000 rows drawn from the flights, with a little noise."""
    found = {stream.name: stream for stream in streams(data)}["flights"]
    rng = np.random.default_rng(0)
    for number in range(-(-rows // PART)):
        drawn = rng.integers(0, len(found.target), min(PART, rows - number * PART))
        part = found.features.iloc[drawn].reset_index(drop=True)
        for column in part.columns[part.dtypes == "float64"]:
            part[column] += rng.normal(0, 0.005 * found.features[column].std(), len(part))
        times = np.datetime64("2013-01-01", "us") + np.sort(
            rng.integers(0, 365 * 86_400, len(part))
        ).astype("m8[s]")
        part = part.assign(ts=times, y=found.target[drawn], p=found.predicted[drawn])
        part.to_parquet(directory / f"part-{number:05d}.parquet", index=False)


def read_part(file: Path, numbers: list[str], words: list[str]) -> tuple[FeatureFrame, np.ndarray]:
    """Read one part as a feature frame, and predictions (the target's where the part holds
    none).
    """
    names = set(pq.read_schema(file).names)
    guess = "p" if "p" in names else "minute_of_day"
    part = pq.read_table(
        file, columns=list(dict.fromkeys([*numbers, *words, "ts", "y", guess]))
    ).to_pandas()
    features = part[[*words, *numbers]].astype(dict.fromkeys(numbers, "float64"))
    moments = pd.to_datetime(part["ts"], utc=True).astype("datetime64[us, UTC]")
    frame = FeatureFrame(
        features=features,
        target=part["y"].astype("float64"),
        event_time=moments,
        batch=pd.Series("2013", index=part.index),
        slices=pd.DataFrame(index=part.index),
        keys=pd.DataFrame({"event_time": moments}),
        schema=FeatureSchema(numerical=tuple(numbers), categorical=tuple(words)),
        snapshots={"2013": ""},
    )
    return frame, part[guess].to_numpy(dtype="float64")


def columns_of(file: Path) -> tuple[list[str], list[str]]:
    """Return the numbers and the words among a part's columns."""
    found = [f for f in pq.read_schema(file) if f.name not in ("ts", "y", "p", "id")]
    words = [
        f.name for f in found if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
    ]
    return [f.name for f in found if f.name not in words], words


def run_one(way: str, parts: Path) -> str:
    """Do one thing once, in this process; what came of it, for people."""
    files = sorted(parts.glob("*.parquet"))
    numbers, words = columns_of(files[0])
    if way == "scan by DuckDB":
        import duckdb

        source = f"read_parquet('{parts}/*.parquet')"
        edges = duckdb.execute(
            "SELECT "
            + ", ".join(
                f"approx_quantile({c}, [{', '.join(str(i / 10) for i in range(1, 10))}])"
                for c in numbers
            )
            + f" FROM read_parquet('{files[0]}')"
        ).fetchall()[0]
        bins = [
            f"histogram({c}::DOUBLE, {sorted(set(map(float, own)))})"
            for c, own in zip(numbers, edges, strict=True)
        ]
        counted = duckdb.execute(
            "SELECT count(*), "
            + ", ".join([*bins, *(f"histogram({c})" for c in [*words, "y"])])
            + f" FROM {source}"
        ).fetchall()[0]
        return f"{counted[0]:,} rows, {len(counted) - 1} histograms"

    frame, predicted = read_part(files[0], numbers, words)
    first = frame.where(np.arange(len(frame)) % 10 == 0)
    first = replace(first, batch=first.event_time.dt.strftime("%Y-%m"))
    profile = make_profile(
        first, first, predicted[::10], (np.arange(len(first)), predicted[::10]), {}
    )
    counts = None
    start = time.perf_counter()
    for file in files:
        frame, predicted = read_part(file, numbers, words)
        own = count_part(profile, frame, predicted, target=True)
        counts = own if counts is None else counts + own
    if counts is None:
        raise SystemExit(f"{parts} holds no part")
    summary = summarise_drift(profile, 1, "2013", counts, DriftConfig(), 0)
    return (
        f"{summary.rows:,} rows, {len(summary.features)} columns, {len(named(summary))} drifted, "
        f"{time.perf_counter() - start:.1f} s without imports and baseline"
    )


def speed(parts: Path, repeat: int) -> None:
    """Measure each way in processes of its own, by turns, and print the table."""
    took: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for _ in range(repeat):
        for way in WAYS:
            took[way].append(
                cost_of_module("benchmarks.drift", "--one", way, "--parts", str(parts))
            )
    heading("way", *COSTS, *ratios_to("scan"), "it said", left=("it said",))
    for way, costs in took.items():
        row(way, *cells(costs, took[WAYS[0]]), costs[-1].said)


def main() -> None:
    """Run what is asked for, and print."""
    parser = arguments(__doc__, quick="few reports, small sizes, half a million rows")
    takes_data(parser)
    parser.add_argument(
        "--only", nargs="+", choices=("shuffled", "autocorrelated", "evidently", "speed")
    )
    parser.add_argument(
        "--parts", type=folder, help="folder of Parquet parts to take instead of making them"
    )
    parser.add_argument("--reports", type=int, default=300)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="rows of a batch, for shuffled"
    )
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(run_one(given.one, given.parts))
        return
    wanted = given.only or ("shuffled", "autocorrelated", "evidently", "speed")
    reports = 10 if given.quick else given.reports
    sources = list(streams(given.data)) if {"shuffled", "evidently"} & set(wanted) else []
    if "shuffled" in wanted:
        print(f"\n## Shuffled rows: {', '.join(stream.name for stream in sources)}")
        shuffled(sources, given.sizes[:3] if given.quick else given.sizes, reports)
    if "autocorrelated" in wanted:
        print("\n## Autocorrelated rows")
        cases = (
            (0.9, 500, 6),
            (0.98, 500, 6),
            (0.98, 500, 24),
            (0.99, 2_000, 12),
            (0.9, 91, 12),
            (0.98, 2_000, 3),
            (0.998, 500, 6),
        )
        autocorrelated(cases[:1] if given.quick else cases, reports)
    if "evidently" in wanted:
        print("\n## Evidently's preset on the same shuffled rows")
        evidently(sources, (91,) if given.quick else (91, 500), 10 if given.quick else 100)
    if "speed" in wanted:
        print("\n## A verdict on many rows")
        with tempfile.TemporaryDirectory(dir=given.work) as directory:
            parts = given.parts or Path(directory)
            if given.parts is None:
                write_parts(parts, PART if given.quick else 16_000_000, given.data)
            speed(parts, 1 if given.quick else 3)


if __name__ == "__main__":
    main()
