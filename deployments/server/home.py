"""The servers of a home, as our commands find them: ``kingmaker up`` writes down where they listen
and their secrets.

What is read here is read before Prefect is imported, and by an idle run too: the standard library
does.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deployments.server.client import Server
from tasks.errors import MisuseError
from tasks.settings import Settings

USER = "kingmaker"
"""The user that programs are to all servers; people have names of their own."""
PREFECT_PORT, MLFLOW_PORT, CONSOLE_PORT = 4200, 5000, 4300
"""Where they listen when these ports are free and no other is asked for."""


class AlreadyUpError(MisuseError):
    """Another ``kingmaker up`` runs in the same home."""


@dataclass(frozen=True)
class Secrets:
    """What opens the servers of a home; in a file that its owner alone may read."""

    prefect: str
    """Password of Prefect's server."""
    mlflow: str
    """Password of MLflow's server."""
    console: str
    """Password of the console."""
    encryption: str
    """Fernet key by which Prefect's server encrypts its blocks; without it they cannot be read
    again.
    """
    session: str
    """Key by which the servers sign the sessions of people who have logged in, at any of them."""
    ledger: str = ""
    """SQLAlchemy URL of the ledger; empty: a file in the home."""
    prefect_store: str = ""
    """SQLAlchemy URL of Prefect's database; empty: a file in the home."""
    mlflow_store: str = ""
    """SQLAlchemy URL of MLflow's database; empty: a file in the home."""

    @classmethod
    def new(cls) -> Secrets:
        """Return freshly drawn secrets; 192 bits each."""
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        prefect, mlflow, console, session = (secrets.token_urlsafe(24) for _ in range(4))
        return cls(prefect, mlflow, console, key, session)


@dataclass(frozen=True)
class Running:
    """Who runs the servers of a home, and where they listen."""

    process: int
    began: str
    prefect: int
    """Port of Prefect's server on 127.0.0.1."""
    mlflow: int
    """Port of MLflow's server on 127.0.0.1."""
    console: int
    """Port of the console on 127.0.0.1."""

    @property
    def prefect_url(self) -> str:
        """Prefect's pages; its API is below ``/api``."""
        return f"http://127.0.0.1:{self.prefect}"

    @property
    def mlflow_url(self) -> str:
        """MLflow's pages and API."""
        return f"http://127.0.0.1:{self.mlflow}"

    @property
    def console_url(self) -> str:
        """The console's pages."""
        return f"http://127.0.0.1:{self.console}"

    def prefect_server(self, known: Secrets) -> Server:
        """Prefect's API, to be asked."""
        return Server("Prefect's server", f"{self.prefect_url}/api", f"{USER}:{known.prefect}")

    def mlflow_server(self, known: Secrets) -> Server:
        """MLflow's API, to be asked."""
        return Server("MLflow's server", self.mlflow_url, f"{USER}:{known.mlflow}")

    def console_server(self, known: Secrets) -> Server:
        """The console, to be asked."""
        return Server("the console", self.console_url, f"{USER}:{known.console}")


def secrets_file(home: Path) -> Path:
    """Return where the secrets of a home are kept."""
    return home.resolve() / "servers" / "secrets.json"


def read_secrets(home: Path) -> Secrets | None:
    """Return the secrets of a home; None when it has none yet."""
    try:
        return Secrets(**json.loads(secrets_file(home).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write_private(file: Path, document: Mapping[str, object]) -> None:
    """Write ``document`` whole, as JSON, to a file of mode 600 that is never open to others, not
    even for a moment.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as target:
        json.dump(document, target, indent=2)
        target.flush()
        os.fsync(target.fileno())
    temporary.replace(file)


def rotate_secrets(home: Path) -> None:
    """Draw new passwords, and end all sessions; the encryption key stays, since what it encrypted
    must stay readable.
    """
    if (known := read_secrets(home)) is not None:
        fresh = Secrets.new()
        write_private(
            secrets_file(home),
            asdict(
                replace(
                    known,
                    prefect=fresh.prefect,
                    mlflow=fresh.mlflow,
                    console=fresh.console,
                    session=fresh.session,
                )
            ),
        )


def running(home: Path) -> Running | None:
    """Return who runs the servers of a home; None when none does, however the last one ended."""
    lock, state = _lock_file(home), _state_file(home)
    if not lock.exists():
        return None
    with lock.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # held: the system frees it when its process ends, whatever ends it
        else:
            return None
    try:
        return Running(**json.loads(state.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None  # it is only just beginning


@contextmanager
def sole_runner(home: Path) -> Iterator[None]:
    """Be the only one that runs servers in ``home``; AlreadyUpError says who does."""
    lock = _lock_file(home)
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock.open("ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyUpError(_who_runs(home)) from None
        _state_file(home).unlink(missing_ok=True)
        try:
            yield
        finally:
            _state_file(home).unlink(missing_ok=True)


def write_running(home: Path, state: Running) -> None:
    """Say where the servers listen, to every command in the same home."""
    write_private(_state_file(home), asdict(state))


def find_servers(settings: Settings, environment: MutableMapping[str, str]) -> None:
    """Have our commands use the servers and the stores of the home; what the user has set stays as
    it is.
    """
    known = read_secrets(settings.home)
    if known is None:
        return
    if known.ledger:
        environment.setdefault("KINGMAKER_LEDGER", known.ledger)
    if (there := running(settings.home)) is not None:
        environment.setdefault("KINGMAKER_CONSOLE_URL", there.console_url)
        if "PREFECT_API_URL" not in environment:
            environment.update(prefect_client(there, known))
        if "KINGMAKER_TRACKING" not in environment:
            environment.update(mlflow_client(there, known))
        return
    # A command's own server opens the same database, and reads what was encrypted there.
    environment.setdefault("PREFECT_SERVER_ENCRYPTION_KEY", known.encryption)
    if known.mlflow_store:
        environment.setdefault("KINGMAKER_TRACKING", known.mlflow_store)


def prefect_client(there: Running, known: Secrets) -> dict[str, str]:
    """Return the environment by which a process finds Prefect's server."""
    return {
        "PREFECT_API_URL": f"{there.prefect_url}/api",
        "PREFECT_API_AUTH_STRING": f"{USER}:{known.prefect}",
    }


def mlflow_client(there: Running, known: Secrets) -> dict[str, str]:
    """Return the environment by which a process finds MLflow's server."""
    return {
        "KINGMAKER_TRACKING": there.mlflow_url,
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD": known.mlflow,
    }


def _who_runs(home: Path) -> str:
    there = running(home)
    if there is None:
        return (
            f"{home.resolve()}: another 'kingmaker up' is just beginning or ending there; try again"
            " in a moment"
        )
    return (
        f"{home.resolve()}: process {there.process} has run its servers since {there.began}:"
        f" the console on {there.console_url}, Prefect on {there.prefect_url}, MLflow on"
        f" {there.mlflow_url}; end it, or choose another"
        " home by --home"
    )


def _lock_file(home: Path) -> Path:
    return home.resolve() / "servers" / "up.lock"


def _state_file(home: Path) -> Path:
    return home.resolve() / "servers" / "running.json"
