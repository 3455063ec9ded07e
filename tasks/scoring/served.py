"""The record of what was served: parts in the lake, which the ledger names one by one.

The columns of a part have names that cannot clash: ``key:`` and ``value:`` stand before the
contract's own, ``feature:`` before what the model was given; ``prediction``, or ``probability:``
before each class; ``prediction_low`` and ``prediction_high``; ``reasons``; and ``digest``, which
says whether a row is still the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.lake import MOST_ROWS, DamagedFileError, arrow_type, file_sha256, write_whole
from tasks.records import FeatureFrame, LoadedModel, ServedPart, served_by

KEY, VALUE, FEATURE, PROBABILITY = "key:", "value:", "feature:", "probability:"
PREDICTION, REASONS, DIGEST = "prediction", "reasons", "digest"
LOW, HIGH = "prediction_low", "prediction_high"


@dataclass(frozen=True)
class ScoredRows:
    """Open rows with what the champion says of them, row for row."""

    rows: pa.Table
    """(rows, columns known at event time), in the contract's types."""
    frame: FeatureFrame
    predicted: np.ndarray
    """(rows,), or (rows, classes)."""
    champion: LoadedModel
    reasons: Sequence[str | None] | None = None
    """JSON, a list of {feature, value, effect}, one text a row; None when none were asked for."""
    margins: tuple[float, float] | None = None
    """What is added to a prediction for both ends of its interval, NaN while that is not known;
    None when none was asked for.
    """

    def where(self, mask: np.ndarray) -> ScoredRows:
        """Return the rows where the boolean ``mask`` of shape (rows,) is true."""
        return ScoredRows(
            self.rows.filter(pa.array(mask)),
            self.frame.where(mask),
            self.predicted[mask],
            self.champion,
            None
            if self.reasons is None
            else [r for r, m in zip(self.reasons, mask, strict=True) if m],
            self.margins,
        )

    def __len__(self) -> int:
        return len(self.frame)


def key_columns(contract: Contract) -> tuple[str, ...]:
    """Return the contract's key and event time, each once."""
    return tuple(dict.fromkeys([*contract.key, contract.event_time]))


def served_table(scored: ScoredRows, contract: Contract, include: Sequence[str]) -> pa.Table:
    """Return the rows as a part holds them: one row a served prediction."""
    rows, trained = scored.rows, scored.champion.trained
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        f"{KEY}{name}": rows[name] for name in key_columns(contract)
    }
    columns |= {f"{VALUE}{name}": rows[name] for name in include}
    if scored.predicted.ndim == 1:
        columns[PREDICTION] = _numbers(scored.predicted)
    if scored.margins is not None:
        for name, margin in zip((LOW, HIGH), scored.margins, strict=True):
            columns[name] = _numbers(scored.predicted + margin)
    for position, label in enumerate(trained.classes):
        columns[f"{PROBABILITY}{label}"] = _numbers(scored.predicted[:, position])
    if scored.reasons is not None:
        columns[REASONS] = pa.array(scored.reasons, pa.string())
    columns[DIGEST] = pa.array(row_digests(rows), pa.uint64())
    for name in scored.frame.features.columns:
        columns[f"{FEATURE}{name}"] = pa.array(scored.frame.features[name], from_pandas=True)
    return pa.table(columns)


def _numbers(predicted: np.ndarray) -> pa.Array:
    """What is no finite number is missing."""
    return pa.array(predicted, pa.float64(), mask=~np.isfinite(predicted))


def row_digests(rows: pa.Table) -> np.ndarray:
    """Return a number for each row, (rows,) uint64, that changes when a value of it does; the same
    row has the same, whatever rows stand beside it.
    """
    digests = np.zeros(rows.num_rows, dtype="uint64")
    for name in sorted(rows.column_names):
        column = rows[name].combine_chunks()
        hashed = _hashes(column)
        hashed[column.is_null().to_numpy(zero_copy_only=False)] = _MISSING
        digests = digests * _FACTOR + hashed  # modulo 2^64
    return digests


_FACTOR, _MISSING = np.uint64(6364136223846793005), np.uint64(0x9E3779B97F4A7C15)
"""Knuth's multiplier of MMIX; and what stands for a value that is missing."""


def _hashes(column: pa.Array) -> np.ndarray:
    """A number for each value, (rows,) uint64: of its text or its bits, never of its neighbours."""
    if pa.types.is_string(column.type):
        encoded = column.dictionary_encode()
        of_text = pd.util.hash_array(
            np.array([*encoded.dictionary.to_pylist(), ""], dtype="object"), categorize=False
        )
        return np.asarray(of_text[encoded.indices.fill_null(len(of_text) - 1).to_numpy()])
    if pa.types.is_floating(column.type):
        bits = (column.fill_null(0.0).to_numpy() + 0.0).view("uint64")  # minus zero is zero
    elif pa.types.is_boolean(column.type):
        bits = column.fill_null(False).to_numpy(zero_copy_only=False).astype("uint64")
    else:
        whole = column.view(pa.int32()) if pa.types.is_date32(column.type) else column
        bits = whole.cast(pa.int64()).fill_null(0).to_numpy().astype("uint64")
    return np.array(pd.util.hash_array(bits))


class ServedBefore:
    """What was served of each batch, as one run that adds to it looks at it: each part that others
    have written is read once, and its own are not read at all, for no key comes twice in a run.

    Where others have written more than ``most`` rows, no more of them are in memory than those
    that are asked about, and their parts are read whenever rows of their time are.
    """

    def __init__(self, lake: Path, contract: Contract, most: int = MOST_ROWS) -> None:
        self._lake, self._contract, self._most = lake, contract, most
        self._own: set[str] = set()
        self._read: dict[str, set[str]] = {}
        self._newest: dict[str, pd.DataFrame] = {}

    def newest(self, batch: str, parts: Sequence[ServedPart], rows: pa.Table) -> pd.DataFrame:
        """Return the newest served row of each key of a batch, of all its ``parts`` but one's own,
        as ``by_key`` has them: of the keys of ``rows`` at least; ``parts`` are oldest first.
        """
        theirs = [part for part in parts if part.path not in self._own]
        if sum(part.rows for part in theirs) > self._most:
            asked = rows.select(list(key_columns(self._contract))).to_pandas()
            found = newest_served(self._lake, theirs, self._contract, among=asked)
            return by_key(found, self._contract)
        read = self._read.setdefault(batch, set())
        new = [part for part in theirs if part.path not in read]
        read |= {part.path for part in new}
        if new or batch not in self._newest:
            added = newest_served(self._lake, new, self._contract)
            if batch in self._newest:
                before = self._newest[batch].reset_index()
                added = _newest_of([before, added], self._contract)
            self._newest[batch] = by_key(added, self._contract)
        return self._newest[batch]

    def wrote(self, part: ServedPart) -> None:
        """Say that a part is one's own."""
        self._own.add(part.path)


def by_key(served: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return served rows with their key as the index, in which rows are found fast."""
    return served.set_index(list(key_columns(contract)))


def newly_served(
    scored: ScoredRows, contract: Contract, known: pd.DataFrame, as_of: datetime
) -> np.ndarray:
    """Return which rows are to be written down, (rows,) bool.

    ``known`` are the newest served rows of the batch, as ``by_key`` gives them. A row that was
    never served is; one that was, only if its event is still to come at ``as_of`` and it, or the
    champion in force, is another by now: what was said before the event stands. No row is that the
    champion may have been trained on.
    """
    trained = scored.champion.trained
    unseen = (scored.frame.event_time >= pd.Timestamp(trained.trained_until)).to_numpy()
    if not len(known):
        return np.asarray(unseen)
    mine = scored.rows.select(list(key_columns(contract))).to_pandas()
    at = known.index.get_indexer(by_key(mine, contract).index)
    unknown, found = at < 0, known.iloc[at]
    changed = found[DIGEST].to_numpy(dtype="uint64") != row_digests(scored.rows)
    name = served_by(trained.version, scored.champion.adjusted_by)
    by_another = (found["served_by"] != name).to_numpy()
    ahead = (scored.frame.event_time >= pd.Timestamp(as_of)).to_numpy()
    return np.asarray(unseen & (unknown | (ahead & (changed | by_another))))


def newest_served(
    lake: Path,
    parts: Sequence[ServedPart],
    contract: Contract,
    columns: Sequence[str] = (DIGEST,),
    among: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the newest served prediction of each key, as (keys, key columns + ``columns`` +
    ``served_by`` + ``scored_at``).

    ``parts`` are of one batch, oldest first. Given ``among``, (rows, key columns), other keys are
    left out as each part is read. Raises DamagedFileError when one is not what was written.
    """
    keys = key_columns(contract)
    wanted = [f"{KEY}{name}" for name in keys] + list(columns)
    frames, asked = list[pd.DataFrame](), None
    if among is not None:
        asked = by_key(among[list(keys)].drop_duplicates(), contract).index
        moments = among[contract.event_time]
        parts = [part for part in parts if _within(lake, part, contract, moments)]
    for part in parts:
        frame = read_part(lake, part, wanted).to_pandas()
        frame = frame.rename(columns={f"{KEY}{name}": name for name in keys})
        if asked is not None:
            frame = frame[asked.get_indexer(by_key(frame[list(keys)], contract).index) >= 0]
        frames.append(frame.assign(served_by=part.served_by, scored_at=part.scored_at))
    if not frames:
        none = {name: pa.array([], arrow_type(contract.column(name))) for name in keys}
        empty: pd.DataFrame = pa.table(none).to_pandas()
        return empty.assign(
            **{name: pd.Series(dtype="object") for name in (*columns, "served_by", "scored_at")}
        )
    return _newest_of(frames, contract)


def _within(lake: Path, part: ServedPart, contract: Contract, moments: pd.Series) -> bool:
    """Whether a part may hold a row of the time of ``moments``; True where its file does not say.

    A file that is gone or damaged is one that may: reading it says so.
    """
    try:
        metadata = pq.read_metadata(lake / part.path)
    except (OSError, pa.ArrowException):
        return True
    place = metadata.schema.names.index(f"{KEY}{contract.event_time}")
    times = [metadata.row_group(i).column(place).statistics for i in range(metadata.num_row_groups)]
    if not all(one is not None and one.has_min_max for one in times):
        return True
    return any(one.min <= moments.max() and one.max >= moments.min() for one in times)


def _newest_of(served: Sequence[pd.DataFrame], contract: Contract) -> pd.DataFrame:
    """The last row of each key."""
    rows: pd.DataFrame = pd.concat(served, ignore_index=True)
    return rows.drop_duplicates(list(key_columns(contract)), keep="last", ignore_index=True)


def write_part(
    lake: Path, table: pa.Table, scored: ScoredRows, batch: str, scored_at: datetime, source: str
) -> ServedPart:
    """Write a part to the lake, and return the record that the ledger is still to be given.

    The same rows by the same champion are the same file.
    """
    trained, adjusted_by = scored.champion.trained, scored.champion.adjusted_by
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    content = buffer.getvalue().to_pybytes()
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{served_by(trained.version, adjusted_by)}-{sha256[:16]}.parquet"
    path = Path("served") / trained.model / batch / name
    write_whole(lake / path, content)
    return ServedPart(
        model=trained.model,
        batch=batch,
        sequence=1,
        version=trained.version,
        adjusted_by=adjusted_by,
        rows=table.num_rows,
        path=path.as_posix(),
        sha256=sha256,
        scored_at=scored_at,
        source=source,
    )


def read_part(lake: Path, part: ServedPart, columns: Sequence[str] | None = None) -> pa.Table:
    """Return what a part holds, of ``columns`` alone if they are given.

    Raises DamagedFileError when the file is not what was written.
    """
    path = lake / part.path
    found = file_sha256(path) if path.is_file() else "nothing"
    if found != part.sha256:
        raise DamagedFileError(path, part.sha256, found)
    file = pq.ParquetFile(path)
    return file.read(None if columns is None else list(columns))
