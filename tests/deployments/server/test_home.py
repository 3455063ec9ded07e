"""How commands find the servers of a home."""

from __future__ import annotations

import os
import stat
from dataclasses import asdict

import pytest

from deployments.server.home import (
    AlreadyUpError,
    Running,
    Secrets,
    find_servers,
    read_secrets,
    rotate_secrets,
    running,
    secrets_file,
    sole_runner,
    write_private,
    write_running,
)
from tasks.settings import Settings

THERE = Running(process=1, began="2013-01-01 00:00 UTC", prefect=4201, mlflow=5001, console=4301)


def found(home, **already) -> dict[str, str]:
    """The environment that a command in ``home`` gets."""
    environment = dict(already)
    find_servers(Settings(home=home), environment)
    return environment


def test_a_home_without_servers_changes_nothing(tmp_path):
    """No file, no variable."""
    assert found(tmp_path) == {}


def test_servers_that_run_are_used_and_what_the_user_set_stays(tmp_path):
    """Addresses and credentials while ``up`` holds the lock; a variable of the user's is not
    touched.
    """
    known = Secrets.new()
    write_private(secrets_file(tmp_path), asdict(known))
    with sole_runner(tmp_path):
        write_running(tmp_path, THERE)
        assert found(tmp_path) == {
            "PREFECT_API_URL": "http://127.0.0.1:4201/api",
            "PREFECT_API_AUTH_STRING": f"kingmaker:{known.prefect}",
            "KINGMAKER_CONSOLE_URL": "http://127.0.0.1:4301",
            "KINGMAKER_TRACKING": "http://127.0.0.1:5001",
            "MLFLOW_TRACKING_USERNAME": "kingmaker",
            "MLFLOW_TRACKING_PASSWORD": known.mlflow,
        }
        own = found(
            tmp_path,
            PREFECT_API_URL="https://prefect.example",
            KINGMAKER_TRACKING="https://mlflow.example",
        )
        assert own == {
            "KINGMAKER_CONSOLE_URL": "http://127.0.0.1:4301",
            "PREFECT_API_URL": "https://prefect.example",
            "KINGMAKER_TRACKING": "https://mlflow.example",
        }
        with (
            pytest.raises(AlreadyUpError, match=r"process 1 .* since 2013.*4301.*4201.*5001"),
            sole_runner(tmp_path),
        ):
            pass
    assert found(tmp_path) == {"PREFECT_SERVER_ENCRYPTION_KEY": known.encryption}, (
        "none runs any more: a server of the command's own reads what the others wrote"
    )


def test_a_killed_up_is_not_taken_for_running(tmp_path):
    """The state file alone says nothing: the lock does, and the system frees it whatever ends the
    process.
    """
    with sole_runner(tmp_path):
        write_running(tmp_path, THERE)
        kept = (tmp_path / "servers" / "running.json").read_bytes()
    (tmp_path / "servers" / "running.json").write_bytes(kept)

    assert running(tmp_path) is None


def test_a_home_on_postgresql_stays_there_without_servers(tmp_path):
    """Commands go to the databases directly; an empty ledger in a file would forget everything."""
    known = Secrets(
        "p",
        "m",
        "c",
        "e",
        "s",
        ledger="postgresql://l",
        prefect_store="postgresql://p",
        mlflow_store="postgresql://m",
    )
    write_private(secrets_file(tmp_path), asdict(known))

    assert found(tmp_path) == {
        "PREFECT_SERVER_ENCRYPTION_KEY": "e",
        "KINGMAKER_LEDGER": "postgresql://l",
        "KINGMAKER_TRACKING": "postgresql://m",
    }


def test_secrets_are_private_and_can_be_rotated(tmp_path):
    """Mode 600 whatever the umask; new passwords leave the encryption key and the stores as they
    are.
    """
    before = os.umask(0)
    try:
        write_private(secrets_file(tmp_path), asdict(Secrets.new()))
    finally:
        os.umask(before)
    assert stat.S_IMODE(secrets_file(tmp_path).stat().st_mode) == 0o600
    old = read_secrets(tmp_path)

    rotate_secrets(tmp_path)

    new = read_secrets(tmp_path)
    assert new.encryption == old.encryption
    assert new.prefect != old.prefect
    assert new.mlflow != old.mlflow
