"""Tests of tasks/errors.py, and of every exception that our packages define."""

import ast
import importlib
from pathlib import Path

import pytest

from tasks.errors import ExitCode, KingmakerError, MisuseError, RefusedError

_ROOT = Path(__file__).parents[2]
_DEFINED = sorted(
    (".".join(file.relative_to(_ROOT).with_suffix("").parts), node.name)
    for package in ("data_contracts", "tasks", "flows", "deployments")
    for file in (_ROOT / package).rglob("*.py")
    for node in ast.parse(file.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef) and node.name.endswith("Error") and node.name[0] != "_"
)
"""Module and name of each; a private one does not leave its module."""


@pytest.mark.parametrize(("module", "name"), _DEFINED)
def test_every_exception_of_ours_has_the_one_base(module, name):
    """``except KingmakerError`` catches whatever our packages raise by name."""
    defined = getattr(importlib.import_module(module), name)

    assert issubclass(defined, KingmakerError)
    assert defined.exit_code in set(ExitCode) - {ExitCode.WELL, ExitCode.NEEDS_A_PERSON}


def test_the_kinds_have_the_exit_codes_that_the_command_promises():
    """1 something failed, 2 wrong usage or configuration, 3 data was refused."""
    assert (KingmakerError.exit_code, MisuseError.exit_code, RefusedError.exit_code) == (1, 2, 3)
