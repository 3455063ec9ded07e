"""Tests of Evidently's page: it is written, whatever the columns are like."""

import numpy as np
import pandas as pd
import pytest

from tasks.drift.config import DriftConfig
from tasks.drift.evidently_report import MOST_DRAWN, draw_report, draw_sample
from tasks.drift.histograms import count_part
from tasks.drift.profile import make_profile
from tasks.drift.summary import summarise_drift
from tests.tasks.builders import frame_of

pytestmark = pytest.mark.filterwarnings("ignore")  # Evidently's own, many of them


def _drawn(before: pd.DataFrame, after: pd.DataFrame) -> str:
    categorical = [name for name in before if not pd.api.types.is_numeric_dtype(before[name])]
    ours, theirs = (
        frame_of(f, np.zeros(len(f)), days=np.zeros(len(f)), categorical=categorical)
        for f in (before, after)
    )
    p = np.linspace(0, 1, 50)
    profile = make_profile(ours, ours, p, (np.arange(50), p), {})
    summary = summarise_drift(
        profile, 1, "b", count_part(profile, theirs, p), DriftConfig(), seed=0
    )
    return draw_report(draw_sample(ours, 10_000, 0), draw_sample(theirs, 10_000, 0), summary)


def _columns(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "wind": rng.normal(size=rows),
            "few": rng.integers(0, 3, rows).astype("float64"),
            "carrier": rng.choice(["AA", "UA"], rows),
        }
    )


def test_report_is_written() -> None:
    """The page is there, is a page, and shows each feature."""
    page = _drawn(_columns(500, 0), _columns(300, 1))

    assert len(page) > 10_000
    assert "<html" in page
    for name in ("wind", "few", "carrier"):
        assert name in page


@pytest.mark.parametrize("where", ["before", "after", "both"])
def test_one_column_without_a_value_does_not_end_the_report(where: str) -> None:
    """A column that is all null on a side is left out; the others are still drawn."""
    before, after = _columns(500, 0), _columns(300, 1)
    before["gone"] = np.nan if where in ("before", "both") else 1.0
    after["gone"] = np.nan if where in ("after", "both") else 1.0

    page = _drawn(before, after)

    assert "wind" in page
    assert "gone" not in page


def test_nothing_to_draw() -> None:
    """When no feature can be drawn the page is written all the same."""
    empty = pd.DataFrame({"gone": np.full(100, np.nan)})

    assert "<html" in _drawn(empty, empty)


def test_sample_is_bounded_seeded_and_in_order() -> None:
    """A sample holds at most so many rows, the same ones each time, in their own order."""
    frame = frame_of(pd.DataFrame({"x": np.arange(1000.0)}), np.zeros(1000), days=np.arange(1000))

    sample = draw_sample(frame, 100, seed=3)

    assert len(sample) == 100
    assert sample["x"].is_monotonic_increasing
    pd.testing.assert_frame_equal(sample, draw_sample(frame, 100, seed=3))
    assert len(draw_sample(frame, 1000, seed=3)) == 1000


def test_a_feature_called_as_the_samples_time_keeps_its_values() -> None:
    """The time stands last, under another name."""
    rows = pd.DataFrame({"(event time)": np.arange(5.0)})

    sample = draw_sample(frame_of(rows, np.zeros(5), days=np.arange(5)), 100, seed=3)

    assert sample["(event time)"].tolist() == rows["(event time)"].tolist()
    assert list(sample.columns) == ["(event time)", "kingmaker_(event time)"]


def test_evidently_says_what_we_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scores, thresholds and verdicts are those of our summary, whatever the sample and its own
    bins would say.
    """
    import evidently

    found = []
    run = evidently.Report.run
    monkeypatch.setattr(
        evidently.Report, "run", lambda *args: found.append(run(*args)) or found[-1]
    )
    before, after = _columns(500, 0), _columns(300, 1)
    after["wind"] += 2
    ours, theirs = (
        frame_of(f, np.zeros(len(f)), days=np.zeros(len(f)), categorical=["carrier"])
        for f in (before, after)
    )
    p = np.linspace(0, 1, 50)
    profile = make_profile(ours, ours, p, (np.arange(50), p), {})
    summary = summarise_drift(
        profile, 1, "b", count_part(profile, theirs, p), DriftConfig(), seed=0
    )

    draw_report(draw_sample(ours, 100, 0), draw_sample(theirs, 100, 0), summary)

    said = found[0].dict()
    assert {
        m["config"]["column"]: (m["value"], m["config"]["threshold"]) for m in said["metrics"]
    } == {f.feature: (f.score, f.threshold) for f in summary.inputs}
    assert {t["metric_config"]["params"]["column"]: t["status"] for t in said["tests"]} == {
        "wind": "FAIL",
        "few": "SUCCESS",
        "carrier": "SUCCESS",
    }


def test_a_season_is_drawn_from_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the rows of the season, when it is the season that the batch was held against."""
    import evidently

    seen = []
    run = evidently.Report.run
    monkeypatch.setattr(
        evidently.Report,
        "run",
        lambda self, now, before: seen.append(before.as_dataframe()) or run(self, now, before),
    )
    days = np.linspace(0, 720, 4000, endpoint=False)
    before = frame_of(pd.DataFrame({"x": days}), np.zeros(4000), days=days)
    after = frame_of(
        pd.DataFrame({"x": days[:200]}), np.zeros(200), days=np.linspace(720, 750, 200)
    )
    p = np.linspace(0, 1, 50)
    profile = make_profile(before, after, p, (np.arange(50), p), {})
    summary = summarise_drift(profile, 1, "b", count_part(profile, after, p), DriftConfig(), seed=0)

    draw_report(draw_sample(before, 10_000, 0), draw_sample(after, 100, 0), summary)

    assert summary.reference.kind == "season"
    assert 0 < len(seen[0]) < 1000
    assert all(
        any(s <= t < e for s, e in summary.reference.spans)
        for t in before.event_time[seen[0].index]
    )


def test_no_value_ends_a_script() -> None:
    """A column name or category that closes a script element stays text in the page's data."""
    hostile = "</script><script>alert(1)</script>"
    before, after = _columns(200, 1), _columns(200, 2)
    for frame in (before, after):
        frame[hostile] = np.where(frame["carrier"] == "AA", hostile, "x")

    page = _drawn(before, after)

    assert hostile not in page
    assert hostile.replace("<", "\\u003c") in page


def test_of_very_many_columns_those_that_moved_farthest_are_drawn() -> None:
    """The page of a wide table stays small, and shows what matters."""
    rng = np.random.default_rng(0)
    before, after = (
        pd.DataFrame({f"s{i}": rng.normal(size=50) for i in range(MOST_DRAWN + 1)})
        for _ in range(2)
    )
    after["s7"] += 100.0

    page = _drawn(before, after)

    drawn = {f"s{i}" for i in range(MOST_DRAWN + 1) if f'for column s{i}"' in page}
    assert len(drawn) == MOST_DRAWN
    assert "s7" in drawn


def test_numbers_without_bins_do_not_end_the_report() -> None:
    """Neighbours beyond 2^53, and a range that overflows, are left out; the others are drawn."""
    before, after = _columns(200, 1), _columns(200, 2)
    for frame in (before, after):
        frame["near"] = 2.0**62 + 1024 * np.arange(200)
        frame["far"] = np.where(np.arange(200) == 0, np.finfo("float64").max, -1e308)

    page = _drawn(before, after)

    assert 'for column wind"' in page
    assert 'for column far"' not in page
