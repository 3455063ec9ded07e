"""What died is ended, what crashed is run again, and not for ever; on a real Prefect server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed, Pending, Running, Scheduled

from flows import reconcile as reconciling
from flows.monitor import monitor
from flows.reconcile import reconcile
from flows.steps import dead_runs
from flows.steps.dead_runs import MOST_TRIES, drop_overdue, end_dead, run_again
from tasks.ledger import entries as ledger
from tasks.ledger.lease import left_behind_by
from tasks.ledger.tables import open_ledger
from tasks.registry.runs import client
from tests.conftest import run_flow
from tests.versions import known_versions

pytestmark = pytest.mark.flow

NOW = datetime.now(UTC)


@pytest.fixture
def act(prefect_server):
    """Function: run a coroutine function with a client."""

    def run(story):
        async def with_client():
            async with get_client() as client:
                return await story(client)

        return asyncio.run(with_client())

    return run


async def run_of(client, flow, name, state, tags=()):
    """A run of a deployment ``flow/name`` in ``state``."""
    flow_id = await client.create_flow_from_name(flow)
    deployment = await client.create_deployment(flow_id=flow_id, name=name, tags=["kingmaker"])
    first = state if state.type is StateType.SCHEDULED else None
    run = await client.create_flow_run_from_deployment(
        deployment, parameters={"model": name}, tags=["kingmaker", *tags], state=first
    )
    if first is None:
        await client.set_flow_run_state(run.id, state, force=True)
    return await client.read_flow_run(run.id)


def test_a_run_without_a_sign_of_life_is_ended(act, monkeypatch):
    """Taken and never begun, or silent after heartbeats: crashed.

    Alive, or never heard of: left.
    """
    heard = {}

    async def last_heartbeat(_client, run):
        return heard.get(run.id)

    monkeypatch.setattr(dead_runs, "last_heartbeat", last_heartbeat)

    async def story(client):
        never_began = await run_of(client, "monitor", "dead-1", Pending())
        silent = await run_of(client, "monitor", "dead-2", Running())
        alive = await run_of(client, "monitor", "dead-3", Running())
        unheard = await run_of(client, "monitor", "dead-4", Running())
        later = datetime.now(UTC) + timedelta(minutes=20)
        heard.update(
            {silent.id: later - timedelta(minutes=6), alive.id: later - timedelta(minutes=1)}
        )
        # its state is as old as the others': only the heartbeat speaks for it
        said = await end_dead(client, later)
        assert len(said) == 2, said
        return [
            (await client.read_flow_run(run.id)).state_type
            for run in (never_began, silent, alive, unheard)
        ]

    assert act(story) == [
        StateType.CRASHED,
        StateType.CRASHED,
        StateType.RUNNING,
        StateType.RUNNING,
    ]


def test_of_late_runs_the_newest_stays(act, monkeypatch):
    """A week without a worker leaves one run of a monitor waiting, not a week of them; runs by hand
    are not touched.
    """
    read = dead_runs.runs_of_ours

    async def story(client):
        now = datetime.now(UTC)
        late = [
            Scheduled(name="Late", scheduled_time=now - timedelta(days=days)) for days in (3, 1, 2)
        ]
        runs = [await run_of(client, "monitor", "late-1", state) for state in late]
        manual = await run_of(client, "monitor", "late-1", late[0])
        mine = {run.id for run in runs}

        async def scheduled_by_the_server(*arguments, **more):
            found = await read(*arguments, **more)
            return [run.model_copy(update={"auto_scheduled": run.id in mine}) for run in found]

        monkeypatch.setattr(dead_runs, "runs_of_ours", scheduled_by_the_server)
        await drop_overdue(client)
        return [(await client.read_flow_run(run.id)).state_type for run in (*runs, manual)]

    assert act(story) == [
        StateType.CANCELLED,
        StateType.SCHEDULED,
        StateType.CANCELLED,
        StateType.SCHEDULED,
    ]


def test_what_crashed_is_run_again_once_and_not_for_ever(act):
    """With its own parameters, under one key; not a person's word, not the fourth time, not when
    time has gone on.
    """

    async def story(client):
        crashed = await run_of(client, "monitor", "again-1", Crashed())
        await run_of(client, "promote", "again-2", Crashed())
        await run_of(client, "retrain", "again-3", Crashed(), tags=[f"again:first:{MOST_TRIES}"])
        await run_of(client, "replay", "again-4", Crashed())
        await run_of(client, "replay", "again-4", Running())
        await run_again(client, datetime.now(UTC))
        await run_again(client, datetime.now(UTC))
        await run_again(client, datetime.now(UTC) + timedelta(days=3))
        runs = await client.read_flow_runs(limit=200)
        begun = [
            run
            for run in runs
            if run.state_type is StateType.SCHEDULED
            and any(t.startswith("again:") for t in run.tags)
        ]
        return crashed, begun

    crashed, begun = act(story)

    ours = [run for run in begun if run.parameters["model"].startswith("again-")]
    assert [run.parameters for run in ours] == [crashed.parameters]
    assert f"again:{crashed.id}:1" in ours[0].tags


def test_training_that_the_ledger_does_not_name_is_marked_an_orphan(
    use_home, make_weather_home, quick_project, monkeypatch
):
    """A run fails between MLflow's write and the ledger's, and gives its lease back: it is found
    all the same.
    """
    settings = use_home(make_weather_home(2), quick_project)
    record = ledger.record_decision

    def fails(*arguments, training=None, **more):
        if training is not None:
            raise ZeroDivisionError("between the two")
        return record(*arguments, training=training, **more)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "record_decision", fails)
        with pytest.raises(ZeroDivisionError):
            run_flow(monitor("weather"))
    engine, registry = open_ledger(settings.ledger_url), client(settings.tracking_uri)
    assert known_versions(engine, "weather") == ()
    assert "orphan" not in registry.get_model_version("weather", "1").tags
    assert left_behind_by(engine, "weather")

    said = run_flow(reconcile())

    assert [sentence for sentence in said if sentence.startswith("weather: tidied up after")]
    assert "orphan" in registry.get_model_version("weather", "1").tags
    assert left_behind_by(engine, "weather") == ""
    assert not [sentence for sentence in run_flow(reconcile()) if sentence.startswith("weather")]
    run_flow(monitor("weather"))
    assert known_versions(engine, "weather") == (2,)


def test_one_models_trouble_does_not_keep_the_others_waiting(
    use_home, make_weather_home, quick_project, monkeypatch
):
    """What a model's own state makes impossible is raised at the end, when all others were
    seen to.
    """
    use_home(make_weather_home(1), quick_project)
    seen = []

    def tidy(model):
        seen.append(model)
        if model == "one":
            raise ZeroDivisionError
        return []

    monkeypatch.setattr(reconciling, "_tidy", tidy)
    monkeypatch.setattr(reconciling, "expire_approvals", lambda _: ())
    monkeypatch.setattr(reconciling, "managed_models", lambda _: ("one", "two"))

    with pytest.raises(ExceptionGroup, match="some models could not be tidied up"):
        run_flow(reconcile())
    assert seen == ["one", "two"]
