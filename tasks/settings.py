"""Where things live. Nothing is read or made at import: call ``Settings()`` when the work begins.

The variables of the environment are listed in docs/reference/environment.md.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent

_QUIET = {
    # No library reports home. MLflow wants the literal "true" (read in its source, 3.17.2).
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # MLflow tries eight times, 120 s each: a run would hang for a quarter of an hour on a server
    # that does not answer. These outlive a restart of the server (it was up in 7 to 20 s), and give
    # up after two minutes at the worst.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "2",
    # OpenMP's threads wait for each other by spinning: beside another run, which has the processor
    # that they spin for, a fit of 0.4 s took 7.5 s. libgomp reads it when scikit-learn is imported.
    "OMP_WAIT_POLICY": "PASSIVE",
}


class Settings(BaseSettings):
    """Directories and addresses, from arguments or from ``KINGMAKER_*``."""

    model_config = SettingsConfigDict(env_prefix="KINGMAKER_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=lambda: Path(".kingmaker"))
    """Directory that everything is written to."""
    project: Path = REPOSITORY
    """Directory with ``data_contracts/`` and ``deployments/``."""
    ledger: str = ""
    """SQLAlchemy URL of the ledger. Left out: a file in the home."""
    tracking: str = ""
    """MLflow tracking URI. Left out: a file in the home."""
    console_url: str = ""
    """Address of the console, for links to pages; left out: there is none."""
    prefect_url: str = ""
    """Address of Prefect's pages, for links to runs; left out: there is none."""
    mlflow_url: str = ""
    """Address of MLflow's pages, for links to models; left out: there is none."""
    server: str = ""
    """Which of a contract's ``servers`` to read from, by its name or its environment. Left out: the
    only one there is.
    """

    commit: str = ""
    """Commit of the project, for models that are trained where it is no checkout, as in an image.
    """

    @property
    def lake(self) -> Path:
        """Directory of snapshots, quarantine and predictions."""
        return self.home.resolve() / "lake"

    @property
    def reports(self) -> Path:
        """Directory of the pages that people read."""
        return self.home.resolve() / "reports"

    def address_of(self, page: Path) -> str:
        """Return where the console shows a page of the reports; empty without a console."""
        if not self.console_url:
            return ""
        return f"{self.console_url}/reports/{quote(page.relative_to(self.reports).as_posix())}"

    @property
    def models(self) -> Path:
        """Directory of verified copies of registered models: scoring goes on from them when MLflow
        is away.
        """
        return self.home.resolve() / "models"

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return self.ledger or f"sqlite:///{self.home.resolve()}/ledger.db"

    @property
    def tracking_uri(self) -> str:
        """MLflow tracking URI."""
        return self.tracking or f"sqlite:///{self.home.resolve()}/mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Where an embedded MLflow keeps artifacts; a tracking server has its own place."""
        return self.home.resolve() / "artifacts"


def code_version(settings: Settings) -> str:
    """Return the commit of the project, whose specs and features make a model; where it is no
    checkout, what KINGMAKER_COMMIT says, or the version of this package.
    """
    return commit_of(settings.project) or settings.commit or version("kingmaker")


def commit_of(directory: Path) -> str:
    """Return the first twelve digits of the commit that a directory was checked out at; empty
    outside a checkout, and in one without a commit.
    """
    # An idle run does not pay for it. With GitDB it reads the files of .git itself: an image has no
    # program git, of which it would complain.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from git import GitDB, InvalidGitRepositoryError, NoSuchPathError, Repo

    try:
        with Repo(directory, search_parent_directories=True, odbt=GitDB) as found:
            return found.head.commit.hexsha[:12]
    except (InvalidGitRepositoryError, NoSuchPathError, ValueError):
        return ""


def prepare_environment(settings: Settings, *, make: bool = True) -> None:
    """Make every library quiet and keep its files under ``settings.home``; call before importing
    Prefect.

    What the user has set stays as it is. Without ``make`` the home is not made where there is none,
    and temporary files go where the system keeps them.
    """
    home = settings.home.resolve()
    places = {
        "KINGMAKER_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "MPLCONFIGDIR": str(home / "cache" / "matplotlib"),
        "TMPDIR": str(home / "cache" / "tmp"),  # Great Expectations makes a directory a run there
    }
    if make:
        Path(places["TMPDIR"]).mkdir(parents=True, exist_ok=True)
    else:  # of a home that is not there Prefect would say so, and goes on without
        warnings.filterwarnings("ignore", "Failed to create the Prefect home directory")
    for name, value in (_QUIET | places).items():
        os.environ.setdefault(name, value)
