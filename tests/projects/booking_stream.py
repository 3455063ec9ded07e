"""A stream of bookings whose positives are known early and whose negatives are known late
(docs/decisions.md, 4).

Whether a booking is cancelled depends on its price alone. A cancellation is known within a day, a
stay only when the guest has come: of the bookings of this week that have an outcome already, those
with a long lead are cancelled, every one.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from tasks.batches import batch_named, batch_of

WEEKS = tuple(f"2024-W{week:02d}" for week in range(2, 12))
ROWS = 300
"""Bookings in a week."""
SILENT = 9
"""Of these bookings in a week it is never said what became of them."""


@dataclass(frozen=True)
class Booking:
    """One booking, and what became of it."""

    booking_id: int
    booked_at: datetime
    lead_days: float
    price: float
    channel: str
    cancelled: bool

    @property
    def known_at(self) -> datetime:
        """When its outcome is known."""
        return (
            self.booked_at + timedelta(hours=6)
            if self.cancelled
            else self.booked_at + timedelta(days=self.lead_days)
        )


def bookings(weeks: Sequence[str] = WEEKS, seed: int = 7) -> dict[str, list[Booking]]:
    """Return week -> its bookings, in the order of their time."""
    rng, found = np.random.default_rng(seed), {}
    for number, week in enumerate(weeks):
        start = batch_named(week, "week", "Europe/Vienna").start
        price = rng.normal(100, 25, ROWS).clip(5)
        cancelled = rng.random(ROWS) < 1 / (1 + np.exp(-(price - 115) / 12))
        found[week] = [
            Booking(
                booking_id=number * ROWS + i,
                booked_at=start + timedelta(minutes=30 * i),
                lead_days=float(lead),
                price=float(round(price[i], 2)),
                channel="web" if rng.random() < 0.6 else "desk",
                cancelled=bool(cancelled[i]),
            )
            for i, lead in enumerate(rng.uniform(0.5, 20.5, ROWS).round(1))
        ]
    return found


def write_rows(home: Path, stream: dict[str, list[Booking]]) -> None:
    """Write a file of bookings a week."""
    for week, rows in stream.items():
        names = ("booked_at", "booking_id", "lead_days", "price", "channel")
        _write(
            home / "sources" / "bookings" / f"{week}.csv",
            names,
            [_cells(row, names) for row in rows],
        )


def write_outcomes(home: Path, stream: dict[str, list[Booking]]) -> tuple[str, ...]:
    """Write a file of outcomes for each week in which one became known, and return these weeks."""
    weeks = defaultdict(list)
    for rows in stream.values():
        for row in rows[SILENT:]:
            weeks[batch_of(row.known_at, "week", "Europe/Vienna").id].append(row)
    names = ("known_at", "booking_id", "cancelled")
    for week, known in weeks.items():
        cells = [_cells(row, names) for row in known]
        _write(home / "sources" / "outcomes" / f"{week}.csv", names, cells)
    return tuple(sorted(weeks))


def outcome_file(home: Path, week: str) -> Path:
    """Where the outcomes of a week lie."""
    return home / "sources" / "outcomes" / f"{week}.csv"


def word(known_at: datetime, booking_id: int, cancelled: str) -> str:
    """One line of a file of outcomes."""
    return f"{known_at.astimezone(UTC).isoformat()},{booking_id},{cancelled}\r\n"


def _cells(row: Booking, names: Sequence[str]) -> list[str]:
    values = [getattr(row, name) for name in names]
    return [
        value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value).lower()
        for value in values
    ]


def _write(file: Path, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([names, *rows])
