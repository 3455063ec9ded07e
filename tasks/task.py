"""How a room's work becomes a Prefect task: timed and shown, and never taken from a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

P = ParamSpec("P")
R = TypeVar("R")


class _Quoted(Task[Any, Any]):
    """A task that is given its arguments as they are.

    Prefect would look through every record for results of other tasks, twice a call: that took
    longer than many a task.
    """

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as Task has it
        quoted = {name: quote(argument) for name, argument in named.items()}
        return super().__call__(*map(quote, arguments), **quoted)


def task(name: str, **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]:  # noqa: ANN401 - of Prefect's Task
    """Make a function a Prefect task called ``name``; ``options`` are those of ``prefect.Task``.

    It takes values, and no futures of Prefect's.
    """

    def of(function: Callable[P, R]) -> Task[P, R]:
        made = _Quoted(function, name=name, cache_policy=NO_CACHE, **options)
        return cast("Task[P, R]", made)

    return of
