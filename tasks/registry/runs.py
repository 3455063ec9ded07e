"""MLflow runs: a run a training, a nested run a candidate, a run a monitored batch; over_time.py
has the one run a model.

Every call names its run explicitly: MLflow's idea of an active run is bound to a thread.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from requests import RequestException

from tasks.lake import file_sha256
from tasks.records import (
    BaselineProfile,
    Fence,
    Form,
    LeftOut,
    Lineage,
    RegistryAwayError,
    Snapshot,
    TrainedModel,
    Trial,
)
from tasks.registry.moved import follow_home
from tasks.registry.package import Package, log_package, write_package
from tasks.registry.safe_load import as_stored
from tasks.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

KIND, TOKEN, TRUST = "kingmaker.kind", "kingmaker.token", "kingmaker.trust"
"""Tags of our runs: what it is, the fencing token of the lease under which it was made, what its
spec trusts.
"""
OVER_TIME = "over time"
"""Kind of the one run of a model in which metrics have its batches as steps."""
MOST_METRICS = 900
"""Metrics of one request: MLflow takes 1,000 entities at once, parameters and tags included."""
BASELINE, SAMPLE, HELD, PROFILE = "baseline", "sample.parquet", "holdout.parquet", "profile.json"


@dataclass(frozen=True)
class Training:
    """Everything about one training that MLflow keeps."""

    lineage: Lineage
    batch: str
    kind: str
    pipeline: Any
    baseline: pd.DataFrame
    """Sample of the training rows' features."""
    profile: BaselineProfile
    held: pd.DataFrame
    """The holdout in the profile's bins, with what each row lost."""
    trials: tuple[Trial, ...]
    spec_text: str
    seconds: float
    package: Package
    """What it needs, beside the pipeline, to be loaded anywhere."""
    left_out: tuple[LeftOut, ...] = ()
    """Candidates that could not be trained."""
    trust: Form = "skops"
    """What the model may be stored as."""


def client(tracking_uri: str) -> MlflowClient:
    """Return the client for ``tracking_uri``; an embedded store is made on first use.

    It is also made MLflow's own: logging a model and downloading artifacts take the store from
    there.
    """
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    return _client(tracking_uri)


@functools.cache
def _client(tracking_uri: str) -> MlflowClient:
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    if tracking_uri.startswith("sqlite:///"):
        home = Path(tracking_uri.removeprefix("sqlite:///")).parent
        home.mkdir(parents=True, exist_ok=True)
        follow_home(tracking_uri, home / "artifacts")
    return mlflow.MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


@contextmanager
def answering(settings: Settings) -> Iterator[None]:
    """Raise RegistryAwayError when a call to MLflow in the block gets no answer, after MLflow's own
    retries.
    """
    try:
        yield
    except Exception as error:
        if not _is_away(error):
            raise
        where = re.sub(r"//[^/@]*@", "//", settings.tracking_uri)  # it may hold a password
        raise RegistryAwayError(
            f"MLflow at {where} does not answer: expected it to be up within"
            f" {os.environ.get('MLFLOW_HTTP_REQUEST_MAX_RETRIES', 'its default number of')}"
            " retries; start it, and run again: what waits is done then"
        ) from error


def answering_server(settings: Settings) -> AbstractContextManager[None]:
    """As ``answering``, where there is a server; an embedded store that fails in the middle says
    itself what it lacks.
    """
    return answering(settings) if settings.tracking_uri.startswith("http") else nullcontext()


def _is_away(error: BaseException) -> bool:
    """Whether MLflow's client gave up: the server was not there, or answered that it cannot."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
    return isinstance(error, RequestException)


def experiment_id(settings: Settings, model: str) -> str:
    """Return the id of the model's experiment, made on first use."""
    mlflow = client(settings.tracking_uri)
    experiment = mlflow.get_experiment_by_name(model)
    if experiment is not None:
        return str(experiment.experiment_id)
    embedded = not settings.tracking_uri.startswith("http")  # a server has a place of its own
    location = f"{settings.artifacts}/{model}" if embedded else None
    return str(mlflow.create_experiment(model, artifact_location=location))


@contextmanager
def run(settings: Settings, model: str, name: str, tags: Mapping[str, str]) -> Iterator[str]:
    """Give the id of a new run that ends FINISHED, or FAILED when the block raises.

    When MLflow is away it is not waited for once more to be told: the next run ends what is left
    RUNNING.
    """
    mlflow = client(settings.tracking_uri)
    created = mlflow.create_run(experiment_id(settings, model), run_name=name, tags=dict(tags))
    try:
        yield created.info.run_id
    except BaseException as error:
        if not _is_away(error):
            mlflow.set_terminated(created.info.run_id, "FAILED")
        raise
    mlflow.set_terminated(created.info.run_id, "FINISHED")


def log_training(settings: Settings, training: Training, fence: Fence) -> TrainedModel:
    """Log one training, register its model with the alias ``challenger``, and return its record."""
    lineage, mlflow = training.lineage, client(settings.tracking_uri)
    form, content = as_stored(training.pipeline, training.trust)
    tags = {
        KIND: "training",
        "kingmaker.batch": training.batch,
        "kingmaker.recipe": lineage.recipe.hash,
        "kingmaker.form": form,
        TRUST: training.trust,
        TOKEN: str(fence.token),
    }
    with run(
        settings,
        lineage.model,
        f"train {lineage.model} {training.batch} {training.kind}",
        tags,
    ) as run_id:
        _log_candidates(settings, training, run_id, fence)
        params = {
            "estimator": lineage.recipe.estimator,
            "window": lineage.recipe.window,
            "kind": training.kind,
            "seed": str(lineage.seed),
            "rows": str(lineage.rows),
            "spec_sha256": lineage.spec_sha256,
            "contract_version": lineage.contract_version,
            "code_version": lineage.code_version,
            **{f"estimator.{name}": str(value) for name, value in lineage.recipe.params.items()},
            **_new_member(lineage),
        }
        _log(mlflow, run_id, params, {"training_seconds": training.seconds})
        mlflow.log_text(run_id, training.spec_text, "model.yaml")
        mlflow.log_text(run_id, lineage.contract_text, "contract.odcs.yaml")
        mlflow.log_text(
            run_id,
            "[" + ",\n ".join(s.model_dump_json() for s in lineage.trained_on) + "]",
            "trained_on.json",
        )
        mlflow.log_dict(run_id, [s.model_dump() for s in lineage.labelled_by], "labelled_by.json")
        mlflow.log_dict(run_id, [s.model_dump() for s in lineage.looked_back], "looked_back.json")
        with tempfile.TemporaryDirectory() as directory:
            sample, held, profile = (Path(directory) / name for name in (SAMPLE, HELD, PROFILE))
            training.baseline.to_parquet(sample, index=False)
            training.held.to_parquet(held, index=False)
            profile.write_text(training.profile.model_dump_json(), encoding="utf-8")
            digests = {
                "sample_sha256": file_sha256(sample),
                "held_sha256": file_sha256(held),
                "profile_sha256": file_sha256(profile),
            }
            mlflow.log_artifacts(run_id, directory, BASELINE)
        _log_snapshots(mlflow, run_id, lineage)
        version, sha256 = _register(settings, training, run_id, form, content, fence)
    return TrainedModel(
        **dict(lineage.registered_as(version)),
        version=version,
        run_id=run_id,
        artifact_sha256=sha256,
        form=form,
        **digests,
    )


def _new_member(lineage: Lineage) -> dict[str, str]:
    """What an ensemble is made of, for MLflow's page."""
    if lineage.new_member is None:
        return {}
    kept = ", ".join(str(member.version) for member in lineage.members[:-1])
    return {
        "ensemble.kept_versions": kept or "none",
        "ensemble.new_member": lineage.new_member.estimator,
        "ensemble.new_member_window": lineage.new_member.window,
        **{
            f"ensemble.new member.{name}": str(value)
            for name, value in lineage.new_member.params.items()
        },
    }


def end_left_behind(
    settings: Settings, model: str, fence: Fence, known: Set[str] | None = None
) -> tuple[str, ...]:
    """Set the model's runs that an earlier lease left RUNNING to KILLED, and return their names.

    Only runs of ours, and only older ones: a run that was paused here and lost its lease ends
    nothing of the next. Given the ``known`` runs, those that the ledger names, what earlier leases
    finished without it is ended too: its versions get the tag ``orphan``, and challenge no
    champion.
    """
    mlflow = client(settings.tracking_uri)
    with answering(settings):
        found = mlflow.search_runs(
            [experiment_id(settings, model)], "attributes.status = 'RUNNING'"
        )
    left = [
        item.info
        for item in found
        if KIND in item.data.tags and int(item.data.tags.get(TOKEN, 0)) < fence.token
    ]
    if known is not None:
        left += _unnamed(mlflow, experiment_id(settings, model), fence.token, known)
    for info in left:
        if known is not None:
            _disown(mlflow, model, info.run_id, fence)
        if info.status != "FAILED":
            mlflow.set_terminated(info.run_id, "KILLED")
    return tuple(info.run_name for info in left if info.status != "FAILED")


def _unnamed(mlflow: MlflowClient, experiment: str, token: int, known: Set[str]) -> list[Any]:
    """Trainings and batches of leases before ``token`` that ended and the ledger does not name, of
    the newest thousand.
    """
    ours = (
        f"tags.`{KIND}` != 'candidate' and tags.`{KIND}` != '{OVER_TIME}' and attributes.status !="
        " 'RUNNING' and attributes.status != 'KILLED'"
    )
    return [
        item.info
        for item in mlflow.search_runs([experiment], ours)
        if int(item.data.tags.get(TOKEN, 0)) < token and item.info.run_id not in known
    ]


def _disown(mlflow: MlflowClient, model: str, run_id: str, fence: Fence) -> None:
    """Mark the versions of a run that the ledger does not name, unless they are."""
    for version in mlflow.search_model_versions(f"name='{model}' and run_id='{run_id}'"):
        if "orphan" in version.tags:
            continue
        if "challenger" in mlflow.get_model_version(model, version.version).aliases:
            with fence.hold():
                mlflow.delete_registered_model_alias(model, "challenger")
        with fence.hold():  # last: what has the tag is not looked at again
            mlflow.set_model_version_tag(
                model, version.version, "orphan", "no training in the ledger names it"
            )


def log_batch(
    settings: Settings,
    model: str,
    snapshot: Snapshot,
    *,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    pages: Sequence[Path],
    trust: Form,
    fence: Fence,
) -> str:
    """Log what the monitor saw of one batch, with its snapshot as the dataset and its pages, and
    return the run's id.
    """
    mlflow, batch = client(settings.tracking_uri), snapshot.batch.id
    tags = {KIND: "monitor", "kingmaker.batch": batch, TRUST: trust, TOKEN: str(fence.token)}
    with run(settings, model, f"monitor {model} {batch}", tags) as run_id:
        _log(mlflow, run_id, params, metrics)
        read = _dataset(f"{model} {batch}", batch, snapshot.sha256, "monitored", snapshot.rows)
        mlflow.log_inputs(run_id, [read])
        for page in pages:
            mlflow.log_artifact(run_id, str(page))
    return run_id


def log_metrics(
    settings: Settings, run_id: str, metrics: Mapping[str, float], fence: Fence
) -> None:
    """Add metrics to a run that has ended."""
    with fence.hold():
        _log(client(settings.tracking_uri), run_id, {}, metrics)


def _log(
    client: MlflowClient, run_id: str, params: Mapping[str, str], metrics: Mapping[str, float]
) -> None:
    """One request for all: a request a metric is slow, and very slow behind basic
    authentication.
    """
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    given = [Param(name, value[:6000]) for name, value in params.items()]
    measured = [
        Metric(metric_name(name), value, now, 0)
        for name, value in metrics.items()
        if math.isfinite(value)
    ]
    client.log_batch(run_id, params=given, metrics=measured[:MOST_METRICS])
    for start in range(MOST_METRICS, len(measured), MOST_METRICS):
        client.log_batch(run_id, metrics=measured[start : start + MOST_METRICS])


def metric_name(name: str) -> str:
    """Return a name that MLflow takes, made of any name that a column may have; two columns never
    share one.
    """
    allowed = re.sub(r"[^\w.\- ]", "_", name)[:200]
    return (
        allowed if allowed == name else f"{allowed}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    )


def _log_candidates(settings: Settings, training: Training, parent: str, fence: Fence) -> None:
    for trial in training.trials:
        name = trial.estimator.rpartition(".")[2]
        tags = {
            "mlflow.parentRunId": parent,
            KIND: "candidate",
            "kingmaker.batch": training.batch,
            TOKEN: str(fence.token),
        }
        with run(settings, training.lineage.model, name, tags) as run_id:
            _log(
                client(settings.tracking_uri),
                run_id,
                {"estimator": trial.estimator} | {k: str(v) for k, v in trial.params.items()},
                {"loss": trial.loss, "seconds": trial.seconds, "trials": float(trial.trials)}
                | {f"loss_fold_{i}": value for i, value in enumerate(trial.loss_by_fold)},
            )

    for one in training.left_out:
        name = one.estimator.rpartition(".")[2]
        tags = {
            "mlflow.parentRunId": parent,
            "mlflow.note.content": f"left out: {one.why}",
            KIND: "candidate",
            "kingmaker.batch": training.batch,
            TOKEN: str(fence.token),
        }
        api = client(settings.tracking_uri)
        created = api.create_run(
            experiment_id(settings, training.lineage.model),
            run_name=f"{name} (left out)",
            tags=tags,
        )
        _log(api, created.info.run_id, {"estimator": one.estimator, "left_out": one.why}, {})
        api.set_terminated(created.info.run_id, "FAILED")


def _log_snapshots(client: MlflowClient, run_id: str, lineage: Lineage) -> None:
    """Log each snapshot that a training read as a dataset input."""
    rows = [
        _dataset(f"{lineage.model} {s.batch}", s.batch, s.snapshot, "training", s.rows)
        for s in lineage.trained_on
    ]
    labels = [
        _dataset(f"{lineage.model} labels {s.batch}", s.batch, s.snapshot, "labels")
        for s in lineage.labelled_by
    ]
    client.log_inputs(run_id, rows + labels)


def _dataset(
    name: str, batch: str, sha256: str, context: str, rows: int | None = None
) -> DatasetInput:
    """A snapshot as MLflow's dataset, with our digest: its own hashes the first 10,000 rows
    only.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"batch": batch, "sha256": sha256})
    profile = json.dumps({} if rows is None else {"rows": rows})
    found = Dataset(name, sha256[:36], "local", source, profile=profile)
    return DatasetInput(found, [InputTag("mlflow.data.context", context)])


def _register(
    settings: Settings, training: Training, run_id: str, form: Form, content: bytes, fence: Fence
) -> tuple[int, str]:
    """Store the model, register it, and return version and digest of its bytes."""
    lineage, api = training.lineage, client(settings.tracking_uri)
    sha256 = hashlib.sha256(content).hexdigest()
    experiment = experiment_id(settings, lineage.model)
    with tempfile.TemporaryDirectory() as directory:
        written = write_package(training.package, form, content, Path(directory))
        logged = log_package(api, experiment, run_id, training.package, written)
    _ensure_registered(api, lineage.model)
    version = int(
        api.create_model_version(
            lineage.model,
            logged.model_uri,
            run_id,
            tags={
                "recipe": lineage.recipe.hash,
                "kind": training.kind,
                "batch": training.batch,
                "artifact_sha256": sha256,
                "form": form,
                **_labels_tag(lineage),
            },
            model_id=logged.model_id,
        ).version
    )
    with fence.hold():
        api.set_registered_model_alias(lineage.model, "challenger", str(version))
    for other in api.search_model_versions(f"name='{lineage.model}' and run_id='{run_id}'"):
        if (
            int(other.version) != version
        ):  # MLflow's client asks again when an answer is lost on its way
            with fence.hold():
                api.set_model_version_tag(
                    lineage.model,
                    other.version,
                    "orphan",
                    f"made twice: it is version {version}",
                )
    return version, sha256


def _labels_tag(lineage: Lineage) -> dict[str, str]:
    """A digest of the labels that were read, where they have a contract of their own: the run has
    the list.
    """
    if not lineage.labelled_by:
        return {}
    text = "".join(one.model_dump_json() for one in lineage.labelled_by)
    return {"labelled_by": hashlib.sha256(text.encode()).hexdigest()}


def _ensure_registered(client: MlflowClient, model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
