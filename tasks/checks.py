"""Checks of a challenger: the codes of all of them, and what each gives.

A check is a class of the room that can make it. Those that look at predictions are in
``tasks/evaluation/checks``; features, the stored file and the ensemble are looked at where they are
known. Each has a section of ``docs/decisions.md`` under its code.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from data_contracts.contract import nearest
from tasks.records import Guardrail

TITLES = {
    "KM001": "finite predictions",
    "KM002": "not constant",
    "KM003": "loads and predicts as fitted",
    "KM004": "mean prediction near mean label",
    "KM005": "calibration",
    "KM006": "generalises",
    "KM007": "size",
    "KM008": "prediction time",
    "KM009": "no feature tells the target",
    "KM010": "features know no future",
    "KM011": "accepts the contract's schema",
    "KM012": "loads and predicts by itself",
    "KM013": "fairness",
    "KM014": "new member may join the ensemble",
    "KM015": "features are the same elsewhere",
}
"""Code -> title of every check. A code is never given to another check."""


def known_code(code: str) -> str:
    """Return ``code``; ValueError, with the nearest code, unless a check has it."""
    if code in TITLES:
        return code
    titled = [known for known, title in TITLES.items() if title == code.strip().lower()]
    hint = f" (did you mean {titled[0]!r}?)" if titled else nearest(code.upper(), TITLES)
    raise ValueError(f"expected the code of a check, such as 'KM005', found {code!r}{hint}")


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
