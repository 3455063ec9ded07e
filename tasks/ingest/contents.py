"""What files of this machine hold, told by digests of their bytes: a copy of a file has the digest
of the original, whatever its time. A file is read anew when its size or its time has changed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.ingest.source import digest_of
from tasks.ingest.stores import LocalStore, Store, below, look_at, opened
from tasks.lake import write_whole


class Contents:
    """Fingerprints of the files that a pattern finds; those of this machine are kept in a file of
    ``directory`` from one look to the next.

    A damaged one is written anew. It names files from where the pattern looks on: what stands
    before may be a secret.
    """

    def __init__(self, store: Store, pattern: str, directory: Path) -> None:
        self._store, self._pattern = store, pattern
        self._kept = directory / f"contents-{digest_of({'pattern': pattern})}.json"
        self._known = _read(self._kept) if isinstance(store, LocalStore) else {}
        self._found: dict[str, Any] = {}

    def fingerprint(self, path: str) -> str:
        """Return a sign of change of the file: of its name and bytes, or of what another store says
        of it; SourceError when it has gone.
        """
        file = look_at(self._store, path)
        if not isinstance(self._store, LocalStore):
            return file.fingerprint
        seen, name = [file.size, file.changed], below(self._pattern, path)
        known = self._known.get(name)
        if not (isinstance(known, dict) and known.get("seen") == seen and known.get("digest")):
            with opened(self._store, path) as stream:
                known = {"seen": seen, "digest": _sha256(stream)}
        self._found[name] = known
        own = path.rpartition("/")[2]
        return hashlib.sha256(f"{own}:{known['digest']}".encode()).hexdigest()[:16]

    def keep(self) -> None:
        """Keep what was found, where it differs from what was known."""
        if self._found != self._known:
            write_whole(self._kept, json.dumps(self._found).encode())


def _sha256(stream: Any) -> str:  # noqa: ANN401 - a binary file
    digest = hashlib.sha256()
    while piece := stream.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def _read(file: Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
