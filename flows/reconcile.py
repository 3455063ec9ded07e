"""What died is ended and run again; what time has passed over is closed.

Every run of it may be the last, or the tenth.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import StateType
from prefect.runtime import flow_run as this_run

from flows.promote import expire_approvals
from flows.steps.names import TAG
from flows.steps.run import model_run
from tasks.ledger.lease import LeaseHeldError, left_behind_by
from tasks.ledger.tables import open_ledger
from tasks.model_spec import managed_models
from tasks.settings import Settings

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
"""A run that crashes so often is left to a person: it would crash for ever."""
_AGAIN = ("monitor", "retrain", "replay")
"""What may be run again without asking.

A person's word is not spoken twice: the journal carries it out.
"""
_MARK = "again:"


@flow(name="reconcile")
async def reconcile() -> tuple[str, ...]:
    """End runs that died, run again what crashed, close what waits for nobody.

    Returns a sentence for each.

    A crashed run is begun again with its own parameters, under a key made of the run's id: done
    twice, or by two at once, it begins once. It is left when a newer run of the same deployment has
    begun since, or after three tries.
    """
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        now = datetime.now(UTC)
        said = [
            *await _end_dead(client, now),
            *await _drop_overdue(client),
            *await _run_again(client, now),
        ]
    failed = []
    for model in managed_models(Settings()):
        try:
            said += _tidy(model)
            said += [f"{model}: {entry.decision.reason}" for entry in expire_approvals(model)]
        except LeaseHeldError:
            continue  # a run acts for it now; the next reconcile looks again
        except Exception as error:  # noqa: BLE001 - one model's trouble must not keep the others waiting; it is raised below
            failed.append(error)
    for sentence in said:
        get_run_logger().info("%s", sentence)
    if failed:
        raise ExceptionGroup("some models could not be tidied up", failed)
    return tuple(said)


def _tidy(model: str) -> list[str]:
    """Have ended what a run that died or failed left half done, without waiting for the next
    batch's run.
    """
    last = left_behind_by(open_ledger(Settings().ledger_url), model)
    if not last:
        return []
    with model_run(model, None) as m:
        return [
            f"{model}:"
            f" {m.registry_away or f'tidied up after {last}, which did not come to its end'}"
        ]


async def _end_dead(client: PrefectClient, now: datetime) -> list[str]:
    """End runs without a sign of life.

    The server's automations do it first, where there are any and it was up.
    """
    from prefect.states import Crashed

    ended = []
    for run in await _runs(client, StateType.RUNNING, StateType.PENDING, StateType.CANCELLING):
        if str(run.id) == str(this_run.id) or run.state is None:
            continue
        last = await _last_heartbeat(client, run)
        bound = SILENT if last else NEVER_BEGAN
        if run.state_type is StateType.RUNNING and last is None:
            continue  # it has no heartbeat to miss
        if now - max(filter(None, (last, run.state.timestamp))) > bound:
            why = f"no sign of life for {bound.total_seconds() / 60:.0f} minutes"
            await client.set_flow_run_state(run.id, Crashed(message=why), force=True)
            ended.append(f"ended {run.name}: {why}")
    return ended


async def _drop_overdue(client: PrefectClient) -> list[str]:
    """Cancel late runs of a deployment but the newest: one run of a monitor takes in all that
    waits.
    """
    from prefect.states import Cancelled

    late: dict[Any, list[FlowRun]] = {}
    for run in await _runs(client, StateType.SCHEDULED):
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


async def _run_again(client: PrefectClient, now: datetime) -> list[str]:
    names = {one.id: one.name for one in await client.read_flows()}
    begun = []
    for run in await _runs(client, StateType.CRASHED):
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
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    same = DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id]))
    newer = await _runs(
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


async def _runs(client: PrefectClient, *states: StateType, deployment: Any = None) -> list[FlowRun]:  # noqa: ANN401 - a DeploymentFilter
    """Return the newest 200 runs of ours in one of the states."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.sorting import FlowRunSort

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


async def _last_heartbeat(client: PrefectClient, run: FlowRun) -> datetime | None:
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
