"""Tests of the code that travels with a model: all that it needs, under a name of its own."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tasks.carried import Carried, NotCarriedError, carry, project_sha256, requirement

CODE = "deployments.shop.features:build"
FEATURES = '''
import os, deployments.shop.prices, numpy as np
import deployments.shop.days as calendar
from . import places
from .places import NEAR
from tasks.features.frame import MISSING
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import prefect


def build(rows):
    """Say what came with it; the import within is seen as well."""
    from deployments.shop.late import LATE

    table = os.path.join(os.path.dirname(__file__), "holidays.csv")
    with open(table, encoding="utf-8") as file:
        holidays = file.read()
    return [deployments.shop.prices.PRICE, calendar.DAY, places.FAR, NEAR, LATE, MISSING, holidays]
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose feature code lies in several files, a table among them."""
    directory = tmp_path / "project" / "deployments" / "shop"
    directory.mkdir(parents=True)
    (directory / "features.py").write_text(FEATURES, encoding="utf-8")
    for name, text in {
        "prices": "PRICE = 'price'",
        "days": "DAY = 'day'",
        "places": "from .days import DAY\nFAR, NEAR = 'far', 'near'",
        "late": "LATE = 'late'",
        "unused": "import nothing_that_is_there",
    }.items():
        (directory / f"{name}.py").write_text(text, encoding="utf-8")
    (directory / "holidays.csv").write_text("2013-07-04", encoding="utf-8")
    (directory / "model.yaml").write_text("secret: no", encoding="utf-8")
    return tmp_path / "project"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Function: what was carried, and a module of it -> that module, loaded as MLflow would."""
    before = set(sys.modules)

    def loaded(carried: Carried, module: str) -> ModuleType:
        monkeypatch.syspath_prepend(carried.directory.parent)
        return importlib.import_module(f"{carried.package}.{module}")

    yield loaded
    for name in set(sys.modules) - before:
        if name.startswith("kingmaker_"):
            del sys.modules[name]


def test_feature_code_in_several_files_travels(project: Path, tmp_path: Path, load: Any) -> None:
    """Whatever way it imports the project's other modules, and ours, they come with it; so does the
    table that it names. What it does not use stays.
    """
    carried = carry("tasks.errors", CODE, project, tmp_path / "out")

    found = load(carried, "project.deployments.shop.features").build(None)

    assert carried.code == f".project.{CODE}"
    assert found == ["price", "day", "far", "near", "late", "(missing)", "2013-07-04"]
    names = {file.name for file in carried.directory.rglob("*.*")}
    assert names.isdisjoint({"unused.py", "model.yaml", "task.py"})
    assert "numpy" in carried.libraries
    assert "prefect" not in carried.libraries


def test_nothing_outside_the_package_is_loaded(project: Path, tmp_path: Path, load: Any) -> None:
    """Its modules are all within it: neither our own nor another's ``tasks`` is asked."""
    carried = carry("tasks.prediction", CODE, project, tmp_path / "out")
    ours = sys.modules.get("tasks.errors")

    module = load(carried, "tasks.prediction")

    assert Path(module.__file__).is_relative_to(carried.directory)
    assert module.KingmakerError.__module__ == f"{carried.package}.data_contracts.errors"
    assert sys.modules.get("tasks.errors") is ours
    texts = [file.read_text(encoding="utf-8") for file in carried.directory.rglob("*.py")]
    assert not any(text.startswith("from tasks") or "\nfrom tasks" in text for text in texts)


def test_name_is_the_digest_of_the_content(project: Path, tmp_path: Path) -> None:
    """The same code has the same name; other code has another, and does not get in its way."""
    first = carry("tasks.errors", CODE, project, tmp_path / "first")
    again = carry("tasks.errors", CODE, project, tmp_path / "again")
    (project / "deployments" / "shop" / "late.py").write_text("LATE = 1", encoding="utf-8")
    other = carry("tasks.errors", CODE, project, tmp_path / "other")

    assert first.package == again.package != other.package


def test_digest_covers_every_file_that_is_used(project: Path) -> None:
    """A change in a file that feature code imports, or names, is a change of the code; in another
    it is none.
    """
    shop = project / "deployments" / "shop"
    seen = {project_sha256("deployments.shop.features", project)}
    for name in ("prices.py", "places.py", "late.py", "holidays.csv", "features.py"):
        with (shop / name).open("a", encoding="utf-8") as file:
            file.write("\n")
        seen.add(project_sha256("deployments.shop.features", project))
    (shop / "unused.py").write_text("", encoding="utf-8")

    assert len(seen) == 6
    assert project_sha256("deployments.shop.features", project) in seen
    assert project_sha256("json", project) is None


def test_code_of_a_library_is_a_requirement(project: Path, tmp_path: Path) -> None:
    """A function of an installed library is named, not carried."""
    carried = carry("tasks.errors", "pandas:get_dummies", project, tmp_path / "out")

    assert carried.code == "pandas:get_dummies"
    assert "pandas" in carried.libraries
    assert requirement("sklearn").startswith("scikit-learn==")
    assert requirement("nothing_that_is_there") is None


def test_module_on_the_path_that_no_library_has_travels(
    project: Path, tmp_path: Path, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A team's own module beside the project, found by PYTHONPATH, comes too."""
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "team_code.py").write_text("WORD = 'loose'", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "loose")
    (project / "deployments" / "shop" / "late.py").write_text(
        "from team_code import WORD as LATE", encoding="utf-8"
    )

    carried = carry("tasks.errors", CODE, project, tmp_path / "out")

    assert "team_code" not in carried.libraries
    assert "loose" in load(carried, "project.deployments.shop.features").build(None)


@pytest.mark.parametrize("text", [b"def build(:", b"\xff\xfe"])
def test_code_that_cannot_be_read_is_named(project: Path, tmp_path: Path, text: bytes) -> None:
    """What is no Python, or no text, is refused with its file."""
    (project / "deployments" / "shop" / "places.py").write_bytes(text)

    with pytest.raises(NotCarriedError, match=r"places\.py: expected Python code"):
        carry("tasks.errors", CODE, project, tmp_path / "out")
