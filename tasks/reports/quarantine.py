"""The rows of a batch that are in quarantine, for a person to look at: on the screen, or as CSV for
a spreadsheet.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.lake import read_reasons
from tasks.reports import figures
from tasks.reports.page import render_page
from tasks.reports.tables import Table

HIDDEN = "(hidden)"
"""Stands for every value of a column that the contract classifies as other than public or internal.
"""
ON_PAGE = 200
"""Rows that a page shows."""
_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The OWASP's list, https://owasp.org/www-community/attacks/CSV_Injection, full-width forms
included.
"""


def quarantined_rows(lake: Path, path: str, contract: Contract) -> tuple[tuple[str, ...], ...]:
    """Return the rows of the quarantine file at lake ``path`` as texts, below one row of headings.

    Each has its position in the snapshot, the ids of the rules that it breaks, and the contract's
    columns; a sensitive one is hidden. Columns that the contract does not name are left out: nobody
    has said whether they may be shown. Raises DamagedFileError when the file is not what was
    written.
    """
    read_reasons(lake, path)
    table = pq.ParquetFile(lake / path).read()
    columns = [
        contract.column(name) for name in contract.column_names if name in table.column_names[:-2]
    ]
    cells = [column.to_pylist() for column in table.columns[-2:]]
    for column in columns:
        values = table[column.name].to_pylist()
        cells.append([HIDDEN] * len(values) if column.sensitive else values)
    headings = ("row", "rules", *(column.name for column in columns))
    rows = (
        tuple("" if cell is None else str(cell) for cell in row) for row in zip(*cells, strict=True)
    )
    return headings, *rows


def render_quarantine_page(
    model: str, batch: str, reason: str, rows: Sequence[Sequence[str]], most: int = ON_PAGE
) -> str:
    """Return the HTML page of the quarantined ``rows``, below one row of headings, of a batch; of
    many the first, and all by the link.
    """
    headings, *own = rows
    shown = own[:most]
    left = f" {len(own) - most:,} more are in the CSV." if len(own) > most else ""
    table = Table(
        figures.counted(len(own), "row", "rows"),
        tuple(headings),
        tuple(tuple(row) for row in shown),
        note=f"Its position in the delivery, the rules that it breaks, and its values.{left}",
    )
    return render_page(
        "tables.html.j2",
        home="../../",
        page=f"../../reports/{quote(model)}/index.html",
        model=model,
        what=f"{batch}, quarantine",
        headline=f"{figures.counted(len(own), 'row', 'rows')} of batch {batch} kept out",
        sentences=(reason,),
        links=(
            (f"{quote(batch)}.csv", "all rows as CSV, in which no cell is a formula"),
            (
                f"../../reports/{quote(model)}/{quote(batch)}/validation.html",
                f"what the contract found in batch {batch}",
            ),
        ),
        tables=(table,),
    )


def inert_csv(rows: Iterable[Sequence[str]]) -> str:
    """Return the rows as CSV in which no spreadsheet finds a formula: every cell quoted, and a
    number only what is one.
    """
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([inert(cell) for cell in row] for row in rows)
    return out.getvalue()


def inert(cell: str) -> str:
    """Return the cell, behind an apostrophe when a spreadsheet would run it; a number with a sign
    stays one.
    """
    if not cell.lstrip(" ").startswith(_STARTS_FORMULA) or _is_number(cell):
        return cell
    return f"'{cell}"


def _is_number(cell: str) -> bool:
    # Python would also read "1_000" and full-width digits, which are no numbers to a spreadsheet.
    return cell.isascii() and not set(cell) - set("+-.0123456789eE") and _is_float(cell)


def _is_float(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
