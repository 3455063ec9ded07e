"""KM015: whether a project's feature code makes the same features in another process.

    python -P -m tasks.features.fresh MODEL PROJECT ROWS FEATURES

builds the features of the rows in the Parquet file ROWS by the model spec of PROJECT, and writes
them to the Parquet file FEATURES.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.checks import Check
from tasks.features.checks import differing
from tasks.features.frame import build_by_spec
from tasks.model_spec import ManagedModel, manage
from tasks.processes import ModuleFailedError, NoAnswerError, ask_module
from tasks.records import Guardrail
from tasks.settings import Settings

ROWS = 1_000
"""Oldest rows of the batch whose features are built in both processes."""
LIMIT = "the same"


class SameElsewhere(Check):
    """KM015: a project's feature code makes the same features of the same rows in a new
    interpreter.

    Features that rest on the process differ there: on ``hash()`` of a text, which every process
    seeds anew, on a random state that is not set, on what another module has left in a global. The
    library's own features cannot, and code that the champion was made with has been checked when
    that was: neither is built again.
    """

    code = "KM015"

    def check(self, managed: ManagedModel, rows: pa.Table, known_since: int | None) -> Guardrail:
        """Build the features of ``rows`` here and there.

        ``known_since`` is the version of the champion that has the same feature code; None when it
        has another, or there is none.
        """
        if managed.spec.features.code is None:
            return self.result(True, "no feature code of the project's", LIMIT)
        if known_since is not None:
            return self.result(True, f"the feature code of version {known_since}", LIMIT)
        rows = rows.slice(0, ROWS)
        here = _features(managed, rows)
        with tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary)
            given, made = directory / "rows.parquet", directory / "features.parquet"
            pq.write_table(rows, given)
            project = str(managed.settings.project.resolve())
            try:
                words = (managed.name, project, str(given), str(made))
                ask_module(__name__, *words, directory=directory)
            except NoAnswerError as error:
                return self.result("not made", str(error), LIMIT)
            except ModuleFailedError as error:
                return self.result("failed", str(error), LIMIT)
            there = pd.read_parquet(made)
        suspects = sorted(differing(here, there))
        found = f"{', '.join(suspects)} differ" if suspects else f"{len(here):,} rows, none differs"
        return self.result(not suspects, f"{found} in a new interpreter", LIMIT)


def _features(managed: ManagedModel, rows: pa.Table) -> pd.DataFrame:
    return build_by_spec(managed, {"rows": rows}, {"rows": ""}).features


def main(model: str, project: str, rows: str, features: str) -> None:
    """Build, write."""
    managed = manage(model, Settings(project=Path(project)))
    _features(managed, pq.read_table(rows)).to_parquet(features)


if __name__ == "__main__":
    main(*sys.argv[1:])
