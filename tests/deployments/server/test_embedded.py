"""The embedded Prefect server: ours alone, and gone when its run is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.server.client import ServerAwayError
from deployments.server.embedded import answering_prefect

pytestmark = pytest.mark.flow

_RUN = """
import json, os, subprocess, sys, time
from pathlib import Path
from tasks.settings import Settings, prepare_environment
prepare_environment(Settings(home=Path(sys.argv[1])))
from deployments.server.embedded import embedded_server
with embedded_server():
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL
    from prefect import get_client
    with get_client(sync_client=True) as client:
        flows = len(client.read_flows())
    said = {"url": PREFECT_API_URL.value(), "secret": PREFECT_API_AUTH_STRING.value()}
    print(json.dumps(said | {"flows": flows}), flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A run with an embedded server, and what it says of it."""
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "KINGMAKER_"))
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(tmp_path_factory.mktemp("home"))],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    yield process, json.loads(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()


def _servers(parent: int) -> list[int]:
    """Processes that ``parent`` started."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(word) for word in children.read_text().split()]


def test_nobody_else_is_answered(run):
    """The run itself is answered, whoever does not know its secret gets 401; in no process list is
    it read.
    """
    process, said = run

    assert said["flows"] == 0
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(  # noqa: S310 - our own loopback
            urllib.request.Request(  # noqa: S310
                f"{said['url']}/flows/filter", method="POST"
            ),
            timeout=60,
        )
    (server,) = _servers(process.pid)
    password = said["secret"].removeprefix("kingmaker:").encode()
    assert len(password) >= 32
    for pid in (process.pid, server):
        assert password not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_killed_run_leaves_no_server_behind(run):
    """After kill -9 the server is gone by itself."""
    process, _ = run
    (server,) = _servers(process.pid)

    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    for _ in range(600):  # a bound for the case that it stays
        if (
            not Path(f"/proc/{server}").exists()
            or "Z" in Path(f"/proc/{server}/stat").read_text().split()[2]
        ):
            return
        time.sleep(0.1)
    os.kill(server, signal.SIGKILL)
    pytest.fail("the embedded server outlived its run")


def test_a_server_that_goes_away_is_named() -> None:
    """What Prefect's client says when it gives up does not say who was asked; any other error stays
    what it is.
    """
    with (
        pytest.raises(ServerAwayError, match=r"Prefect's server at .*ConnectError: All connection"),
        answering_prefect(),
    ):
        raise httpx.ConnectError("All connection attempts failed")
    with pytest.raises(ZeroDivisionError), answering_prefect():
        raise ZeroDivisionError
