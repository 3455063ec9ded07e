"""Where the ``kingmaker`` command begins, also as ``python -P -m deployments.command``.

Nothing of ours is imported before it is certain that what is found under our names is ours.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("data_contracts", "tasks", "flows")
_MISUSE = 2


def main() -> None:
    """Run the command line, unless Python would import another's module in place of one of ours."""
    for name in _PACKAGES:
        spec = find_spec(name)
        found = None if spec is None else spec.origin
        if found is None or Path(found).resolve() != _ROOT / name / "__init__.py":
            print(
                f"kingmaker: the package {name}: expected it in {_ROOT}, found"
                f" {found or 'none'}, which would stand in its place; rename that, or take its"
                " directory out of PYTHONPATH",
                file=sys.stderr,
            )
            sys.exit(_MISUSE)
    from tasks.processes import collect_seldom

    collect_seldom()
    from deployments.command.cli import main as run

    run()


if __name__ == "__main__":
    main()
