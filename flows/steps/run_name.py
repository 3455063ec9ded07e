"""The names of flow runs, as the Prefect page lists them."""

from __future__ import annotations

import prefect.runtime


def run_name() -> str:
    """Return flow, model, and batch or version, as far as they are given."""
    given = prefect.runtime.flow_run.parameters
    words = [
        prefect.runtime.flow_run.flow_name,
        given.get("model"),
        given.get("batch") or given.get("version"),
    ]
    return " ".join(str(word) for word in words if word)
