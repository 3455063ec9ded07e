"""What comes from data is text in a table, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.reports.tables import inert


@given(st.text())
def test_no_text_breaks_out_of_its_cell(text):
    """Whatever the text, it is one line, without tags, and every sign that means something is
    escaped.
    """
    written = inert(text)

    assert "\n" not in written
    assert "<" not in written
    assert "|" not in written.replace("\\|", "")
