"""The code that travels with a model: the modules that predicting needs, as one package of its own.

What is imported is found in the text of the modules, and the imports among those that travel are
made relative. The package has the digest of its content in its name: in one process it gets in the
way neither of Kingmaker nor of another version's code, nor of anybody's own module ``tasks``.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.errors import MisuseError

OURS = Path(__file__).parent.parent
PACKAGES = ("data_contracts", "tasks", "flows")
_LIBRARIES = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
PROJECT = "project"
"""Below the package: the project's own modules, each under its path in the project."""


class NotCarriedError(MisuseError):
    """The code of a model cannot travel with it."""


@dataclass(frozen=True)
class Carried:
    """Code that travels with a model."""

    package: str
    """Its name."""
    directory: Path
    """Where it was written."""
    code: str | None
    """The project's function, as ``module:function``, relative to the package unless it is of a
    library.
    """
    libraries: frozenset[str]
    """Top-level modules of others that it imports."""


@dataclass(frozen=True)
class _Module:
    name: str
    """As it is imported where it stands, such as deployments.flights.features."""
    place: PurePosixPath
    """Its file in the package."""
    file: Path

    @property
    def is_package(self) -> bool:
        return self.file.name == "__init__.py"

    @property
    def of_project(self) -> bool:
        return self.place.parts[0] == PROJECT


_Edit = tuple[ast.Import | ast.ImportFrom, str]
"""An import, and what stands in its place in the package."""


def carry(entry: str, code: str | None, project: Path, target: Path) -> Carried:
    """Write to ``target`` a package with the module ``entry`` of ours, the project's ``code``, as
    ``module:function``, and all that they import of either.

    What the project's modules name in a text of theirs and stands beside them, such as a table of
    holidays, travels as well. Raises NotCarriedError when a module cannot be read.
    """
    first = [_found(entry, project, of_project=False)]
    libraries: set[str] = set()
    if code is not None:
        module_name = code.partition(":")[0]
        first.append(_found(module_name, project, of_project=True))
        if first[-1] is None:
            libraries.add(module_name.partition(".")[0])
        else:
            code = f".{PROJECT}.{code}"
    files: dict[PurePosixPath, bytes] = {}
    for module, text, edits, others in _walk(first, project):
        files[module.place] = _edited(text, edits).encode()
        files |= _beside(text, module)
        libraries |= others
    for place in list(files):
        for parent in place.parents:
            files.setdefault(parent / "__init__.py", b"")
    package = f"kingmaker_{_digest(files)[:12]}"
    for place, content in files.items():
        file = target / package / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return Carried(package, target / package, code, frozenset(libraries))


def project_sha256(code: str, project: Path) -> str | None:
    """Return a digest of the project's module ``code`` and of all that it imports of the project,
    and names beside it; None when the project has no such module.

    Raises NotCarriedError when one cannot be read.
    """
    first = _found(code, project, of_project=True)
    if first is None:
        return None
    files: dict[PurePosixPath, bytes] = {}
    for module, text, _, _ in _walk([first], project, ours=False):
        files[module.place] = text.encode()
        files |= _beside(text, module)
    return _digest(files)


def _digest(files: Mapping[PurePosixPath, bytes]) -> str:
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()


def _walk(
    first: Sequence[_Module | None], project: Path, *, ours: bool = True
) -> Iterator[tuple[_Module, str, list[_Edit], set[str]]]:
    """Each module that the ``first`` need, with its text, the imports that are to be others, and
    the libraries that it imports.
    """
    waiting, seen = list(first), set[PurePosixPath]()
    while waiting:
        module = waiting.pop()
        if module is None or module.place in seen or not (ours or module.of_project):
            continue
        seen.add(module.place)
        text, edits, libraries = _text(module.file), list[_Edit](), set[str]()
        for node, names in _imports(text, module):
            found = [_found(name, project, module.of_project) for name in names]
            inner = [one for one in found if one is not None]
            waiting += inner
            top = names[0].partition(".")[0]
            if inner:
                edits.append((node, _relative(node, module, inner)))
            elif top not in sys.stdlib_module_names:
                libraries.add(top)
        yield module, text, edits, libraries


def requirement(module: str) -> str | None:
    """Return the distribution of a top-level module with its version, such as ``numpy==2.3.5``;
    None when none has it.
    """
    names = _distributions().get(module, [])
    if not names:
        return None
    name = module if module in names else names[0]
    return f"{name}=={importlib.metadata.version(name)}"


@functools.cache
def _distributions() -> dict[str, list[str]]:
    """Half a second of looking through what is installed."""
    return dict(importlib.metadata.packages_distributions())


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotCarriedError(
            f"{file}: expected Python code to go with the model, found none that can be read"
            f" ({error})"
        ) from error


def _found(name: str, project: Path, of_project: bool) -> _Module | None:
    """The module ``name`` as one that travels: of ours, or, imported by one of the project, of the
    project or of no library at all; None for all others, and for what is no module.
    """
    path, top = Path(*name.split(".")), name.partition(".")[0]
    if of_project and (file := _file(project / path)) is not None:
        real = file.resolve()
        ours = real.is_relative_to(OURS) and real.relative_to(OURS).parts[0] in PACKAGES
        return _Module(name, _place(path, file) if ours else PROJECT / _place(path, file), file)
    if top in PACKAGES:
        file = _file(OURS / path)
        return None if file is None else _Module(name, _place(path, file), file)
    root = _loose_root(top) if of_project and top not in sys.stdlib_module_names else None
    file = None if root is None else _file(root / path)
    return None if file is None else _Module(name, PROJECT / _place(path, file), file)


def _loose_root(top: str) -> Path | None:
    """The directory on the path of this process that has a top-level module, unless it is one of
    libraries.
    """
    spec = importlib.util.find_spec(top)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    files = [Path(place) for place in places if place and Path(place).exists()]
    if not files or any(files[0].is_relative_to(Path(path)) for path in _LIBRARIES):
        return None
    return files[0].parent.parent if files[0].name == "__init__.py" else files[0].parent


def _file(path: Path) -> Path | None:
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _place(path: Path, file: Path) -> PurePosixPath:
    place = PurePosixPath(path.as_posix())
    return place / "__init__.py" if file.name == "__init__.py" else place.with_suffix(".py")


@functools.lru_cache(maxsize=256)
def _imports(
    text: str, module: _Module
) -> tuple[tuple[ast.Import | ast.ImportFrom, tuple[str, ...]], ...]:
    """Each import of a module with the absolute names of what it may import; those for a type
    checker alone are left out. The same text is parsed once.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise NotCarriedError(f"{module.file}: expected Python code, found {error}") from error
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found: list[tuple[ast.Import | ast.ImportFrom, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in unseen:
            found.append((node, tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom) and id(node) not in unseen:
            start = _absolute(node, module)
            if start != "__future__":
                found.append((node, (start, *(f"{start}.{alias.name}" for alias in node.names))))
    return tuple(found)


def _absolute(node: ast.ImportFrom, module: _Module) -> str:
    """The absolute name of the module that is imported from."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    parts = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _relative(node: ast.Import | ast.ImportFrom, module: _Module, inner: Sequence[_Module]) -> str:
    """The same import within the package."""
    up = "." * len(module.place.parts)
    top = [PROJECT] if inner[0].of_project else []
    travel = {found.name for found in inner}
    if isinstance(node, ast.ImportFrom):
        start = ".".join([*top, *_absolute(node, module).split(".")])
        names = [a.name + (f" as {a.asname}" if a.asname else "") for a in node.names]
        return f"from {up}{start} import {', '.join(names)}"

    def one(name: str, asname: str) -> str:
        *start, last = [*top, *name.split(".")]
        return f"from {up}{'.'.join(start)} import {last} as {asname}"

    lines = []
    for alias in node.names:
        first = alias.name.partition(".")[0]
        if alias.name not in travel:
            lines.append(f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else ""))
        elif alias.asname or first == alias.name:
            lines.append(one(alias.name, alias.asname or first))
        else:  # it names the first of them, and reaches the others through it
            lines += [one(alias.name, "_"), one(first, first)]
    return "; ".join(lines)


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    """The text with other statements in the place of some."""
    lines = text.encode().splitlines(keepends=True)  # positions are counted in bytes
    for node, new in sorted(edits, key=lambda edit: -edit[0].lineno):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before = lines[first][: node.col_offset]
        after = lines[last][node.end_col_offset :]
        lines[first : last + 1] = [before + new.encode() + after]
    return b"".join(lines).decode()


def _beside(text: str, module: _Module) -> dict[PurePosixPath, bytes]:
    """The files beside a module of the project that a text in it names."""
    found = dict[PurePosixPath, bytes]()
    if not module.of_project:
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = PurePosixPath(node.value)
            plain = node.value.isprintable() and 0 < len(node.value) < 200
            if not plain or name.is_absolute() or ".." in name.parts or name.suffix == ".py":
                continue
            file = module.file.parent / name
            if file.is_file() and not any(part.startswith(".") for part in name.parts):
                found[module.place.parent / name] = file.read_bytes()
    return found
