"""From a template to a page: one self-contained file in which every value is escaped."""

from __future__ import annotations

import functools
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.reports import figures
from tasks.reports.summary import record_of_estimates

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, **values: object) -> str:
    """Return the HTML text of ``template``, with every value escaped and every missing one an
    error.
    """
    return _environment().get_template(template).render(**values)


def relative_address(href: str) -> str:
    """Return ``href`` if it stays beside the page; ValueError when it leads away or is a script."""
    parts = urlsplit(href)
    if parts.scheme or parts.netloc or href.startswith(("/", "\\")):
        raise ValueError(f"expected an address relative to the page, found {href!r}")
    return href


@functools.cache
def _environment() -> Environment:
    # Only a run that writes a page pays for the import.

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": figures.number,
        "ratio": figures.ratio,
        "percent": figures.percent,
        "odds": figures.odds,
        "estimate": figures.estimate,
        "estimates": record_of_estimates,
        "value": figures.value,
        "ends": figures.ends,
        "interval": figures.interval,
        "moment": figures.moment,
        "counted": figures.counted,
        "metric": figures.in_words,
        "plain": figures.in_plain_words,
        "relative": relative_address,
    }
    return environment
