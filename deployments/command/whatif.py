"""What other policies would have done with a model's own history, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tasks.records import Tried, WhatIf

_HEADINGS = ("policy", "loss", "gain", "trainings", "CPU s", "promoted", "rolled back", "differs")


def in_lines(found: WhatIf) -> Iterator[str]:
    """Give the lines for a person: the table, what the ledger says of the same batches, advice."""
    drawn = "" if found.share == 1 else f" ({found.share:.0%} of them, drawn)"
    yield (
        f"{found.model}: {found.rows:,} rows{drawn} of {found.batches} batches, {found.first} to"
        f" {found.last}, each served before it was learned from; loss is {found.loss}"
    )
    table = [_HEADINGS, *(_cells(one, first=i == 0) for i, one in enumerate(found.tried))]
    widths = [max(len(row[i]) for row in table) for i in range(len(_HEADINGS))]
    for row in table:
        name, *cells = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"  {name}  {'  '.join(cells)}".rstrip()
    yield (
        "  gain: by how much the loss is below the spec's, as a share of it, with its 95% interval"
        f" over {found.tried[0].blocks} blocks of time; differs: batches decided about otherwise"
    )
    for name, why in found.not_tried.items():
        yield f"  {name}: not replayed: {why}"
    yield from _happened(found)
    yield f"  {found.advice}"


def _cells(one: Tried, *, first: bool) -> tuple[str, ...]:
    gain = one.gain
    shown = f"{gain.value:+.1%} [{gain.low:+.1%}, {gain.high:+.1%}]"
    return (
        one.name,
        f"{one.loss:.4g}",
        "" if first else shown if gain.known else f"{gain.value:+.1%} (interval unknown)",
        f"{one.trainings}",
        f"{one.seconds:,.1f}",
        f"{one.promotions}",
        f"{one.rollbacks}",
        "" if first else f"{len(one.differs)}",
    )


def _happened(found: WhatIf) -> Iterator[str]:
    happened = found.happened
    if math.isfinite(happened.loss):
        yield (
            f"  as it happened, on {happened.batches} of these batches: loss {happened.loss:.4g},"
            f" and {happened.replayed:.4g} in the spec's replay; {happened.trainings} trainings so"
            f" far; of {happened.decided} decisions that are known the replay made"
            f" {happened.same} alike"
        )
