"""A whole run, seen from outside: no network but loopback, and a secret that is nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from tests.tasks.conftest import postgres

__all__ = ["postgres"]

pytestmark = pytest.mark.flow

_ALONE = """
import fcntl, socket, struct
def up(name):
    with socket.socket() as probe:
        flags = struct.pack("16sh", name, 1)
        # SIOCSIFFLAGS, IFF_UP: a new network has nothing but a loopback that is down
        fcntl.ioctl(probe, 0x8914, flags)
up(b"lo")
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    assert error.errno == 101, error  # network is unreachable
else:
    raise SystemExit("there is a way out")
from deployments.command.cli import main
main()
"""


_OWN = "-n" if os.geteuid() == 0 else "-rn"
"""A network of one's own; a user who is not root needs to be root of a namespace first."""


def _may_unshare() -> bool:
    program = shutil.which("unshare")
    return (
        program is not None and subprocess.run([program, _OWN, "true"], check=False).returncode == 0
    )


@pytest.mark.skipif(
    not _may_unshare(),
    reason="no right to have a network of one's own: unshare, as root or with user namespaces",
)
def test_whole_run_needs_no_network_and_tells_no_secret(
    make_weather_home, quick_project: Path, postgres: str, tmp_path: Path
) -> None:
    """Ingest, training, promotion and pages pass with every route outside refused; the ledger's
    password is in nothing that was written, printed, or shown in the list of processes.
    """
    secret = "c4nary-4f1d0e"  # noqa: S105 - the server takes any
    url = postgres.replace("postgres:@", f"postgres:{secret}@")
    assert secret in url, postgres
    home = make_weather_home(1)
    (home / "mlflow.db").unlink()
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["training"]["first"] = 1
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("KINGMAKER_", "PREFECT_"))
    }
    environment |= {"KINGMAKER_LEDGER": url, "OMP_NUM_THREADS": "1"}
    said = tmp_path / "said.txt"
    ended, shown = threading.Event(), set[bytes]()

    def look() -> None:
        while not ended.wait(0.2):
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    shown.add(line.read_bytes())
                except OSError:
                    continue  # it ended meanwhile

    watcher = threading.Thread(target=look)
    watcher.start()
    with said.open("wb") as out:
        ran = subprocess.run(
            [
                shutil.which("unshare") or "",
                _OWN,
                sys.executable,
                "-c",
                _ALONE,
                "--home",
                str(home),
                "--project",
                str(quick_project),
                "run",
                "weather",
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
    ended.set()
    watcher.join()

    assert ran.returncode == 0, said.read_text(encoding="utf-8")
    assert "the first champion" in " ".join(said.read_text(encoding="utf-8").split())
    written = [path for path in home.rglob("*") if path.is_file()]
    assert {"mlflow.db", "kingmaker.log", "prefect.db", "index.html"} <= {
        path.name for path in written
    }
    assert [path for path in (*written, said) if secret.encode() in path.read_bytes()] == []
    assert any(b"deployments.server.embedded" in line for line in shown)
    assert [line for line in shown if secret.encode() in line] == []
