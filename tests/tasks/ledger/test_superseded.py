"""Tests of what rests on replaced rows: told by batch and revision, and only while it is so."""

from sqlalchemy import Engine

from tasks.ledger import entries as ledger
from tasks.ledger.lease import lease
from tasks.ledger.retention import needed
from tasks.ledger.superseded import superseded
from tasks.records import (
    BatchRecord,
    EnsembleMember,
    LabelSnapshot,
    PastSnapshot,
    Predictions,
    RowSpan,
    TrainedModel,
)
from tests.tasks.builders import at, batch_record, trained_model
from tests.versions import write_training

PREDICTIONS = Predictions(
    model="flights",
    batch="2020-01",
    version=1,
    snapshot="a" * 64,
    rows=100,
    path="predictions/old",
    sha256="0" * 64,
)


def with_content(digit: str, rows: int = 100, **changes: object) -> BatchRecord:
    """The batch with other content."""
    first = batch_record()
    snapshot = first.snapshot.model_copy(update={"sha256": digit * 64, "rows": rows})
    return batch_record(snapshot=snapshot, **changes)


def trained_on(version: int, digit: str) -> TrainedModel:
    """A version that was trained on two spans of this content of the batch."""
    spans = tuple(
        RowSpan(batch="2020-01", snapshot=digit * 64, start=at(day), end=at(day + 5), rows=50)
        for day in (0, 5)
    )
    return trained_model(version=version, trained_on=spans)


def test_nothing_is_replaced(engine: Engine) -> None:
    """A batch with one revision, and a new revision of a batch that nothing rests on, are not
    told.
    """
    with lease(engine, "flights", "test") as held:
        ledger.record_batch(engine, held, with_content("a"))
        ledger.record_batch(engine, held, with_content("b"))
        write_training(engine, held, trained_on(1, "b"), "2020-01")

    assert superseded(engine, "flights") == ()


def test_versions_and_predictions_of_a_replaced_revision(engine: Engine) -> None:
    """Late rows came: the versions that were trained without them, and the old predictions, are
    named.
    """
    with lease(engine, "flights", "test") as held:
        ledger.record_batch(engine, held, with_content("a", predictions=PREDICTIONS))
        for version, digit in ((1, "a"), (2, "a"), (3, "c")):
            write_training(engine, held, trained_on(version, digit), "2020-01")
        ledger.record_batch(engine, held, with_content("b", rows=1103))

    (found,) = superseded(engine, "flights")

    assert (found.batch, found.revision, found.newest, found.versions) == ("2020-01", 1, 2, (1, 2))
    assert (
        str(found)
        == "2020-01 revision 1 (100 rows), now revision 2 (1,103 rows); trained on it: version 1,"
        " 2; predictions: predictions/old"
    )
    assert superseded(engine, "weather") == ()


def test_versions_of_replaced_labels(engine: Engine) -> None:
    """A correction of labels came: who was trained on the old ones is named, an ensemble by each of
    its members; others are not.
    """
    old, new = (LabelSnapshot(batch="2020-01", snapshot=digit * 64) for digit in "ab")
    member = EnsembleMember(version=1, window="all history", discounted_loss=0.5)
    with lease(engine, "flights", "test") as held:
        write_training(engine, held, trained_model(labelled_by=(old,)), "2020-02")
        write_training(engine, held, trained_model(version=2, labelled_by=(new,)), "2020-02")
        ensemble = trained_model(version=3, labelled_by=(new,), members=(member,))
        write_training(engine, held, ensemble, "2020-02")
        for digit in "ab":
            ledger.record_batch(engine, held, with_content(digit, stream="labels"))

    (found,) = superseded(engine, "flights")

    assert (
        str(found)
        == "labels of 2020-01 revision 1 (100 rows), now revision 2 (100 rows); trained on it:"
        " version 1, 3"
    )
    kept = needed(engine).snapshots
    assert {with_content(digit).snapshot.path for digit in "ab"} <= kept


def test_record_from_before_labels_were_kept() -> None:
    """An old record of a training has none."""
    old = trained_model().model_dump(mode="json", exclude={"labelled_by"})

    assert TrainedModel.model_validate(old).labelled_by == ()


def test_content_that_came_back(engine: Engine) -> None:
    """What rests on the first content is sound again when that content is the newest."""
    with lease(engine, "flights", "test") as held:
        write_training(engine, held, trained_on(1, "a"), "2020-01")
        for digit in "aba":
            ledger.record_batch(engine, held, with_content(digit))

    assert superseded(engine, "flights") == ()


def test_features_that_look_back_on_a_replaced_revision(engine: Engine) -> None:
    """They are named with the versions that have them, and what they were made of stays."""
    read = PastSnapshot(
        stream="rows", batch="2020-01", snapshot="a" * 64, features=("late_7d", "flown")
    )
    with lease(engine, "flights", "test") as held:
        ledger.record_batch(engine, held, with_content("a"))
        for version in (1, 2):
            one = trained_model(version=version, looked_back=(read,))
            write_training(engine, held, one, "2020-02")
        ledger.record_batch(engine, held, with_content("b", rows=101))

    (found,) = superseded(engine, "flights")

    assert found.looking_back == ("late_7d (version 1, 2)", "flown (version 1, 2)")
    assert str(found).endswith(
        "; features look back on it: late_7d (version 1, 2), flown (version 1, 2)"
    )
    assert len(needed(engine).snapshots) == 1, "both contents lie in one directory here"


def test_all_revisions_of_a_model_that_looks_back_are_kept(engine: Engine) -> None:
    """A row of then is made of what there was then, whether a version has read it yet or not."""
    read = PastSnapshot(stream="rows", batch="2019-12", snapshot="d" * 64, features=("flown",))
    old = with_content("a").snapshot.but(path="snapshots/flights/old")
    with lease(engine, "flights", "test") as held:
        ledger.record_batch(engine, held, batch_record(snapshot=old))
        ledger.record_batch(engine, held, with_content("b"))
        before = needed(engine).snapshots
        write_training(engine, held, trained_model(looked_back=(read,)), "2020-01")

    assert before == {"snapshots/flights/2020-01"}
    assert needed(engine).snapshots == before | {"snapshots/flights/old"}
