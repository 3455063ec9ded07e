"""Functions of a project, by their import path: what a model spec names as ``module.path:name``."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from data_contracts.contract import nearest
from tasks.carried import project_sha256
from tasks.errors import MisuseError


def load_function(
    path: str, project: Path, key: str, error: type[MisuseError]
) -> Callable[..., Any]:
    """Return the function that ``module.path:name`` means, looked for in the project first.

    Raises ``error``, whose message begins with ``key``, when there is no such module or function.
    """
    module_name, _, name = path.partition(":")
    try:
        if project_file(module_name, project, key, error) is None:
            module = importlib.import_module(module_name)
        else:
            module = _load_own(module_name, project)
    except ModuleNotFoundError as missing:
        raise error(
            f"{key}: expected a module in {project} or an installed one, found {module_name!r}"
            f" ({missing})"
        ) from missing
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        raise error(f"{key}: {module_name} has no function {name!r}{nearest(name, dir(module))}")
    return function


def project_file(
    module_name: str, project: Path, key: str, error: type[MisuseError]
) -> Path | None:
    """Return the module's file in the project; None when it can only be an installed module.

    A directory of the project, such as ``deployments``, never gives way to a package of the same
    name: with its own file missing, another project would run this repository's code.
    """
    path = project.joinpath(*module_name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    if (project / module_name.partition(".")[0]).is_dir():
        raise error(f"{key}: expected the file {path.with_suffix('.py')}, found no such file")
    return None


def _load_own(module_name: str, project: Path) -> ModuleType:
    """Load a module of the project, and those that it imports from beside it, under names of their
    own: another project's deployments/ must not hide behind ours.
    """
    digest = f"{project.resolve()} {project_sha256(module_name, project)}"
    private = f"kingmaker_features_{hashlib.sha256(digest.encode()).hexdigest()[:12]}"
    if private not in sys.modules:
        package = ModuleType(private)
        package.__path__ = [str(project)]
        sys.modules[private] = package
    return importlib.import_module(f"{private}.{module_name}")
