"""A sign of which rows there are, whatever their order: sums of hashes, so rows are seen once and
not kept.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from tasks.conform import as_text

if TYPE_CHECKING:
    Hashes = npt.NDArray[np.uint64]


def rows_fingerprint(table: pa.Table) -> int:
    """Return the sum of the hashes of the table's rows, modulo 2^64; those of several tables add up
    to that of all.

    A row's hash is made of its values as text, each with the name of its column; a gap counts like
    an absent column. It is a sign of change between one look and the next: content is told apart by
    its sha256.
    """
    with np.errstate(over="ignore"):
        rows = np.zeros(table.num_rows, dtype="u8")
        for name, values in zip(table.column_names, table.columns, strict=True):
            rows += _cells(name, values)
        return int(_mixed(rows).sum(dtype="u8"))


def _cells(name: str, values: pa.ChunkedArray) -> Hashes:
    """One hash for each value, zero for a gap."""
    salt = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    coded = as_text(values).combine_chunks().dictionary_encode()
    coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
    distinct = pd.util.hash_array(coded.dictionary.to_numpy(zero_copy_only=False), categorize=False)
    # The last one is that of a gap.
    hashes = np.append(_mixed(distinct ^ salt), np.uint64(0)).astype("u8")
    found: Hashes = hashes[coded.indices.fill_null(len(distinct)).to_numpy()]
    return found


def _mixed(numbers: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014): each bit of the result depends on all
    of them.
    """
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
