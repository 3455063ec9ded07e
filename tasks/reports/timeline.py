"""One picture: the champion's score over time, with every change of champion."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.history import ChampionChange, History
from tasks.lake import write_whole
from tasks.records import BatchRecord, RollBack
from tasks.reports.charts import Measured, axis_range
from tasks.reports.figures import in_words, interval_known
from tasks.reports.summary import (
    champion_performance,
    first_performance,
    newest_revisions,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _MUTED, _LINE, _BAND, _ACCENT, _PAPER = (
    "#1c2333",
    "#5d6577",
    "#e3e6ec",
    "#d5daea",
    "#c2410c",
    "#ffffff",
)
_INCHES, _DPI = (10.0, 5.0), 120
_CHARACTERS = 125
"""So many fit below the axis; ids beyond that are left out, the newest last."""
_LABEL = 0.036
"""Width of a version's label as a share of the axis; where there is no room the mark stands
without.
"""


def draw_timeline(
    path: Path,
    model: str,
    metric: str,
    records: Sequence[BatchRecord],
    history: History,
) -> None:
    """Write a PNG of 1200 x 600 pixels to ``path``; the same records give the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    batches = newest_revisions(records)
    points = [
        Measured(r.batch.id, p.score if p else None, f.score.value if f and f.score else None)
        for r in batches
        for p, f in [(champion_performance(r), first_performance(r, history))]
    ]
    figure = Figure(figsize=_INCHES, dpi=_DPI, facecolor=_PAPER)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.062, 0.095, 0.905, 0.665))
    low, high = axis_range(points)
    axes.set_xlim(-0.6, max(len(batches), 1) - 0.4)
    axes.set_ylim(low, high)
    _dress(axes, model, metric, [record.batch.id for record in batches])
    _draw_scores(axes, points)
    _draw_champions(axes, batches, history.champion_changes)
    _draw_troubles(axes, batches)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.042, 1.105),
            ncols=7,
            frameon=False,
            fontsize=9,
            labelcolor=_MUTED,
            handlelength=1.8,
            columnspacing=1.6,
            borderaxespad=0.0,
            borderpad=0.0,
        )
    if not any(point.score for point in points):
        axes.set_yticks([])
        axes.text(
            0.5,
            0.5,
            "no judged batch yet",
            transform=axes.transAxes,
            ha="center",
            color=_MUTED,
            fontsize=12,
        )
    content = io.BytesIO()
    # Without the library's name and version the bytes depend on the records alone.
    canvas.print_png(content, metadata={"Software": None})
    write_whole(path, content.getvalue())


def _dress(axes: Axes, model: str, metric: str, ids: Sequence[str]) -> None:
    # A dollar sign in a name would start mathematical text.
    title = f"{model}: the champion's {in_words(metric)} on each new batch".replace("$", r"\$")
    axes.figure.text(0.024, 0.925, title, fontsize=14, fontweight="bold", color=_INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.tick_params(colors=_MUTED, labelsize=9, length=0, pad=6)
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.locator_params(axis="y", nbins=6)
    widest = max((len(id) for id in ids), default=0) + 3
    step = math.ceil(len(ids) * widest / _CHARACTERS) or 1
    shown = [i for i in range(len(ids)) if (len(ids) - 1 - i) % step == 0]
    axes.set_xticks(shown, [ids[i].replace("$", r"\$") for i in shown])


def _draw_scores(axes: Axes, points: Sequence[Measured]) -> None:
    nan = math.nan
    places = range(len(points))
    scores = [p.score.value if p.score is not None else nan for p in points]
    known = [p.score if p.score is not None and interval_known(p.score) else None for p in points]
    firsts = [nan if p.first is None else p.first for p in points]
    lows, highs = [s.low if s else nan for s in known], [s.high if s else nan for s in known]
    if any(s is not None for s in known):
        axes.fill_between(
            places, lows, highs, color=_BAND, alpha=0.75, linewidth=0, label="95% interval"
        )
        lone = [
            i
            for i, s in enumerate(known)
            if s and not any(known[max(i - 1, 0) : i] + known[i + 1 : i + 2])
        ]
        axes.vlines(
            lone, [lows[i] for i in lone], [highs[i] for i in lone], color=_BAND, linewidth=5
        )
    if any(math.isfinite(first) for first in firsts):
        axes.plot(
            places,
            firsts,
            color=_MUTED,
            linewidth=1.4,
            linestyle=(0, (4, 3)),
            label="first champion",
        )
    if any(math.isfinite(score) for score in scores):
        axes.plot(
            places,
            scores,
            color=_INK,
            linewidth=2.2,
            marker="o",
            markersize=4.5 if len(points) <= 40 else 2.5,
            label="champion",
            zorder=4,
        )


def _draw_champions(
    axes: Axes, batches: Sequence[BatchRecord], changes: Sequence[ChampionChange]
) -> None:
    """A line after the batch that decided; a promotion points up, a rollback down and is dashed."""
    position = {record.batch.id: i for i, record in enumerate(batches)}
    named: set[str] = set()
    labelled = -math.inf
    faint = len(changes) > 12
    above: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 5}
    for entry in changes:
        decision = entry.decision
        if entry.batch not in position:
            continue
        back = isinstance(decision, RollBack)
        name = "rollback" if back else "promotion"
        x = position[entry.batch] + 0.5
        axes.plot(
            [x, x],
            [0, 1],
            color=_ACCENT,
            linewidth=1.1,
            linestyle=(0, (2, 2)) if back else "-",
            alpha=0.35 if faint else 0.8,
            **above,
        )
        axes.plot(
            [x],
            [1],
            marker="v" if back else "^",
            markersize=7,
            markeredgecolor=_ACCENT,
            linestyle="none",
            markerfacecolor=_PAPER if back else _ACCENT,
            label="_" if name in named else name,
            **above,
        )
        if x - labelled >= _LABEL * len(batches):
            axes.text(
                x,
                1.035,
                f"v{decision.version}",
                ha="center",
                fontsize=9,
                fontweight="bold",
                color=_ACCENT,
                **above,
            )
            labelled = x
        named.add(name)


def _draw_troubles(axes: Axes, batches: Sequence[BatchRecord]) -> None:
    refused = [i for i, record in enumerate(batches) if record.verdict.refused]
    quarantined = [
        i for i, r in enumerate(batches) if r.verdict.quarantined and not r.verdict.refused
    ]
    floor: dict[str, Any] = {
        "transform": axes.get_xaxis_transform(),
        "linestyle": "none",
        "clip_on": False,
        "zorder": 5,
    }
    if refused:
        axes.plot(
            refused,
            [0.03] * len(refused),
            marker="X",
            markersize=8,
            color=_ACCENT,
            markeredgecolor=_PAPER,
            label="batch refused",
            **floor,
        )
    if quarantined:
        axes.plot(
            quarantined,
            [0.03] * len(quarantined),
            marker="D",
            markersize=5,
            markerfacecolor=_PAPER,
            markeredgecolor=_MUTED,
            label="rows in quarantine",
            **floor,
        )
