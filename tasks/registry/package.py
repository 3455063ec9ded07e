"""What lies in a version's directory in MLflow, so that anybody can load it.

Beside the stored model: what it is, its contract, the code that predicting needs, the requirements
that trained it, a signature and an example. ``in_force.json`` says which weights and recalibration
serve now; it alone is written anew, by aliases.py.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.carried import carry, requirement
from tasks.checks import Check
from tasks.errors import first_line
from tasks.records import Form, Guardrail
from tasks.registry.safe_load import CONTRACT, FILES, RECORD

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

FOLDER = "served"
"""Directory with the model's files, below MLflow's ``data``."""
EXAMPLE_ROWS = 5
NUMERICS = ("numpy", "scipy")
"""What the last digit of any model may rest on."""
LIMIT = "bit for bit"


@dataclass(frozen=True)
class Package:
    """What a version needs, beside its pipeline, to serve raw rows anywhere."""

    entry: str
    """Module of ours that MLflow loads; it reads the files below."""
    record: Mapping[str, Any]
    """What it is told of the model, as JSON."""
    contract_text: str
    project: Path
    code: str | None
    """The project's feature code, as ``module:function``."""
    inputs: Mapping[str, bool]
    """Column that it looks at -> whether no row may lack it."""
    outputs: tuple[str, ...]
    example: pd.DataFrame
    """Raw rows with its inputs."""


@dataclass(frozen=True)
class Written:
    """A package on the disk."""

    files: Path
    """Directory of the model's files."""
    code: Path
    """Directory of the code that goes with it."""
    loader: str
    """The module of that code that MLflow calls."""
    requirements: tuple[str, ...]
    """Distributions that it needs, each with the version that is here."""


def write_package(package: Package, form: Form, content: bytes, target: Path) -> Written:
    """Write the model in ``content`` with all that it needs to the empty directory ``target``.

    Raises NotCarriedError when the code cannot go with it.
    """
    carried = carry(package.entry, package.code, package.project, target / "code")
    files = target / FOLDER
    files.mkdir()
    (files / FILES[form]).write_bytes(content)
    (files / CONTRACT).write_text(package.contract_text, encoding="utf-8")
    record = {**package.record, "code": carried.code, "form": form}
    record["sha256"] = hashlib.sha256(content).hexdigest()
    (files / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    libraries = carried.libraries | _libraries(form, content) | {"mlflow", *NUMERICS}
    needed = {*filter(None, map(requirement, libraries))}
    loader = f"{carried.package}.{package.entry}"
    return Written(files, carried.directory, loader, tuple(sorted(needed, key=str.lower)))


def log_package(
    api: MlflowClient, experiment: str, run_id: str, package: Package, written: Written
) -> LoggedModel:
    """Log a package to MLflow as a model of the run, and return what MLflow says of it.

    Not by ``log_model``, which would load the package, code and all, into this process.
    """
    import mlflow
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    logged = api.create_logged_model(experiment, "model", run_id)
    whole = written.files.parent / "model"
    mlflow.pyfunc.save_model(
        whole,
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            run_id=run_id,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
        ),
        loader_module=written.loader,
        data_path=str(written.files),
        code_paths=[str(written.code)],
        signature=_signature(package),
        input_example=package.example.head(EXAMPLE_ROWS),
        # Given, not inferred: inferring takes 3 to 6 s and starts a second interpreter.
        pip_requirements=list(written.requirements),
    )
    api.log_model_artifacts(logged.model_id, str(whole))
    api.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return api.finalize_logged_model(logged.model_id, "READY")


def _libraries(form: Form, content: bytes) -> set[str]:
    """The top-level modules that a stored model is made of."""
    if form == "pickle":
        import pickletools

        texts = {arg for _, arg, _ in pickletools.genops(content) if isinstance(arg, str)}
        named = {text.split(" ")[0] for text in texts} & set(sys.modules)
    else:
        with zipfile.ZipFile(io.BytesIO(content)) as stored:
            schema = stored.read("schema.json").decode()
        named = set(re.findall(r'"__module__": "([\w.]+)"', schema))
    return {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names)


def _signature(package: Package) -> ModelSignature:
    """Which columns go in and come out.

    The inputs have no type here: MLflow's own check refuses a moment with a time zone, a whole
    number in a column of numbers, and a gap in one of whole numbers. The contract's types are held
    by the model itself.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    return ModelSignature(
        Schema([ColSpec(AnyType(), name, needed) for name, needed in package.inputs.items()]),
        Schema([ColSpec("double", name) for name in package.outputs]),
    )


@contextmanager
def opened(written: Written) -> Iterator[Any]:
    """Give what MLflow would give of the package: an object that predicts raw rows.

    It runs the code in it, so it is for what was written here, not for what a registry gave.
    """
    name = written.code.name
    spec = importlib.util.spec_from_file_location(
        name, written.code / "__init__.py", submodule_search_locations=[str(written.code)]
    )
    assert spec is not None  # noqa: S101 - it is a file
    sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        entry = importlib.import_module(written.loader)
        yield entry._load_pyfunc(str(written.files))  # noqa: SLF001 - the name that MLflow calls it by
    finally:
        for module in [one for one in sys.modules if one.partition(".")[0] == name]:
            del sys.modules[module]


class ServesElsewhere(Check):
    """KM017: what lies in the registry serves raw rows bit for bit as Kingmaker does.

    The package is written once more, around the registered bytes: code that a registry gave is not
    run here.
    """

    code = "KM017"

    def check(
        self, package: Package, expected: np.ndarray, form: Form, content: bytes
    ) -> Guardrail:
        """Compare with ``expected``, (rows,) or (rows, classes), what Kingmaker serves for the
        example of the ``package``, by the registered model in ``content``.
        """
        with tempfile.TemporaryDirectory() as directory:
            try:
                with opened(write_package(package, form, content, Path(directory))) as model:
                    found = model.predict(package.example).to_numpy().reshape(expected.shape)
            except Exception as error:  # noqa: BLE001 - code of a project may raise anything
                return self.result("failed", first_line(error), LIMIT)
        same = np.array_equal(found, expected, equal_nan=True)
        told = "identical" if same else "other predictions"
        return self.result(same, f"{len(expected)} raw rows, {told}", LIMIT)
