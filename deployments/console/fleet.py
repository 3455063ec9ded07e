"""The fleet, as it stands in the ledger now."""

from __future__ import annotations

from datetime import timedelta

from tasks.configuration import ConfigurationError
from tasks.history import History
from tasks.ledger import entries as ledger
from tasks.ledger.fleet import LastDecision, last_decisions, newest_batches
from tasks.ledger.tables import Engine
from tasks.model_spec import manage, managed_models
from tasks.reports.fleet_page import FleetModel, at_a_glance
from tasks.settings import Settings

BATCHES = 24
"""Batches of which the small line of scores is made."""


class Fleet:
    """Reads the fleet of a ledger; a history is read again only when it has grown."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings, self._engine = settings, engine
        self._histories: dict[str, tuple[LastDecision, History]] = {}

    def models(self) -> tuple[FleetModel, ...]:
        """Return every model of project and ledger; those that need a person first, then by
        name.
        """
        batches, decided = newest_batches(self._engine, BATCHES), last_decisions(self._engine)
        described = set(managed_models(self._settings))
        found = [
            at_a_glance(
                name,
                batches.get(name, ()),
                history,
                managed=name in described,
                within=self._within(name, history) if name in described else None,
            )
            for name in described | set(batches) | set(decided)
            for history in (self._history(name, decided.get(name)),)
        ]
        return tuple(sorted(found, key=lambda one: (not one.needs, one.model)))

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
