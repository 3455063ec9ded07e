"""Sample records: a model's year, or as many batches and features as a test asks for."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_contracts.contract import Column, Contract, Server
from tasks.batches import Batch, batch_named, next_batch
from tasks.history import in_order
from tasks.records import (
    AnyEvidence,
    BatchRecord,
    Decision,
    DriftSummary,
    Effect,
    FeatureDrift,
    Histogram,
    Hold,
    Interval,
    LedgerEntry,
    LossChange,
    LossPart,
    Move,
    Performance,
    Predictions,
    Promote,
    Reject,
    Retrain,
    RollBack,
    RuleOutcome,
    SliceScore,
    Snapshot,
    Verdict,
)
from tests.tasks.builders import evidence, manual_evidence

NUMERICAL = (
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
    "distance",
    "scheduled_arrival_minute",
    "plane_age",
    "seats",
    "departures_this_hour",
    "minute_of_day",
)
CATEGORICAL = ("carrier", "origin", "dest", "manufacturer", "weekday", "wind_dir", "flight")
UNITS = {
    "temp": "degF",
    "wind_speed": "mile/h",
    "distance": "mile",
    "pressure": "hPa",
    "visib": "mile",
}


def months(count: int, first: str = "2013-01") -> list[Batch]:
    """Monthly batches from ``first`` on."""
    batches = [batch_named(first, "month", "America/New_York")]
    while len(batches) < count:
        batches.append(next_batch(batches[-1], "month", "America/New_York"))
    return batches


def a_snapshot(batch: Batch, **changes: object) -> Snapshot:
    """A snapshot of the flights."""
    values = {
        "contract": "flights",
        "contract_version": "1.0.0",
        "batch": batch,
        "sha256": "ab12cd34" * 8,
        "rows": 28_796,
        "parts": (),
        "path": f"snapshots/flights/{batch.id}/ab12cd34ab12cd34",
        "source": f"/data/sources/flights/{batch.id}.csv.gz",
    }
    return Snapshot.model_validate(values | changes)


def a_verdict(**changes: object) -> Verdict:
    """A verdict that accepts."""
    values = {
        "outcome": "accept",
        "reason": "all 28,796 rows keep the contract",
        "rows": 28_796,
        "quarantined": 0,
        "rules": (),
    }
    return Verdict.model_validate(values | changes)


def a_rule(rule: str = "distance:between", **changes: object) -> RuleOutcome:
    """A row rule that failed."""
    values = {
        "rule": rule,
        "description": "distance lies in [50, 6000]",
        "scope": "row",
        "severity": "error",
        "outcome": "failed",
        "count": 1_204,
        "found": "1,204 rows, such as 17.0, 9000.0",
    }
    return RuleOutcome.model_validate(values | changes)


def a_feature(feature: str = "temp", **changes: object) -> FeatureDrift:
    """A numerical feature that moved to three times its threshold."""
    values = {
        "feature": feature,
        "kind": "numerical",
        "score": 0.3,
        "threshold": 0.1,
        "outcome": "unusual",
        "missing_before": 0.0,
        "missing_after": 0.031,
        "importance": 0.012,
        "histogram": Histogram(labels=(), before=(0.5, 0.5), after=(0.25, 0.75), ends=(20, 60)),
        "move": a_move(),
    }
    return FeatureDrift.model_validate(values | changes)


def a_move(**changes: object) -> Move:
    """From a median of 41 to one of 55, with a tenth of the rows above training."""
    values = {
        "score": 0.3,
        "chance": 0.01,
        "values": True,
        "gaps": False,
        "missing": 0.0,
        "median": (41.0, 55.0),
        "above": 0.1,
    }
    return Move.model_validate(values | changes)


def still(feature: str = "still", **changes: object) -> FeatureDrift:
    """A feature that did not move."""
    move = a_move(score=0.02, values=False, median=(41.0, 41.0), above=0.0)
    values = {"outcome": "usual", "score": 0.02, "move": move, "missing_after": 0.0}
    return a_feature(feature, **(values | changes))


def an_effect(value: float | None = 0.02, half: float = 0.005, **changes: object) -> Effect:
    """What a move should do to the loss."""
    loss = None if value is None else Interval(value=value, low=value - half, high=value + half)
    values = {"loss": loss, "prediction": loss, "unknown": 0.0, "rows": 900.0}
    return Effect.model_validate(values | changes)


def a_drift(batch: str, features: Sequence[FeatureDrift], **changes: object) -> DriftSummary:
    """A summary of these features."""
    values = {
        "batch": batch,
        "version": 1,
        "rows": 28_796,
        "baseline_rows": 81_403,
        "features": tuple(features),
    }
    return DriftSummary.model_validate(values | changes)


def unknown(value: float) -> Interval:
    """A value whose interval is not known."""
    return Interval(value=value, low=-math.inf, high=math.inf)


def a_performance(batch: str, version: int = 1, **changes: object) -> Performance:
    """A performance with finite intervals."""
    values = {
        "batch": batch,
        "version": version,
        "rows": 27_914,
        "blocks": 30,
        "metric": "roc_auc",
        "score": Interval(value=0.7312, low=0.7214, high=0.741),
        "loss": Interval(value=0.4907, low=0.471, high=0.5104),
        "metrics": {
            name: unknown(value)
            for name, value in (("roc_auc", 0.7312), ("log_loss", 0.4907), ("brier", 0.1581))
        },
    }
    return Performance.model_validate(values | changes)


def a_change(**changes: object) -> LossChange:
    """A loss that rose by 0.03: two thirds by the relation, one third by the temperature."""
    values = {
        "version": 1,
        "before": 0.46,
        "after": 0.49,
        "rows": 27_914,
        "holdout_rows": 9_800,
        "inputs": Interval(value=0.01, low=0.006, high=0.015),
        "features": (
            LossPart(feature="temp", change=Interval(value=0.009, low=0.005, high=0.013)),
            LossPart(feature="humid", change=Interval(value=0.001, low=-0.001, high=0.003)),
            LossPart(feature="seats", change=Interval(value=0.0, low=-0.001, high=0.001)),
        ),
        "jointly": Interval(value=0.0, low=-0.001, high=0.001),
        "far": Interval(value=0.0, low=-0.001, high=0.001),
        "far_share": 0.02,
        "base_rate": Interval(value=0.0, low=-0.004, high=0.004),
        "relation": Interval(value=0.019, low=0.012, high=0.027),
        "chance": Interval(value=0.001, low=-0.009, high=0.009),
        "named": ("inputs", "relation"),
    }
    return LossChange.model_validate(values | changes)


def a_record(batch: Batch, **changes: object) -> BatchRecord:
    """A batch that was accepted, without champion and labels."""
    values = {
        "model": "flights-late-arrival",
        "batch": batch,
        "revision": 1,
        "snapshot": a_snapshot(batch),
        "verdict": a_verdict(),
        "fingerprint": "f",
        "spec_sha256": "ab" * 32,
        "as_of": batch.end + timedelta(days=1),
    }
    return BatchRecord.model_validate(values | changes)


def _resting_on(decision: Decision) -> AnyEvidence:
    version = getattr(decision, "version", None)
    return manual_evidence() if version is None else evidence(challenger=version)


def an_entry(id: int, batch: Batch | str, decision: Decision, **changes: object) -> LedgerEntry:
    """A decision in effect."""
    day = (
        batch.end + timedelta(days=1)
        if isinstance(batch, Batch)
        else datetime(2013, 6, 2, tzinfo=UTC)
    )
    values = {
        "id": id,
        "model": "flights-late-arrival",
        "batch": batch.id if isinstance(batch, Batch) else batch,
        "decision": decision,
        "evidence": _resting_on(decision),
        "evidence_sha256": "e" * 64,
        "as_of": day,
        "recorded_at": day,
        "effective_at": day,
        "flow_run": "amber-falcon",
        "decided_by": "kingmaker",
    }
    return LedgerEntry.model_validate(values | changes)


def _sample_feature(name: str, kind: str, month: int, dice: random.Random) -> FeatureDrift:
    season = 1 - math.cos(2 * math.pi * (month - 2) / 12)
    pull = {"temp": 0.9, "dewp": 0.8, "humid": 0.2, "minute_of_day": 0.02}.get(name, 0.05)
    score = max(0.002, pull * season * dice.uniform(0.6, 1.4) + dice.uniform(0, 0.05))
    bins = 10 if kind != "categorical" else dice.choice([3, 7, 16, 31])
    labels = tuple(f"{name[:3].upper()}{i}" for i in range(bins))
    before = [dice.uniform(0.8, 1.2) / (1 + 0.2 * i * (kind == "categorical")) for i in range(bins)]
    now = [
        share * math.exp(2.2 * score * (i / bins - 0.5) * 4 * dice.uniform(0.7, 1.3))
        for i, share in enumerate(before)
    ]
    missing = name in ("wind_gust", "visib")
    return FeatureDrift(
        feature=name,
        kind=kind,
        score=score,
        threshold=0.1,
        outcome="unusual" if score > 0.1 else "usual",
        missing_before=0.002 * missing,
        missing_after=0.041 * missing,
        importance=(
            None
            if kind == "prediction"
            else {"minute_of_day": 0.0241, "carrier": 0.0102, "temp": 0.0061, "humid": 0.0083}.get(
                name, dice.uniform(-0.0002, 0.003)
            )
        ),
        histogram=Histogram(
            labels=labels if kind == "categorical" else (),
            before=tuple(b / sum(before) for b in before),
            after=tuple(n / sum(now) for n in now),
            ends=None if kind == "categorical" else (-12.4, 95.4),
        ),
        move=Move(
            score=score,
            chance=0.01,
            values=score > 0.1,
            gaps=False,
            missing=0.002 * missing,
            median=None if kind == "categorical" else (41.0, 41.0 + 20 * min(score, 1.0)),
        ),
    )


def sample_features(
    month: int, dice: random.Random, numerical: Sequence[str] = NUMERICAL
) -> list[FeatureDrift]:
    """Features that follow the seasons, one that is all missing, and the prediction."""
    features = [_sample_feature(name, "numerical", month, dice) for name in numerical]
    features += [_sample_feature(name, "categorical", month, dice) for name in CATEGORICAL]
    lost = features[4].model_copy(
        update={
            "score": None,
            "outcome": "not evaluable",
            "note": "this batch holds no value",
            "missing_after": 1.0,
            "move": None,
            "histogram": features[4].histogram.model_copy(update={"after": ()}),
        }
    )
    return [
        *features[:4],
        lost,
        *features[5:],
        _sample_feature("prediction", "prediction", month, dice),
    ]


def sample_history(
    count: int = 12, numerical: Sequence[str] = NUMERICAL, first: str = "2013-01"
) -> tuple[tuple[BatchRecord, ...], tuple[LedgerEntry, ...]]:
    """Batches with a first champion after the third, refreshes, one rollback, one refusal and some
    quarantine.
    """
    dice = random.Random(7)  # noqa: S311 - sample data
    records: list[BatchRecord] = []
    entries: list[LedgerEntry] = []
    current_champion, newest, previous = 0, 0, 0

    def decide(batch: Batch, decision: Decision) -> None:
        entries.append(an_entry(len(entries) + 1, batch, decision))

    for i, batch in enumerate(months(count, first)):
        month = batch.end.month - 1 or 12
        if i == 7:
            reason = "a month has 15,000 to 60,000 flights: 1,203"
            verdict = a_verdict(outcome="refuse", reason=reason, rows=1_203)
            records.append(a_record(batch, verdict=verdict))
            continue
        quarantined = 214 if i % 5 == 1 else 0
        verdict = a_verdict(
            outcome="accept with quarantine" if quarantined else "accept",
            quarantined=quarantined,
            rows=27_000 + 311 * month,
        )
        if not current_champion:
            records.append(a_record(batch, verdict=verdict))
            if i < 2:
                decide(
                    batch,
                    Hold(
                        reason=f"collecting: {i + 1} of the 3 batches that the first champion needs"
                    ),
                )
                continue
            decide(batch, Retrain(reason="3 batches are there, and no champion yet"))
            decide(
                batch,
                Promote(
                    reason=(
                        "the first champion: every guardrail passed, and there is nothing to"
                        " compare with"
                    ),
                    version=1,
                    previous=None,
                ),
            )
            current_champion = newest = 1
            continue
        value = 0.72 + 0.018 * math.cos(2 * math.pi * month / 12) + dice.uniform(-0.006, 0.006)
        half = dice.uniform(0.008, 0.014)

        def performance(
            version: int, value: float, half: float = half, batch: Batch = batch
        ) -> Performance:
            return a_performance(
                batch.id,
                version,
                score=Interval(value=value, low=value - half, high=value + half),
                loss=Interval(value=1.2 - value, low=1.2 - value - half, high=1.2 - value + half),
                slices=tuple(
                    SliceScore(
                        column=column, value=name, rows=rows, loss=unknown((1.2 - value) * times)
                    )
                    for column, name, rows, times in (
                        ("carrier", "EV", 4_102, 1.31),
                        ("carrier", "OO", 31, 1.22),
                        ("origin", "EWR", 10_211, 1.09),
                        ("carrier", "B6", 4_771, 1.04),
                        ("origin", "LGA", 8_690, 0.96),
                        ("carrier", "HA", 30, 0.61),
                    )
                ),
            )

        performances = [performance(current_champion, value)]
        if current_champion != 1:
            performances.append(
                performance(1, value - 0.006 - 0.0025 * min(i, 14) * dice.uniform(0.6, 1.2))
            )
        if previous > 1:
            performances.append(performance(previous, value - 0.002))
        records.append(
            a_record(
                batch,
                verdict=verdict,
                performances=tuple(performances),
                drift=a_drift(
                    batch.id, sample_features(month, dice, numerical), version=current_champion
                ),
                predictions=Predictions(
                    model="flights-late-arrival",
                    batch=batch.id,
                    version=current_champion,
                    snapshot="ab",
                    rows=verdict.rows,
                    path=f"predictions/flights-late-arrival/{batch.id}/v{current_champion}.parquet",
                    sha256="cd" * 32,
                ),
            )
        )
        if i % 9 == 8 and previous:
            decide(
                batch,
                RollBack(
                    reason=(
                        f"the previous champion, version {previous}, has loss 0.4711 against 0.4903"
                        " (+3.9% better, t 3.41) in batch 1 of 3 of the watch"
                    ),
                    version=previous,
                    previous=current_champion,
                ),
            )
            current_champion, previous = previous, 0
        elif i % 3 == 2:
            newest += 1
            decide(batch, Retrain(reason="the clock: 3 batches since the last training"))
            decide(
                batch,
                Promote(
                    reason=(
                        "a refresh, not clearly worse: loss 0.4823 against 0.4907 (-1.7%) on 27,914"
                        " unseen rows, t -2.31"
                    ),
                    version=newest,
                    previous=current_champion,
                ),
            )
            current_champion, previous = newest, current_champion
        elif i % 3 == 0 and i > 9:
            newest += 1
            decide(
                batch,
                Retrain(
                    reason=(
                        "the alarm: loss 0.5312 is above 0.5204, 3 standard deviations over its"
                        " last 6 batches"
                    )
                ),
            )
            decide(
                batch,
                Reject(
                    reason=(
                        "slice carrier = EV is 4.1% worse on 4,102 rows (p 0.0011 over 19 slices)"
                    ),
                    version=newest,
                ),
            )
        else:
            decide(
                batch,
                Hold(
                    reason=(
                        f"{i % 3 + 1} batches since the last training of 3; loss 0.4907 after"
                        " 0.4874"
                    )
                ),
            )
    return tuple(records), in_order(entries)


def a_contract(**changes: object) -> Contract:
    """A contract of one column."""
    values = {
        "file": Path("data_contracts/flights.odcs.yaml"),
        "name": "flights",
        "version": "1.0.0",
        "columns": (Column("distance", "number", unit="mile"),),
        "key": (),
        "event_time": "scheduled_departure",
        "timezone": "America/New_York",
        "lateness": timedelta(days=1),
        "rules": (),
        "servers": (Server("warehouse", "local", "/data/{batch}.csv.gz", "csv"),),
    }
    return Contract(**(values | changes))


@pytest.fixture(scope="session")
def year() -> SimpleNamespace:
    """Twelve months of the sample model: ``records`` and ``entries``."""
    records, entries = sample_history()
    return SimpleNamespace(records=records, history=entries)
