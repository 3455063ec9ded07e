"""Evidently's interactive report of one batch: pictures from bounded, seeded samples, verdicts and
thresholds ours.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.errors import KingmakerError
from tasks.lake import own_columns
from tasks.records import DriftSummary, FeatureDrift, FeatureFrame

EVENT_TIME = "(event time)"
"""Last column of the baseline's sample, no feature: by it the rows of a season are found. Its name
where no feature has it.
"""
BINS: tuple[int | str, ...] = (10, "doane")
"""How Evidently cuts its histograms."""
MOST_DRAWN = 100
"""Columns that the page shows, those that moved farthest against their thresholds: time and size
grow with them, and our own page names them all.
"""
_METHOD = "kingmaker"


class ReportNotWrittenError(KingmakerError):
    """Evidently returned without writing its page."""


def draw_sample(frame: FeatureFrame, rows: int, seed: int) -> pd.DataFrame:
    """Return the features and the event time of at most ``rows`` rows, drawn with ``seed``, in
    their own order.
    """
    (name,) = own_columns(frame.schema.names, (EVENT_TIME,))
    features = frame.features.assign(**{name: frame.event_time})
    return (
        features if len(features) <= rows else features.sample(rows, random_state=seed).sort_index()
    )


def _drawn_threshold(feature: FeatureDrift) -> float:
    """The threshold as Evidently draws it, which has no word for one that no batch could reach."""
    return 1e9 if feature.threshold is None else feature.threshold


def _inert(page: str) -> str:
    """The page with the data in its scripts escaped: Evidently writes them as they are, so
    ``</script>`` would end one.
    """
    data = re.compile(r"^ *var \w+ = \{.*\};$", re.MULTILINE)
    if len(data.findall(page)) != 2:
        raise ReportNotWrittenError(
            "expected two lines of data in Evidently's page, found other ones"
        )
    return data.sub(lambda line: line[0].replace("<", "\\u003c"), page)


def draw_report(baseline: pd.DataFrame, batch: pd.DataFrame, summary: DriftSummary) -> str:
    """Return Evidently's page: one drift metric and one test a feature, with our score on all rows
    and our threshold.

    Column kinds come from the summary, never from a guess. Columns without a value, and numbers
    too large to be cut into bins, are left out: one of them would end the whole report (Evidently
    #1480); our own page names them.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    reference = _rows_of_reference(baseline, summary)
    judged = [
        f
        for f in summary.inputs
        if f.score is not None
        and reference[f.feature].notna().any()
        and batch[f.feature].notna().any()
        and (f.kind != "numerical" or _has_bins(reference[f.feature], batch[f.feature]))
    ]
    farthest = sorted(
        judged, key=lambda f: (f.score or 0.0) / max(_drawn_threshold(f), 1e-12), reverse=True
    )
    drawn = {f.feature for f in farthest[:MOST_DRAWN]}
    judged = [f for f in judged if f.feature in drawn]
    kinds: Mapping[str, list[str]] = {
        "numerical_columns": [f.feature for f in judged if f.kind == "numerical"],
        "categorical_columns": [f.feature for f in judged if f.kind == "categorical"],
    }
    definition = DataDefinition(**kinds)
    names = [f.feature for f in judged]
    _register(judged)
    report = Report(
        [
            ValueDrift(column=f.feature, method=_METHOD, threshold=_drawn_threshold(f))
            for f in judged
        ],
        include_tests=True,
    )
    snapshot = report.run(
        Dataset.from_pandas(batch[names], data_definition=definition),
        Dataset.from_pandas(reference[names], data_definition=definition),
    )
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "evidently.html"
        snapshot.save_html(
            str(file)
        )  # given a Path it writes nothing and says nothing (Evidently 0.7.23)
        if not file.is_file() or file.stat().st_size == 0:
            raise ReportNotWrittenError(f"Evidently wrote no page for batch {summary.batch}")
        return _inert(file.read_text(encoding="utf-8"))


def _has_bins(reference: pd.Series, batch: pd.Series) -> bool:
    """Whether NumPy, which draws for Evidently, can cut the values into bins."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            for values in (reference, batch, pd.concat([reference, batch])):
                for bins in BINS:
                    np.histogram(values.dropna(), bins)
    except (ValueError, OverflowError):
        return False
    return True


def _rows_of_reference(baseline: pd.DataFrame, summary: DriftSummary) -> pd.DataFrame:
    """The sampled rows that the batch was held against; all of them when the season has none in the
    sample.
    """
    reference = summary.reference
    if reference.kind != "season":
        return baseline
    times = baseline.iloc[:, -1]
    inside = [(times >= start) & (times < end) for start, end in reference.spans]
    chosen = baseline[sum(inside[1:], start=inside[0])]
    return chosen if len(chosen) else baseline


def _register(judged: list[FeatureDrift]) -> None:
    """Give Evidently a test that says what we found: with its own bins and a sample it might
    contradict our page.
    """
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    found = {f.feature: f for f in judged}

    def measured(
        reference: pd.Series,
        current: pd.Series,  # noqa: ARG001 - as Evidently calls it, so are the next
        kind: ColumnType,  # noqa: ARG001
        threshold: float,  # noqa: ARG001
    ) -> tuple[float, bool]:
        feature = found[str(reference.name)]
        return feature.score or 0.0, (feature.score or 0.0) > _drawn_threshold(feature)

    register_stattest(
        StatTest(
            name=_METHOD,
            display_name="population stability index on all rows, threshold by Kingmaker",
            allowed_feature_types=[ColumnType.Numerical, ColumnType.Categorical],
        ),
        default_impl=measured,
    )
