"""Gain against trainings, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.lake import write_whole

_INK, _MUTED, _LINE, _ACCENT, _PAPER = "#1c2333", "#5d6577", "#e3e6ec", "#c2410c", "#ffffff"
"""The colours of tasks/reports/timeline.py."""


def draw(path: Path, points: Sequence[tuple[str, float, float, bool]]) -> None:
    """Write a PNG to ``path``: name, share of the trainings, share of the gain, and whether the house decides."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 5.0), dpi=120, facecolor=_PAPER)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.07, 0.12, 0.9, 0.72))
    figure.text(
        0.024,
        0.925,
        "What retraining gains, against how often it is done",
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
    for label, ours in (("the usual policies, no gate", False), ("Kingmaker", True)):
        chosen = sorted(point[1:3] for point in points if point[3] == ours)
        axes.plot(
            [x for x, _ in chosen], [y for _, y in chosen], marker="o", markersize=8 if ours else 6,
            color=_ACCENT if ours else _INK, linestyle="-" if ours else "none", linewidth=1.4, label=label,
        )  # fmt: skip
    for name, x, y, ours in points:
        axes.annotate(
            name, (x, y), xytext=(7, 7 if ours else -13), textcoords="offset points", fontsize=9,
            color=_ACCENT if ours else _MUTED,
        )  # fmt: skip
    axes.axhline(1.0, color=_MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.set_xlim(-0.03, 1.15)
    axes.set_ylim(
        min(-0.05, *(y - 0.08 for _, _, y, _ in points)), max(1.15, *(y + 0.1 for _, _, y, _ in points))
    )
    axes.set_xlabel("trainings, as a share of those of always retraining", color=_MUTED, fontsize=9)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, frameon=False, fontsize=9, labelcolor=_MUTED
    )
    content = io.BytesIO()
    # Without the library's name and version the bytes depend on the figures alone.
    canvas.print_png(content, metadata={"Software": None})
    write_whole(path, content.getvalue())
