"""Tests of what is written in the ledger, and of what can be read from it."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.exc import ProgrammingError

from tasks.batches import Batch, batch_named
from tasks.decisions.config import WatchConfig
from tasks.ledger import entries as ledger
from tasks.ledger.lease import Lease, LeaseLostError, lease
from tasks.ledger.tables import batches, decisions, leases, trainings
from tasks.records import (
    AnyEvidence,
    Attempted,
    AwaitApproval,
    BatchRecord,
    Decision,
    Errors,
    Evidence,
    Expired,
    Freeze,
    FreezeEvidence,
    FreezeRule,
    Hold,
    Interval,
    LedgerEntry,
    Performance,
    Promote,
    RecalibrationEvidence,
    Refusal,
    Reject,
    Retrain,
    RollBack,
    Shadow,
    Thaw,
    WatchEvidence,
    WatchRule,
)
from tests.tasks.builders import (
    at,
    batch_record,
    comparison,
    evidence,
    interval,
    manual_evidence,
    policy_evidence,
    trained_model,
)
from tests.versions import known_versions, write_training

PROMOTE = Promote(reason="better", version=2, previous=1)
REJECT = Reject(reason="not proven", version=2)
SHADOW = Shadow(reason="too little", version=2)
BACK = RollBack(reason="worse", version=1, previous=2)
EVERY_KIND: tuple[Decision, ...] = (
    Hold(reason="steady"),
    Retrain(reason="the clock"),
    PROMOTE,
    REJECT,
    AwaitApproval(reason="better", version=2, previous=1),
    BACK,
    SHADOW,
    Freeze(reason="twice"),
    Thaw(reason="seen"),
)
ENDLESS = Interval(value=0.5, low=-math.inf, high=math.inf)


@pytest.fixture
def held(engine: Engine) -> Lease:
    """The lease of the model, held for the test."""
    with lease(engine, "flights", "the test") as mine:
        yield mine


def _write(
    engine: Engine,
    held: Lease,
    decision: Decision,
    seen: AnyEvidence | None = None,
    **changes: Any,
) -> LedgerEntry:
    values: dict[str, Any] = {
        "as_of": at(40),
        "flow_run": "run",
        "decided_by": "kingmaker",
    } | changes
    return ledger.record_decision(
        engine, held, "2020-02", decision, evidence() if seen is None else seen, **values
    )


# --- batches --------------------------------------------------------------------------------------


def test_batch_round_trip(engine: Engine, held: Lease) -> None:
    """A batch comes back as it was written, endless intervals included, as its first revision."""
    performance = Performance(
        batch="2020-01",
        version=1,
        rows=10,
        blocks=1,
        metric="roc_auc",
        score=ENDLESS,
        loss=ENDLESS,
        metrics={"roc_auc": ENDLESS},
    )

    written = ledger.record_batch(engine, held, batch_record(performances=(performance,)))

    assert written.revision == 1
    assert ledger.known_batches(engine, "flights") == {"2020-01": written}
    assert ledger.known_batches(engine, "weather") == {}


def test_errors_are_those_of_a_version_on_the_newest_batches(engine: Engine, held: Lease) -> None:
    """Of each batch the newest revision, the newest batch first, and at most so many; batches that
    another version was judged on, or none, are passed over.
    """
    months = [f"2020-{month:02d}" for month in range(1, 6)]
    for i, (month, version) in enumerate(zip(months, (1, 1, 2, 1, None), strict=True)):
        performances = ()
        if version is not None:
            errors = Errors(rows=i + 1, quantiles=(-1.0, 1.0))
            performances = (
                Performance(
                    batch=month,
                    version=version,
                    rows=i + 1,
                    blocks=1,
                    metric="mae",
                    score=None,
                    loss=ENDLESS,
                    metrics={},
                    errors=errors,
                ),
            )
        record = batch_record(batch=batch_named(month, "month", "UTC"), performances=performances)
        ledger.record_batch(engine, held, record)

    found = ledger.newest_errors(engine, "flights", 1, most=2)

    assert [one.rows for one in found] == [4, 2]
    assert [one.rows for one in ledger.newest_errors(engine, "flights", 1, most=9)] == [4, 2, 1]
    assert ledger.newest_errors(engine, "weather", 1, most=9) == ()


def test_same_snapshot_keeps_its_revision(engine: Engine, held: Lease) -> None:
    """The same content again is brought up to date, not written twice."""
    ledger.record_batch(engine, held, batch_record())

    again = ledger.record_batch(engine, held, batch_record(completed=True, fingerprint="f2"))

    assert again.revision == 1
    assert ledger.known_batches(engine, "flights") == {"2020-01": again}
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(batches)).scalar() == 1


def test_other_content_is_a_new_revision(engine: Engine, held: Lease) -> None:
    """Other content is a new revision and the old one stays; the first content again is a third."""
    first = batch_record()
    changed = batch_record(snapshot=first.snapshot.model_copy(update={"sha256": "c" * 64}))

    revisions = [ledger.record_batch(engine, held, r).revision for r in (first, changed, first)]

    assert revisions == [1, 2, 3]
    assert ledger.known_batches(engine, "flights")["2020-01"].revision == 3
    with engine.connect() as connection:
        kept = [r.record["snapshot"]["sha256"][0] for r in connection.execute(select(batches))]
    assert kept == ["a", "c", "a"]


def test_batches_come_in_order(engine: Engine, held: Lease) -> None:
    """Whatever order they arrived in, batches are read in the order of their ids."""
    for name in ("2020-03", "2020-01", "2020-02"):
        ledger.record_batch(
            engine, held, batch_record(batch=Batch(id=name, start=at(0), end=at(31)))
        )

    assert list(ledger.known_batches(engine, "flights")) == ["2020-01", "2020-02", "2020-03"]


def test_fingerprints_of_finished_batches(engine: Engine, held: Lease) -> None:
    """Only a batch whose newest revision was monitored to its end is finished."""
    done: BatchRecord = batch_record(completed=True)
    ledger.record_batch(engine, held, done)
    assert ledger.finished_fingerprints(engine, "flights") == {"2020-01": "f1"}

    ledger.record_batch(
        engine, held, batch_record(snapshot=done.snapshot.model_copy(update={"sha256": "c" * 64}))
    )

    assert ledger.finished_fingerprints(engine, "flights") == {}


# --- trainings ------------------------------------------------------------------------------------


def test_training_round_trip(engine: Engine, held: Lease) -> None:
    """A version comes back as it was written; one that was never written is named."""
    trained = trained_model(version=3)
    write_training(engine, held, trained, "2020-01")

    assert ledger.training(engine, "flights", 3) == trained
    assert ledger.training(engine, "flights", 3).recipe.hash == trained.recipe.hash
    with pytest.raises(KeyError, match="flights: the ledger has no version 4"):
        ledger.training(engine, "flights", 4)


def test_training_batches(engine: Engine, held: Lease) -> None:
    """The batches of this model's trainings come oldest first, one with two trainings once."""
    assert ledger.training_batches(engine, "flights") == ()
    for version, batch in ((1, "2020-01"), (2, "2020-04"), (3, "2020-02"), (4, "2020-04")):
        write_training(engine, held, trained_model(version=version), batch)

    assert ledger.training_batches(engine, "flights") == ("2020-01", "2020-02", "2020-04")
    assert ledger.training_batches(engine, "weather") == ()


# --- decisions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", EVERY_KIND, ids=lambda d: d.kind)
def test_every_kind_of_decision_round_trip(engine: Engine, held: Lease, decision: Decision) -> None:
    """A decision and its evidence come back years later as they were, infinities included, and the
    digest holds.
    """
    compared = comparison(
        t=-math.inf,
        difference=ENDLESS,
        champion_loss=math.inf,
        champion_score=interval(math.nan, math.inf),
    )
    seen = evidence(comparison=compared)

    written = _write(engine, held, decision, seen, decided_by="Ada")

    (read,) = ledger.history(engine, "flights")
    assert read.model_dump_json() == written.model_dump_json()
    assert read.decision == decision
    assert type(read.evidence) is Evidence
    assert read.evidence.model_dump_json() == seen.model_dump_json()
    assert read.evidence.comparison.t == -math.inf
    assert ledger.stored_sha256(engine, read.id) == read.evidence_sha256
    assert (read.as_of, read.flow_run, read.decided_by, read.model) == (
        at(40),
        "run",
        "Ada",
        "flights",
    )
    assert abs(read.recorded_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_what_is_stored_is_json(engine: Engine, held: Lease) -> None:
    """JSON has no Infinity and no NaN, and PostgreSQL takes none: they are strings, in any kind of
    evidence.
    """
    _write(engine, held, PROMOTE, evidence(comparison=comparison(t=-math.inf, difference=ENDLESS)))
    _write(engine, held, REJECT, policy_evidence(losses=(math.inf,), newest_loss=math.nan))
    performance = Performance(
        batch="2020-01",
        version=1,
        rows=1,
        blocks=1,
        metric="m",
        score=ENDLESS,
        loss=ENDLESS,
        metrics={},
    )
    ledger.record_batch(engine, held, batch_record(performances=(performance,)))

    with engine.connect() as connection:
        stored = [
            r[0]
            for r in connection.execute(
                text("select evidence from decisions union all select record from batches")
            )
        ]

    def refuse(name: str) -> None:
        raise AssertionError(name)

    documents = [json.loads(document, parse_constant=refuse) for document in stored]
    assert (documents[1]["losses"], documents[1]["newest_loss"]) == (["Infinity"], "NaN")


EVERY_EVIDENCE: tuple[AnyEvidence, ...] = (
    evidence(),
    policy_evidence(training_age=timedelta(days=9)),
    WatchEvidence(
        model="flights",
        batch="2020-02",
        revision=1,
        champion=2,
        previous=1,
        batches_watched=1,
        comparison=comparison(),
    ),
    FreezeEvidence(model="flights", batch="b", revision=1, rollbacks=("a", "b"), recent=("b",)),
    RecalibrationEvidence(
        model="flights",
        batch="b",
        champion=2,
        problem="binary",
        members=(),
        losses={1: 0.5},
        summaries=(),
        weights=(),
        recalibration=None,
    ),
    Refusal(model="flights", batch="b", revision=1, verdict=batch_record().verdict),
    Attempted(retrain=3),
    manual_evidence(rests_on=4),
    Expired(expired=2, waited_since=at(1)),
)


@pytest.mark.parametrize("seen", EVERY_EVIDENCE, ids=lambda one: one.type)
def test_every_type_of_evidence_round_trip(engine: Engine, held: Lease, seen: AnyEvidence) -> None:
    """Evidence comes back as the record that it was, and no type of it is missing here."""
    _write(engine, held, REJECT, seen)

    (read,) = ledger.history(engine, "flights")

    assert read.evidence == seen
    assert type(read.evidence) is type(seen)
    assert {type(one) for one in EVERY_EVIDENCE} == set(get_args(get_args(AnyEvidence)[0]))


def test_rule_is_kept_with_its_settings(engine: Engine, held: Lease) -> None:
    """The rule that decided comes back with the settings of then."""
    rule = WatchRule(settings=WatchConfig(better=0.5, batches=7))

    written = _write(engine, held, BACK, rule=rule)

    assert written.rule == rule
    assert ledger.history(engine, "flights").entries[0].rule == rule


@pytest.mark.parametrize("column", ["evidence", "rule"])
def test_changed_record_has_another_digest(engine: Engine, held: Lease, column: str) -> None:
    """What was changed in the database after it was written no longer has the digest of the
    entry.
    """
    rule = FreezeRule(settings=WatchConfig())
    entry = _write(engine, held, REJECT, rule=rule)
    changed = {"evidence": evidence(attempt=9), "rule": WatchRule(settings=WatchConfig())}[column]
    document = json.loads(changed.model_dump_json())
    with engine.begin() as connection:
        connection.execute(update(decisions).values({column: document}))

    assert ledger.stored_sha256(engine, entry.id) != entry.evidence_sha256
    assert ledger.decision_numbered(engine, entry.id).evidence_sha256 == entry.evidence_sha256


def test_record_that_is_none_any_more_is_told(engine: Engine, held: Lease) -> None:
    """Evidence that was changed into something that no record has is named with its decision."""
    entry = _write(engine, held, REJECT)
    with engine.begin() as connection:
        connection.execute(update(decisions).values(evidence={"type": "promotion"}))

    with pytest.raises(
        ledger.UnreadableDecisionError, match=f"decision {entry.id} of flights: expected the record"
    ):
        ledger.history(engine, "flights")


def test_moments_are_kept_in_utc(engine: Engine, held: Lease) -> None:
    """A moment of another zone is the same moment when it comes back."""
    moment = datetime(2020, 5, 1, 12, tzinfo=timezone(timedelta(hours=-5)))

    assert _write(engine, held, REJECT, as_of=moment).as_of == moment


@pytest.mark.parametrize("decision", EVERY_KIND, ids=lambda d: d.kind)
def test_what_is_journalled_and_what_is_effective(
    engine: Engine, held: Lease, decision: Decision
) -> None:
    """What changes the world is journalled until it has taken effect; all else is effective at
    once.
    """
    journalled = decision.kind in ("Promote", "RollBack", "Retrain")

    entry = _write(engine, held, decision)

    assert (entry.effective_at is None) == journalled
    assert ledger.history(engine, "flights").unfinished == ((entry,) if journalled else ())

    done = ledger.mark_effective(engine, held, entry)

    assert done.effective_at is not None
    assert ledger.history(engine, "flights").unfinished == ()
    assert ledger.mark_effective(engine, held, entry).effective_at == done.effective_at


def test_unknown_number_is_told(engine: Engine, held: Lease) -> None:
    """Asking for a decision that is not there says which numbers are."""
    entry = _write(engine, held, REJECT)

    assert ledger.decision_numbered(engine, entry.id) == entry
    with pytest.raises(ledger.NoDecisionError, match="a number from 1 to 1"):
        ledger.decision_numbered(engine, 7)


def test_models_do_not_mix(engine: Engine, held: Lease) -> None:
    """Each model has its own history."""
    _write(engine, held, REJECT)
    with lease(engine, "weather", "another") as other:
        _write(engine, other, PROMOTE)

    assert [e.decision for e in ledger.history(engine, "flights")] == [REJECT]
    assert [e.decision for e in ledger.history(engine, "weather")] == [PROMOTE]


def test_lost_lease_writes_nothing(engine: Engine, held: Lease) -> None:
    """A run that lost its lease can write nothing at all: no batch, training, decision, or
    effect.
    """
    entry = _write(engine, held, PROMOTE)
    with engine.begin() as connection:
        connection.execute(update(leases).values(token=held.token + 1, holder="another"))

    for write in (
        lambda: ledger.record_batch(engine, held, batch_record()),
        lambda: write_training(engine, held, trained_model(), "2020-01"),
        lambda: _write(engine, held, REJECT),
        lambda: ledger.mark_effective(engine, held, entry),
    ):
        with pytest.raises(LeaseLostError, match="has passed to another"):
            write()

    with engine.connect() as connection:
        rows = [
            connection.execute(select(func.count()).select_from(t)).scalar()
            for t in (batches, trainings, decisions)
        ]
    assert rows == [0, 0, 1]
    assert ledger.history(engine, "flights").unfinished == (entry,)


def test_training_is_known_with_its_judgement_or_not_at_all(engine: Engine, held: Lease) -> None:
    """Version and decision are written in one transaction: when the decision cannot be, the version
    is not there.
    """
    trained = trained_model()
    decided = Hold(reason="judged")
    with pytest.raises(ProgrammingError):
        ledger.record_decision(
            engine,
            held,
            "2020-01",
            decided,
            evidence(),
            as_of=at(0),
            decided_by=object(),
            training=trained,  # type: ignore[arg-type]
        )
    assert known_versions(engine, trained.model) == ()

    ledger.record_decision(
        engine, held, "2020-01", decided, evidence(), as_of=at(0), training=trained
    )

    assert ledger.training(engine, trained.model, trained.version) == trained


def test_training_counts_as_of_what_judged_it(engine: Engine, held: Lease) -> None:
    """With late labels a decision about a batch rests on rows of an earlier one: the training is as
    of those rows, the decision as of the batch.
    """
    trained, judged = trained_model(), evidence(batch="2020-01")

    entry = _write(
        engine, held, Promote(reason="", version=2, previous=1), judged, training=trained
    )

    assert entry.batch == "2020-02"
    assert ledger.training_batches(engine, trained.model) == ("2020-01",)
