"""The whole loop on the second model: nothing in the house knows flights."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from flows.replay import replay
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.records import BatchRecord, LedgerEntry, Promote, Reject, served_by
from tasks.registry.aliases import aliased_version
from tasks.registry.runs import client
from tasks.reports.model_card import state_of
from tasks.settings import Settings
from tests.conftest import WEATHER_PROJECT, WEATHER_WEEKS, run_flow

pytestmark = pytest.mark.flow


@pytest.fixture
def settings(replayed_home: Path) -> Settings:
    """Settings of the replayed home."""
    return Settings(home=replayed_home, project=WEATHER_PROJECT)


@pytest.fixture
def records(settings: Settings) -> dict[str, BatchRecord]:
    """What the ledger knows of each batch."""
    return ledger.known_batches(open_ledger(settings.ledger_url), "weather")


@pytest.fixture
def entries(settings: Settings) -> tuple[LedgerEntry, ...]:
    """Every decision of the replay."""
    return ledger.history(open_ledger(settings.ledger_url), "weather")


def test_every_batch_is_completed_and_answered(records, entries):
    """Each week is in the ledger, complete, with at least one decision of its own."""
    assert tuple(records) == WEATHER_WEEKS[:10]
    assert all(record.completed for record in records.values())
    assert {entry.batch for entry in entries} == set(records)


def test_first_champion_waits_for_its_batches(entries):
    """The policy collects for three weeks, and the fourth makes the first champion."""
    first = [e.decision.kind for e in entries if e.batch in WEATHER_WEEKS[:4]]

    assert first == ["Hold", "Hold", "Hold", "Retrain", "Promote"]


def test_everything_journalled_took_effect(entries):
    """No decision is half carried out."""
    assert entries.unfinished == ()


def test_registry_and_ledger_name_the_same_champion(settings, entries):
    """The alias champion is on the version of the newest promotion or rollback."""
    assert (
        aliased_version(settings, "weather", "champion")
        == entries.champion_changes[-1].decision.version
    )


def test_known_sensor_error_is_in_quarantine(settings, records):
    """The wind of 1,048 mph at Newark is kept out, with its reason and as it was read."""
    (record,) = [r for r in records.values() if r.verdict.quarantine]
    rows = pd.read_parquet(settings.lake / record.verdict.quarantine)

    assert record.verdict.outcome == "accept with quarantine"
    assert rows["wind_speed"].max() > 1000
    assert rows["_reasons"].tolist() == ["wind_speed:between"]


def test_predictions_cover_every_accepted_row(settings, records, entries):
    """From the first champion on, each batch has one prediction a row, by the version that
    was champion.
    """
    promoted = entries.champion_changes[0].batch

    for batch, record in records.items():
        if batch > promoted:
            table = pd.read_parquet(settings.lake / record.predictions.path)
            assert len(table) == record.snapshot.rows - record.verdict.quarantined
            told = record.predictions
            assert set(table["version"]) == {served_by(told.version, told.adjusted_by)}
            assert table["prediction"].notna().all()
        else:
            assert record.predictions is None


def test_nobody_is_judged_on_rows_it_was_trained_on(settings, records):
    """A version that is judged by a batch had seen nothing of it, by the ledger's own account."""
    engine = open_ledger(settings.ledger_url)

    judged = [(record, one) for record in records.values() for one in record.performances]
    assert len(judged) >= 6
    for record, performance in judged:
        trained = ledger.training(engine, "weather", performance.version)
        assert trained.trained_until <= record.batch.start


def test_evidence_compares_on_the_newest_unseen_rows(settings, entries):
    """Each gate decision after the first rests on a holdout that the champion was not trained on,
    nor the challenger, unless fits on earlier rows predicted it in its stead.
    """
    engine = open_ledger(settings.ledger_url)
    judged = [
        e for e in entries if e.decision.kind in ("Promote", "Reject") and e.evidence.comparison
    ]

    assert judged
    for entry in judged:
        evidence = entry.evidence
        oldest = min(span.start for span in evidence.holdout)
        unseen = [evidence.champion]
        if not evidence.folds:
            unseen.append(evidence.challenger)
        for version in unseen:
            trained = ledger.training(engine, "weather", version)
            assert trained.trained_until <= oldest


def test_pages_are_written_for_every_batch(settings, records):
    """Each batch has its pages, and the model its page and its picture."""
    directory = settings.reports / "weather"

    for batch, record in records.items():
        pages = {page.name for page in (directory / batch).iterdir()}
        assert {"drift.html", "validation.html"} <= pages
        assert ("evidently.html" in pages) == (record.drift is not None)
    assert (directory / "index.html").stat().st_size > 1000
    assert (directory / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_mlflow_has_runs_with_nested_candidates_and_pages(settings, records):
    """A run a training with its candidates inside, and a run a batch with its pages."""
    from tasks.registry.runs import client

    mlflow = client(settings.tracking_uri)
    experiment = mlflow.get_experiment_by_name("weather")
    runs = mlflow.search_runs([experiment.experiment_id], max_results=500)
    by_kind = {
        kind: [r for r in runs if r.data.tags.get("kingmaker.kind") == kind]
        for kind in ("training", "candidate", "monitor")
    }

    assert {r.info.status for r in runs} == {"FINISHED"}
    assert len(by_kind["monitor"]) == len(records)
    parents = {r.info.run_id for r in by_kind["training"]}
    assert {r.data.tags["mlflow.parentRunId"] for r in by_kind["candidate"]} <= parents
    newest = max(by_kind["monitor"], key=lambda run: run.data.tags["kingmaker.batch"])
    names = {file.path for file in mlflow.list_artifacts(newest.info.run_id)}
    assert {"drift.html", "validation.html", "evidently.html"} <= names


def test_mlflow_draws_the_champion_over_its_batches(settings, records):
    """One run a model: each value of the ledger once, at the step of its batch; and each batch's
    own run names its dataset and the version that served.
    """
    from tasks.registry.runs import client

    mlflow = client(settings.tracking_uri)
    experiment = mlflow.get_experiment_by_name("weather").experiment_id
    (drawn,) = mlflow.search_runs([experiment], "tags.`kingmaker.kind` = 'over time'")
    steps = {id: step for step, id in enumerate(records)}

    for metric, of in {
        "champion_mae": lambda r: r.performances[0].metrics["mae"].value,
        "champion_loss": lambda r: r.performances[0].loss.value,
        "drift_share": lambda r: r.drift.share if r.performances else None,
        "rows": lambda r: r.snapshot.rows,
    }.items():
        found = mlflow.get_metric_history(drawn.info.run_id, metric)
        known = (
            records if metric == "rows" else {i: r for i, r in records.items() if r.performances}
        )
        assert sorted((one.step, one.value) for one in found) == [
            (steps[id], of(record)) for id, record in known.items()
        ]
    scored = next(record for record in records.values() if record.performances)
    own = mlflow.get_run(scored.mlflow_run)
    assert own.data.params["served_by"] == f"v{scored.predictions.version}"
    (read,) = own.inputs.dataset_inputs
    assert read.dataset.name == f"weather {scored.batch.id}"
    assert read.dataset.digest == scored.snapshot.sha256[:36]


def test_second_replay_finds_nothing_new(use_home, replayed_home, entries):
    """Replaying again monitors nothing and decides nothing."""
    settings = use_home(replayed_home)

    assert run_flow(replay("weather")) == 0
    assert ledger.history(open_ledger(settings.ledger_url), "weather") == entries


@pytest.fixture
def fourth_week(use_home, make_replayed_home, make_weather_home, quick_project, monkeypatch) -> str:
    """The fourth week, replayed beside this process's own Prefect server."""
    make_replayed_home(3)
    use_home(make_weather_home(4), quick_project)
    monkeypatch.setenv("KINGMAKER_CONSOLE_URL", "https://console.example")
    assert run_flow(replay("weather")) == 1
    return WEATHER_WEEKS[3]


def test_run_names_say_model_and_batch(fourth_week):
    """The Prefect page lists runs by flow, model and batch."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    expected = {f"monitor weather {fourth_week}", "replay weather"}

    async def names() -> set[str]:
        named = FlowRunFilter(name=FlowRunFilterName(any_=list(expected)))
        async with get_client() as client:
            return {run.name for run in await client.read_flow_runs(flow_run_filter=named)}

    assert run_flow(names()) == expected


def test_prefect_artifacts_tell_the_batch_and_link_its_report(fourth_week):
    """Each batch leaves a table with its decision and a link to its drift report on the console:
    an address that a browser follows.
    """
    from prefect.artifacts import Artifact

    key = f"weather-{fourth_week.lower()}"

    async def get(name: str) -> Artifact:
        return await Artifact.aget(name)

    table, link = run_flow(get(f"{key}-batch")), run_flow(get(f"{key}-report"))
    rows = {row["what"]: row["value"] for row in json.loads(table.data)}
    assert rows["verdict"].startswith("accept")
    assert "mae" in rows
    console = "https://console.example/reports/weather"
    assert f"]({console}/{fourth_week}/drift.html)" in link.data


def test_every_promotion_after_the_first_was_compared(entries):
    """A week's newest fifth is about 100 rows, fewer than the gate takes: whole weeks that the
    champion has not seen are pooled, and judged by fits that have not seen them either.
    """
    judged = [e for e in entries if isinstance(e.decision, Promote | Reject)][1:]

    assert judged
    for entry in judged:
        evidence = entry.evidence
        assert evidence.comparison.rows >= 200
        assert evidence.comparison.blocks >= 8
        assert evidence.folds == len(evidence.holdout) >= 1
        assert "unseen rows" in entry.decision.reason


def test_every_judged_version_has_its_card(settings, entries):
    """A page beside the reports, and a description in MLflow that is written from the same."""
    for version in entries.challengers:
        page = settings.reports / "weather" / "versions" / f"v{version}" / "card.html"
        described = client(settings.tracking_uri).get_model_version("weather", str(version))

        assert state_of(version, entries) in described.description
        assert "Importance" in described.description
        assert f"<b>version {version}</b>" in page.read_text("utf-8")
        assert "What moves it" in page.read_text("utf-8")
        assert "KM004" in page.read_text("utf-8")
