"""Gain against trainings, in one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.lake import write_whole

_INK, _MUTED, _LINE, _ACCENT, _PAPER = "#1c2333", "#5d6577", "#e3e6ec", "#c2410c", "#ffffff"
"""The colours of tasks/reports/timeline.py."""


@dataclass(frozen=True)
class Point:
    """One policy in the picture."""

    name: str
    trainings: float
    """As a share of always-retrain's."""
    gain: float
    """As a share of always-retrain's."""
    broken: float | None
    """The gain with every tenth challenger broken."""
    ours: bool


def draw(path: Path, points: Sequence[Point]) -> None:
    """Write a PNG of 1200 x 600 pixels to ``path``; the same points give the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 5.0), dpi=120, facecolor=_PAPER)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.07, 0.12, 0.9, 0.72))
    figure.text(
        0.024,
        0.925,
        "The share of always-retraining's gain, against that of its trainings",
        fontsize=14,
        fontweight="bold",
        color=_INK,
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.tick_params(colors=_MUTED, labelsize=9, length=0, pad=6)
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    named = set[str]()
    for point in sorted(points, key=lambda point: point.ours):
        colour = _ACCENT if point.ours else _INK
        label = "Kingmaker" if point.ours else "the usual policies, no gate"
        if point.broken is not None:
            axes.plot(
                [point.trainings] * 2,
                [point.gain, point.broken],
                color=colour,
                linewidth=1.1,
                alpha=0.6,
            )
            axes.plot(
                [point.trainings],
                [point.broken],
                marker="o",
                markersize=7,
                markeredgecolor=colour,
                linestyle="none",
                markerfacecolor=_PAPER,
                label="_" if "broken" in named else "with every tenth challenger broken",
            )
            named.add("broken")
        axes.plot(
            [point.trainings],
            [point.gain],
            marker="o",
            markersize=8,
            color=colour,
            linestyle="none",
            label="_" if label in named else label,
        )
        named.add(label)
        axes.annotate(
            point.name,
            (point.trainings, point.gain),
            xytext=(0, 11) if point.ours else (9, -12),
            textcoords="offset points",
            fontsize=9,
            ha="center" if point.ours else "left",
            color=_ACCENT if point.ours else _MUTED,
        )
    axes.axhline(1.0, color=_MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
    heights = [
        height for point in points for height in (point.gain, point.broken) if height is not None
    ]
    axes.set_xlim(-0.03, 1.22)  # names stand to the right of their points
    axes.set_xticks([share / 5 for share in range(6)])
    axes.set_ylim(min(-0.05, *heights) - 0.03, max(1.05, *heights) + 0.1)
    axes.set_xlabel("trainings, as a share of those of always retraining", color=_MUTED, fontsize=9)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=3,
        frameon=False,
        fontsize=9,
        labelcolor=_MUTED,
    )
    content = io.BytesIO()
    # Without the library's name and version the bytes depend on the figures alone.
    canvas.print_png(content, metadata={"Software": None})
    write_whole(path, content.getvalue())
