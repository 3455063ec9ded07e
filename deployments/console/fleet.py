"""The fleet, as it stands in the ledger now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from deployments.console.runs import Runs, needs_of
from deployments.server.client import ServerAwayError, ServerRefusedError
from tasks.configuration import ConfigurationError
from tasks.history import History
from tasks.ledger import entries as ledger
from tasks.ledger.fleet import LastDecision, last_decisions, newest_batches
from tasks.ledger.served import behind, models_served
from tasks.ledger.tables import Engine
from tasks.model_spec import manage, managed_models
from tasks.needs import Need
from tasks.reports.fleet_page import FleetModel, at_a_glance
from tasks.settings import Settings

BATCHES = 24
"""Batches of which the small line of scores is made."""


class Fleet:
    """Reads the fleet of a ledger; a history is read again only when it has grown."""

    def __init__(self, settings: Settings, engine: Engine, runs: Runs | None = None) -> None:
        self._settings, self._engine, self._runs = settings, engine, runs
        self._histories: dict[str, tuple[LastDecision, History]] = {}
        self._sinks: dict[str, tuple[float, tuple[str, ...]]] = {}

    def models(self) -> tuple[FleetModel, ...]:
        """Return every model of project and ledger; those that need a person first, then by
        name.
        """
        return self.look()[0]

    def look(self) -> tuple[tuple[FleetModel, ...], str]:
        """Return the models, and why nothing is told of their runs, where Prefect cannot be
        asked.
        """
        batches, decided = newest_batches(self._engine, BATCHES), last_decisions(self._engine)
        described = set(managed_models(self._settings))
        now, served = datetime.now(UTC), models_served(self._engine)
        running, away = self._needs_of_runs(now)
        found = []
        for name in described | set(batches) | set(decided):
            history = self._history(name, decided.get(name))
            one = at_a_glance(
                name,
                batches.get(name, ()),
                history,
                managed=name in described,
                within=self._within(name, history) if name in described else None,
            )
            behind = self._behind(name, now) if name in described and name in served else ()
            more = (*running.get(name, ()), *behind)
            found.append(one.but(needs=(*one.needs, *more)) if more else one)
        return tuple(sorted(found, key=lambda one: (not one.needs, one.model))), away

    def _needs_of_runs(self, now: datetime) -> tuple[dict[str, tuple[Need, ...]], str]:
        if self._runs is None:
            return {}, ""
        try:
            return needs_of(self._runs.newest(), now), ""
        except (ServerAwayError, ServerRefusedError) as error:
            return {}, f"Failed and late runs are not shown: {error}"

    def _behind(self, name: str, now: datetime) -> Iterator[Need]:
        """The sinks that have not been given what was scored a while ago."""
        for sink in self._sinks_of(name):
            if parts := behind(self._engine, name, sink, now):
                since = f"{parts[0].scored_at:%Y-%m-%d %H:%M} UTC"
                count = "part" if len(parts) == 1 else "parts"
                yield Need(what=f"sink {sink} is behind: {len(parts)} {count} since {since}")

    def _sinks_of(self, name: str) -> tuple[str, ...]:
        """The sinks of a model's spec, which is read again after a minute."""
        at, sinks = self._sinks.get(name, (-60.0, ()))
        if time.monotonic() - at > 60:
            try:
                scoring = manage(name, self._settings).spec.scoring
            except ConfigurationError:  # see _within
                scoring = None
            sinks = () if scoring is None else tuple(sink.name for sink in scoring.sinks)
            self._sinks[name] = (time.monotonic(), sinks)
        return sinks

    def _within(self, name: str, history: History) -> timedelta | None:
        """How long requests for approval wait; only looked up where one does."""
        if not history.awaiting_approval:
            return None
        try:
            return manage(name, self._settings).spec.approval.within
        except ConfigurationError:  # the command says what is wrong with it; the page is shown
            return None

    def _history(self, name: str, last: LastDecision | None) -> History:
        if last is None:
            return History()
        known = self._histories.get(name)
        if known is None or known[0] != last:
            known = (last, ledger.history(self._engine, name))
            self._histories[name] = known
        return known[1]
