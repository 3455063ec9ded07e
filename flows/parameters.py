"""The parameters that flows share, with the words that the form on the Prefect page shows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import prefect.runtime
from pydantic import Field

ModelName = Annotated[
    str, Field(title="Model", description="Name of a directory in deployments/, such as flights.")
]
BatchId = Annotated[
    str | None,
    Field(title="Batch", description="One batch, such as 2013-05. Left out: every batch that is new."),
]
Moment = Annotated[
    datetime | None,
    Field(
        title="As of",
        description="Act as if it were this moment; batches that end later do not exist yet. Left out: now.",
    ),
]
Reason = Annotated[str, Field(title="Reason", description="One sentence; it is kept in the ledger.")]
Version = Annotated[
    int | None, Field(title="Version", description="A version of the model in the MLflow registry.")
]
Person = Annotated[str, Field(title="Decided by", description="Who decides; it is kept in the ledger.")]


def run_name() -> str:
    """Return the flow run's name: flow, model, batch."""
    given = prefect.runtime.flow_run.parameters
    words = [
        prefect.runtime.flow_run.flow_name,
        given.get("model"),
        given.get("batch") or given.get("version"),
    ]
    return " ".join(str(word) for word in words if word)
