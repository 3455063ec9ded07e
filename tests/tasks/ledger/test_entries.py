"""Tests of what is written in the ledger, and of what can be read from it."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.exc import ProgrammingError

from tasks.batches import Batch
from tasks.ledger import entries as ledger
from tasks.ledger.lease import Lease, LeaseLostError, lease
from tasks.ledger.tables import batches, decisions, leases, trainings
from tasks.records import (
    AwaitApproval,
    BatchRecord,
    Decision,
    Evidence,
    Freeze,
    Hold,
    Interval,
    LedgerEntry,
    Performance,
    Promote,
    Record,
    Reject,
    Retrain,
    RollBack,
    Shadow,
    Thaw,
)
from tests.tasks.builders import (
    at,
    batch_record,
    comparison,
    evidence,
    interval,
    policy_evidence,
    trained_model,
)

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
    seen: Record | dict[str, Any] | None = None,
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
        metrics={"roc_auc": 0.5},
    )

    written = ledger.record_batch(engine, held, batch_record(performances=(performance,)))

    assert written.revision == 1
    assert ledger.known_batches(engine, "flights") == {"2020-01": written}
    assert ledger.known_batches(engine, "weather") == {}


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
    ledger.record_training(engine, held, trained, "2020-01")

    assert ledger.training(engine, "flights", 3) == trained
    assert ledger.training(engine, "flights", 3).recipe.hash == trained.recipe.hash
    with pytest.raises(KeyError, match="flights: the ledger has no version 4"):
        ledger.training(engine, "flights", 4)


def test_training_batches(engine: Engine, held: Lease) -> None:
    """The batches of this model's trainings come oldest first, one with two trainings once."""
    assert ledger.training_batches(engine, "flights") == ()
    for version, batch in ((1, "2020-01"), (2, "2020-04"), (3, "2020-02"), (4, "2020-04")):
        ledger.record_training(engine, held, trained_model(version=version), batch)

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
    found = Evidence.model_validate(read.evidence)
    assert read == written
    assert read.decision == decision
    assert found.model_dump_json() == seen.model_dump_json()
    assert found.comparison.t == -math.inf
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
    _write(engine, held, REJECT, {"t": math.inf, "list": [math.nan]})
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
    assert documents[1] == {"t": "Infinity", "list": ["NaN"]}


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
    assert ledger.unfinished(ledger.history(engine, "flights")) == ((entry,) if journalled else ())

    done = ledger.mark_effective(engine, held, entry)

    assert done.effective_at is not None
    assert ledger.unfinished(ledger.history(engine, "flights")) == ()
    assert ledger.mark_effective(engine, held, entry).effective_at == done.effective_at


def test_reigns(engine: Engine, held: Lease) -> None:
    """Who was champion: promotions and rollbacks that took effect, oldest first."""
    first, held_back, back = (_write(engine, held, d) for d in (PROMOTE, PROMOTE, BACK))
    _write(engine, held, REJECT)
    for entry in (first, back):
        ledger.mark_effective(engine, held, entry)

    found = ledger.champion_changes(ledger.history(engine, "flights"))

    assert [e.id for e in found] == [first.id, back.id]
    assert held_back.id not in {e.id for e in found}


def _attempts(engine: Engine) -> int:
    return ledger.attempts_since_promotion(ledger.history(engine, "flights"))


def test_attempts_are_counted(engine: Engine, held: Lease) -> None:
    """Each change of recipe that was judged counts, whatever was decided; refreshes and holds do
    not.
    """
    assert _attempts(engine) == 0
    _write(engine, held, Promote(reason="first", version=1, previous=None), evidence("first"))
    _write(engine, held, REJECT)
    _write(engine, held, REJECT, evidence("refresh"))
    _write(engine, held, Hold(reason="steady"), policy_evidence())
    _write(
        engine, held, AwaitApproval(reason="better", version=3, previous=1), evidence(challenger=3)
    )

    assert _attempts(engine) == 2


def test_judged_again_is_the_same_attempt(engine: Engine, held: Lease) -> None:
    """A challenger that goes on in shadow is one attempt, however often it is judged."""
    for batch in ("2020-03", "2020-04"):
        _write(engine, held, SHADOW, evidence(batch=batch))
    _write(engine, held, REJECT)

    assert _attempts(engine) == 1


def test_who_waits_in_shadow(engine: Engine, held: Lease) -> None:
    """The newest judgement of each challenger counts; a promoted change of recipe ends the wait of
    all before it.
    """
    other = Shadow(reason="too little", version=3)
    _write(engine, held, SHADOW)
    newest = _write(engine, held, SHADOW)
    third = _write(engine, held, other, evidence(challenger=3))
    assert ledger.in_shadow(ledger.history(engine, "flights")) == (newest, third)

    _write(engine, held, REJECT)
    assert ledger.in_shadow(ledger.history(engine, "flights")) == (third,)

    _write(
        engine,
        held,
        Promote(reason="better", version=4, previous=1),
        evidence("refresh", challenger=4),
    )
    assert ledger.in_shadow(ledger.history(engine, "flights")) == (third,)

    _write(engine, held, Promote(reason="better", version=5, previous=4), evidence(challenger=5))
    assert ledger.in_shadow(ledger.history(engine, "flights")) == ()


def test_frozen_until_thawed(engine: Engine, held: Lease) -> None:
    """A freeze holds until somebody thaws the model, who also starts the count of rollbacks
    anew.
    """
    assert ledger.frozen(()) is None
    _write(engine, held, BACK)
    _write(engine, held, BACK, decided_by="Ada")
    entry = _write(engine, held, Freeze(reason="twice"))
    history = ledger.history(engine, "flights")
    assert ledger.frozen(history) == entry
    assert ledger.rollbacks_since_thaw(history) == ("2020-02",)

    _write(engine, held, Thaw(reason="seen"))

    history = ledger.history(engine, "flights")
    assert ledger.frozen(history) is None
    assert ledger.rollbacks_since_thaw(history) == ()


def test_unknown_number_is_told(engine: Engine, held: Lease) -> None:
    """Asking for a decision that is not there says which numbers are."""
    entry = _write(engine, held, REJECT)

    assert ledger.decision_numbered(engine, entry.id) == entry
    with pytest.raises(ledger.NoDecisionError, match="a number from 1 to 1"):
        ledger.decision_numbered(engine, 7)


def test_promoted_change_of_recipe_starts_anew(engine: Engine, held: Lease) -> None:
    """When a change of recipe is champion, the attempts before it are over."""
    _write(engine, held, REJECT)
    _write(engine, held, PROMOTE)
    assert _attempts(engine) == 0

    _write(engine, held, REJECT)
    assert _attempts(engine) == 1


def test_refresh_and_rollback_start_nothing_anew(engine: Engine, held: Lease) -> None:
    """A promoted refresh, or a rollback, between attempts leaves the count: else every attempt
    would be the first.
    """
    for version in range(3):
        _write(engine, held, REJECT, evidence(challenger=version))
        _write(engine, held, PROMOTE, evidence("refresh"))
    _write(engine, held, BACK, {"reason": "worse"})

    assert _attempts(engine) == 3


@pytest.mark.parametrize(("kind", "left"), [("change of recipe", 0), ("refresh", 1)])
def test_promotion_by_hand_is_what_it_rests_on(
    engine: Engine, held: Lease, kind: str, left: int
) -> None:
    """A person's promotion starts anew when the judgement that it rests on was of a change of
    recipe.
    """
    _write(engine, held, REJECT)
    basis = _write(
        engine, held, AwaitApproval(reason="better", version=2, previous=1), evidence(kind)
    )
    _write(engine, held, PROMOTE, {"person": "Ada", "reason": "approved", "rests_on": basis.id})

    assert _attempts(engine) == left


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
        lambda: ledger.record_training(engine, held, trained_model(), "2020-01"),
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
    assert ledger.unfinished(ledger.history(engine, "flights")) == (entry,)


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
            {},
            as_of=at(0),
            decided_by=object(),
            training=trained,  # type: ignore[arg-type]
        )
    assert ledger.known_versions(engine, trained.model) == ()

    ledger.record_decision(engine, held, "2020-01", decided, {}, as_of=at(0), training=trained)

    assert ledger.training(engine, trained.model, trained.version) == trained
