"""What a person reads who is asked to approve."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.records import AwaitApproval, LedgerEntry
from tasks.reports.approval_page import render_approval_page, render_approval_text
from tests.tasks.builders import comparison, evidence, slice_comparison

DEADLINE = datetime(2013, 7, 1, tzinfo=UTC)


def entry_of(value: str = "UA", reason: str = "a refresh, not clearly worse") -> LedgerEntry:
    """A decision that waits, on a comparison with one slice called ``value``."""
    seen = evidence(comparison=comparison(slices=(slice_comparison(value=value),)))
    moment = datetime(2013, 6, 1, tzinfo=UTC)
    return LedgerEntry(
        id=7,
        model=seen.model,
        batch=seen.batch,
        decision=AwaitApproval(reason=reason, version=seen.challenger, previous=seen.champion),
        evidence=seen,
        evidence_sha256="ab" * 32,
        as_of=moment,
        recorded_at=moment,
        effective_at=moment,
        flow_run="",
        decided_by="kingmaker",
    )


@pytest.mark.parametrize("render", [render_approval_page, render_approval_text])
def test_every_number_of_the_evidence_is_there(render):
    """Reason, deadline, command, both losses, the test, guardrails, holdout and slices."""
    entry = entry_of()
    seen = comparison()

    page = render(entry, DEADLINE)

    for text in (
        "a refresh, not clearly worse",
        "2013-07-01 00:00 UTC",
        f"--version {entry.decision.version}",
        f"{seen.rows:,}",
        "Guardrails",
        "Slices",
        "blocks of time",
        "kingmaker refuse",
        entry.evidence.guardrails[0].name.split()[0],
    ):
        assert text in page


def test_a_script_as_slice_stays_text():
    """A category is data: it becomes no tag on the page and none in the artifact."""
    evil = "<script>alert(1)</script>|[x](javascript:alert(1))"
    entry = entry_of(evil, reason=evil)

    text = render_approval_text(entry, DEADLINE)
    assert "<script" not in render_approval_page(entry, DEADLINE)
    assert "<script" not in text
    assert "](javascript" not in text.replace("\\]", "")
