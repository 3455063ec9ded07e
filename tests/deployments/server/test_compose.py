"""The files of deployments/server/, as far as they can be checked without a Docker engine: the very
commands are run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from deployments.names import LAUNCH
from tasks.settings import REPOSITORY
from tests.deployments.conftest import ask, free_port, until

SERVER = REPOSITORY / "deployments" / "server"
COMPOSE: dict[str, Any] = yaml.safe_load((SERVER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DURATION = re.compile(r"[0-9]+s")


def test_every_variable_is_in_the_example_and_none_is_left_over():
    """What compose asks for, .env.example names; and it holds no secret."""
    text = (SERVER / "compose.yaml").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{([A-Z_]+)", text))
    example = dict(
        line.split("=", 1)
        for line in (SERVER / ".env.example").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )

    assert used == set(example)
    assert [
        name for name in example if ("PASSWORD" in name or "KEY" in name) and example[name]
    ] == []
    required = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    assert required >= {name for name in used if "PASSWORD" in name or "KEY" in name}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_pinned_watched_and_closed(name):
    """An exact image, a health check or an end, known volumes, ports on loopback only, dependencies
    that exist.
    """
    service = SERVICES[name]

    assert re.search(r":[0-9]+\.[0-9]+", service["image"]), service["image"]
    if name != "deploy":
        assert service["restart"] == "unless-stopped"
        check = service["healthcheck"]
        assert check["test"][0] in ("CMD", "CMD-SHELL")
        assert all(DURATION.fullmatch(check[key]) for key in ("interval", "timeout"))
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")
    for volume in service.get("volumes", ()):
        source = re.sub(r"\$\{[^}]*\}", "./", volume).split(":")[0]
        assert source.startswith("./") or source in COMPOSE["volumes"], volume
        if source.startswith("./") and len(source) > 2:
            assert (SERVER / source).exists()
    for other in service.get("depends_on", ()):
        assert "healthcheck" in SERVICES[other]
    assert service["mem_limit"]


def test_every_server_has_credentials_and_no_value_is_a_secret():
    """Passwords come from variables only, and every server gets one."""
    assert "PREFECT_SERVER_API_AUTH_STRING" in SERVICES["prefect"]["environment"]
    assert "PREFECT_SERVER_ENCRYPTION_KEY" in SERVICES["prefect"]["environment"]
    assert "KINGMAKER_MLFLOW_AUTH_STRING" in SERVICES["mlflow"]["environment"]
    assert "KINGMAKER_CONSOLE_AUTH_STRING" in SERVICES["console"]["environment"]
    for name in ("prefect", "mlflow", "console"):
        assert "KINGMAKER_SESSION_KEY" in SERVICES[name]["environment"]
        assert SERVICES[name]["environment"]["KINGMAKER_HOME"] == "/kingmaker", "who may log in"
        assert any(one.startswith("home:/kingmaker") for one in SERVICES[name]["volumes"])
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|AUTH_STRING|KEY|LEDGER|STORE_URI|CONNECTION", name):
                assert "${" in value, name


def test_the_three_databases_are_those_of_up():
    """A home can move between ``kingmaker up --database`` and compose."""
    made = re.findall(
        r"CREATE DATABASE (\w+);", (SERVER / "databases.sql").read_text(encoding="utf-8")
    )
    text = (SERVER / "compose.yaml").read_text(encoding="utf-8")

    assert made == ["kingmaker_ledger", "kingmaker_prefect", "kingmaker_mlflow"]
    assert set(re.findall(r"5432/(\w+)", text)) == set(made)


def test_the_image_is_built_from_the_lock_for_a_user_without_rights():
    """An exact base, hashes required, every copied path there, no root, and no secret copied in."""
    lines = (SERVER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]

    (base,) = [line[1] for line in words if line[0] == "FROM"]
    assert re.fullmatch(r"python:3\.11\.[0-9]+-slim-bookworm", base)
    for line in words:
        if line[0] == "COPY":
            assert all((REPOSITORY / source).exists() for source in line[1:-1]), line
    assert any("--require-hashes" in line for line in words)
    assert words[[line[0] for line in words].index("USER")][1] != "root"


def test_the_kubernetes_template_names_only_variables_that_it_has():
    """Every placeholder is a variable, every variable is used; secrets come from a Secret; a run
    begins with a look.
    """
    template = json.loads((SERVER / "kubernetes-job.json").read_text(encoding="utf-8"))
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))

    assert used == set(template["variables"]["properties"])
    assert not any(
        "PASSWORD" in name or "AUTH" in name
        for name in template["variables"]["properties"]["env"]["default"]
    )
    assert template["variables"]["properties"]["command"]["default"] == LAUNCH
    spec = template["job_configuration"]["job_manifest"]["spec"]
    # https://kubernetes.io/docs/reference/kubernetes-api: a field that it does not know is refused.
    assert set(spec) <= {
        "backoffLimit",
        "completions",
        "parallelism",
        "template",
        "ttlSecondsAfterFinished",
    }
    assert set(spec["template"]["spec"]) <= {
        "automountServiceAccountToken",
        "containers",
        "restartPolicy",
        "securityContext",
        "volumes",
    }
    assert spec["backoffLimit"] == 0, (
        "Prefect runs again what crashed; Kubernetes must not do it too"
    )


def test_the_image_holds_only_what_runs():
    """Everything is left out of the build but what the Dockerfile copies, and passwords always."""
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = {
        word.removeprefix("./").rstrip("/")
        for line in (SERVER / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY")
        for word in line.split()[1:-1]
    }

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    last = {rule: place for place, rule in enumerate(rules)}
    assert last["deployments/server/.env"] > last["!deployments"]


@pytest.mark.flow
@pytest.mark.parametrize("name", ["prefect", "mlflow", "console"])
def test_the_start_command_and_the_health_check_run_as_they_stand(name, tmp_path):
    """The command of the file, with paths and port of this machine, serves; its health check says
    so; closed to strangers.
    """
    service, port = SERVICES[name], free_port()
    stores = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path}/prefect.db",
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "KINGMAKER_LEDGER": f"sqlite:///{tmp_path}/ledger.db",
        "KINGMAKER_HOME": str(tmp_path),
        "PREFECT_SERVER_ENCRYPTION_KEY": "M6rm0vX1b5zk1XSZyBGKVEKvkGvZxT3mvIrnXGZq9sA=",
    }
    given = service["environment"] | {
        key: value for key, value in stores.items() if key in service["environment"]
    }
    given = {
        key: re.sub(r"\$\{[^}]*\}", "a-password-for-the-test-of-this-file", str(value))
        for key, value in given.items()
    }
    given |= {
        "PREFECT_HOME": str(tmp_path),
    }
    inside = {
        "4200": port,
        "5000": port,
        "4300": port,
        "0.0.0.0": "127.0.0.1",  # noqa: S104 - it is replaced
        "/artifacts": str(tmp_path),
        "python": sys.executable,
    }

    def here(words: list[str]) -> list[str]:
        return [inside.get(word, word) for word in words]

    environment = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PREFECT_", "MLFLOW_", "KINGMAKER_"))
    } | given
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            here(service["command"]), env=environment, stdout=out, stderr=out, cwd=tmp_path
        )
    try:
        check = here(service["healthcheck"]["test"][1:])

        def healthy() -> bool:
            assert process.poll() is None, log.read_text(encoding="utf-8")[-2000:]
            return (
                subprocess.run(check, env=environment, capture_output=True, check=False).returncode
                == 0
            )

        until(healthy, 180)
        assert ask(f"http://127.0.0.1:{port}/")[0] == 401
    finally:
        process.terminate()
        process.wait(30)
