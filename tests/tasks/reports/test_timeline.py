"""The picture of champions and losses over time."""

from __future__ import annotations

import struct

import pytest

from tasks.history import History, in_order
from tasks.reports.timeline import draw_timeline

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def drawn(directory, records, entries, name="timeline.png", model="flights $x$"):
    """The bytes of the picture."""
    draw_timeline(directory / name, model, "roc_auc", records, entries)
    return (directory / name).read_bytes()


def test_it_is_a_png_of_1200_by_600(tmp_path, year):
    """The size that the README shows; a dollar sign in a name is a dollar sign."""
    content = drawn(tmp_path, year.records, year.history)

    assert content.startswith(SIGNATURE)
    assert struct.unpack(">II", content[16:24]) == (1200, 600)


def test_same_records_same_bytes(tmp_path, year):
    """No date and no version of a library in the file."""
    assert drawn(tmp_path, year.records, year.history) == drawn(
        tmp_path, year.records, year.history, "b.png"
    )


def test_the_champion_is_in_the_picture(tmp_path, year):
    """Without the decisions it is another picture."""
    assert drawn(tmp_path, year.records, year.history) != drawn(
        tmp_path, year.records, History(), "b.png"
    )


@pytest.mark.parametrize("count", [0, 2, 4])
def test_little_to_show_is_no_error(tmp_path, year, count):
    """No batch, no judged batch, and one judged batch."""
    assert drawn(tmp_path, year.records[:count], in_order(year.history.entries[:count])).startswith(
        SIGNATURE
    )
