"""Models on a real Prefect server with a real worker: deployments, automations, notifications, what
crashed run again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import pytest
import yaml
from sqlalchemy import update

from deployments import register
from deployments.names import LAUNCH
from flows.steps.events import KEPT, message
from tasks.ledger.lease import lease
from tasks.ledger.messages import Messages
from tasks.ledger.tables import messages as kept_messages
from tasks.ledger.tables import open_ledger
from tasks.model_spec import manage
from tasks.settings import REPOSITORY, Settings
from tests.conftest import WEATHER_PROJECT, WEATHER_WEEKS
from tests.deployments.conftest import Servers, ask, until
from tests.deployments.server.busy import Busy

pytestmark = pytest.mark.flow

FLOWS = (
    "monitor",
    "score",
    "retrain",
    "promote",
    "refuse",
    "rollback",
    "freeze",
    "thaw",
    "replay",
)


@pytest.fixture(scope="module")
def mailbox() -> Iterator[tuple[str, list[str]]]:
    """Address of a real HTTP receiver, and the bodies that it received."""
    received: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook-with-a-key", received
    server.shutdown()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weather project with a schedule in another zone, and a first champion at the second
    week.
    """
    project = tmp_path_factory.mktemp("project") / "p"
    shutil.copytree(WEATHER_PROJECT, project)
    file = project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= {"first": 2, "candidates": [{"estimator": "sklearn.linear_model.Ridge"}]}
    spec["schedule"] = {"cron": "30 5 * * 1", "timezone": "America/New_York"}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, project: Path, mailbox, weather_source: Path
) -> Iterator[Servers]:
    """The servers of a home with three weeks of weather, and the models registered."""
    home = tmp_path_factory.mktemp("register") / "home"
    source = home / "sources" / "weather"
    source.mkdir(parents=True)
    for week in WEATHER_WEEKS[:3]:
        shutil.copy(weather_source / f"{week}.csv", source)
    with Servers(home, project, {"KINGMAKER_NOTIFY_URL": mailbox[0]}) as running_servers:
        said = running_servers.kingmaker("deploy")
        assert said.returncode == 0, said.stderr
        running_servers.silent = silent_run(running_servers)
        yield running_servers


def silent_run(servers: Servers) -> str:
    """A run by hand that gave one sign of life and no other, as when its machine is gone; its id.

    It fills no queue.
    """
    (flow,) = servers.api("/flows/filter", {"flows": {"name": {"any_": ["replay"]}}})
    state = {"type": "RUNNING", "name": "Running"}
    run = servers.api("/flow_runs/", {"flow_id": flow["id"], "tags": ["kingmaker"], "state": state})
    heartbeat = {
        "occurred": datetime.now(UTC).isoformat(),
        "event": "prefect.flow-run.heartbeat",
        "id": str(uuid4()),
        "payload": {},
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run['id']}"},
        "related": [
            {"prefect.resource.id": "prefect.tag.kingmaker", "prefect.resource.role": "tag"}
        ],
    }
    servers.api("/events", [heartbeat])
    return run["id"]


def deployments(servers: Servers) -> dict[str, dict]:
    """What is registered, as flow/name -> its fields."""
    flows = {flow["id"]: flow["name"] for flow in servers.api("/flows/filter", {})}
    found = servers.api("/deployments/filter", {})
    return {f"{flows[one['flow_id']]}/{one['name']}": one for one in found}


@contextmanager
def busy_before(
    servers: Servers, is_busy: Callable[[int], bool]
) -> Iterator[tuple[Busy, dict[str, str]]]:
    """A server before Prefect's that is busy now and then, and the variables that name it."""
    with Busy(servers.prefect, is_busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        credentials = f"kingmaker:{servers.secrets.prefect}"
        yield (
            server,
            {"PREFECT_API_URL": f"{server.url}/api", "PREFECT_API_AUTH_STRING": credentials},
        )
        server.shutdown()


def choices(servers: Servers, flow: str) -> list[str]:
    """The models that the form of a flow offers."""
    form = deployments(servers)[f"{flow}/any model"]["parameter_openapi_schema"]
    return form["properties"]["model"]["enum"]


def runs(servers: Servers, flow: str) -> list[dict]:
    """The runs of a flow, oldest first."""
    wanted = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_ASC"}
    return servers.api("/flow_runs/filter", wanted)


def pool_command(servers: Servers, *command: str | None) -> str | None:
    """The command by which the pool begins runs; set to ``command`` when one is given."""
    template = servers.api("/work_pools/kingmaker")["base_job_template"]
    known = template["variables"]["properties"]["command"]
    if command:
        (known["default"],) = command
        servers.api("/work_pools/kingmaker", {"base_job_template": template}, "PATCH")
    return known.get("default")


def test_a_schedule_has_a_deployment_and_what_people_do_asks_for_the_model(servers):
    """One of the model with its schedule, one of each flow with a form, one that looks after all
    models.
    """
    found = deployments(servers)

    assert set(found) == {
        "monitor/weather",
        *(f"{flow}/any model" for flow in FLOWS),
        "reconcile/all models",
    }
    monitor, promote = found["monitor/weather"], found["promote/any model"]
    (schedule,) = monitor["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == (
        "30 5 * * 1",
        "America/New_York",
    )
    assert (monitor["parameters"], set(monitor["tags"])) == (
        {"model": "weather"},
        {"kingmaker", "weather"},
    )
    assert monitor["description"].startswith("weather: ")
    assert monitor["work_queue_name"] == "weather"
    assert servers.api("/work_pools/kingmaker/queues/weather")["concurrency_limit"] == 1
    for flow in FLOWS:
        one = found[f"{flow}/any model"]
        assert (one["schedules"], one["parameters"], one["tags"]) == ([], {}, ["kingmaker"])
        assert (one["work_pool_name"], one["work_queue_name"]) == ("kingmaker", "people")
        form = one["parameter_openapi_schema"]
        assert (form["properties"]["model"]["enum"], form["required"]) == (["weather"], ["model"])
    form = promote["parameter_openapi_schema"]["properties"]
    assert {"type": "integer"} in form["version"]["anyOf"]
    assert "awaits approval" in form["version"]["description"]


def test_a_model_that_the_form_does_not_offer_is_refused(servers):
    """The server itself says so, before a run is made."""
    promote = deployments(servers)["promote/any model"]["id"]

    status, content = ask(
        f"{servers.prefect}/api/deployments/{promote}/create_flow_run",
        servers.secrets.prefect,
        {"parameters": {"model": "wether"}},
    )

    assert status == 409
    assert b"'wether' is not one of ['weather']" in content


def test_scoring_has_a_schedule_and_a_queue_of_its_own():
    """It waits for no training; a model that scores closed batches alone has no such deployment."""
    flights = manage("flights", Settings(project=REPOSITORY))
    weather = manage("weather", Settings(project=WEATHER_PROJECT))

    found = {
        (one["entrypoint"], one["name"]): one for one in register.definitions([flights, weather])
    }

    assert ("flows.score.score", "weather") not in found
    scoring = found["flows.score.score", "flights"]
    assert scoring["work_pool"]["work_queue_name"] == "flights-scoring"
    assert scoring["schedules"] == [
        {"cron": "0 4 * * 1", "timezone": "America/New_York", "active": True}
    ]
    assert found["flows.monitor.monitor", "flights"]["work_pool"]["work_queue_name"] == "flights"


def test_deploying_twice_changes_nothing(servers):
    """The same ids, and not one field that says when it was updated has moved; a pause by hand and
    the pool's command stay.
    """
    begun_by = pool_command(servers)
    monitor = deployments(servers)["monitor/weather"]["id"]
    servers.api(f"/deployments/{monitor}/pause_deployment", {}, "POST")
    before = (
        deployments(servers),
        servers.api("/automations/filter", {}),
        servers.api("/work_queues/filter", {}),
    )

    said = servers.kingmaker("deploy")

    assert said.stdout.split()[0] == "unchanged"
    assert pool_command(servers) == begun_by == f"{sys.executable} -P -m deployments.launcher"
    after = (
        deployments(servers),
        servers.api("/automations/filter", {}),
        servers.api("/work_queues/filter", {}),
    )
    for was, now in zip(before[:1], after[:1], strict=True):
        assert {k: (v["id"], v["updated"], v["paused"]) for k, v in was.items()} == {
            k: (v["id"], v["updated"], v["paused"]) for k, v in now.items()
        }
    for was, now in zip(before[1:], after[1:], strict=True):
        assert {one["id"] for one in was} == {one["id"] for one in now}
    assert [one["updated"] for one in before[1]] == [one["updated"] for one in after[1]]
    servers.api(f"/deployments/{monitor}/resume_deployment", {}, "POST")


def test_deploying_to_a_busy_server_asks_again(servers):
    """One request of three is answered by 503, as while SQLite is busy: all is registered all the
    same.
    """
    replay = deployments(servers)["replay/any model"]["id"]
    servers.api(f"/deployments/{replay}", method="DELETE")

    with busy_before(servers, lambda number: number % 3 == 1) as (server, variables):
        said = servers.kingmaker("deploy", variables=variables)

    assert said.returncode == 0, said.stderr
    assert "made       replay/any model" in said.stdout
    assert server.refused > 5


def test_deploying_to_a_server_that_stays_busy_ends_by_name(servers):
    """Within bounds, with the server's address."""
    with busy_before(servers, lambda _: True) as (server, variables):
        said = servers.kingmaker("deploy", variables=variables)

    assert said.returncode == 1
    assert f"Prefect's server at {server.url}/api: expected it to answer, found" in said.stderr
    assert "503" in said.stderr
    assert "Traceback" not in said.stderr


def test_prefects_own_command_registers_the_same(servers, project):
    """``prefect deploy`` with the written file changes no field of what ``kingmaker deploy`` has
    registered.

    A pool that a worker made knows no command: it gets the one that looks first.
    """
    before, begun_by = deployments(servers), pool_command(servers)
    pool_command(servers, None)
    assert servers.kingmaker("deploy", "--write").returncode == 0
    file = project / "deployments" / "prefect.yaml"
    credentials = {
        "PREFECT_API_URL": f"{servers.prefect}/api",
        "PREFECT_API_AUTH_STRING": f"kingmaker:{servers.secrets.prefect}",
        "PREFECT_HOME": str(servers.home / "prefect"),
        "KINGMAKER_HOME": str(servers.home),
        "KINGMAKER_PROJECT": str(project),
        "KINGMAKER_NOTIFY_URL": servers.environment["KINGMAKER_NOTIFY_URL"],
    }
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "prefect",
            "--no-prompt",
            "deploy",
            "--all",
            "--prefect-file",
            str(file),
        ],
        env=servers.env(credentials),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert said.returncode == 0, said.stdout + said.stderr
    assert pool_command(servers) == LAUNCH
    pool_command(servers, begun_by)
    after = deployments(servers)
    moving = {
        "updated",
        "schedules",
        "last_polled",
        "status",
        "updated_by",
        "version_id",
        "version_info",
    }
    for key in before:
        was = {name: value for name, value in before[key].items() if name not in moving}
        now = {name: value for name, value in after[key].items() if name not in moving}
        assert was == now, key
        rules = [[one["schedule"] for one in side[key]["schedules"]] for side in (before, after)]
        assert rules[0] == rules[1]
    assert "unchanged" in servers.kingmaker("deploy").stdout


def test_an_event_runs_a_retrain_and_the_promotion_is_told(servers, mailbox):
    """The worker runs the monitor; the event asks for a retrain; what is decided reaches the
    receiver, without values.
    """
    monitor = deployments(servers)["monitor/weather"]["id"]
    servers.api(f"/deployments/{monitor}/create_flow_run", {})
    first = until(
        lambda: [
            r
            for r in runs(servers, "monitor")
            if r["state_type"] in ("COMPLETED", "FAILED", "CRASHED")
        ]
    )
    assert first[0]["state_type"] == "COMPLETED", first[0]["state"]

    said = servers.kingmaker("request-retrain", "weather", "--reason", "a new sensor")
    assert said.returncode == 0, said.stderr

    asked = until(
        lambda: [
            r
            for r in runs(servers, "retrain")
            if r["deployment_id"] and r["state_type"] == "COMPLETED"
        ]
    )
    assert asked[0]["parameters"]["reason"] == "a new sensor"
    until(lambda: any("promoted" in body for body in mailbox[1]))
    message = json.loads(next(body for body in mailbox[1] if "promoted" in body))
    assert message["subject"] == "Kingmaker: weather: promoted"
    assert "weather, batch 2013-W03: Promote version 1, by kingmaker" in message["text"]
    assert "For information: the version before it comes back by itself" in message["text"]
    assert f"{servers.console}/decisions/" in message["text"]
    assert "loss" not in str(mailbox[1])
    events = servers.api("/events/filter", {"filter": {"event": {"prefix": ["kingmaker."]}}})[
        "events"
    ]
    assert "kingmaker.promoted" in {event["event"] for event in events}


def test_a_run_that_crashed_is_told_and_run_again_once(servers, mailbox):
    """A crash makes the server run reconcile, which runs it again with its own parameters; twice
    begins it once.
    """
    monitor = deployments(servers)["monitor/weather"]["id"]
    run = servers.api(
        f"/deployments/{monitor}/create_flow_run",
        {
            "parameters": {"model": "weather", "batch": "2013-W02"},
            "state": {
                "type": "SCHEDULED",
                "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"},
            },
        },
    )
    servers.api(
        f"/flow_runs/{run['id']}/set_state",
        {
            "state": {"type": "CRASHED", "name": "Crashed", "message": "42 secret rows"},
            "force": True,
        },
    )

    tag = f"again:{run['id']}:1"
    again = until(lambda: [r for r in runs(servers, "monitor") if tag in r["tags"]])
    assert again[0]["parameters"] == run["parameters"]
    assert servers.kingmaker("reconcile").returncode == 0
    assert len([r for r in runs(servers, "monitor") if tag in r["tags"]]) == 1
    until(lambda: any("crashed" in body for body in mailbox[1]))
    assert "42 secret rows" not in str(mailbox[1]), "what a run said may hold values of the data"


def test_a_batch_that_did_not_come_is_told_once(servers, mailbox):
    """Of three weeks of 2013, long ago: reconcile says which is the next, and not each hour."""
    for _ in range(2):
        assert servers.kingmaker("reconcile").returncode == 0

    until(lambda: any("batch.missing" in body for body in mailbox[1]))
    told = [json.loads(body) for body in mailbox[1] if "batch.missing" in body]
    assert len(told) == 1
    assert told[0]["text"].startswith("weather, batch 2013-W05: The batch has not come")


def test_what_could_not_be_sent_is_sent_by_the_next_reconcile(servers, mailbox):
    """As what a command told while the servers were down; once Prefect has sent it, it is over."""
    engine = open_ledger(f"sqlite:///{servers.home}/ledger.db")
    messages = Messages(engine)
    about = {"batch": "2013-W04", "decision": "Freeze", "by": "ada", "todo": "Soon: look."}
    kept = message("weather", "kingmaker.frozen", "while the servers were down", **about)
    assert messages.keep(kept, datetime.now(UTC) - timedelta(hours=1))

    assert servers.kingmaker("reconcile").returncode == 0

    def executed() -> bool:
        wanted = {"event": {"name": ["prefect.automation.action.executed"]}}
        found = servers.api("/events/filter", {"filter": wanted, "limit": 50})["events"]
        ids = {related["prefect.resource.id"] for one in found for related in one["related"]}
        return f"prefect.event.{uuid5(UUID(kept.id), '1')}" in ids

    until(lambda: any("by ada" in body for body in mailbox[1]))
    until(executed)
    with engine.begin() as connection:  # as if its last try were an hour ago
        connection.execute(update(kept_messages).values(tried_at=kept_messages.c.recorded_at))
    assert servers.kingmaker("reconcile").returncode == 0
    assert sum("by ada" in body for body in mailbox[1]) == 1
    assert kept.id not in [
        one.id for one in messages.unsent(datetime.now(UTC) - KEPT, datetime.now(UTC))
    ]


def test_the_address_of_the_receiver_is_encrypted(servers, mailbox):
    """An address often carries its own key: the server's database does not show it."""
    blocks = servers.api("/block_documents/filter", {})
    assert any(block["name"] == "kingmaker-notify" for block in blocks)
    key = b"hook-with-a-key"
    database = [file.read_bytes() for file in (servers.home / "prefect").glob("prefect.db*")]
    assert database
    assert not any(key in content for content in database)


def test_a_model_that_is_gone_is_told_and_then_pruned(servers, project):
    """Without ``--prune`` it is only named; with it, its schedule is gone, and so is what we had
    made before and make no more. No form offers it any more.
    """
    other = project / "deployments" / "weather2"
    shutil.copytree(project / "deployments" / "weather", other)
    spec = (
        (other / "model.yaml")
        .read_text(encoding="utf-8")
        .replace("model: weather", "model: weather2")
    )
    (other / "model.yaml").write_text(spec, encoding="utf-8")
    said = servers.kingmaker("deploy", "weather2").stdout
    assert "made       monitor/weather2" in said
    assert choices(servers, "retrain") == ["weather", "weather2"]
    shutil.rmtree(other)

    told = servers.kingmaker("deploy")
    assert (
        "gone       monitor/weather2: its model is not in deployments/; --prune removes it"
        in told.stdout
    )
    assert "monitor/weather2" in deployments(servers)
    assert choices(servers, "retrain") == ["weather"]

    pruned = servers.kingmaker("deploy", "--prune")
    assert "removed    monitor/weather2" in pruned.stdout
    assert not any("weather2" in key for key in deployments(servers))


def test_a_model_without_its_schedule_runs_no_more(servers, project):
    """Its deployment goes at once, since it would go on running; the schedule brings it back."""
    file = project / "deployments" / "weather" / "model.yaml"
    text = file.read_text(encoding="utf-8")
    spec = yaml.safe_load(text)
    del spec["schedule"]
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")

    without = servers.kingmaker("deploy").stdout
    file.write_text(text, encoding="utf-8")
    again = servers.kingmaker("deploy").stdout

    assert "removed    monitor/weather" in without
    assert "made       monitor/weather" in again


def test_automations_that_were_made_twice_or_are_wanted_no_more_are_removed(servers):
    """A request that is made again, since its answer was lost, may make a twin."""
    known = {one["name"]: one for one in servers.api("/automations/filter", {})}
    twin = dict(known["kingmaker: retrain when asked"])
    for name in ("kingmaker: retrain when asked", "kingmaker: of an earlier version"):
        made = {key: twin[key] for key in ("description", "enabled", "trigger", "actions")}
        servers.api("/automations/", made | {"name": name})

    servers.kingmaker("deploy", "--prune")

    names = [one["name"] for one in servers.api("/automations/filter", {})]
    assert sorted(names) == sorted(known)


def test_a_persons_run_waits_for_the_one_that_acts(servers):
    """From Prefect's page, without a process and without an error; then it does what was asked."""
    freeze = deployments(servers)["freeze/any model"]["id"]
    with lease(open_ledger(f"sqlite:///{servers.home}/ledger.db"), "weather", "the test"):
        run = servers.api(
            f"/deployments/{freeze}/create_flow_run",
            {"parameters": {"model": "weather", "reason": "a new sensor"}},
        )["id"]

        def now() -> dict:
            return servers.api(f"/flow_runs/{run}")

        until(lambda: now()["state_name"] == "Waiting")
        assert now()["state"]["message"] == "the test acts for weather now"

    until(lambda: now()["state_type"] in ("COMPLETED", "FAILED", "CRASHED"))
    assert now()["state_type"] == "COMPLETED"
    # Which batch is the newest by then is the schedule's affair.
    status = servers.kingmaker("status").stdout
    assert re.search(r"frozen    since batch \S+: by a person: a new sensor", status)


def test_a_run_that_went_silent_is_ended_by_the_server(servers):
    """Ninety seconds after its last heartbeat, without any help of ours, it has crashed."""
    look = f"/flow_runs/{servers.silent}"

    state = until(
        lambda: (found := servers.api(look))["state_type"] != "RUNNING" and found["state"], 180
    )

    assert (state["type"], state["message"][:15]) == ("CRASHED", "No sign of life")


def test_without_a_server_deploy_says_how_to_start_one(tmp_path):
    """No server, no silent throw-away one."""
    said = Servers(tmp_path).kingmaker("deploy")

    assert said.returncode == 2
    assert re.search("start one by 'kingmaker .* up'", said.stderr)


def test_the_repositorys_own_prefect_file_is_up_to_date():
    """``deployments/prefect.yaml`` is what ``kingmaker deploy --write`` writes today."""
    from deployments.register import prefect_file
    from tasks.settings import REPOSITORY, Settings

    written = (REPOSITORY / "deployments" / "prefect.yaml").read_text(encoding="utf-8")
    assert written == prefect_file(Settings(project=REPOSITORY)), "run: kingmaker deploy --write"
    assert os.sep + "tmp" not in written
