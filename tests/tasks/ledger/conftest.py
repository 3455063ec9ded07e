"""A ledger in a file of its own."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tasks.ledger.tables import open_ledger


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An empty ledger."""
    return open_ledger(f"sqlite:///{tmp_path}/ledger.db")
