"""Tests of what makes a Prefect task of a room's work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest
from prefect.cache_policies import NO_CACHE

from tasks.task import task

pytestmark = pytest.mark.flow


class Closed(list[int]):
    """A list that no one may look into."""

    def __iter__(self) -> Iterator[NoReturn]:
        raise AssertionError("it was looked into")


def test_arguments_are_taken_as_they_are(prefect_server: None) -> None:
    """By place and by name, the very objects, without a look inside; and so is what is returned."""
    first, second = Closed(), Closed()

    @task("a pair")
    def pair(one: Closed, two: Closed) -> tuple[int, int]:
        return id(one), id(two)

    assert pair(first, two=second) == (id(first), id(second))


def test_nothing_comes_from_a_cache(prefect_server: None) -> None:
    """The same call is made again, under the name that it was given."""
    calls: list[int] = []

    @task("count")
    def count(number: int) -> None:
        calls.append(number)

    count(1)
    count(1)

    assert calls == [1, 1]
    assert count.name == "count"
    assert count.cache_policy is NO_CACHE
