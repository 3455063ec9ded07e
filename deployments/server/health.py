"""``python -m deployments.server.health SERVER PORT``: exit code 0 when that server, in here, is
ready: prefect, mlflow or console.
"""

from __future__ import annotations

import os
import sys

from deployments.server.authentication import (
    CONSOLE_CREDENTIALS,
    MLFLOW_CREDENTIALS,
    PREFECT_CREDENTIALS,
)
from deployments.server.client import Server

_READY = {
    "prefect": ("/api/ready", PREFECT_CREDENTIALS),
    "mlflow": ("/health", MLFLOW_CREDENTIALS),
    "console": ("/health", CONSOLE_CREDENTIALS),
}


def check(name: str, port: str) -> None:
    """Ask once, with the server's own credentials, since nothing answers without; ServerAwayError
    when it does not answer.
    """
    path, variable = _READY[name]
    Server(name, f"http://127.0.0.1:{port}", os.environ[variable]).ask(path, timeout=8)


if __name__ == "__main__":
    check(*sys.argv[1:])
