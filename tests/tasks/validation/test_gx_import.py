"""Tests of the import of Great Expectations: what is left out comes when it is asked for."""

import subprocess
import sys

_SCRIPT = """
import gc, sys
from tasks.validation.gx_import import import_great_expectations
import_great_expectations()
frozen = gc.get_freeze_count()
assert gc.isenabled() and frozen > 100_000
import_great_expectations()
assert gc.get_freeze_count() == frozen
left_out = [name for name in ("scipy.stats", "altair", "boto3") if name in sys.modules]
assert left_out == [], left_out
from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as kl
assert kl.stats.entropy([0.5, 0.5]) > 0.69
import scipy.stats
assert scipy.stats.__spec__.name == "scipy.stats" and kl.stats.norm is scipy.stats.norm
import scipy.stats.distributions, altair, boto3
assert altair.Chart and boto3.client
"""


def test_what_is_left_out_comes_when_it_is_asked_for() -> None:
    """An expectation that needs it finds it, and everybody else gets the real module."""
    found = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False
    )

    assert found.returncode == 0, found.stderr
