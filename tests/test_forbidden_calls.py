"""What never stands in our source: readers that run what they read, and shells."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
SOURCES = [
    file
    for room in ("data_contracts", "tasks", "flows", "deployments", "benchmarks")
    for file in (REPOSITORY / room).rglob("*.py")
]
FORBIDDEN = {
    "yaml": {
        "load",
        "load_all",
        "unsafe_load",
        "unsafe_load_all",
        "full_load",
        "full_load_all",
        "Loader",
        "UnsafeLoader",
        "FullLoader",
    },
    "pickle": {"load", "loads", "Unpickler"},
    "cloudpickle": {"load", "loads"},
    "joblib": {"load"},
    "marshal": {"load", "loads"},
    "shelve": {"open"},
    "mlflow.sklearn": {"load_model"},
    "mlflow.pyfunc": {"load_model"},
    "os": {"system", "popen"},
    "builtins": {"eval", "exec"},
}
ALLOWED = {
    (
        "tasks/registry/safe_load.py",
        "pickle.loads",
    ),  # after its digest, and where the spec trusts it by name
    (
        "data_contracts/odcs.py",
        "yaml.load",
    ),  # by a loader made of the safe one, which is checked below
}


def _dangerous(tree: ast.AST) -> Iterator[str]:
    """Every use of a forbidden name, by whatever name it was imported, and every call with
    ``shell=True``.
    """
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {(name.asname or name.name): name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                modules[name.asname or name.name] = f"{node.module}.{name.name}"
                if name.name in FORBIDDEN.get(node.module or "", ()):
                    yield f"{node.module}.{name.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root = ast.unparse(node.value)
            module = modules.get(root, root)
            if node.attr in FORBIDDEN.get(module, ()):
                yield f"{module}.{node.attr}"
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN["builtins"]:
                yield f"builtins.{node.func.id}"
            for keyword in node.keywords:
                if keyword.arg == "shell" and not (
                    isinstance(keyword.value, ast.Constant) and not keyword.value.value
                ):
                    yield "shell=True"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_nothing_is_read_that_could_run(file: Path) -> None:
    """YAML goes through the safe loader, models through our own, and no text becomes a command."""
    name = str(file.relative_to(REPOSITORY))
    found = {(name, what) for what in _dangerous(ast.parse(file.read_text(encoding="utf-8")))}

    assert found - ALLOWED == set()


def test_our_own_loader_is_a_safe_one() -> None:
    """The loader that refuses a key twice builds on the safe one, and makes no objects."""
    from data_contracts import odcs

    with pytest.raises(yaml.constructor.ConstructorError):
        yaml.load("!!python/object/apply:os.getcwd []", Loader=odcs._OneKeyLoader)  # noqa: S506 - the question here


@pytest.mark.parametrize(
    "source",
    [
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "from yaml import unsafe_load as read\nread(text)",
        "import pickle as p\np.loads(b'')",
        "import mlflow\nmlflow.sklearn.load_model(uri)",
        "import subprocess\nsubprocess.run(line, shell=True)",
        "eval(text)",
    ],
)
def test_the_look_finds_what_it_looks_for(source: str) -> None:
    """Each kind of danger, under another name too, is seen."""
    assert list(_dangerous(ast.parse(source)))
