"""Labels that come from a contract of their own, and later than their rows: nothing is decided by
half of them.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from deployments.command.look_cli import status
from flows.monitor import BatchRefusedError, monitor
from flows.replay import replay
from flows.steps.pending import is_idle
from tasks.features.task import build_features
from tasks.ingest.source import SourceError
from tasks.ledger import entries as ledger
from tasks.ledger.tables import open_ledger
from tasks.model_spec import ManagedModel, manage
from tasks.records import (
    BatchRecord,
    FeatureFrame,
    KnownLabels,
    LabelSnapshot,
    LedgerEntry,
    Past,
    Promote,
    TrainedModel,
    WatchEvidence,
)
from tasks.settings import Settings
from tests.conftest import WEATHER_WEEKS, run_flow
from tests.projects.booking_stream import (
    ROWS,
    SILENT,
    WEEKS,
    Booking,
    bookings,
    outcome_file,
    word,
    write_outcomes,
    write_rows,
)

pytestmark = pytest.mark.flow

BOOKINGS = Path(__file__).parents[2] / "projects" / "bookings"
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Replayed:
    """Eight weeks of bookings that were replayed with their outcomes, and the truth."""

    managed: ManagedModel
    truth: dict[str, list[Booking]]
    records: dict[str, BatchRecord]
    labels: dict[str, BatchRecord]
    entries: tuple[LedgerEntry, ...]

    def trainings(self) -> list[TrainedModel]:
        """Every version, oldest first."""
        engine = open_ledger(self.managed.settings.ledger_url)
        last = max(e.decision.version for e in self.entries if e.decision.kind == "Promote")
        return [ledger.training(engine, "bookings", version) for version in range(1, last + 1)]

    def frame(self, week: str, as_of) -> FeatureFrame:
        """The week's features, with the labels that are known at a moment."""
        known = KnownLabels(batches=tuple(self.labels.values()), as_of=as_of)
        return build_features.fn(self.managed, [self.records[week]], known, Past(as_of))


def read_back(home: Path, truth: dict[str, list[Booking]]) -> Replayed:
    """What the ledger in ``home`` knows of the bookings."""
    managed = manage("bookings", Settings(home=home, project=BOOKINGS))
    engine = open_ledger(managed.settings.ledger_url)
    records, labels = (
        ledger.known_batches(engine, "bookings", stream) for stream in ("rows", "labels")
    )
    return Replayed(managed, truth, records, labels, ledger.history(engine, "bookings"))


@pytest.fixture(scope="session")
def replayed(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """Bookings with a word that was wrong at first, one that stands twice, and one on no one's
    booking.
    """
    home, truth = tmp_path_factory.mktemp("bookings"), bookings(WEEKS[:8])
    write_rows(home, truth)
    write_outcomes(home, truth)
    stays = [row for row in truth[WEEKS[0]][SILENT:] if not row.cancelled and row.lead_days > 8]
    with outcome_file(home, WEEKS[0]).open("a", encoding="utf-8", newline="") as file:
        file.write(word(stays[0].booked_at + HOUR, stays[0].booking_id, "true"))
        file.write(word(stays[1].booked_at + HOUR, stays[1].booking_id, "true") * 2)
        file.write(word(stays[0].booked_at + HOUR, 10**9, "true"))
    before = dict(os.environ)
    os.environ |= {"KINGMAKER_HOME": str(home), "KINGMAKER_PROJECT": str(BOOKINGS)}
    try:
        assert run_flow(replay("bookings")) == 8
    finally:
        os.environ.clear()
        os.environ.update(before)
    return read_back(home, truth)


def auc(target: np.ndarray, predicted: np.ndarray) -> float:
    """Area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(target, predicted))


def test_labels_are_those_of_the_truth(replayed):
    """When a week is mature, a row has what became of it in the end; who never got a word has no
    label.
    """
    for week, rows in replayed.truth.items():
        frame = replayed.frame(week, replayed.managed.matures(replayed.records[week].batch))
        target = dict(zip(frame.keys["booking_id"], frame.target, strict=True))

        assert [np.isnan(target[row.booking_id]) for row in rows] == [True] * SILENT + [False] * (
            ROWS - SILENT
        )
        assert all(target[row.booking_id] == row.cancelled for row in rows[SILENT:])


def test_wrong_word_counts_until_it_is_corrected_and_doubles_never(replayed):
    """Before its stay was known one booking is taken for cancelled; the word that stands twice is
    in quarantine.
    """
    week, batch = WEEKS[0], replayed.records[WEEKS[0]].batch
    wrong, double = [
        r for r in replayed.truth[week][SILENT:] if not r.cancelled and r.lead_days > 8
    ][:2]

    def label(row: Booking, as_of) -> float:
        frame = replayed.frame(week, as_of)
        return dict(zip(frame.keys["booking_id"], frame.target, strict=True))[row.booking_id]

    assert label(wrong, batch.end) == 1.0
    assert np.isnan(label(wrong, wrong.booked_at))
    assert label(wrong, wrong.known_at) == 0.0
    assert np.isnan(label(double, batch.end))
    assert replayed.labels[week].verdict.quarantined == 2


def test_immature_labels_would_have_poisoned_and_nobody_was_trained_on_them(replayed):
    """On what is known of a week at its end a model looks perfect and is not; ours saw whole weeks
    only.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    managed, last = replayed.managed, replayed.records[WEEKS[7]]
    early = replayed.frame(WEEKS[0], replayed.records[WEEKS[0]].batch.end)
    known = early.where(early.target.notna().to_numpy())
    numbers = ["lead_days", "price"]
    naive = LogisticRegression(max_iter=1000)
    on_its_own = cross_val_predict(
        naive, known.features[numbers], known.target, cv=5, method="predict_proba"
    )[:, 1]
    truth = replayed.frame(WEEKS[7], managed.matures(last.batch))
    whole = truth.where(truth.target.notna().to_numpy())
    naive.fit(known.features[numbers], known.target)
    in_truth = auc(whole.target, naive.predict_proba(whole.features[numbers])[:, 1])

    assert auc(known.target, on_its_own) > 0.93
    assert in_truth < 0.75
    assert known.target.mean() - whole.target.mean() > 0.15
    assert last.performances[0].score.value > in_truth + 0.1
    promotions = [e for e in replayed.entries if e.decision.kind == "Promote"]
    assert len(promotions) >= 2
    for entry in promotions:
        trained = replayed.trainings()[entry.decision.version - 1]
        used = {span.batch for span in (*trained.trained_on,)} | {
            span.batch for span in entry.evidence.holdout
        }
        assert all(managed.matures(managed.rows.batch(batch)) <= entry.as_of for batch in used)
        assert all(span.rows == ROWS - SILENT for span in trained.trained_on[:-1]), (
            "every row that ever got a label"
        )


def test_judged_when_mature_by_all_that_have_a_label(replayed):
    """Each week is counted once it is mature, judged if it was scored, and its silent rows still
    wait.
    """
    for record in replayed.records.values():
        found = record.labelled
        assert found.as_of >= replayed.managed.matures(record.batch)
        assert (found.rows, found.labelled, found.waiting) == (ROWS, ROWS - SILENT, SILENT)
        assert bool(record.performances) == (record.predictions is not None)
        assert all(one.rows == found.labelled for one in record.performances)
    scored = [id for id, record in replayed.records.items() if record.predictions]
    assert scored == list(WEEKS[5:8]), (
        "the first champion needs two mature weeks: five weeks in all"
    )


def test_promotion_is_watched_on_mature_weeks(replayed):
    """The previous champion is held against the new one when the first week after its training has
    its labels.
    """
    watched = [e for e in replayed.entries if isinstance(e.evidence, WatchEvidence)]

    assert watched
    for entry in watched:
        own = replayed.records[entry.evidence.batch]
        assert replayed.managed.matures(own.batch) <= entry.as_of
        assert entry.evidence.comparison.rows == ROWS - SILENT
        assert own.batch.id < entry.batch, (
            "labels are three weeks late: it is not the week that is answered"
        )
    assert len({(e.evidence.champion, e.evidence.batch) for e in watched}) == len(watched)


def test_promotion_is_dated_by_when_it_took_effect(replayed):
    """The first champion rests on the labels of the second week, and is champion since the
    fifth.
    """
    first = next(e for e in replayed.entries if isinstance(e.decision, Promote))

    assert first.evidence.batch == WEEKS[1]
    assert first.batch == WEEKS[4]
    assert replayed.records[WEEKS[5]].predictions.version == first.decision.version


def test_estimates_are_kept_and_withheld_until_labels_have_checked_some(replayed):
    """In eight weeks no four estimates come true: each is withheld by name, and kept to be checked
    by the labels that its week has since.
    """
    estimated = [r for r in replayed.records.values() if r.estimate is not None]

    assert estimated
    for record in estimated:
        assert record.estimate.withheld
        assert (record.estimate.checked, record.estimate.held) == (0, 0)
        assert record.performances
        assert record.estimate.rows == ROWS


def test_status_and_pages_tell_of_labels(replayed, use_home, capsys):
    """Rows without a label and labels without a row are told; and nothing is left to do."""
    settings = use_home(replayed.managed.settings.home, BOOKINGS)

    status()

    said = capsys.readouterr().out
    assert f"labels    {WEEKS[7]}: {SILENT} of {ROWS} rows have no label" in said
    assert f"labels    {WEEKS[0]} of outcomes: 1 labels belong to no row that was accepted" in said
    assert "waits" not in said
    page = (settings.reports / "bookings" / "index.html").read_text(encoding="utf-8")
    assert "A row without a label waits" in page
    late = (settings.reports / "bookings" / WEEKS[7] / "drift.html").read_text(encoding="utf-8")
    assert "Labels are not mature yet" not in late, "its page was drawn again when they were"


def test_late_labels_are_work_and_judge_their_own_weeks_again(replayed, use_home, tmp_path, capsys):
    """With nothing new a run is idle; words that came late make it judge the weeks they can belong
    to, and are told.
    """
    home = tmp_path / "home"
    shutil.copytree(replayed.managed.settings.home, home)
    use_home(home, BOOKINGS)
    managed, engine = (
        manage("bookings", Settings(home=home, project=BOOKINGS)),
        open_ledger(Settings(home=home).ledger_url),
    )
    now = max(record.labelled.as_of for record in replayed.records.values())
    assert is_idle(managed, engine, now)
    silent = replayed.truth[WEEKS[5]][0]
    with outcome_file(home, WEEKS[6]).open("a", encoding="utf-8", newline="") as file:
        file.write(word(managed.rows.batch(WEEKS[6]).start + HOUR, silent.booking_id, "false"))
    assert not is_idle(managed, engine, now)

    assert run_flow(monitor("bookings", None, now)) == ()

    after = ledger.known_batches(engine, "bookings")
    assert ledger.known_batches(engine, "bookings", "labels")[WEEKS[6]].revision == 2
    assert after[WEEKS[5]].labelled.labelled == ROWS - SILENT + 1
    assert after[WEEKS[5]].performances[0].rows == ROWS - SILENT + 1
    again = {id for id in after if after[id].labelled != replayed.records[id].labelled}
    assert again == set(WEEKS[3:7]), "the weeks whose three weeks of labels touch that one"
    assert ledger.history(engine, "bookings") == replayed.entries, "what was decided stays"
    assert is_idle(managed, engine, now)
    before = LabelSnapshot(batch=WEEKS[6], snapshot=replayed.labels[WEEKS[6]].snapshot.sha256)
    trained = {t.version for t in replayed.trainings() if before in t.labelled_by}
    status()
    said = re.search(
        rf"replaced  labels of {WEEKS[6]} revision 1 .* trained on it: version (.*)",
        capsys.readouterr().out,
    )
    assert said is not None
    assert trained
    assert trained <= set(map(int, said[1].split(", ")))


@pytest.fixture
def four_weeks(use_home, tmp_path) -> tuple[Path, ManagedModel, dict[str, list[Booking]]]:
    """Four weeks of bookings; their outcomes lie beside, to be delivered."""
    home, truth = tmp_path / "home", bookings(WEEKS[:4])
    write_rows(home, truth)
    write_outcomes(tmp_path / "later", truth)
    settings = use_home(home, BOOKINGS)
    return home, manage("bookings", settings), truth


def _deliver(home: Path, weeks: tuple[str, ...]) -> None:
    for week in weeks:
        file = outcome_file(home, week)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(outcome_file(home.parent / "later", week), file)


def test_labels_that_are_late_or_refused_make_their_weeks_wait(four_weeks, capsys):
    """Rows go through without them; status says which weeks wait and why; delivered well, they are
    counted.
    """
    home, managed, _ = four_weeks
    engine, moment = open_ledger(managed.settings.ledger_url), managed.rows.batch(WEEKS[4]).end
    assert not is_idle(managed, engine, moment)
    with pytest.raises(SourceError, match=r"outcomes: no such directory"):
        run_flow(monitor("bookings", None, moment))
    assert all(record.completed for record in ledger.known_batches(engine, "bookings").values())
    _deliver(home, WEEKS[:5])
    good = outcome_file(home, WEEKS[2]).read_text(encoding="utf-8")
    outcome_file(home, WEEKS[2]).write_text(good.replace("cancelled", "gone"), encoding="utf-8")

    with pytest.raises(BatchRefusedError, match=rf"bookings labels {WEEKS[2]} refused.*cancelled"):
        run_flow(monitor("bookings", None, moment))

    page = managed.settings.reports / "bookings" / "labels" / WEEKS[2] / "validation.html"
    assert "cancelled" in page.read_text(encoding="utf-8")
    status()
    said = capsys.readouterr().out
    assert f"{WEEKS[0]} waits: its labels of {WEEKS[2]} are refused" in said
    assert f"{WEEKS[3]} waits: " in said
    assert is_idle(managed, engine, moment), "said once, not at every run"
    outcome_file(home, WEEKS[2]).write_text(good, encoding="utf-8")
    assert not is_idle(managed, engine, moment)
    run_flow(monitor("bookings", None, moment))
    found = {id: record.labelled for id, record in ledger.known_batches(engine, "bookings").items()}
    assert {id: one.labelled for id, one in found.items() if one} == dict.fromkeys(
        WEEKS[:2], ROWS - SILENT
    )


def _monitor_and_die(moment) -> None:
    """In a process of its own: take in rows and labels, and be killed before the first label is
    counted.
    """
    os.setsid()
    import flows.steps.labels

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    flows.steps.labels.count_labelled = die
    run_flow(monitor("bookings", None, moment))


def test_killed_between_labels_and_judgement(four_weeks, monkeypatch):
    """The labels are in, nothing is counted; the next run has work, and comes to the end of it."""
    monkeypatch.setenv(
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180"
    )  # the machine may be busy
    home, managed, _ = four_weeks
    _deliver(home, WEEKS[:5])
    engine, moment = open_ledger(managed.settings.ledger_url), managed.rows.batch(WEEKS[4]).end
    child = multiprocessing.get_context("spawn").Process(target=_monitor_and_die, args=(moment,))
    child.start()
    child.join(240)
    assert child.exitcode == -signal.SIGKILL
    os.killpg(child.pid, signal.SIGKILL)  # the embedded server that it leaves behind
    assert len(ledger.cohorts(engine, "bookings", "labels")) == 5
    assert not any(one.labelled for one in ledger.cohorts(engine, "bookings").values())

    run_flow(monitor("bookings", None, moment))

    records = ledger.known_batches(engine, "bookings")
    assert [id for id, record in records.items() if record.labelled] == list(WEEKS[:2])
    assert all(
        r.revision == 1
        for r in (*records.values(), *ledger.known_batches(engine, "bookings", "labels").values())
    )
    assert is_idle(managed, engine, moment)


def test_rows_that_carry_their_labels_are_judged_after_the_delay(
    use_home, make_weather_home, quick_project
):
    """The form with one contract: scored when the week is closed, trained and judged on two weeks
    later.
    """
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["labels"] = {"delay": "14d"}
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    settings = use_home(make_weather_home(5), quick_project)

    run_flow(replay("weather"))

    managed, engine = manage("weather", settings), open_ledger(settings.ledger_url)
    records, entries = ledger.known_batches(engine, "weather"), ledger.history(engine, "weather")
    last = list(records.values())[-1]
    assert last.as_of == last.batch.end
    assert last.predictions is not None
    assert last.labelled.as_of == managed.matures(last.batch)
    assert last.performances[0].rows == last.labelled.labelled
    (promotion,) = [e for e in entries if e.decision.kind == "Promote"]
    trained = ledger.training(engine, "weather", promotion.decision.version)
    assert all(
        managed.matures(managed.rows.batch(span.batch)) <= promotion.as_of
        for span in trained.trained_on
    )
    assert is_idle(managed, engine, managed.matures(last.batch))


def test_labels_that_are_filled_in_later_judge_who_predicted(
    use_home, make_weather_home, quick_project, capsys
):
    """The same rows again, with labels: a new revision, judged as it was scored then, and not
    answered twice.
    """
    file = quick_project / "deployments" / "weather" / "model.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["labels"] = {"min_share": 0.5}
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    settings = use_home(make_weather_home(3), quick_project)
    week = settings.home / "sources" / "weather" / f"{WEATHER_WEEKS[2]}.csv"
    whole = week.read_text(encoding="utf-8")
    head, *lines = whole.splitlines()
    week.write_text(
        "\n".join([head, *(line.rpartition(",")[0] + "," for line in lines)]) + "\n",
        encoding="utf-8",
    )
    run_flow(monitor("weather"))
    engine = open_ledger(settings.ledger_url)
    before, entries = ledger.known_batches(engine, "weather"), ledger.history(engine, "weather")
    status()
    assert f"{WEATHER_WEEKS[2]} waits: only 0.0% of " in capsys.readouterr().out
    assert before[WEATHER_WEEKS[2]].performances == ()

    week.write_text(whole, encoding="utf-8")
    (record,) = run_flow(monitor("weather"))

    after = ledger.known_batches(engine, "weather")[WEATHER_WEEKS[2]]
    assert (record.revision, after.revision) == (2, 2)
    assert after.predictions == before[WEATHER_WEEKS[2]].predictions
    assert after.performances[0].version == after.predictions.version
    assert after.labelled.share > 0.9
    assert ledger.history(engine, "weather") == entries
    status()
    assert "replaced" not in capsys.readouterr().out
