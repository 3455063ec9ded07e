"""Tests of Evidently's page: it is written, whatever the columns are like."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.drift.config import DriftConfig
from tasks.drift.evidently_report import draw_sample, write_report
from tasks.drift.profile import make_profile, summarise_drift
from tests.tasks.builders import frame_of

pytestmark = pytest.mark.filterwarnings("ignore")  # Evidently's own, many of them


def _write(path: Path, before: pd.DataFrame, after: pd.DataFrame) -> str:
    categorical = [name for name in before if not pd.api.types.is_numeric_dtype(before[name])]
    ours, theirs = (
        frame_of(f, np.zeros(len(f)), days=np.zeros(len(f)), categorical=categorical) for f in (before, after)
    )
    p = np.linspace(0, 1, 50)
    summary = summarise_drift(make_profile(ours, p, {}), 1, theirs, p, DriftConfig())
    write_report(path, before, after, summary)
    return path.read_text(encoding="utf-8")


def _columns(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "wind": rng.normal(size=rows),
            "few": rng.integers(0, 3, rows).astype("float64"),
            "carrier": rng.choice(["AA", "UA"], rows),
        }
    )


def test_report_is_written(tmp_path: Path) -> None:
    """The page is there, is a page, and shows each feature."""
    page = _write(tmp_path / "reports" / "evidently.html", _columns(500, 0), _columns(300, 1))

    assert len(page) > 10_000
    assert "<html" in page
    for name in ("wind", "few", "carrier"):
        assert name in page


@pytest.mark.parametrize("where", ["before", "after", "both"])
def test_one_column_without_a_value_does_not_end_the_report(tmp_path: Path, where: str) -> None:
    """A column that is all null on a side is left out; the others are still drawn."""
    before, after = _columns(500, 0), _columns(300, 1)
    before["gone"] = np.nan if where in ("before", "both") else 1.0
    after["gone"] = np.nan if where in ("after", "both") else 1.0

    page = _write(tmp_path / "evidently.html", before, after)

    assert "wind" in page
    assert "gone" not in page


def test_nothing_to_draw(tmp_path: Path) -> None:
    """When no feature can be drawn the page is written all the same."""
    empty = pd.DataFrame({"gone": np.full(100, np.nan)})

    assert "<html" in _write(tmp_path / "evidently.html", empty, empty)


def test_sample_is_bounded_seeded_and_in_order() -> None:
    """A sample holds at most so many rows, the same ones each time, in their own order."""
    frame = pd.DataFrame({"x": np.arange(1000)})

    sample = draw_sample(frame, 100, seed=3)

    assert len(sample) == 100
    assert sample["x"].is_monotonic_increasing
    pd.testing.assert_frame_equal(sample, draw_sample(frame, 100, seed=3))
    assert draw_sample(frame, 1000, seed=3) is frame


def test_no_value_ends_a_script(tmp_path: Path) -> None:
    """A column name or category that closes a script element stays text in the page's data."""
    hostile = "</script><script>alert(1)</script>"
    before, after = _columns(200, 1), _columns(200, 2)
    for frame in (before, after):
        frame[hostile] = np.where(frame["carrier"] == "AA", hostile, "x")

    page = _write(tmp_path / "evidently.html", before, after)

    assert hostile not in page
    assert hostile.replace("<", "\\u003c") in page
