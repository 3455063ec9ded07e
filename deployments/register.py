"""Model specs as Prefect deployments: what runs where and when.

A model with a schedule has a deployment of its own; what a person or an event asks for has one for
all models, which asks by a form which model is meant.

``kingmaker deploy`` and ``prefect deploy --all --prefect-file deployments/prefect.yaml`` register
the same, since the file is written from the same document. A deployment's version is a digest of
all that is registered, so that what is registered already is known, and left alone: a schedule that
a person has paused stays paused.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from deployments.names import ALL_MODELS, ANY_MODEL, LAUNCH, PEOPLE, POOL, RECONCILE, SCORING, TAG
from deployments.paging import read_all
from tasks.model_spec import ManagedModel, manage, managed_models
from tasks.settings import Settings

if TYPE_CHECKING:
    from uuid import UUID

    from prefect import Flow
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

FLOWS = {
    "monitor": "takes in every new batch, and answers each with one decision",
    "score": "scores rows whose batch has not closed, and delivers the predictions",
    "retrain": "trains a challenger now, and lets the gate decide",
    "promote": "promotes a judged version",
    "refuse": "refuses a version that awaits approval",
    "rollback": "brings the previous champion back",
    "freeze": "lets the champion serve and changes nothing else",
    "thaw": "lets a frozen model go on",
    "replay": "runs history through the production code",
}
"""The flows about one model, and what a deployment of each does."""
_AT_ONCE = 4
"""Requests that are under way at the same time."""
_HEADER = """\
# Written by 'kingmaker deploy --write'; change the model specs, then write it anew. It registers
# what 'kingmaker deploy' registers: prefect --no-prompt deploy --all --prefect-file
# deployments/prefect.yaml
"""


@dataclass(frozen=True)
class Registered:
    """What became of the deployments, each as ``flow/name``."""

    made: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Still on the server, though the project no longer describes their model."""


def prefect_file(settings: Settings) -> str:
    """Return the text of ``deployments/prefect.yaml`` for the project's models."""
    wanted = [
        {name: value for name, value in one.items() if name != "form"}  # Prefect makes its own
        for one in definitions(_managed(settings))
    ]
    # The last one's build step does what a file cannot say: forms, queues and automations.
    wanted[-1]["build"] = [{"deployments.register.finish": {}}]
    document = {"name": "kingmaker", "pull": [], "deployments": wanted}
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


def definitions(
    models: Sequence[ManagedModel], choices: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the deployments of ``models`` and those for all, in the words of Prefect's own file,
    each with its ``form``.

    The forms of those for all offer ``choices``; left out: ``models``.
    """
    offered = choices or [managed.name for managed in models]
    found = [one for managed in models for one in _scheduled(managed)]
    found += [
        _definition(flow, ANY_MODEL, f"{does[0].upper()}{does[1:]}.", PEOPLE, offered)
        for flow, does in FLOWS.items()
    ]
    every_hour = {"cron": "17 * * * *", "timezone": "UTC", "active": True}
    does = (
        "Ends runs that died or that time has passed over, runs again what crashed, and tells what"
        " did not come."
    )
    look_after = _definition("reconcile", ALL_MODELS, does, RECONCILE)
    return [*found, _versioned(look_after | {"schedules": [every_hour]})]


async def register(
    settings: Settings, model: str | None = None, *, prune: bool = False
) -> Registered:
    """Register the project's models, or one; what is registered already is not touched.

    Deployments that the project no longer asks for are removed; those of a model that is gone only
    with ``prune``, with what they had waiting.
    """
    from prefect.client.orchestration import get_client

    names, done = managed_models(settings), Registered()
    chosen = _managed(settings) if model is None else [manage(model, settings)]
    wanted = {_key(one): one for one in definitions(chosen, names)}
    others = set() if model is None else set(names) - {model}
    async with get_client() as client:
        await _make_pool(client)
        flows = await _flows(client)
        known = await _ours(client, flows)
        await _finish_queues(client, wanted.values())
        await _side_by_side(
            _apply(client, flows, one, known.get(key), done) for key, one in wanted.items()
        )
        for key in sorted(known.keys() - wanted.keys()):
            name = known[key].name
            if name in others:
                continue
            if name not in (*names, ANY_MODEL, ALL_MODELS) and not prune:
                done.gone.append(key)
                continue
            await client.delete_deployment(known[key].id)
            done.removed.append(key)
        await _finish(client, flows, wanted, prune=prune)
    return done


def finish() -> dict[str, Any]:
    """Set what a Prefect file cannot say; its last deployment calls this as a build step."""
    asyncio.run(_finish_all(Settings()))
    return {}


async def _finish_all(settings: Settings) -> None:
    from prefect.client.orchestration import get_client

    wanted = {_key(one): one for one in definitions(_managed(settings))}
    async with get_client() as client:
        await _finish_queues(client, wanted.values())
        await _finish(client, await _flows(client), wanted, prune=False)


async def _finish(
    client: PrefectClient, flows: Mapping[str, UUID], wanted: Mapping[str, Any], *, prune: bool
) -> None:
    """Set how the pool begins a run, and what the forms offer; bring the automations up to date."""
    from prefect.client.schemas.actions import DeploymentUpdate

    from deployments.automations import bring_up_to_date

    await _begin_with_a_look(client)
    known = await _ours(client, flows)
    for key, one in wanted.items():
        if key in known and known[key].parameter_openapi_schema != one["form"]:
            form = DeploymentUpdate(parameter_openapi_schema=one["form"])
            await client.update_deployment(known[key].id, form)
    await bring_up_to_date(client, {key: one.id for key, one in known.items()}, prune=prune)


# --- what is wanted -------------------------------------------------------------------------------


def _managed(settings: Settings) -> list[ManagedModel]:
    return [manage(name, settings) for name in managed_models(settings)]


def _scheduled(managed: ManagedModel) -> list[dict[str, Any]]:
    """The deployments of a model that have a schedule, each with a queue of its own: scoring waits
    for no training.
    """
    scoring = managed.spec.scoring
    wanted = {
        "monitor": (managed.spec.schedule, managed.name),
        "score": (None if scoring is None else scoring.schedule, f"{managed.name}{SCORING}"),
    }
    found = []
    for flow, (schedule, queue) in wanted.items():
        if schedule is None:
            continue
        described = f"{managed.name}: {FLOWS[flow]}. {managed.spec.description}".strip()
        when = {"cron": schedule.cron, "timezone": schedule.timezone, "active": True}
        definition = _definition(flow, managed.name, described, queue, [managed.name])
        definition |= {"parameters": {"model": managed.name}, "tags": [TAG, managed.name]}
        found.append(_versioned(definition | {"schedules": [when]}))
    return found


def _definition(
    flow: str, name: str, description: str, queue: str, models: Sequence[str] = ()
) -> dict[str, Any]:
    """One deployment without a schedule; its form offers ``models``."""
    wanted = _flow(flow)
    return _versioned(
        {
            "name": name,
            "entrypoint": f"{wanted.fn.__module__}.{wanted.fn.__name__}",
            "description": description,
            "tags": [TAG],
            "parameters": {},
            "enforce_parameter_schema": True,
            "schedules": [],
            "work_pool": {"name": POOL, "work_queue_name": queue},
            "form": _form(wanted, models),
        }
    )


def _versioned(definition: dict[str, Any]) -> dict[str, Any]:
    content = {name: value for name, value in definition.items() if name != "version"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {"version": digest[:12], **content}


def _flow(name: str) -> Flow[Any, Any]:
    """The flow of that name; all of flows/ is imported for it."""
    from flows import manual, monitor, promote, reconcile, replay, retrain, score

    rooms = (manual, monitor, promote, reconcile, replay, retrain, score)
    found: Flow[Any, Any] = next(getattr(room, name) for room in rooms if hasattr(room, name))
    return found


def _form(wanted: Flow[Any, Any], models: Sequence[str]) -> dict[str, Any]:
    """The form that Prefect's page shows for a run: the flow's parameters, typed and described, and
    a list of models to choose from.
    """
    from prefect.utilities.callables import parameter_schema

    form: dict[str, Any] = parameter_schema(wanted).model_dump(exclude_unset=True)
    if models:
        form["properties"]["model"]["enum"] = list(models)
    return form


def _key(definition: Mapping[str, Any]) -> str:
    return f"{definition['entrypoint'].rpartition('.')[2]}/{definition['name']}"


# --- what is there --------------------------------------------------------------------------------


async def _flows(client: PrefectClient) -> dict[str, UUID]:
    """Return the ids of our flows by name; those that the server does not know are made."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    names = (*FLOWS, "reconcile")
    known = await client.read_flows(flow_filter=FlowFilter(name=FlowFilterName(any_=[*names])))
    found = {flow.name: flow.id for flow in known}
    return found | {
        name: await client.create_flow_from_name(name) for name in names if name not in found
    }


async def _ours(client: PrefectClient, flows: Mapping[str, UUID]) -> dict[str, DeploymentResponse]:
    """Return every deployment on the server that is tagged as ours, by ``flow/name``."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found = await read_all(
        lambda limit, offset: client.read_deployments(
            deployment_filter=ours, limit=limit, offset=offset
        )
    )
    names = {id: name for name, id in flows.items()}
    return {f"{names.get(one.flow_id, one.flow_id)}/{one.name}": one for one in found}


# --- what is written ------------------------------------------------------------------------------


async def _make_pool(client: PrefectClient) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    try:
        await client.read_work_pool(POOL)
    except ObjectNotFound:
        from prefect.workers.process import ProcessWorker

        template = ProcessWorker.get_default_base_job_template()
        with contextlib.suppress(ObjectAlreadyExists):  # a worker made it at this moment
            await client.create_work_pool(
                WorkPoolCreate(name=POOL, type="process", base_job_template=template)
            )


async def _begin_with_a_look(client: PrefectClient) -> None:
    """Give a pool that a worker made its command; a command that is there stays, ``kingmaker up``'s
    or a person's.
    """
    from prefect.client.schemas.actions import WorkPoolUpdate

    template = (await client.read_work_pool(POOL)).base_job_template
    command = template.get("variables", {}).get("properties", {}).get("command")
    if command is not None and not command.get("default"):
        command["default"] = LAUNCH
        await client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))


async def _finish_queues(client: PrefectClient, wanted: Iterable[Mapping[str, Any]]) -> None:
    """Have the queue of each schedule begin one run at a time."""
    known = await read_all(
        lambda limit, offset: client.read_work_queues(POOL, limit=limit, offset=offset)
    )
    limits = {queue.name: queue for queue in known}

    async def limit(name: str) -> None:
        if name not in limits:
            await client.create_work_queue(name, work_pool_name=POOL, concurrency_limit=1)
        elif limits[name].concurrency_limit != 1:
            await client.update_work_queue(limits[name].id, concurrency_limit=1)

    names = {one["work_pool"]["work_queue_name"] for one in wanted if one["schedules"]}
    await _side_by_side(limit(name) for name in sorted(names))


async def _apply(
    client: PrefectClient,
    flows: Mapping[str, UUID],
    definition: Mapping[str, Any],
    there: DeploymentResponse | None,
    done: Registered,
) -> None:
    """Make or replace one deployment, as ``prefect deploy`` does, unless it is there already."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    key = _key(definition)
    if there is not None and there.version == definition["version"]:
        done.unchanged.append(key)
        return
    schedules = [
        DeploymentScheduleCreate(
            schedule=CronSchedule(cron=one["cron"], timezone=one["timezone"]), active=one["active"]
        )
        for one in definition["schedules"]
    ]
    await client.create_deployment(
        flow_id=flows[key.partition("/")[0]],
        name=definition["name"],
        version=definition["version"],
        description=definition["description"],
        tags=definition["tags"],
        parameters=definition["parameters"],
        enforce_parameter_schema=definition["enforce_parameter_schema"],
        parameter_openapi_schema=definition["form"],
        schedules=schedules,
        paused=there is not None and there.paused,
        entrypoint=definition["entrypoint"],
        work_pool_name=definition["work_pool"]["name"],
        work_queue_name=definition["work_pool"]["work_queue_name"],
        pull_steps=[],
    )
    (done.made if there is None else done.changed).append(key)


async def _side_by_side(requests: Iterable[Awaitable[None]]) -> None:
    """Make requests, some at a time."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def in_turn(request: Awaitable[None]) -> None:
        async with turn:
            await request

    await asyncio.gather(*(in_turn(request) for request in requests))
