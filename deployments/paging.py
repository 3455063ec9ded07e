"""Lists of Prefect's server, which gives a page at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

PAGE = 200
"""The most that Prefect's server lists at a time."""

T = TypeVar("T")


async def read_all(read: Callable[[int, int], Awaitable[Sequence[T]]]) -> list[T]:
    """Return what all pages hold; ``read`` gives one, of a limit and an offset."""
    found: list[T] = []
    while True:
        page = await read(PAGE, len(found))
        found += page
        if len(page) < PAGE:
            return found
