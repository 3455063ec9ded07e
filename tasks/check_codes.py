"""The codes of all checks of a challenger, by which specs accept and docs explain them."""

from __future__ import annotations

from data_contracts.contract import nearest

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
    "KM016": "features rest on no other row",
    "KM017": "serves raw rows elsewhere",
    "KM018": "intervals hold in every slice",
}
"""Code -> title of every check. A code is never given to another check."""


def known_code(code: str) -> str:
    """Return ``code``; ValueError, with the nearest code, unless a check has it."""
    if code in TITLES:
        return code
    titled = [known for known, title in TITLES.items() if title == code.strip().lower()]
    hint = f" (did you mean {titled[0]!r}?)" if titled else nearest(code.upper(), TITLES)
    raise ValueError(f"expected the code of a check, such as 'KM005', found {code!r}{hint}")
