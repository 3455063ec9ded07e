"""What a challenger needs, beside its pipeline, to serve raw rows wherever MLflow loads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.open_rows import open_contract
from flows.steps.run import ModelRun
from tasks.features.beside import add_past
from tasks.features.frame import inputs
from tasks.features.task import open_features
from tasks.lake import read_reasons, read_span, to_frame
from tasks.model_spec import ManagedModel
from tasks.prediction import predict_frame
from tasks.records import BatchRecord, LoadedModel, Past
from tasks.registry.package import Package
from tasks.training.fit import Fitted

ROWS = 100
"""Raw rows by which is checked that the package serves as Kingmaker does ..."""
LOOKED_AT = 10_000
"""... taken from the first of the batch."""


@dataclass(frozen=True)
class Example:
    """A package, and the raw rows that it comes with."""

    package: Package
    rows: pa.Table
    """(rows, columns known at event time), in the contract's types."""
    past: Past
    """What their features look back on."""

    def served(self, managed: ManagedModel, model: LoadedModel) -> np.ndarray:
        """Return what Kingmaker serves for the rows by ``model``, (rows,) or (rows, classes)."""
        return predict_frame(
            model, open_features(managed, self.rows, self.past), managed.spec.problem
        )


def make_package(run: ModelRun, fitted: Fitted) -> Example:
    """Return what is needed to serve ``fitted`` anywhere, with rows of its newest training batch as
    an example.
    """
    managed, train = run.managed, fitted.split.train
    spec, contract = managed.spec, managed.contract
    needed = inputs(contract, spec.features, spec.target)
    rows = _first_rows(managed, run.batches.known[max(train.snapshots)])
    past = managed.past_kinds
    made = add_past(managed, {"rows": rows}, run.past)["rows"]
    package = Package(
        entry="flows.steps.packaged",
        record={
            "model": managed.name,
            "problem": spec.problem,
            "target": spec.target,
            "classes": fitted.classes,
            "schema_": train.schema.model_dump(),
            "features": spec.features.model_dump(mode="json"),
            "server": contract.server.name,
            "inputs": needed,
            "past": past,
        },
        contract_text=contract.file.read_text(encoding="utf-8"),
        project=managed.settings.project,
        code=spec.features.code,
        inputs={name: contract.column(name).required for name in needed}
        | dict.fromkeys(past, True),
        outputs=tuple(f"probability_{label}" for label in fitted.classes) or ("prediction",),
        example=to_frame(made.select([n for n in (*needed, *past) if n in made.column_names])),
    )
    return Example(package, rows, run.past)


def _first_rows(managed: ManagedModel, record: BatchRecord) -> pa.Table:
    """The first accepted rows of a batch, at most ``ROWS``, without what comes later."""
    lake, snapshot, found = managed.settings.lake, record.snapshot, record.verdict.quarantine
    part = snapshot.parts[0]
    file = lake / snapshot.path / part.file
    known = open_contract(managed.contract, managed.spec.target).column_names
    there = [name for name in pq.read_schema(file).names if name in known]
    table = read_span(file, 0, min(part.rows, LOOKED_AT), there)
    keep = np.ones(table.num_rows, dtype=bool)
    if found is not None:
        keep[[at for at in read_reasons(lake, found) if at < table.num_rows]] = False
    return table.filter(pa.array(keep)).slice(0, ROWS)
