"""``python -m deployments.server.health prefect|mlflow PORT``: exit code 0 when that server, in
here, is ready.
"""

from __future__ import annotations

import base64
import os
import sys
import urllib.request

from deployments.server.authentication import MLFLOW_CREDENTIALS, PREFECT_CREDENTIALS

_READY = {"prefect": ("/api/ready", PREFECT_CREDENTIALS), "mlflow": ("/health", MLFLOW_CREDENTIALS)}


def check(server: str, port: str) -> None:
    """Ask with the server's own credentials, since nothing answers without; URLError when it does
    not answer.
    """
    path, variable = _READY[server]
    token = base64.b64encode(os.environ[variable].encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Basic {token}"}
    )
    # No proxy: it is this machine that is asked.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=8):
        pass


if __name__ == "__main__":
    check(*sys.argv[1:])
