"""Tests of what is logged to MLflow, on a real store."""

import json
import operator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tasks.lake import DamagedFileError
from tasks.records import (
    BaselineProfile,
    Fence,
    LabelSnapshot,
    LeftOut,
    RegistryAwayError,
    TrainedModel,
)
from tasks.registry.aliases import aliased_version, fetch
from tasks.registry.runs import (
    KIND,
    MOST_METRICS,
    TOKEN,
    client,
    end_left_behind,
    experiment_id,
    log_batch,
    log_training,
    run,
)
from tasks.registry.safe_load import PickleNotTrustedError, UntrustedModelError
from tasks.settings import Settings
from tests.tasks.builders import OPEN, at, batch_record
from tests.tasks.registry.conftest import FEATURES, PROFILE, training

READ = batch_record().snapshot
"""Of the batch that is logged."""


def _runs(settings: Settings) -> list[mlflow.entities.Run]:
    return list(client(settings.tracking_uri).search_runs([experiment_id(settings, "flights")]))


def test_training_is_registered_as_challenger(settings: Settings, trained: TrainedModel) -> None:
    """The version is the registry's, with the alias challenger, and its record says what it is."""
    found = client(settings.tracking_uri).get_model_version_by_alias("flights", "challenger")

    assert int(found.version) == trained.version == 1
    assert found.tags["artifact_sha256"] == trained.artifact_sha256
    assert found.tags["recipe"] == trained.recipe.hash
    assert (trained.rows, trained.trained_until) == (150, at(40))


def test_everything_travels_with_the_training(settings: Settings, trained: TrainedModel) -> None:
    """Spec, training spans, profile and sample are artifacts; parameters and datasets name what it
    was made of.
    """
    api = client(settings.tracking_uri)
    logged = api.get_run(trained.run_id)
    spans = json.loads(mlflow.artifacts.load_text(f"{logged.info.artifact_uri}/trained_on.json"))
    profile = mlflow.artifacts.load_text(f"{logged.info.artifact_uri}/baseline/profile.json")
    sample = mlflow.artifacts.download_artifacts(
        run_id=trained.run_id, artifact_path="baseline/sample.parquet"
    )

    assert logged.info.status == "FINISHED"
    assert [(s["batch"], s["rows"]) for s in spans] == [("b000", 100), ("b001", 50)]
    assert BaselineProfile.model_validate_json(profile) == PROFILE
    pd.testing.assert_frame_equal(pd.read_parquet(sample), FEATURES)
    assert mlflow.artifacts.load_text(f"{logged.info.artifact_uri}/model.yaml") == "model: flights"
    assert logged.data.params["rows"] == "150"
    assert logged.data.metrics["training_seconds"] == 1.5
    assert {i.dataset.digest for i in logged.inputs.dataset_inputs} == {
        "b000-snapshot",
        "b001-snapshot",
    }


def test_labels_of_their_own_contract_travel_too(settings: Settings) -> None:
    """The run has the list of label snapshots, as a file and as datasets; the version has their
    digest, the record all.
    """
    labels = (LabelSnapshot(batch="b007", snapshot="b007-labels"),)

    made = training()
    trained = log_training(
        settings, replace(made, lineage=made.lineage.but(labelled_by=labels)), OPEN
    )

    api = client(settings.tracking_uri)
    logged = api.get_run(trained.run_id)
    found = json.loads(mlflow.artifacts.load_text(f"{logged.info.artifact_uri}/labelled_by.json"))
    datasets = {i.dataset.digest: i.tags[0].value for i in logged.inputs.dataset_inputs}
    assert trained.labelled_by == labels
    assert found == [{"batch": "b007", "snapshot": "b007-labels"}]
    assert datasets == {
        "b000-snapshot": "training",
        "b001-snapshot": "training",
        "b007-labels": "labels",
    }
    assert len(api.get_model_version("flights", str(trained.version)).tags["labelled_by"]) == 64


def test_candidates_are_nested_runs(settings: Settings, trained: TrainedModel) -> None:
    """Each candidate is a run below the training, with its loss on each fold."""
    nested = [r for r in _runs(settings) if r.data.tags.get("mlflow.parentRunId") == trained.run_id]

    assert {r.info.run_name for r in nested} == {"LogisticRegression", "DecisionTreeClassifier"}
    assert {r.data.metrics["loss"] for r in nested} == {0.5, 0.7}
    assert all(r.data.metrics["loss_fold_1"] == 0.6 for r in nested)


def test_versions_count_up(settings: Settings, trained: TrainedModel) -> None:
    """A second training is the second version, and the challenger now; other bytes have another
    digest.
    """
    second = log_training(settings, training(C=0.1), OPEN)

    assert second.version == 2
    assert second.artifact_sha256 != trained.artifact_sha256
    assert (
        int(
            client(settings.tracking_uri)
            .get_model_version_by_alias("flights", "challenger")
            .version
        )
        == 2
    )


def test_batch_is_logged_with_its_pages(settings: Settings, tmp_path: Path) -> None:
    """Parameters, metrics that are numbers, and pages are there; a column may have any name."""
    page = tmp_path / "drift.html"
    page.write_text("<html>")
    metrics = {
        "rows": 5.0,
        "psi_temp(°C)": 0.25,
        "psi_temp[°C]": 0.5,
        "psi_a//../b": 1.0,
        "loss": float("nan"),
    }

    run_id = log_batch(
        settings,
        "flights",
        READ,
        params={"verdict": "accept"},
        metrics=metrics,
        pages=[page],
        trust="skops",
        fence=OPEN,
    )

    found = client(settings.tracking_uri).get_run(run_id)
    assert found.data.params == {"verdict": "accept"}
    assert found.data.metrics["rows"] == 5.0
    assert sorted(found.data.metrics.values()) == [0.25, 0.5, 1.0, 5.0]
    (read,) = found.inputs.dataset_inputs
    assert (read.dataset.name, read.dataset.digest) == ("flights 2020-01", READ.sha256[:36])
    assert [f.path for f in client(settings.tracking_uri).list_artifacts(run_id)] == ["drift.html"]


def test_run_that_fails_is_ended(settings: Settings) -> None:
    """A block that raises leaves a run that FAILED, and the exception goes on."""

    def fails() -> None:
        with run(settings, "flights", "broken", {}):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()

    assert [r.info.status for r in _runs(settings)] == ["FAILED"]


def test_two_stores_in_one_process(settings: Settings, tmp_path: Path, empty_store: Path) -> None:
    """Each call goes to its own store, whichever was used last."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mlflow.db").write_bytes(empty_store.read_bytes())
    other = Settings(home=tmp_path / "other")
    client(settings.tracking_uri)
    log_training(other, training(), OPEN)

    assert log_training(settings, training(), OPEN).version == 1
    assert len(_runs(settings)) == len(_runs(other)) == 3


def test_runs_that_a_dead_run_left_are_ended(settings: Settings) -> None:
    """Ours of an earlier lease are KILLED; this lease's, a later one's, and those that are not ours
    go on.
    """
    api, experiment = client(settings.tracking_uri), experiment_id(settings, "flights")
    for name, tags in {
        "left": {KIND: "training", TOKEN: "4"},
        "old": {KIND: "candidate"},
        "mine": {KIND: "monitor", TOKEN: "5"},
        "later": {KIND: "monitor", TOKEN: "12"},
        "a person's": {},
    }.items():
        api.create_run(experiment, run_name=name, tags=tags)

    ended = end_left_behind(settings, "flights", Fence(token=5, hold=nullcontext))

    assert set(ended) == {"left", "old"}
    status = {r.info.run_name: r.info.status for r in _runs(settings)}
    assert {name for name, word in status.items() if word == "KILLED"} == {"left", "old"}
    assert {name for name, word in status.items() if word == "RUNNING"} == {
        "mine",
        "later",
        "a person's",
    }


def test_version_that_the_ledger_does_not_name_challenges_nobody(settings: Settings) -> None:
    """A training that was finished but never written down is ended, and its version marked; a known
    one stays.
    """
    api = client(settings.tracking_uri)
    known = log_training(settings, training(), OPEN)
    orphan = log_training(settings, training(C=0.1), OPEN)

    ended = end_left_behind(settings, "flights", Fence(token=2, hold=nullcontext), {known.run_id})

    assert len(ended) == 1
    assert api.get_run(orphan.run_id).info.status == "KILLED"
    assert api.get_run(known.run_id).info.status == "FINISHED"
    assert "orphan" in api.get_model_version("flights", str(orphan.version)).tags
    assert "orphan" not in api.get_model_version("flights", str(known.version)).tags
    assert aliased_version(settings, "flights", "challenger") is None


def test_orphan_is_found_leases_later_and_when_its_run_failed(settings: Settings) -> None:
    """What is older than the last lease is found too, a failed run stays failed, and a later
    lease's is none of ours.
    """
    api = client(settings.tracking_uri)
    later = log_training(settings, training(C=0.2), Fence(token=9, hold=nullcontext))
    finished = log_training(settings, training(), OPEN)
    failed = log_training(settings, training(C=0.1), OPEN)
    api.set_terminated(failed.run_id, "FAILED")

    for token in (5, 6):
        ended = end_left_behind(settings, "flights", Fence(token=token, hold=nullcontext), set())

        assert len(ended) == (1 if token == 5 else 0), (
            "the second time there is nothing left to end"
        )
    assert [api.get_run(one.run_id).info.status for one in (finished, failed)] == [
        "KILLED",
        "FAILED",
    ]
    for one in (finished, failed):
        assert "orphan" in api.get_model_version("flights", str(one.version)).tags
    assert aliased_version(settings, "flights", "challenger") is None
    assert api.get_run(later.run_id).info.status == "FINISHED"
    assert "orphan" not in api.get_model_version("flights", str(later.version)).tags


def test_version_that_was_made_twice_counts_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first request was lost, and MLflow's client asked again: the version that
    the ledger does not know is marked.
    """
    api = client(settings.tracking_uri)
    create = type(api).create_model_version

    def lost_once(*arguments: object, **more: object) -> object:
        create(*arguments, **more)
        return create(*arguments, **more)

    monkeypatch.setattr(type(api), "create_model_version", lost_once)

    trained = log_training(settings, training(), OPEN)

    tags = {int(v.version): v.tags for v in api.search_model_versions("name='flights'")}
    assert trained.version == 2
    assert ["orphan" in tags[version] for version in (1, 2)] == [True, False]


def test_server_that_goes_away_in_the_middle_is_asked_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did not answer is raised as it is, and not asked again to be told of the failure: the
    next run ends it.
    """
    asked = []

    def away(*_: object, **__: object) -> None:
        raise MlflowException("API request failed")

    monkeypatch.setattr(
        MlflowClient, "set_terminated", lambda *_, **__: asked.append("set_terminated")
    )

    def cut() -> None:
        with run(settings, "flights", "a run", {}):
            away()

    with pytest.raises(MlflowException, match="API request failed"):
        cut()
    assert asked == []


def test_registry_that_does_not_answer_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After bounded retries the error says where MLflow was expected, and nothing secret."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = Settings(tracking="http://somebody:c4nary@127.0.0.1:9")

    with pytest.raises(
        RegistryAwayError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer"
    ) as raised:
        end_left_behind(settings, "flights", OPEN)

    assert "c4nary" not in str(raised.value)


class Unheld:
    """An estimator that skops cannot hold: a function made at run time is part of it."""

    def __init__(self) -> None:
        self.rule = operator.itemgetter("x")

    def predict(self, features: pd.DataFrame) -> pd.Series:
        """Predict the column x."""
        return self.rule(features)


def test_pickle_only_where_the_spec_trusts_it(settings: Settings) -> None:
    """What skops cannot hold is refused; trusted, it is a pickle, said so by tags, and verified
    before it is read.
    """
    plain = replace(training(), pipeline=Unheld())
    with pytest.raises(UntrustedModelError, match="set 'trust: pickle' in the model's spec"):
        log_training(settings, plain, OPEN)
    assert _runs(settings) == []

    trained = log_training(settings, replace(plain, trust="pickle"), OPEN)

    assert trained.form == "pickle"
    api = client(settings.tracking_uri)
    tags = api.get_run(trained.run_id).data.tags
    assert (tags["kingmaker.form"], tags["kingmaker.trust"]) == ("pickle", "pickle")
    assert api.get_model_version("flights", "1").tags["form"] == "pickle"
    assert fetch(settings, trained, "pickle").pipeline.predict(FEATURES).equals(FEATURES["x"])
    with pytest.raises(PickleNotTrustedError, match="found a pickle"):
        fetch(settings, trained, "skops")
    for stored in [*settings.artifacts.rglob("model.pkl"), *settings.models.rglob("model.pkl")]:
        stored.write_bytes(stored.read_bytes() + b".")
    with pytest.raises(DamagedFileError):
        fetch(settings, trained, "pickle")


def test_trust_changes_nothing_for_what_skops_can_hold(settings: Settings) -> None:
    """Under ``trust: pickle`` an estimator of scikit-learn is still stored by skops."""
    assert log_training(settings, replace(training(), trust="pickle"), OPEN).form == "skops"


def test_candidates_that_were_left_out_are_failed_runs(settings: Settings) -> None:
    """Each stands below its training with the reason, and as FAILED."""
    left_out = (LeftOut(estimator="sklearn.linear_model.Ridge", why="ValueError: too large"),)

    trained = log_training(settings, replace(training(), left_out=left_out), OPEN)

    (run,) = [
        r
        for r in _runs(settings)
        if r.data.tags.get("mlflow.parentRunId") == trained.run_id and "left out" in r.info.run_name
    ]
    assert (run.info.run_name, run.info.status) == ("Ridge (left out)", "FAILED")
    assert run.data.params["left_out"] == "ValueError: too large"


def test_more_metrics_than_one_request_takes(settings: Settings) -> None:
    """A table of thousands of columns has a score for each of them."""
    metrics = {f"psi_s{i}": float(i) for i in range(2 * MOST_METRICS + 1)}

    run_id = log_batch(
        settings,
        "flights",
        READ,
        params={},
        metrics=metrics,
        pages=(),
        trust="skops",
        fence=OPEN,
    )

    assert client(settings.tracking_uri).get_run(run_id).data.metrics == metrics
