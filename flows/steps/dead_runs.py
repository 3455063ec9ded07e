"""Runs of ours on the Prefect server that died or are overdue, and what is done about them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelled, Crashed

from flows.steps.names import TAG

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

SILENT = timedelta(minutes=5)
"""A run that had a heartbeat, every 30 s, and has none for so long is dead."""
NEVER_BEGAN = timedelta(minutes=15)
"""A run that a worker took and that has not begun for so long is dead."""
AGAIN_WITHIN = timedelta(days=2)
"""A crash that is older is history: the schedule has come round, or a person has seen it."""
MOST_TRIES = 3
"""A run that crashes so often is left to a person."""
_AGAIN = ("monitor", "retrain", "replay")
"""What may be run again without asking.

What a person decided is not run again: the journal carries it out.
"""
_MARK = "again:"


async def end_dead(client: PrefectClient, now: datetime) -> list[str]:
    """End runs without a sign of life.

    The server's automations do it first, where there are any and it was up.
    """
    ended = []
    alive = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
    for run in await runs_of_ours(client, *alive):
        if str(run.id) == str(this_run.id) or run.state is None:
            continue
        last = await last_heartbeat(client, run)
        bound = SILENT if last else NEVER_BEGAN
        if run.state_type is StateType.RUNNING and last is None:
            continue  # it has no heartbeat to miss
        if now - max(filter(None, (last, run.state.timestamp))) > bound:
            why = f"no sign of life for {bound.total_seconds() / 60:.0f} minutes"
            await client.set_flow_run_state(run.id, Crashed(message=why), force=True)
            ended.append(f"ended {run.name}: {why}")
    return ended


async def drop_overdue(client: PrefectClient) -> list[str]:
    """Cancel late runs of a deployment but the newest: one run of a monitor takes in all that
    waits.
    """
    late: dict[Any, list[FlowRun]] = {}
    for run in await runs_of_ours(client, StateType.SCHEDULED):
        if run.state is not None and run.state.name == "Late" and run.auto_scheduled:
            late.setdefault(run.deployment_id, []).append(run)
    dropped = []
    for runs in late.values():
        for run in sorted(runs, key=_due)[:-1]:
            await client.set_flow_run_state(
                run.id, Cancelled(message="overdue; a newer run does its work"), force=True
            )
            dropped.append(
                f"dropped {run.name}, due {_due(run):%Y-%m-%d %H:%M} UTC: a newer run does its work"
            )
    return dropped


async def run_again(client: PrefectClient, now: datetime) -> list[str]:
    """Begin anew what crashed of late, at most ``MOST_TRIES`` times and only where no newer run has
    taken its place.
    """
    names = {one.id: one.name for one in await client.read_flows()}
    begun = []
    for run in await runs_of_ours(client, StateType.CRASHED):
        recent = run.state is not None and now - run.state.timestamp < AGAIN_WITHIN
        if not recent or run.deployment_id is None or names.get(run.flow_id) not in _AGAIN:
            continue
        first, tries = _lineage(run)
        if tries >= MOST_TRIES or await _overtaken(client, run):
            continue
        again = await client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters=run.parameters,
            tags=[tag for tag in run.tags if not tag.startswith(_MARK)]
            + [f"{_MARK}{first}:{tries + 1}"],
            idempotency_key=f"{_MARK}{first}:{tries + 1}",
        )
        begun.append(
            f"run again as {again.name}: {run.name}, which crashed (try {tries + 1} of"
            f" {MOST_TRIES})"
        )
    return begun


async def _overtaken(client: PrefectClient, run: FlowRun) -> bool:
    """Whether a newer run of the same deployment about the same model has begun, or came to its
    end.
    """
    same = DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id]))
    newer = await runs_of_ours(
        client,
        StateType.RUNNING,
        StateType.PENDING,
        StateType.COMPLETED,
        StateType.FAILED,
        deployment=same,
    )
    model = run.parameters.get("model")
    return any(_due(o) > _due(run) and o.parameters.get("model") == model for o in newer)


def _due(run: FlowRun) -> datetime:
    moment = run.expected_start_time or run.created
    assert moment is not None  # noqa: S101 - the server sets both, for the type checker
    return moment


def _lineage(run: FlowRun) -> tuple[str, int]:
    """The id of the run that crashed first, and how often it was run again."""
    for tag in run.tags:
        if tag.startswith(_MARK):
            first, _, tries = tag.removeprefix(_MARK).rpartition(":")
            return first, int(tries)
    return str(run.id), 0


async def runs_of_ours(
    client: PrefectClient,
    *states: StateType,
    deployment: DeploymentFilter | None = None,
) -> list[FlowRun]:
    """Return the newest 200 runs of ours in one of the states."""
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[TAG]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))),
    )
    return await client.read_flow_runs(
        flow_run_filter=wanted,
        deployment_filter=deployment,
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=200,
    )


async def last_heartbeat(client: PrefectClient, run: FlowRun) -> datetime | None:
    """Return when the run last gave a sign of life; None when it never did."""
    answer = await client.request(
        "POST",
        "/events/filter",
        json={
            "filter": {
                "event": {"name": ["prefect.flow-run.heartbeat"]},
                "resource": {"id": [f"prefect.flow-run.{run.id}"]},
                "order": "DESC",
            },
            "limit": 1,
        },
    )
    found: Iterable[dict[str, str]] = answer.json()["events"]
    return next((datetime.fromisoformat(event["occurred"]) for event in found), None)
