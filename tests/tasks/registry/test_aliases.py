"""Tests of the champion: fetching what is verified, and promoting so that a crash anywhere can be
repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tasks.lake import DamagedFileError
from tasks.ledger.lease import LeaseLostError
from tasks.records import Fence, Promote, RollBack, TrainedModel
from tasks.registry import aliases
from tasks.registry.aliases import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    ChampionMismatchError,
    aliased_version,
    fetch,
    set_champion,
)
from tasks.registry.runs import client, log_training
from tasks.settings import Settings
from tests.tasks.builders import OPEN
from tests.tasks.registry.conftest import FEATURES, PROFILE, training

WRITES = (
    "set_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)
FIRST = Promote(reason="the first champion", version=1, previous=None)
SECOND = Promote(reason="a change of recipe", version=2, previous=1)
BACK = RollBack(reason="the previous champion was better", version=1, previous=2)


class PowerCutError(RuntimeError):
    """The process died here."""


class Failing:
    """MLflow's client, which dies after so many writes; it notes what it wrote."""

    def __init__(self, real: Any, writes: int) -> None:
        self.real, self.left = real, writes
        self.wrote: list[tuple[str, ...]] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.real, name)
        if name not in WRITES:
            return call

        def write(*args: str) -> None:
            call(*args)
            self.wrote.append((name, *args))
            self.left -= 1
            if self.left == 0:
                raise PowerCutError

        return write


def _die_after(monkeypatch: pytest.MonkeyPatch, settings: Settings, writes: int) -> Failing:
    failing = Failing(client(settings.tracking_uri), writes)
    monkeypatch.setattr(aliases, "client", lambda _: failing)
    return failing


def _state(settings: Settings) -> dict[str, Any]:
    api = client(settings.tracking_uri)
    named = {
        alias: aliased_version(settings, "flights", alias)
        for alias in (CHAMPION, CHALLENGER, PREVIOUS)
    }
    tags = {v: api.get_model_version("flights", str(v)).tags for v in (1, 2)}
    return named | {f"{v} {t}": tags[v].get(t) for v in tags for t in ("in_service", "reason")}


@pytest.fixture(scope="module")
def store_of_two(quiet: None, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with version 1 on the champion and version 2 as its challenger."""
    home = tmp_path_factory.mktemp("two")
    (home / "mlflow.db").write_bytes(empty_store.read_bytes())
    settings = Settings(home=home)
    log_training(settings, training(), OPEN)
    set_champion(settings, "flights", FIRST, OPEN)
    log_training(settings, training(C=0.1), OPEN)
    return home / "mlflow.db"


@pytest.fixture
def two(settings: Settings, store_of_two: Path) -> Settings:
    """A store with version 1 on the champion and version 2 as its challenger."""
    (settings.home / "mlflow.db").write_bytes(store_of_two.read_bytes())
    return settings


def test_there_is_no_champion_at_first(settings: Settings) -> None:
    """A model that the registry does not know has no champion; nor has one that was never
    promoted.
    """
    assert aliased_version(settings, "flights", CHAMPION) is None
    log_training(settings, training(), OPEN)
    assert aliased_version(settings, "flights", CHAMPION) is None


def test_promotion(two: Settings) -> None:
    """The challenger is champion, the champion is the previous one, and nobody challenges."""
    assert (
        aliased_version(two, "flights", CHAMPION),
        aliased_version(two, "flights", CHALLENGER),
    ) == (1, 2)

    set_champion(two, "flights", SECOND, OPEN)

    assert _state(two) == {
        CHAMPION: 2,
        CHALLENGER: None,
        PREVIOUS: 1,
        "1 in_service": "ended",
        "2 in_service": "began",
        "1 reason": FIRST.reason,
        "2 reason": SECOND.reason,
    }


def test_rollback(two: Settings) -> None:
    """The previous champion is champion again, and the replaced one is the previous champion."""
    set_champion(two, "flights", SECOND, OPEN)
    set_champion(two, "flights", BACK, OPEN)

    state = _state(two)
    assert (state[CHAMPION], state[PREVIOUS]) == (1, 2)
    assert (state["1 in_service"], state["2 in_service"]) == ("began", "ended")


def test_champion_is_moved_last(two: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that is written, the alias champion is the last."""
    watched = _die_after(monkeypatch, two, -1)

    set_champion(two, "flights", SECOND, OPEN)

    champion = [i for i, call in enumerate(watched.wrote) if CHAMPION in call]
    assert champion == [len(watched.wrote) - 1]
    assert len(watched.wrote) == 6


@pytest.mark.parametrize("decision", [SECOND, BACK])
def test_a_crash_after_any_write_can_be_repeated(
    two: Settings, monkeypatch: pytest.MonkeyPatch, decision: Promote | RollBack
) -> None:
    """Cut after each write in turn, there is a champion, and done again it ends the same."""
    settings, api = two, client(two.tracking_uri)
    if decision is BACK:
        set_champion(settings, "flights", SECOND, OPEN)

    def reset() -> None:
        for alias, version in begin.items():
            if version is None:
                api.delete_registered_model_alias("flights", alias)
            else:
                api.set_registered_model_alias("flights", alias, str(version))

    begin = {
        alias: aliased_version(settings, "flights", alias)
        for alias in (CHAMPION, CHALLENGER, PREVIOUS)
    }
    with monkeypatch.context() as patch:
        watched = _die_after(patch, settings, -1)
        set_champion(settings, "flights", decision, OPEN)
    whole = _state(settings)

    for writes in range(1, len(watched.wrote) + 1):
        reset()
        with monkeypatch.context() as patch:
            _die_after(patch, settings, writes)
            with pytest.raises(PowerCutError):
                set_champion(settings, "flights", decision, OPEN)
        assert aliased_version(settings, "flights", CHAMPION) in (
            decision.previous,
            decision.version,
        )

        set_champion(settings, "flights", decision, OPEN)

        assert _state(settings) == whole


def test_done_twice_is_done_once(two: Settings) -> None:
    """A promotion that is carried out again changes nothing."""
    set_champion(two, "flights", SECOND, OPEN)
    once = _state(two)

    set_champion(two, "flights", SECOND, OPEN)

    assert _state(two) == once


@pytest.mark.parametrize("previous", [None, 3])
def test_another_champion_stops_the_promotion(two: Settings, previous: int | None) -> None:
    """When another is champion than the evidence names, nothing is changed."""
    before = _state(two)

    with pytest.raises(
        ChampionMismatchError, match=f"expected version {previous} to be champion.*found version 1"
    ):
        set_champion(two, "flights", Promote(reason="stale", version=2, previous=previous), OPEN)

    assert _state(two) == before


def test_fetch(settings: Settings, trained: TrainedModel) -> None:
    """A version comes back with its sample and profile, and predicts the same bits."""
    found = fetch(settings, trained, "skops")

    assert found.trained == trained
    assert found.profile == PROFILE
    assert found.baseline.equals(FEATURES)
    expected = training().pipeline.predict_proba(FEATURES)
    assert found.pipeline.predict_proba(FEATURES).tobytes() == expected.tobytes()


def test_fetch_refuses_changed_bytes(settings: Settings, trained: TrainedModel) -> None:
    """One byte that was flipped in the store is found before anything is read."""
    (stored,) = Path(settings.artifacts).rglob("model.skops")
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)

    with pytest.raises(DamagedFileError):
        fetch(settings, trained, "skops")


def test_fetch_leaves_nothing_behind(
    settings: Settings, trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was downloaded to be read is removed."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    fetch(settings, trained, "skops")

    assert list((tmp_path / "temporary").iterdir()) == []


def _copies(settings: Settings) -> list[Path]:
    return sorted(file for file in settings.models.rglob("*") if file.is_file())


def test_second_fetch_needs_no_registry(
    settings: Settings, trained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once verified, a version is read from the copy below the home, when the registry is away
    too.
    """
    expected = fetch(settings, trained, "skops").pipeline.predict_proba(FEATURES)
    monkeypatch.setattr(aliases, "_download", lambda *_: pytest.fail("the registry was asked"))

    found = fetch(settings, trained, "skops")

    assert found.pipeline.predict_proba(FEATURES).tobytes() == expected.tobytes()
    assert found.profile == PROFILE


@pytest.mark.parametrize("name", ["model.skops", "sample.parquet", "profile.json"])
def test_damaged_copy_is_fetched_again(
    settings: Settings, trained: TrainedModel, name: str
) -> None:
    """A copy with a flipped byte, or without a file, is never used: the registry's own takes its
    place.
    """
    fetch(settings, trained, "skops")
    whole = {file: file.read_bytes() for file in _copies(settings)}
    (copy,) = settings.models.rglob(name)

    copy.write_bytes(b"x" + copy.read_bytes()[1:])
    fetch(settings, trained, "skops")
    assert {file: file.read_bytes() for file in _copies(settings)} == whole

    copy.unlink()
    fetch(settings, trained, "skops")
    assert {file: file.read_bytes() for file in _copies(settings)} == whole


@pytest.mark.parametrize("name", ["sample.parquet", "profile.json"])
def test_changed_baseline_is_refused(settings: Settings, trained: TrainedModel, name: str) -> None:
    """The baseline too is what the ledger says; of what was refused no copy stays."""
    (stored,) = Path(settings.artifacts).rglob(name)
    stored.write_bytes(stored.read_bytes() + b" ")

    with pytest.raises(DamagedFileError, match=name):
        fetch(settings, trained, "skops")

    assert _copies(settings) == []


def test_run_that_lost_its_lease_moves_nothing(two: Settings) -> None:
    """A fence that is closed stops every write: the promotion, and the challenger's alias of a
    late training.
    """

    def lost() -> nullcontext[None]:
        raise LeaseLostError("passed on")

    before, closed = _state(two), Fence(token=1, hold=lost)

    with pytest.raises(LeaseLostError):
        set_champion(two, "flights", SECOND, closed)
    with pytest.raises(LeaseLostError):
        log_training(two, training(C=0.2), closed)

    assert _state(two) == before


def test_every_write_of_a_promotion_is_fenced(
    two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No write is made outside the block in which the lease cannot pass on."""
    inside: list[bool] = []

    @contextmanager
    def hold() -> Iterator[None]:
        inside.append(True)
        yield
        inside.clear()

    watched = _die_after(monkeypatch, two, -1)
    monkeypatch.setattr(watched, "left", _Fenced(inside))

    set_champion(two, "flights", SECOND, Fence(token=1, hold=hold))

    assert len(watched.wrote) == 6


class _Fenced:
    """Counts for ``Failing``, and fails when a write is outside the fence."""

    def __init__(self, inside: list[bool]) -> None:
        self.inside = inside

    def __sub__(self, _: int) -> _Fenced:
        assert self.inside == [True]
        return self


def test_alias_that_was_taken_away_at_once_is_noticed(
    two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody else moves the alias at that moment, the decision does not count as carried
    out.
    """
    answers = iter([1, 2, 1])
    monkeypatch.setattr(aliases, "aliased_version", lambda *_: next(answers))

    with pytest.raises(
        ChampionMismatchError,
        match="expected version 2 to be champion after it was promoted, found version 1",
    ):
        set_champion(two, "flights", SECOND, OPEN)
