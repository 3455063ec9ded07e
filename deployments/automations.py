"""What the Prefect server does by itself: run what is asked for, end what died, tell people what
was decided.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from deployments.names import ALL_MODELS, ANY_MODEL, TAG
from deployments.paging import read_all
from flows.steps.events import REQUESTED, TOLD
from flows.steps.names import OURS, TELL
from tasks.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.events.schemas.automations import Automation, AutomationCore

NOTIFY = "KINGMAKER_NOTIFY_URL"
"""Variable with the address that messages are posted to, as JSON; for other ways, make the block by
hand.
"""
BLOCK = "kingmaker-notify"
"""Name of the notification block; when there is one of any type by hand, it is used as it is."""
_ENDS = tuple(
    f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")
)
_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
_DEPLOYMENT = "related:deployment:prefect.resource.id"
_SUBJECT = "Kingmaker: {{ event.payload.model }}: {{ event.event | replace('kingmaker.', '') }}"
DAY = 86_400
"""Seconds for which a failure of the same deployment is not told again."""
_OURS = {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}


async def bring_up_to_date(
    client: PrefectClient, deployments: Mapping[str, UUID], *, prune: bool = False
) -> None:
    """Make, change or leave each automation; with ``prune``, remove those of ours that are not
    wanted any more.

    ``deployments`` is ``flow/name`` -> id.
    """
    wanted = [*_for_requests(deployments), *_for_runs(deployments), *await _for_people(client)]
    known: dict[str, list[Automation]] = {}
    for one in await read_all(
        lambda limit, offset: client.read_automations(limit=limit, offset=offset)
    ):
        if one.name.startswith(OURS):
            known.setdefault(one.name, []).append(one)
    for automation in wanted:
        there = known.pop(automation.name, [])
        if not there:
            await client.create_automation(automation)
        elif there[0].description != automation.description:
            await client.update_automation(there[0].id, automation)
        for twin in there[1:]:  # made twice: the answer to the first request was lost
            await client.delete_automation(twin.id)
    for unwanted in (one for group in known.values() for one in group if prune):
        await client.delete_automation(unwanted.id)


def _for_requests(deployments: Mapping[str, UUID]) -> list[AutomationCore]:
    from prefect.events.actions import RunDeployment

    if (retrain := deployments.get(f"retrain/{ANY_MODEL}")) is None:
        return []
    given = {
        "model": "{{ event.resource.id | replace('kingmaker.model.', '') }}",
        "reason": "{{ event.payload.reason | default('asked for by an event', true) }}",
    }
    return [
        _automation(
            "retrain when asked",
            f"The event {REQUESTED} about a model runs its retrain.",
            {"expect": [REQUESTED], "match": {"prefect.resource.id": "kingmaker.model.*"}},
            RunDeployment(
                source="selected",
                deployment_id=retrain,
                parameters={
                    name: {"__prefect_kind": "jinja", "template": template}
                    for name, template in given.items()
                },
            ),
        )
    ]


def _for_runs(deployments: Mapping[str, UUID]) -> list[AutomationCore]:
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState, RunDeployment

    crashed = ChangeFlowRunState(
        state=StateType.CRASHED,
        name="Crashed",
        message="No sign of life: its process or its machine is gone.",
    )
    found = [
        _automation(
            "end runs that went silent",
            "A run whose heartbeat stops (every 30 s) has crashed. A server of one's own does not"
            " see it by itself (Prefect #16746).",
            {
                "after": ["prefect.flow-run.heartbeat"],
                "expect": ["prefect.flow-run.heartbeat", *_ENDS],
                "within": 90,
            },
            crashed,
        ),
        _automation(
            "end runs that never began",
            "A run that a worker has taken and that has not begun ten minutes later has crashed.",
            {
                "after": ["prefect.flow-run.Pending"],
                "expect": ["prefect.flow-run.*"],
                "within": 600,
            },
            crashed,
        ),
    ]
    if (reconcile := deployments.get(f"reconcile/{ALL_MODELS}")) is not None:
        found.append(
            _automation(
                "run again what crashed",
                "A crash runs reconcile, which runs again what is worth it, and not for ever"
                " (Prefect #10211).",
                {"expect": ["prefect.flow-run.Crashed"], "match": _RUNS, "match_related": _OURS},
                RunDeployment(source="selected", deployment_id=reconcile),
            )
        )
    return found


async def _for_people(client: PrefectClient) -> list[AutomationCore]:
    from prefect.events.actions import SendNotification

    block = await _block(client)
    if block is None:
        return []
    console = Settings().console_url
    about = "{{ event.payload.model }}, batch {{ event.payload.batch }}"
    body = (
        f"{about}: {{{{ event.payload.decision }}}} {{{{ event.payload.version }}}}"
        "{% if event.payload.by %}, by {{ event.payload.by }}{% endif %}."
        " {{ event.payload.todo }} " + _where(console)
    )
    failed = (
        "{{ flow_run.name }}: {{ flow_run.state.name }}. Soon: until it is mended nothing new is"
        " scored or judged; a crash is run again up to three times. It is told once a day. "
        + (f"{console}/runs/{{{{ flow_run.id }}}}" if console else "{{ flow_run|ui_url }}")
    )
    return [
        _automation(
            TELL,
            "Promotions, refusals, rollbacks, freezes, what waits for approval, rows that were"
            " served by other features, unusual drift, batches and labels that did not come, and"
            " sinks that are behind.",
            {
                "expect": sorted(TOLD),
                "match": {"prefect.resource.id": "kingmaker.model.*"},
            },
            SendNotification(block_document_id=block, subject=_SUBJECT, body=body),
        ),
        _automation(
            "tell of runs that failed",
            "Runs that failed or crashed, of each deployment once a day. What they said stays on"
            " the server: it may hold values of the data.",
            {
                "expect": ["prefect.flow-run.Crashed", "prefect.flow-run.Failed"],
                "match": _RUNS,
                "match_related": _OURS,
                "once_in": DAY,
            },
            SendNotification(
                block_document_id=block,
                subject="Kingmaker: {{ flow_run.state.name | lower }}: {{ flow_run.name }}",
                body=failed,
            ),
        ),
    ]


def _where(console: str) -> str:
    """Where the reason stands, which is told to nobody: it may name a value of the data."""
    if not console:
        return "Why: kingmaker history {{ event.payload.model }} --all"
    decision = f"{console}/decisions/{{{{ event.payload.number }}}}"
    model = f"{console}/models/{{{{ event.payload.model }}}}"
    return f"Why: {{% if event.payload.number %}}{decision}{{% else %}}{model}{{% endif %}}"


async def _block(client: PrefectClient) -> UUID | None:
    """Return the notification block's id; made from ``KINGMAKER_NOTIFY_URL`` when that is set."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    documents = await read_all(
        lambda limit, offset: client.read_block_documents(limit=limit, offset=offset)
    )
    known = [one for one in documents if one.name == BLOCK]
    if url := os.environ.get(NOTIFY):
        block = CustomWebhookNotificationBlock(
            name="Kingmaker",
            url="{{ address }}",
            json_data={"subject": "{{ subject }}", "text": "{{ body }}"},
            secrets={"address": url},  # an address often carries its own key: kept encrypted
        )
        same = known and await _says(client, known[0].id) == url
        return known[0].id if same else UUID(str(await block.save(BLOCK, overwrite=True)))
    return known[0].id if known else None


async def _says(client: PrefectClient, id: UUID) -> str:
    document = await client.read_block_document(id, include_secrets=True)
    return str(document.data.get("secrets", {}).get("address", ""))


def _automation(
    name: str,
    description: str,
    trigger: dict[str, Any],
    action: Any,  # noqa: ANN401 - of Prefect
) -> AutomationCore:
    """Return the automation; its description ends with a digest, by which one that is up to date is
    known.
    """
    from prefect.events import EventTrigger, Posture
    from prefect.events.schemas.automations import AutomationCore

    within, once_in = trigger.get("within"), trigger.get("once_in")
    rule = EventTrigger(
        expect=set(trigger["expect"]),
        after=set(trigger.get("after", ())),
        match=trigger.get("match", _RUNS),
        match_related=trigger.get("match_related", _OURS if within else {}),
        for_each={"prefect.resource.id"} if within else {_DEPLOYMENT} if once_in else set(),
        posture=Posture.Proactive if within else Posture.Reactive,
        threshold=1,
        within=timedelta(seconds=within or once_in or 0),
    )
    content = json.dumps(
        [trigger, action.model_dump(mode="json"), description], sort_keys=True, default=sorted
    )
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return AutomationCore(
        name=OURS + name,
        description=f"{description} [{digest}]",
        enabled=True,
        trigger=rule,
        actions=[action],
    )
