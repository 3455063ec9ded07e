"""How the worker begins a run: a look first, and Prefect's engine only where there is something to
do now.

    python -P -m deployments.launcher

Most scheduled runs find nothing new, and Prefect's engine costs twice the look. Such a run is told
to the server in the states that the engine would set, and Prefect is never imported. A run of a
model for which another run acts is put off. All else is the engine's, in this same process.
"""

from __future__ import annotations

import os
import runpy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.server.client import Server
from flows.steps.pending import is_idle, scoring_idle
from tasks.ledger.lease import current_holder
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.processes import collect_seldom
from tasks.settings import Settings

_LOOKS = {"monitor": is_idle, "score": scoring_idle}
"""Flow -> whether nothing waits for it."""
PUT_OFF = timedelta(seconds=15)
"""How long a run waits, without a process, until it looks again whether another acts for its model.
"""


@dataclass(frozen=True)
class Run:
    """A flow run on Prefect's server, as the worker names it in the environment.

    Requests are made once: when the server is away or busy, the engine asks it, and has more
    patience.
    """

    server: Server
    flow: str
    path: str

    @classmethod
    def named_in(cls, environment: Mapping[str, str]) -> Run:
        """Return the run that ``environment`` names; KeyError when it names none."""
        server = Server(
            "Prefect's server",
            environment["PREFECT_API_URL"],
            environment["PREFECT_API_AUTH_STRING"],
        )
        path = f"/flow_runs/{environment['PREFECT__FLOW_RUN_ID']}"
        return cls(server, environment["PREFECT__FLOW_NAME"], path)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that were given; one that is null is not."""
        given = self.server.json(self.path)["parameters"]
        return {name: value for name, value in given.items() if value is not None}

    def rename(self, name: str) -> None:
        """Give the run a name."""
        self.server.ask(self.path, {"name": name}, "PATCH")

    def set_state(self, type: str, **details: Any) -> dict[str, Any]:  # noqa: ANN401 - of Prefect's state
        """Propose a state, and return the server's answer: ``status`` and ``details``."""
        state = {"state": {"type": type, **details}}
        answer: dict[str, Any] = self.server.json(f"{self.path}/set_state", state)
        return answer


def main() -> None:
    """End or put off the run that the environment names, when there is nothing to do now; else run
    it.
    """
    collect_seldom()
    try:
        done = done_by_a_look(Run.named_in(os.environ))
    except Exception:  # noqa: BLE001 - whatever keeps us from looking is met again by the engine, which tells the server
        done = False
    if not done:
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def done_by_a_look(run: Run) -> bool:
    """Put the run off when another acts for its model, unless it needs no lease, or end it when
    nothing waits for it; whether one of both was done.

    A run that asks for a batch or for a moment is not ended, and of a model that trusts pickles
    the engine must say so.
    """
    given = run.parameters()
    if "model" not in given:
        return False
    managed = manage(given["model"], Settings())
    engine = open_ledger(managed.settings.ledger_url)
    needs_lease = run.flow != "score"
    if needs_lease and (holder := current_holder(engine, managed.name)):
        due = datetime.now(UTC) + PUT_OFF
        answer = run.set_state(
            "SCHEDULED",
            name="Waiting",
            message=f"{holder} acts for {managed.name} now",
            state_details={"scheduled_time": due.isoformat()},
        )
        return bool(answer["status"] == "ACCEPT")
    idle = _LOOKS.get(run.flow)
    looks = set(given) == {"model"} and managed.spec.trust != "pickle"
    while looks and idle is not None and idle(managed, engine, datetime.now(UTC)):
        begun = run.set_state("RUNNING")
        if begun["status"] == "WAIT":  # workers take runs some seconds before they are due
            time.sleep(begun["details"]["delay_seconds"])
            continue
        if begun["status"] != "ACCEPT":
            return False
        run.rename(f"{run.flow} {managed.name}")
        return bool(run.set_state("COMPLETED", message="nothing is new")["status"] == "ACCEPT")
    return False


if __name__ == "__main__":
    main()
