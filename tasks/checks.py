"""Checks of a challenger, and what each gives; their codes are in ``tasks/check_codes.py``.

A check is a class of the room that can make it. Those that look at predictions are in
``tasks/evaluation/checks``; features, the stored file and the ensemble are looked at where they are
known. Each has a section of ``docs/decisions.md`` under its code.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from tasks.check_codes import TITLES
from tasks.records import Guardrail


class Check:
    """A check of a challenger; what it takes is its own, what it gives is a Guardrail."""

    code: ClassVar[str]

    @property
    def title(self) -> str:
        """What is checked, as pages name it."""
        return TITLES[self.code]

    @property
    def anchor(self) -> str:
        """Where the docs say what it checks, by which limit, and what to do when it refuses."""
        return f"docs/decisions.md#{self.code.lower()}"

    def result(
        self, passed: bool | Literal["passed", "failed", "not made"], found: str, limit: str
    ) -> Guardrail:
        """Return the record of this check."""
        outcome = ("passed" if passed else "failed") if isinstance(passed, bool) else passed
        return Guardrail(code=self.code, name=self.title, outcome=outcome, found=found, limit=limit)
