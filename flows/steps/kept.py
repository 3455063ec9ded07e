"""The values that were used last, so that a run makes none twice that it soon needs again."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """At most ``most`` values by their keys, and besides the newest none that does not fit in
    ``room`` by its ``size``; the one whose last use is longest ago goes first.
    """

    def __init__(
        self, most: int, room: float = math.inf, size: Callable[[V], int] = lambda _: 0
    ) -> None:
        self._most, self._room, self._size = most, room, size
        self._values: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value that was kept for ``key``, or else make it and keep it."""
        value = self._values.pop(key) if key in self._values else make()
        self._values[key] = value
        while len(self._values) > 1 and self._too_many():
            del self._values[next(iter(self._values))]
        return value

    def _too_many(self) -> bool:
        values = self._values.values()
        return len(values) > self._most or sum(map(self._size, values)) > self._room
