"""Who reigns: the registry's aliases, moved in an order that never leaves the throne empty or doubtful."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tasks.records import BaselineProfile, LoadedModel, Promote, RollBack, TrainedModel
from tasks.registry.runs import client
from tasks.registry.safe_load import MODEL_FILE, read_model
from tasks.settings import Settings

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous_champion"


class ThroneError(RuntimeError):
    """The registry's champion is not the one that a decision, or the ledger, names."""


def aliased_version(settings: Settings, model: str, alias: str) -> int | None:
    """Return the version with ``alias``, or None when there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return int(client(settings.tracking_uri).get_model_version_by_alias(model, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def crown(settings: Settings, model: str, decision: Promote | RollBack) -> None:
    """Carry out a journalled decision: tags first, the alias ``champion`` last; every step may be repeated.

    Raises ThroneError when someone else was crowned in the meantime.
    """
    api = client(settings.tracking_uri)
    reigning = aliased_version(settings, model, CHAMPION)
    if reigning not in (decision.previous, decision.version):
        raise ThroneError(
            f"{model}: expected version {decision.previous} to reign, as the decision's evidence says, found version "
            f"{reigning}; nothing was changed; run 'kingmaker history {model}' to see who changed it"
        )
    version = str(decision.version)
    if decision.previous is not None:
        api.set_model_version_tag(model, str(decision.previous), "reign", "ended")
        api.set_registered_model_alias(model, PREVIOUS, str(decision.previous))
    api.set_model_version_tag(model, version, "reign", "began")
    api.set_model_version_tag(model, version, "reason", decision.reason[:4900])
    if aliased_version(settings, model, CHALLENGER) == decision.version:
        api.delete_registered_model_alias(model, CHALLENGER)
    api.set_registered_model_alias(model, CHAMPION, version)


def fetch(settings: Settings, trained: TrainedModel) -> LoadedModel:
    """Return a registered version, read only after its bytes and types are verified."""
    import pandas as pd

    # A directory of our own: what MLflow downloads from a server to one of its own it never removes.
    with tempfile.TemporaryDirectory() as directory:
        stored, baseline = download(settings, trained, directory)
        return LoadedModel(
            trained=trained,
            pipeline=read_model(stored, trained.artifact_sha256),
            baseline=pd.read_parquet(baseline / "sample.parquet"),
            profile=BaselineProfile.model_validate_json((baseline / "profile.json").read_text("utf-8")),
            size=stored.stat().st_size,
        )


def download(settings: Settings, trained: TrainedModel, directory: str) -> tuple[Path, Path]:
    """Copy a registered version to ``directory``; return the file of its pipeline and the folder of its baseline."""
    import mlflow

    source = client(settings.tracking_uri).get_model_version(trained.model, str(trained.version)).source
    get = mlflow.artifacts.download_artifacts
    stored = Path(get(artifact_uri=source, dst_path=f"{directory}/model"))
    baseline = Path(get(run_id=trained.run_id, artifact_path="baseline", dst_path=f"{directory}/baseline"))
    return stored / MODEL_FILE, baseline
