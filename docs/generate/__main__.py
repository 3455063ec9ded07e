"""``python -m docs.generate`` writes the reference; with ``--check`` it only names stale files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from docs.generate import commands, contract, model_spec

REFERENCE = Path(__file__).parent.parent / "reference"


def generated() -> dict[str, str]:
    """Return the text of each generated file, by its name in docs/reference/."""
    return {
        "model-spec.md": model_spec.page(),
        "model-spec.schema.json": _json(model_spec.schema()),
        "contract.md": contract.page(),
        "contract.schema.json": _json(contract.schema()),
        "commands.md": commands.page(),
    }


def stale() -> list[str]:
    """Return the names of the files that are not what the code gives."""
    return [
        name
        for name, text in generated().items()
        if not (REFERENCE / name).is_file() or (REFERENCE / name).read_text("utf-8") != text
    ]


def _json(schema: object) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the stale files, or with ``--check`` end with their names."""
    names = stale()
    if "--check" in sys.argv[1:]:
        sys.exit(f"stale, run 'make reference': {', '.join(names)}" if names else 0)
    texts = generated()
    for name in names:
        (REFERENCE / name).write_text(texts[name], encoding="utf-8")
        print(f"wrote docs/reference/{name}")


if __name__ == "__main__":
    main()
