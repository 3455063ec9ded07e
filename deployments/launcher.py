"""How the worker begins a run: a look first, and Prefect's engine only where there is something to
do.

    python -m deployments.launcher

Most scheduled runs find nothing new, and Prefect's engine costs twice the look. Such a run is told
to the server in the states that the engine would set, and Prefect is never imported. All else is
the engine's, in this same process.
"""

from __future__ import annotations

import base64
import json
import os
import runpy
import time
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flows.steps.pending import is_idle, scoring_idle
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.settings import Settings

_LOOKS = {"monitor": is_idle, "score": scoring_idle}
"""Flow -> whether nothing waits for it."""
_SECONDS = 30
"""The longest that the server may take to answer; then the engine asks it, and has more patience.
"""


def main() -> None:
    """End the run that the environment names, when nothing waits for it; else run it."""
    try:
        done = os.environ.get("PREFECT__FLOW_NAME") in _LOOKS and ended_idle(os.environ)
    except Exception:  # noqa: BLE001 - whatever keeps us from looking is met again by the engine, which tells the server
        done = False
    if not done:
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def ended_idle(environment: Mapping[str, str]) -> bool:
    """Look whether anything waits for this run, end it on the server when nothing does, and say
    whether it ended.

    A run that asks for a batch or for a moment is not looked at, and of a model that trusts pickles
    the engine must say so.
    """
    run, flow = _ask(environment, "GET"), environment.get("PREFECT__FLOW_NAME", "monitor")
    idle = _LOOKS[flow]
    given = {name: value for name, value in run["parameters"].items() if value is not None}
    if set(given) != {"model"}:
        return False
    managed = manage(given["model"], Settings())
    engine = open_ledger(managed.settings.ledger_url)
    while managed.spec.trust != "pickle" and idle(managed, engine, datetime.now(UTC)):
        begun = _ask(environment, "POST", "/set_state", {"state": {"type": "RUNNING"}})
        if begun["status"] == "WAIT":  # workers take runs some seconds before they are due
            time.sleep(begun["details"]["delay_seconds"])
            continue
        if begun["status"] != "ACCEPT":
            return False
        _ask(environment, "PATCH", "", {"name": f"{flow} {managed.name}"})
        said = {"type": "COMPLETED", "message": "nothing is new"}
        return bool(_ask(environment, "POST", "/set_state", {"state": said})["status"] == "ACCEPT")
    return False


def _ask(environment: Mapping[str, str], method: str, what: str = "", body: Any = None) -> Any:  # noqa: ANN401 - JSON
    """Ask Prefect's server about this run, with the credentials of the environment."""
    url = f"{environment['PREFECT_API_URL']}/flow_runs/{environment['PREFECT__FLOW_RUN_ID']}{what}"
    token = base64.b64encode(environment["PREFECT_API_AUTH_STRING"].encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the address of our own server
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        content = answer.read()
    return json.loads(content) if content else None


if __name__ == "__main__":
    main()
