"""What Prefect says of our runs, and what it is asked for in a person's name."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from deployments.names import ANY_MODEL, TAG
from deployments.register import FLOWS
from deployments.server.client import Server, ServerRefusedError
from tasks.errors import KingmakerError
from tasks.needs import Need
from tasks.records import FlowRun

T = TypeVar("T")

NEWEST = 200
"""Runs that are over, of which a page tells."""
PATIENCE_SECONDS = 5.0
"""The longest that Prefect is waited for, for one answer."""
LATE = timedelta(minutes=10)
"""From here on a run that was due and has not begun needs a person."""
_WATCHED = ("monitor", "score")
"""Flows that a schedule begins: their failure needs a person. Who asks for another flow sees it."""
_OVER = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
_UNDER_WAY = ["RUNNING", "PENDING", "PAUSED", "CANCELLING"]
_RAISED = re.compile(r"^Flow run encountered an exception:? *")


class NotDeployedError(KingmakerError):
    """Prefect has no deployment that could run what is asked for."""


class Runs:
    """Asks Prefect; what is asked often is kept for some seconds."""

    def __init__(self, prefect: Server, seconds: float = 5.0) -> None:
        self._prefect, self._seconds = prefect, seconds
        self._kept: dict[str, tuple[float, Any]] = {}

    def newest(self) -> tuple[FlowRun, ...]:
        """Return runs that are under way or late, and the newest that are over, the newest first.

        Raises ServerAwayError when Prefect does not answer.
        """
        return self._keep("newest", self._newest)

    def one(self, id: str) -> FlowRun:
        """Return a run; ServerRefusedError when there is none of that id."""
        return self._run(self._ask(f"/flow_runs/{quote(id)}"))

    def last_line(self, id: str) -> str:
        """Return the newest line of a run's log; empty before the first."""
        wanted = {"logs": {"flow_run_id": {"any_": [id]}}, "sort": "TIMESTAMP_DESC", "limit": 1}
        found = self._ask("/logs/filter", wanted)
        return str(found[0]["message"]).splitlines()[0] if found else ""

    def usual_seconds(self, run: FlowRun) -> float | None:
        """Return how long runs of the same flow for the same model took of late; None before the
        first.
        """
        took = [
            (one.ended - one.began).total_seconds()
            for one in self.newest()
            if (one.flow, one.model, one.kind) == (run.flow, run.model, "COMPLETED")
            and one.began is not None
            and one.ended is not None
        ]
        return statistics.median(took[:5]) if took else None

    def next_due(self, model: str) -> datetime | None:
        """Return when a model's next scheduled run of ``monitor`` is due; None without one."""
        wanted = {
            "flows": {"name": {"any_": ["monitor"]}},
            "deployments": {"name": {"any_": [model]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": 1,
        }
        found = self._ask("/flow_runs/filter", wanted)
        return _moment(found[0]["expected_start_time"]) if found else None

    def begin(self, flow: str, parameters: Mapping[str, Any], person: str, key: str) -> str:
        """Have a worker run a flow in a person's name, and return the run's id.

        Of two requests with the same ``key`` the second begins nothing. Raises NotDeployedError
        when the models are not registered.
        """
        name = f"/deployments/name/{quote(flow)}/{quote(ANY_MODEL)}"
        try:
            deployment = self._ask(name)
        except ServerRefusedError as error:
            raise NotDeployedError(
                f"Prefect has no deployment {flow}/{ANY_MODEL}: 'kingmaker deploy' registers it"
            ) from error
        asked = {
            "parameters": dict(parameters),
            "name": f"{flow} {parameters['model']}",
            "tags": [TAG, str(parameters["model"]), f"by {person}"],
            "idempotency_key": key,
        }
        return str(self._ask(f"/deployments/{deployment['id']}/create_flow_run", asked)["id"])

    def _ask(self, path: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
        """What Prefect answers within some seconds, for which a page may wait."""
        return json.loads(self._prefect.ask(path, body, timeout=PATIENCE_SECONDS))

    def _newest(self) -> tuple[FlowRun, ...]:
        ours = {"flows": {"name": {"any_": [*FLOWS]}}}
        over = {"flow_runs": {"state": {"type": {"any_": _OVER}}}, "sort": "END_TIME_DESC"}
        under_way = {"flow_runs": {"state": {"type": {"any_": _UNDER_WAY}}}}
        late = {"flow_runs": {"state": {"name": {"any_": ["Late", "AwaitingRetry"]}}}}
        found = [
            self._run(one)
            for wanted in (under_way, late, over)
            for one in self._ask("/flow_runs/filter", ours | wanted | {"limit": NEWEST})
        ]
        return tuple(sorted(found, key=lambda run: run.began or run.due, reverse=True))

    def _run(self, told: Mapping[str, Any]) -> FlowRun:
        state = told["state"] or {}
        flows = self._keep("flows", self._flows)
        if told["flow_id"] not in flows:
            flows = self._flows()
        message = _RAISED.sub("", str(state.get("message") or ""))
        return FlowRun(
            id=told["id"],
            name=told["name"],
            flow=flows.get(told["flow_id"], ""),
            model=str((told.get("parameters") or {}).get("model", "")),
            state=state.get("name") or "Scheduled",
            kind=state.get("type") or "SCHEDULED",
            message=message.strip().splitlines()[0] if message.strip() else "",
            due=_moment(told["expected_start_time"] or told["created"]),
            began=None if told["start_time"] is None else _moment(told["start_time"]),
            ended=None if told["end_time"] is None else _moment(told["end_time"]),
        )

    def _flows(self) -> dict[str, str]:
        found = self._ask("/flows/filter", {"flows": {"name": {"any_": [*FLOWS, "reconcile"]}}})
        return {one["id"]: one["name"] for one in found}

    def _keep(self, name: str, read: Callable[[], T]) -> T:
        at, found = self._kept.get(name, (-self._seconds, None))
        if time.monotonic() - at < self._seconds:
            return found  # type: ignore[no-any-return]  # what the same name read
        fresh = read()
        self._kept[name] = (time.monotonic(), fresh)
        return fresh


def needs_of(runs: Iterable[FlowRun], now: datetime) -> dict[str, tuple[Need, ...]]:
    """Return model -> what its runs need a person for: the newest that is over failed, or one that
    was due has not begun.

    A run that refused a batch is not told of: the batch is.
    """
    seen, found = set[tuple[str, str]](), dict[str, list[Need]]()
    for run in runs:
        if run.flow not in _WATCHED or not run.model:
            continue
        if run.kind == "SCHEDULED" and now - run.due > LATE:
            what = f"its {run.flow} run was due {run.due:%Y-%m-%d %H:%M} UTC and has not begun"
            found.setdefault(run.model, []).append(Need(what=what, run=run.id))
        if not run.over or (run.flow, run.model) in seen:
            continue
        seen.add((run.flow, run.model))
        if run.failed and "BatchRefusedError" not in run.message:
            ended = run.ended or run.due
            how = f"{run.state.lower()}: {run.message}"
            what = f"its {run.flow} run of {ended:%Y-%m-%d %H:%M} UTC {how}"
            found.setdefault(run.model, []).append(Need(what=what, run=run.id))
    return {model: tuple(needs) for model, needs in found.items()}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
