"""``kingmaker up`` as real processes: closed to strangers, one Ctrl-C, what dies is started again,
nothing is left over.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import yaml

from deployments.server import up
from deployments.server.home import read_secrets, running
from tasks.settings import REPOSITORY
from tests.chromium import CHROMIUM, Browser
from tests.conftest import WEATHER_PROJECT
from tests.deployments.conftest import Servers, ask, until

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers of a new home, with no batch in it yet; the first one makes a champion."""
    root = tmp_path_factory.mktemp("up")
    shutil.copytree(WEATHER_PROJECT, root / "project")
    file = root / "project" / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"] |= {"first": 1, "candidates": [{"estimator": "sklearn.linear_model.Ridge"}]}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    with Servers(root / "home", root / "project") as running_servers:
        yield running_servers


def prefect_routes(servers: Servers) -> list[tuple[str, str]]:
    """Every route of Prefect's API, as method and path, and some of its pages."""
    paths = servers.api("/openapi.json")["paths"]
    routes = [(verb.upper(), f"/api{path}") for path, verbs in paths.items() for verb in verbs]
    return [
        *routes,
        *(
            ("GET", page)
            for page in ("/", "/docs", "/api/ready", "/ui-settings", "/assets/index.js")
        ),
    ]


def mlflow_routes() -> list[tuple[str, str]]:
    """Every route of MLflow's server, those of Flask and those beside it."""
    from fastapi.routing import APIRoute
    from mlflow.server.fastapi_app import app
    from mlflow.server import app as flask_app  # isort: skip

    native = [
        (verb, route.path)
        for route in app.routes
        if isinstance(route, APIRoute)
        for verb in route.methods
    ]
    flask = [(verb, rule.rule) for rule in flask_app.url_map.iter_rules() for verb in rule.methods]
    return [(verb, re.sub(r"[<{][^>}]+[>}]", "x", path)) for verb, path in {*native, *flask}]


def deliver(servers: Servers, week: Path) -> None:
    """Have the source hold this week, too."""
    source = servers.home / "sources" / "weather"
    source.mkdir(parents=True, exist_ok=True)
    shutil.copy(week, source)


def test_every_route_of_every_server_is_closed_without_credentials(servers):
    """No route, page or health check answers anything but 401 without the password, or with another
    one.
    """
    routes = [(servers.prefect, route) for route in prefect_routes(servers)]
    routes += [(servers.mlflow, route) for route in mlflow_routes()]
    routes += [(servers.console, ("GET", path)) for path in ("/", "/health", "/api/models")]
    assert len(routes) > 400, "both lists of routes were found"

    opened = [
        (verb, address + path, password)
        for number, (address, (verb, path)) in enumerate(routes)
        for password in ((None, "a-wrong-password") if number % 20 == 0 else (None,))
        if ask(address + path, password, method=verb)[0] != 401
    ]

    assert opened == []
    assert ask(f"{servers.prefect}/", servers.secrets.prefect)[0] == 200
    assert ask(f"{servers.mlflow}/", servers.secrets.mlflow)[0] == 200
    assert ask(f"{servers.console}/", servers.secrets.console)[0] == 200


def test_a_websocket_is_closed_to_who_does_not_know_the_password(servers):
    """Prefect's event stream asks for the password inside the socket, since browsers send no header
    with it.
    """
    import asyncio

    from websockets import ConnectionClosed, connect

    async def listen(token: str) -> str:
        address = servers.prefect.replace("http", "ws") + "/api/events/out"
        async with connect(address, subprotocols=["prefect"]) as socket:
            await socket.send(f'{{"type": "auth", "token": "{token}"}}')
            return await socket.recv()

    assert "auth_success" in asyncio.run(listen(f"kingmaker:{servers.secrets.prefect}"))
    with pytest.raises(ConnectionClosed):
        asyncio.run(listen("kingmaker:a-wrong-password"))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
def test_one_log_in_opens_all_servers_and_no_page_asks_beyond_loopback(servers, tmp_path):
    """In a browser: by the form of one, each server's page works, asks for no second password and
    asks no other host; Prefect's tries to tell a host of analytics, and is refused by our policy.
    """
    password = "a-canary-word"  # noqa: S105 - of this test
    added = servers.kingmaker("user", "add", "ada", "--stdin", input=f"{password}\n")
    assert added.stdout == "ada may log in\n", added.stderr

    with Browser(tmp_path) as browser:
        assert "Log in once" in browser.open(servers.prefect)
        assert "Dashboard" in browser.log_in(servers.prefect, "ada", password, quiet=3.0)
        said = list(browser.said)
        assert "Experiments" in browser.open(servers.mlflow, quiet=3.0)
        assert "weather" in browser.open(servers.console)
        hosts = {
            urlsplit(one).hostname
            for one in browser.asked
            if not one.startswith(("data:", "blob:", "about:"))
        }

    assert hosts == {"127.0.0.1"}
    assert any("Content Security Policy" in one for one in said)


def test_nothing_listens_beyond_loopback(servers):
    """Every listening socket of every process is bound to 127.0.0.1."""
    ours = {process.pid for process in servers.processes()}
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.pid in ours and connection.status == psutil.CONN_LISTEN
    }

    assert listening == {"127.0.0.1"}


def test_secrets_are_in_one_private_file_and_nowhere_else(servers):
    """Mode 600; and no process list, log or database holds a password, not even after a run."""
    file = servers.home / "servers" / "secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((servers.home / "servers" / "running.json").stat().st_mode) == 0o600

    servers.kingmaker("status")

    known = servers.secrets
    canaries = [
        secret.encode()
        for secret in (
            known.prefect,
            known.mlflow,
            known.console,
            known.encryption,
            known.session,
        )
    ]
    commands = [
        p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"]) if p.pid != os.getpid()
    ]
    places = {"process list": "\n".join(" ".join(command) for command in commands).encode()}
    for path in servers.home.rglob("*"):
        if path.is_file() and path != file:
            with suppress(FileNotFoundError):  # a database's journal, gone again
                places[str(path)] = path.read_bytes()
    assert any("prefect.log" in place for place in places)
    found = [place for place, content in places.items() for canary in canaries if canary in content]
    assert found == []


def test_a_second_up_says_who_runs(servers):
    """It changes nothing, names process and addresses, and ends as wrong usage does."""
    said = servers.kingmaker("up")

    assert said.returncode == 2
    for word in (str(servers.process.pid), servers.prefect, servers.mlflow):
        assert word in said.stderr
    assert servers.process.poll() is None


def test_commands_in_the_same_home_use_the_servers(servers, weather_source):
    """A run by hand is on the Prefect server and in MLflow's, without any variable set."""
    deliver(servers, weather_source / "2013-W02.csv")

    said = servers.kingmaker("run", "weather")

    assert said.returncode == 0, said.stderr
    names = [run["name"] for run in servers.api("/flow_runs/filter", {})]
    assert "monitor weather" in names
    experiment = ask(
        f"{servers.mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=weather",
        servers.secrets.mlflow,
    )
    assert experiment[0] == 200


@pytest.mark.parametrize("name", ["mlflow", "worker"])
def test_a_program_that_dies_is_started_again(servers, name):
    """SIGKILL to all processes of one program: it comes back, at the same address."""
    before = servers.processes(name)
    assert before
    for process in before:
        with suppress(psutil.NoSuchProcess):  # its parent's death was enough
            process.kill()

    def back() -> bool:
        alive = servers.processes(name)
        fresh = alive and not {p.pid for p in alive} & {p.pid for p in before}
        try:
            return bool(fresh) and ask(f"{servers.mlflow}/health", servers.secrets.mlflow)[0] == 200
        except OSError:
            return False

    until(back)


def test_ctrl_c_ends_everything(servers):
    """One SIGINT, exit code 0, no process left, the ports free, and the home says that none
    runs.
    """
    addresses = (servers.prefect, servers.mlflow)
    assert len(servers.processes()) >= 3

    said = servers.stop()

    assert servers.process.returncode == 0, said
    assert servers.processes() == []
    assert running(servers.home) is None
    for address in addresses:
        with pytest.raises(OSError, match="refused"):
            ask(address)
    assert read_secrets(servers.home) is not None, "they are kept for the next time"


def test_a_home_comes_back_from_its_backup_with_new_passwords(servers, weather_source, tmp_path):
    """Last, by the commands of docs/operations.md: all is lost, restored, and goes on; an old
    password opens nothing.
    """
    before, old = servers.kingmaker("history", "weather", "--all").stdout, servers.secrets
    assert "Promote version 1" in before
    docs = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^tar .*$", docs, re.MULTILINE)
    words = command.replace(".kingmaker", str(servers.home)).replace(
        "backup.tar", str(tmp_path / "b.tar")
    )
    subprocess.run(shlex.split(words), check=True)
    shutil.rmtree(servers.home)

    servers.home.mkdir()
    extract = ["tar", "--extract", "--file", tmp_path / "b.tar", "-C", servers.home]
    subprocess.run(extract, check=True)
    assert servers.kingmaker("rotate-secrets").returncode == 0

    with servers:
        assert ask(f"{servers.prefect}/api/ready", old.prefect)[0] == 401
        assert ask(f"{servers.mlflow}/health", old.mlflow)[0] == 401
        assert servers.kingmaker("history", "weather", "--all").stdout == before
        deliver(servers, weather_source / "2013-W03.csv")
        went_on = servers.kingmaker("run", "weather")
        assert went_on.returncode == 0, went_on.stderr
        assert "2013-W03" in servers.kingmaker("history", "weather", "--all").stdout


def test_a_port_that_is_taken_is_refused_when_asked_for_and_passed_over_when_not():
    """The usual port is a wish, a given one is an order."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(up.PortTakenError, match=f"port {port} .* taken"):
            up._port(port, 4200)
        assert up._port(None, port) != port


def test_servers_cannot_be_begun_without_credentials(tmp_path):
    """The start command of either server, without a password, ends by name and listens nowhere."""
    for app, variable in (
        ("prefect_app", "PREFECT_SERVER_API_AUTH_STRING"),
        ("mlflow_app", "KINGMAKER_MLFLOW_AUTH_STRING"),
    ):
        environment = {**os.environ, "PREFECT_HOME": str(tmp_path), variable: "kingmaker:short"}
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "--factory",
            f"deployments.server.authentication:{app}",
            "--port",
            "0",
        ]

        said = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

        assert said.returncode != 0
        assert f"{variable}: expected user:password with at least 12 characters" in said.stderr
