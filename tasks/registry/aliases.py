"""The registry's aliases: which version is champion, which was, which challenges.

They are moved in an order in which ``champion`` always names one version that loads.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from tasks.errors import KingmakerError
from tasks.lake import DamagedFileError, new_directory
from tasks.records import (
    BaselineProfile,
    Fence,
    Form,
    InForce,
    LoadedModel,
    Promote,
    RollBack,
    TrainedModel,
)
from tasks.registry.package import FOLDER
from tasks.registry.runs import BASELINE, HELD, PROFILE, SAMPLE, client
from tasks.registry.safe_load import FILES, IN_FORCE, read_known, read_model
from tasks.settings import Settings

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous_champion"


class ChampionMismatchError(KingmakerError):
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


def set_champion(
    settings: Settings, model: str, decision: Promote | RollBack, fence: Fence
) -> None:
    """Carry out a journalled decision: tags first, the alias ``champion`` last; every step may be
    repeated.

    MLflow has no compare-and-set, so each write is made while the lease cannot pass to another.
    Raises ChampionMismatchError when someone else was promoted in the meantime, and LeaseLostError
    when the lease has passed on.
    """
    api = client(settings.tracking_uri)
    current_champion = aliased_version(settings, model, CHAMPION)
    if current_champion not in (decision.previous, decision.version):
        raise ChampionMismatchError(
            f"{model}: expected version {decision.previous} to be champion, as the decision's"
            f" evidence says, found version {current_champion}; nothing was changed; run"
            f" 'kingmaker history {model}' to see who changed it"
        )
    version = str(decision.version)
    if decision.previous is not None:
        with fence.hold():
            api.set_model_version_tag(model, str(decision.previous), "in_service", "ended")
        with fence.hold():
            api.set_registered_model_alias(model, PREVIOUS, str(decision.previous))
    with fence.hold():
        api.set_model_version_tag(model, version, "in_service", "began")
    with fence.hold():
        api.set_model_version_tag(model, version, "reason", decision.reason[:4900])
    if aliased_version(settings, model, CHALLENGER) == decision.version:
        with fence.hold():
            api.delete_registered_model_alias(model, CHALLENGER)
    with fence.hold():
        api.set_registered_model_alias(model, CHAMPION, version)
        promoted = aliased_version(settings, model, CHAMPION)
    if promoted != decision.version:
        raise ChampionMismatchError(
            f"{model}: expected version {version} to be champion after it was promoted,"
            f" found version {promoted}; someone else writes to this registry; the"
            " decision is in the journal, and the next run carries it out"
        )


def show_in_force(settings: Settings, model: str, version: int, now: InForce, fence: Fence) -> None:
    """Write what is in force of a version to its directory, in place of what was, and to its tag
    ``served_by``; the members stay where they are.

    Raises LeaseLostError when the lease has passed on.
    """
    api = client(settings.tracking_uri)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / IN_FORCE
        file.write_text(now.model_dump_json(), encoding="utf-8")
        stored = api.get_model_version(model, str(version)).source.removeprefix("models:/")
        with fence.hold():
            api.log_model_artifact(stored, str(file), f"data/{FOLDER}")
    with fence.hold():
        api.set_model_version_tag(model, str(version), "served_by", now.served_by)


def fetch(settings: Settings, trained: TrainedModel, trust: Form) -> LoadedModel:
    """Return a registered version, read only after its bytes and types are verified.

    It is read from the copy below ``settings.models``; the registry is asked when there is none, or
    a damaged one.
    """
    copy = copy_of(settings, trained)
    try:
        return _read(copy, trained, trust)
    except DamagedFileError:
        shutil.rmtree(copy, ignore_errors=True)
    with new_directory(copy) as directory:
        _download(settings, trained, directory)
        return _read(directory, trained, trust)


def copy_of(settings: Settings, trained: TrainedModel) -> Path:
    """Return the directory of the local copy of a version, whether it is there or not."""
    return settings.models / trained.model / f"{trained.version}-{trained.artifact_sha256[:16]}"


def _read(directory: Path, trained: TrainedModel, trust: Form) -> LoadedModel:
    sample = read_known(directory / SAMPLE, trained.sample_sha256)
    held = read_known(directory / HELD, trained.held_sha256)
    profile = read_known(directory / PROFILE, trained.profile_sha256)
    file = directory / FILES[trained.form]
    pipeline = read_model(file, trained.artifact_sha256, trained.form, trust)
    return LoadedModel(
        trained=trained,
        pipeline=pipeline,
        baseline=pd.read_parquet(io.BytesIO(sample)),
        profile=BaselineProfile.model_validate_json(profile),
        held=pd.read_parquet(io.BytesIO(held)),
        weights=tuple(pipeline.weights) if trained.members else (),
        size=file.stat().st_size,
    )


def _download(settings: Settings, trained: TrainedModel, directory: Path) -> None:
    """Bring a version's model and baseline from the registry into ``directory``."""
    import mlflow

    api = client(settings.tracking_uri)
    source = api.get_model_version(trained.model, str(trained.version)).source
    # A directory of our own: what MLflow downloads from a server to one of its own it never
    # removes.
    with tempfile.TemporaryDirectory() as temporary:
        download = mlflow.artifacts.download_artifacts
        stored = Path(download(artifact_uri=source, dst_path=f"{temporary}/model"))
        baseline = Path(
            download(
                run_id=trained.run_id, artifact_path=BASELINE, dst_path=f"{temporary}/baseline"
            )
        )
        model = stored / "data" / FOLDER / FILES[trained.form]
        for file in (model, *(baseline / name for name in (SAMPLE, HELD, PROFILE))):
            if file.exists():
                shutil.copyfile(file, directory / file.name)
