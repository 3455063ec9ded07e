"""The forms that the Prefect page makes of the flows' parameters: Prefect reads their words from
the docstrings.
"""

from __future__ import annotations

import pytest
from prefect.flows import Flow

from flows.manual import rollback
from flows.monitor import monitor
from flows.promote import promote, refuse
from flows.replay import replay
from flows.retrain import retrain


@pytest.mark.parametrize(
    "flow", [monitor, retrain, promote, refuse, rollback, replay], ids=lambda flow: flow.name
)
def test_every_parameter_says_what_it_is(flow: Flow) -> None:
    """A person who triggers a flow on the Prefect page needs no manual; only the model must be
    given.
    """
    schema = flow.parameters.model_dump()

    assert schema["required"] == ["model"]
    for name, field in schema["properties"].items():
        assert len(field.get("description", "")) > 20, f"{flow.name}.{name} is not described"
    assert flow.description
