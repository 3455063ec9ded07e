"""What stands in the place of a page that could not be made: a run does not end by a picture."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from logging import Logger, LoggerAdapter
from typing import Any

from tasks.errors import first_line


def page_or_why(what: str, make: Callable[[], str], log: Logger | LoggerAdapter[Any]) -> str:
    """Return the page that ``make`` gives; when it raises, one that says so by name, and warn.

    ``make`` only draws: what it writes, if anything, is not undone.
    """
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - a library that draws may raise anything
        log.warning("%s could not be made: %s", what, first_line(error))
        told = f"{what} could not be made: {first_line(error)}"
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Not made</title>'
            f"<p>{escape(told)}</p></html>"
        )
