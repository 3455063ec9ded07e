"""What a sink is, and how the spec's description of one becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from data_contracts.contract import Contract
from tasks.addresses import Address, AddressError, fill_in
from tasks.model_spec import ManagedModel
from tasks.records import ServedPart
from tasks.scoring.config import ScoringConfig, SinkConfig


class SinkError(AddressError):
    """A sink cannot be written to; nothing of what was to be delivered is half there."""


class Sink(Protocol):
    """A place that served predictions are delivered to, part by part, oldest first."""

    @property
    def by_part(self) -> bool:
        """Whether a part is written for itself; else all parts of its batch are each time, and the
        newest stands for those before it.
        """

    def deliver(self, part: ServedPart, rows: pa.Table, batch: tuple[ServedPart, ...]) -> None:
        """Write ``rows``, all of ``part``, so that they are there whole or not at all; ``batch``
        are all parts of its batch. To deliver the same again changes nothing, and an older part
        replaces nothing newer. Raises SinkError.
        """


@dataclass(frozen=True)
class Place:
    """A sink's description with its references filled in."""

    config: SinkConfig
    managed: ManagedModel
    address: Address
    """The url or the path."""
    endpoint: Address
    options: dict[str, Address]

    @property
    def contract(self) -> Contract:
        """The contract of the rows."""
        return self.managed.contract

    @property
    def scoring(self) -> ScoringConfig:
        """What a row holds."""
        assert self.managed.spec.scoring is not None  # noqa: S101 - it names this sink
        return self.managed.spec.scoring

    def error(self, sentence: str) -> SinkError:
        """Return an error that names the sink and shows nothing that was filled in."""
        hidden = self.address.hiding((self.endpoint, *self.options.values()))
        return SinkError(hidden.hide(f"sink {self.config.name}: {' '.join(sentence.split())}"))


def open_sink(config: SinkConfig, managed: ManagedModel, read_block: Callable[[str], str]) -> Sink:
    """Return the sink that ``config`` describes; nothing is connected yet.

    Relative paths count from the project directory. Raises SinkError when a variable of the
    environment or a Prefect block is missing, or the address is none.
    """
    from tasks.scoring.sinks.files import FileSink
    from tasks.scoring.sinks.table import TableSink

    settings = managed.settings
    where = f"{managed.name}: scoring.sinks.{config.name}"

    def fill(key: str, text: str) -> Address:
        try:
            return fill_in(text, f"{where}.{key}", settings.home, read_block)
        except AddressError as error:
            raise SinkError(str(error)) from None

    address = fill("path" if config.url is None else "url", config.path or config.url or "")
    place = Place(
        config,
        managed,
        address,
        fill("endpoint", config.endpoint),
        {name: fill(f"options.{name}", value) for name, value in config.options.items()},
    )
    return FileSink(place) if config.url is None else TableSink(place)


def below_project(path: str, project: Path) -> str:
    """Return a local path, counted from the project directory when it is relative."""
    return path if "://" in path else (project / path).as_posix()
