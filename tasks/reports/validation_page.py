"""The validation page of one batch: what the contract asked, and what was found."""

from __future__ import annotations

from collections.abc import Iterable

from data_contracts.contract import Contract
from tasks.records import RuleOutcome, Snapshot, Verdict
from tasks.reports.page import render_page

_SCOPES = (
    ("schema", "Columns and types", "a broken one refuses the batch"),
    ("row", "Values", "a row that breaks one goes to quarantine"),
    ("batch", "The batch as a whole", "a broken one refuses the batch"),
)
MOST_RULES = 300
"""Rules in one table, those that most rows break first: of more the rest is counted."""
_SEVERITIES = ("error", "warning", "info")


def render_validation_page(contract: Contract, snapshot: Snapshot, verdict: Verdict) -> str:
    """Return the HTML page of one verdict: failed rules first, then every rule by its scope."""
    return render_page(
        "validation.html.j2",
        contract=contract,
        snapshot=snapshot,
        verdict=verdict,
        most=MOST_RULES,
        failed=_worst_first(rule for rule in verdict.rules if rule.outcome == "failed"),
        scopes=tuple(
            (title, cost, _worst_first(own))
            for scope, title, cost in _SCOPES
            if (own := tuple(rule for rule in verdict.rules if rule.scope == scope))
        ),
    )


def _worst_first(rules: Iterable[RuleOutcome]) -> tuple[RuleOutcome, ...]:
    """Failed before not run before passed; among them errors first, then the most rows."""
    outcomes = ("failed", "not_run", "passed")
    return tuple(
        sorted(
            rules,
            key=lambda rule: (
                outcomes.index(rule.outcome),
                _SEVERITIES.index(rule.severity),
                -rule.count,
            ),
        )
    )
