"""The reference of the ``kingmaker`` command, from the command itself."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from data_contracts.errors import ExitCode
from deployments.command.cli import app
from docs.generate.pages import NOTICE, table

_INTRODUCTION = f"""\
{NOTICE}

# Commands

`kingmaker` lives in `.venv/bin`. `kingmaker COMMAND --help` prints what stands here. Everything is
written below `.kingmaker/` unless [the environment](environment.md) says otherwise.
"""


def page() -> str:
    """Return the page: exit codes, options for every command, then each command."""
    root = get_command(app)
    assert isinstance(root, TyperGroup)  # noqa: S101 - it has commands
    parts = [_INTRODUCTION, "## Exit codes\n", _exit_codes(), "## For every command\n"]
    parts += [_parameters(root), *_commands(root, "kingmaker")]
    return "\n".join(parts)


def _exit_codes() -> str:
    """The codes, each with the docstring below it, or else its name."""
    (definition,) = ast.parse(inspect.getsource(ExitCode)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - the source of a class
    texts = {
        code.targets[0].id: text.value.value
        for code, text in itertools.pairwise(definition.body)
        if isinstance(code, ast.Assign)
        and isinstance(code.targets[0], ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    plain = {"WELL": "All is well.", "FAILED": "Something failed; the message says what."}
    rows = [(str(code.value), str(texts.get(code.name, plain.get(code.name)))) for code in ExitCode]
    return table(("Code", "Meaning"), rows)


def _commands(group: TyperGroup, path: str) -> list[str]:
    found: list[str] = []
    for name, command in group.commands.items():
        whole = f"{path} {name}"
        if isinstance(command, TyperGroup):
            found += _commands(command, whole)
        elif isinstance(command, TyperCommand):
            pieces = [_piece(one) for one in command.params if one.param_type_name == "argument"]
            usage = f"`{' '.join([whole, *pieces])}`\n"
            heading = f"## {whole.removeprefix('kingmaker ')}\n"
            found += [heading, usage, f"{_plain(command.help or '')}\n", _parameters(command)]
    return found


def _parameters(command: TyperCommand | TyperGroup) -> str:
    rows = [
        (f"`{_name(one)}`", _plain(getattr(one, "help", None) or ""))
        for one in command.params
        if "--help" not in one.opts
    ]
    return table(("Argument or option", "Meaning"), rows) if rows else ""


def _piece(argument: Any) -> str:  # noqa: ANN401 - typer's own copy of click's Parameter
    return _name(argument) if argument.required else f"[{_name(argument)}]"


def _name(parameter: Any) -> str:  # noqa: ANN401 - typer's own copy of click's Parameter
    if parameter.param_type_name == "option":
        return ", ".join([*parameter.opts, *parameter.secondary_opts])
    return str(parameter.metavar or parameter.name.upper())


def _plain(text: str) -> str:
    """``text`` without Rich's markup and line breaks."""
    return " ".join(re.sub(r"\[/?[a-z]+\]", "", text).split())
