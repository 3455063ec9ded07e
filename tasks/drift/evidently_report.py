"""Evidently's interactive report of one batch, drawn from bounded, seeded samples with our thresholds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.lake import write_whole
from tasks.records import DriftSummary

if TYPE_CHECKING:
    import pandas as pd


class ReportNotWrittenError(RuntimeError):
    """Evidently returned without writing its page."""


def draw_sample(features: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Return at most ``rows`` rows of ``features``, drawn with ``seed``, in their own order."""
    return features if len(features) <= rows else features.sample(rows, random_state=seed).sort_index()


def _inert(page: str, path: Path) -> str:
    """The page with the data in its scripts escaped: Evidently writes them as they are, so ``</script>`` would end one."""
    data = re.compile(r"^ *var \w+ = \{.*\};$", re.MULTILINE)
    if len(data.findall(page)) != 2:
        raise ReportNotWrittenError(
            f"{path}: expected two lines of data in Evidently's page, found other ones"
        )
    return data.sub(lambda line: line[0].replace("<", "\\u003c"), page)


def write_report(path: Path, baseline: pd.DataFrame, batch: pd.DataFrame, summary: DriftSummary) -> None:
    """Write Evidently's page: one drift metric a feature, its test and threshold pinned to ours.

    Column kinds come from the summary, never from a guess. Columns without a value are left out: one of them would end the
    whole report (Evidently #1480); our own page names them.
    """
    import tempfile

    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    judged = [
        f
        for f in summary.inputs
        if f.score is not None and baseline[f.feature].notna().any() and batch[f.feature].notna().any()
    ]
    kinds: Mapping[str, list[str]] = {
        "numerical_columns": [f.feature for f in judged if f.kind == "numerical"],
        "categorical_columns": [f.feature for f in judged if f.kind == "categorical"],
    }
    definition = DataDefinition(**kinds)
    names = [f.feature for f in judged]
    report = Report([ValueDrift(column=f.feature, method="psi", threshold=f.threshold) for f in judged])
    snapshot = report.run(
        Dataset.from_pandas(batch[names], data_definition=definition),
        Dataset.from_pandas(baseline[names], data_definition=definition),
    )
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "evidently.html"
        snapshot.save_html(str(file))  # given a Path it writes nothing and says nothing (Evidently 0.7.23)
        if not file.is_file() or file.stat().st_size == 0:
            raise ReportNotWrittenError(f"{path}: Evidently wrote no page for batch {summary.batch}")
        write_whole(path, _inert(file.read_text(encoding="utf-8"), path).encode())
