"""Model specs as Prefect deployments: what runs where and when.

``kingmaker deploy`` and ``prefect deploy --all --prefect-file deployments/prefect.yaml`` register
the same, since the file is written from the same document. A deployment's version is a digest of
all that is registered, so that what is registered already is known, and left alone: a schedule that
a person has paused stays paused.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tasks.model_spec import ManagedModel, manage, managed_models
from tasks.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

POOL = "kingmaker"
"""The work pool of all models; each model has a queue of its own in it, of which one run at a time
is begun.
"""
TAG = "kingmaker"
"""On every deployment and every run of ours."""
BEGIN = "python -m deployments.launcher"
"""How a pool begins a run, where nobody has said otherwise: with a look at whether there is
anything to do.
"""
RECONCILE = "all models"
"""Name of the one deployment that belongs to no model."""

_FLOWS = {
    "monitor": "takes in every new batch, and answers each with one decision",
    "score": "scores rows whose batch has not closed, and delivers what they were told",
    "retrain": "trains a challenger now, and lets the gate decide",
    "promote": "promotes a judged version, by a person's word",
    "refuse": "refuses a version that awaits approval, by a person's word",
    "rollback": "brings the previous champion back, by a person's word",
    "freeze": "lets the champion serve and changes nothing else, by a person's word",
    "thaw": "lets a frozen model go on, by a person's word",
    "replay": "runs history through the production code",
}
_SCORING = "-scoring"
"""After a model's name: the queue of its scoring, which waits for no training."""
_MODULES = {"refuse": "promote", "rollback": "manual", "freeze": "manual", "thaw": "manual"}
"""The module of flows/ that a flow stands in, where it has another name."""
_HEADER = """\
# Written by 'kingmaker deploy --write'; change the model specs, then write it anew. It registers
# what 'kingmaker deploy' registers: prefect --no-prompt deploy --all --prefect-file
# deployments/prefect.yaml
"""


@dataclass(frozen=True)
class Registered:
    """What became of the deployments, each as ``flow/name``."""

    made: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    gone: tuple[str, ...]
    """On the server, but of a model that the project no longer describes."""


def prefect_file(settings: Settings) -> str:
    """Return the text of ``deployments/prefect.yaml`` for the project's models."""
    wanted = definitions([manage(name, settings) for name in managed_models(settings)])
    # The last one's build step does what a file cannot say: limits of queues, and automations.
    wanted[-1]["build"] = [{"deployments.register.finish": {}}]
    document = {"name": "kingmaker", "pull": [], "deployments": wanted}
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


def definitions(models: Sequence[ManagedModel]) -> list[dict[str, Any]]:
    """Return every deployment of ``models`` and the one for all, in the words of Prefect's own
    file.
    """
    found = [
        _definition(managed, flow)
        for managed in models
        for flow in _FLOWS
        if flow != "score" or managed.spec.scoring is not None
    ]
    found.append(
        _versioned(
            {
                "name": RECONCILE,
                "entrypoint": "flows.reconcile.reconcile",
                "description": (
                    "Ends runs that died or that time has passed over, and runs again what crashed."
                ),
                "tags": [TAG],
                "parameters": {},
                "enforce_parameter_schema": True,
                "schedules": [{"cron": "17 * * * *", "timezone": "UTC", "active": True}],
                "work_pool": {"name": POOL, "work_queue_name": "reconcile"},
            }
        )
    )
    return found


async def register(
    settings: Settings, model: str | None = None, *, prune: bool = False
) -> Registered:
    """Register the project's models, or one; what is registered already is not touched.

    Deployments of models that are gone are told, and removed with ``prune``, with what they had
    waiting.
    """
    from prefect.client.orchestration import get_client

    names = managed_models(settings)
    chosen = [manage(name, settings) for name in ((model,) if model else names)]
    made: list[str] = []
    changed: list[str] = []
    unchanged: list[str] = []
    async with get_client() as client:
        await _make_pool(client)
        known = {_key(one): one for one in await _ours(client, await _flow_names(client))}
        for definition in definitions(chosen):
            key = f"{_flow(definition)}/{definition['name']}"
            there = known.get(key)
            if there is not None and there[1].version == definition["version"]:
                unchanged.append(key)
                continue
            await _apply(client, definition, paused=there is not None and there[1].paused)
            (made if there is None else changed).append(key)
        gone = sorted(key for key, one in known.items() if one[1].name not in (*names, RECONCILE))
        if prune:
            for key in gone:
                await client.delete_deployment(known[key][1].id)
    await afinish(settings, prune=prune)
    return Registered(tuple(made), tuple(changed), tuple(unchanged), tuple(gone))


def finish() -> dict[str, Any]:
    """Set what a Prefect file cannot say; its last deployment calls this as a build step."""
    import asyncio

    asyncio.run(afinish(Settings()))
    return {}


async def afinish(settings: Settings, *, prune: bool = False) -> None:
    """Set how the pool begins a run and that each model's queue begins one at a time; bring the
    automations up to date.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from deployments.automations import bring_up_to_date

    async with get_client() as client:
        await _begin_with_a_look(client)
        names = managed_models(settings)
        scoring = [f"{name}{_SCORING}" for name in names if manage(name, settings).spec.scoring]
        for queue in (*names, *scoring, "reconcile"):
            try:
                there = await client.read_work_queue_by_name(queue, work_pool_name=POOL)
            except ObjectNotFound:
                await client.create_work_queue(queue, work_pool_name=POOL, concurrency_limit=1)
                continue
            if there.concurrency_limit != 1:
                await client.update_work_queue(there.id, concurrency_limit=1)
        deployments = {key: one.id for (key, one) in await _ours(client, await _flow_names(client))}
        await bring_up_to_date(client, deployments, names, prune=prune)


def _definition(managed: ManagedModel, flow: str) -> dict[str, Any]:
    scoring = managed.spec.scoring
    schedule = managed.spec.schedule if flow == "monitor" else None
    queue = managed.name
    if flow == "score" and scoring is not None:
        schedule, queue = scoring.schedule, f"{managed.name}{_SCORING}"
    described = f"{managed.name}: {_FLOWS[flow]}."
    schedules = (
        [{"cron": schedule.cron, "timezone": schedule.timezone, "active": True}] if schedule else []
    )
    module = _MODULES.get(flow, flow)
    return _versioned(
        {
            "name": managed.name,
            "entrypoint": f"flows.{module}.{flow}",
            "description": f"{described} {managed.spec.description}".strip(),
            "tags": [TAG, managed.name],
            "parameters": {"model": managed.name},
            "enforce_parameter_schema": True,
            "schedules": schedules,
            "work_pool": {"name": POOL, "work_queue_name": queue},
        }
    )


def _versioned(definition: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps([definition, _form(definition)], sort_keys=True)
    return {"version": hashlib.sha256(content.encode()).hexdigest()[:12], **definition}


def _form(definition: dict[str, Any]) -> dict[str, Any]:
    """The form that Prefect's page shows for a run by hand: the flow's parameters, typed and
    described.
    """
    from prefect.utilities.callables import parameter_schema

    module, _, name = definition["entrypoint"].rpartition(".")
    form: dict[str, Any] = parameter_schema(
        getattr(importlib.import_module(module), name)
    ).model_dump(exclude_unset=True)
    return form


def _flow(definition: dict[str, Any]) -> str:
    return str(definition["entrypoint"].rpartition(".")[2])


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
        command["default"] = BEGIN
        await client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))


async def _apply(client: PrefectClient, definition: dict[str, Any], *, paused: bool) -> None:
    """Make or replace one deployment, as ``prefect deploy`` does."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    schedules = [
        DeploymentScheduleCreate(
            schedule=CronSchedule(cron=one["cron"], timezone=one["timezone"]), active=one["active"]
        )
        for one in definition["schedules"]
    ]
    await client.create_deployment(
        flow_id=await client.create_flow_from_name(_flow(definition)),
        name=definition["name"],
        version=definition["version"],
        description=definition["description"],
        tags=definition["tags"],
        parameters=definition["parameters"],
        enforce_parameter_schema=definition["enforce_parameter_schema"],
        parameter_openapi_schema=_form(definition),
        schedules=schedules,
        paused=paused,
        entrypoint=definition["entrypoint"],
        work_pool_name=definition["work_pool"]["name"],
        work_queue_name=definition["work_pool"]["work_queue_name"],
        pull_steps=[],
    )


async def _flow_names(client: PrefectClient) -> dict[Any, str]:
    """Return flow id -> name, of the flows that are ours."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    ours = FlowFilter(name=FlowFilterName(any_=[*_FLOWS, "reconcile"]))
    return {flow.id: flow.name for flow in await client.read_flows(flow_filter=ours)}


async def _ours(
    client: PrefectClient, flows: dict[Any, str]
) -> list[tuple[str, DeploymentResponse]]:
    """Return every deployment on the server that is tagged as ours, as ``flow/name`` and itself."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    found: list[tuple[str, DeploymentResponse]] = []
    ours, page = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])), 200
    while True:
        more = await client.read_deployments(deployment_filter=ours, limit=page, offset=len(found))
        found += [(f"{flows.get(one.flow_id, one.flow_id)}/{one.name}", one) for one in more]
        if len(more) < page:
            return found


def _key(one: tuple[str, DeploymentResponse]) -> str:
    return one[0]
