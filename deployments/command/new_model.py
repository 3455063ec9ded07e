"""A first model spec and contract from one file of history, for a person to review; both run as
they are.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from data_contracts.contract import Column, nearest
from tasks.batches import Every, batch_of
from tasks.configuration import ConfigurationError
from tasks.errors import KingmakerError, MisuseError
from tasks.ingest.dialect import Guess, Options
from tasks.ingest.infer import TypedFile, infer_contract, read_typed, two_values
from tasks.lake import write_whole
from tasks.model_spec import manage
from tasks.records import Problem
from tasks.settings import REPOSITORY, Settings
from tasks.training.pipeline import check_candidates
from tasks.validation.dry_run import check_rules

SPEC_SCHEMA = REPOSITORY / "docs" / "reference" / "model-spec.schema.json"
"""What an editor completes and checks a spec by."""
FEWEST_ROWS = 200
"""Rows that a batch should have: with fewer, too little can be said about it (docs/decisions.md).
"""
FEWEST_BATCHES = 6
"""Batches that a history should give: three for the first champion, and three to see what becomes
of it.
"""
FEW_NAMES = 20
"""Columns of a file up to which all are named to a person who named another."""
MOST_CLASSES = 50
FEW_NUMBERS = 20
"""Distinct whole numbers of a target up to which they may be classes as well as quantities."""
MOST_CATEGORIES = 200
"""A text column with more distinct values is left out of the features: it looks like a name or a
note.
"""
_PERIODS: tuple[Every, ...] = ("day", "week", "month", "quarter", "year")


_SCORING = (
    "# Rows may be scored before their batch has closed, and delivered; the contract needs a key:",
    "# scoring:",
    '#   schedule: {cron: "0 4 * * *"}',
    '#   sinks: [{name: desk, url: "sqlite:///${KINGMAKER_HOME}/delivered/desk.db"}]',
)
"""What a draft says of scoring: docs/predictions.md."""


class DraftError(MisuseError):
    """What would be drafted does not hold; nothing was written."""


@dataclass(frozen=True)
class Draft:
    """What was written, and what of it was guessed."""

    contract: Path
    spec: Path
    guesses: tuple[Guess, ...]
    left_out: dict[str, str]
    """Columns that are not in the contract -> why."""


def draft_model(
    project: Path,
    model: str,
    source: Path,
    target: str,
    time: str,
    options: Options | None = None,
    problem: Problem | None = None,
    every: Every | None = None,
) -> Draft:
    """Write ``data_contracts/<model>.odcs.yaml`` and ``deployments/<model>/model.yaml``.

    The file grows: what is appended to it later is cut into batches by ``time``. Both are checked
    before they are written. Raises ConfigurationError when a file is there already, when a column
    is not in ``source``, or when its target or its history cannot be used; SourceError when the
    file cannot be read; DraftError when the drafts do not pass their own check.
    """
    options = options or Options()
    contract_file = project / "data_contracts" / f"{model}.odcs.yaml"
    spec_file = project / "deployments" / model / "model.yaml"
    for file in (contract_file, spec_file):
        if file.exists():
            raise ConfigurationError(
                file, "file", "none yet", "one; remove it, or choose another name"
            )
    path = str(source.resolve())
    if set(path) & set("$*?{"):
        raise ConfigurationError(
            source,
            "--source",
            "a path without $, {, * and ?, which stand for something else in a contract",
            f"{path!r}; rename it",
        )
    typed = read_typed(source, options, time)
    known = [*typed.columns, *typed.left_out]
    for option, column in (("--target", target), ("--time", time), *_named(options)):
        if column not in known:
            hint = nearest(column, known)
            if len(known) == 1 and typed.server.format == "csv":
                hint = "; if that is several columns, say with --delimiter what stands between them"
            raise ConfigurationError(
                source, option, f"one of {_some(known, column)}", f"{column!r}{hint}"
            )
        if column in typed.left_out:
            raise ConfigurationError(
                source, option, "a column with values", f"{column!r}: {typed.left_out[column]}"
            )
    problem, typed, guesses = _problem(typed, target, problem)
    contract = infer_contract(typed, model, event_time=time, later=target, path=path)
    spec, more = _spec(typed, model, target, time, problem, every, datetime.now(UTC))
    schema = os.path.relpath(SPEC_SCHEMA, spec_file.parent)
    spec = f"# yaml-language-server: $schema={schema}\n{spec}"
    _check(project, model, {contract_file: contract, spec_file: spec})
    write_whole(contract_file, contract.encode())
    write_whole(spec_file, spec.encode())
    found = (*typed.guesses, *guesses, *more)
    return Draft(contract_file, spec_file, found, typed.left_out)


def _some(names: list[str], wanted: str) -> str:
    """The names, of many those most like the one that was asked for, and how many others."""
    if len(names) <= FEW_NAMES:
        return str(names)
    near = difflib.get_close_matches(wanted, names, n=FEW_NAMES // 2, cutoff=0.0)
    return f"the file's {len(names):,} columns, such as {near}"


def _named(options: Options) -> list[tuple[str, str]]:
    return [("--text", name) for name in options.text]


def _check(project: Path, model: str, drafts: dict[Path, str]) -> None:
    """Raise DraftError when the drafts would not pass ``kingmaker check``."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for file, text in drafts.items():
            write_whole(place / file.relative_to(project), text.encode())
        settings = Settings(home=place / "home", project=place)
        try:
            managed = manage(model, settings)
            spec_file = place / "deployments" / model / "model.yaml"
            check_candidates(spec_file, managed.spec.training.candidates, managed.spec.problem)
            check_rules(managed.rows.contract)
        except KingmakerError as error:
            said = str(error).replace(str(place), str(project))
            raise DraftError(f"nothing was written: {said}") from None


# --- the spec -------------------------------------------------------------------------------------


def _spec(
    file: TypedFile,
    model: str,
    target: str,
    time: str,
    problem: Problem,
    given: Every | None,
    now: datetime,
) -> tuple[str, list[Guess]]:
    moments = file.columns[time].values
    every, batches, near = (given, 0, moments) if given else _period(file, time)
    wordy = [
        name
        for name, typed in file.columns.items()
        if typed.column.logical_type == "string"
        and name != target
        and pc.count_distinct(typed.values).as_py() > MOST_CATEGORIES
    ]
    guesses = [Guess("labels are known at once", "the file does not say when", "labels.delay")]
    newest = pc.max(near.cast(pa.timestamp("us", tz="UTC"))).as_py()
    if newest > now:
        why = "a batch is taken in when it has ended"
        guesses.append(
            Guess(f"times lie in the future, up to {newest:%Y-%m-%d}", why, "--time-format")
        )
    if not given:
        strays = len(moments) - len(near)
        why = f"{len(near):,} rows make {batches} batches" + (
            f"; {strays:,} rows far from all others do not count" if strays else ""
        )
        guesses.insert(0, Guess(f"batches are cut by the {every}", why, "--every"))
    if wordy:
        shown = ", ".join(repr(name) for name in wordy[:5]) + ", ..." * (len(wordy) > 5)
        why = f"more than {MOST_CATEGORIES} different texts look like names or notes"
        guesses.append(Guess(f"the features leave out {shown}", why, "features.exclude"))
    lines = [
        f"# Drafted from {' '.join(file.source.name.split())}. Guesses are yours to review.",
        _line("model", model),
        _line("contract", model),
        _line("problem", problem, "a guess"),
        _line("target", target),
        _line("batch", {"every": every}, "" if given else f"a guess: {guesses[0].why}"),
        _line("labels", {"delay": "0d"}, "a guess: how long after a batch's end is it known?"),
    ]
    lines += _SCORING
    if wordy:
        lines.append(_line("features", {"exclude": wordy}, "a guess: names or notes"))
    return "\n".join(lines) + "\n", guesses


def _line(key: str, value: object, comment: str = "") -> str:
    """One key of the spec, quoted where YAML needs it."""
    text = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, width=float("inf")
    ).removesuffix("...\n")
    return f"{key}: {text.strip()}" + (f"  # {comment}" if comment else "")


# --- what kind of target --------------------------------------------------------------------------


def _problem(
    file: TypedFile, target: str, given: Problem | None
) -> tuple[Problem, TypedFile, list[Guess]]:
    """The kind of problem, the file with the target in a type for it, and what was guessed."""
    typed = file.columns[target]
    kind = typed.column.logical_type
    distinct = typed.values.drop_null().unique()
    two = two_values(typed)
    if kind == "boolean" or (two is not None and given in (None, "binary")):
        return _binary(file, target)
    whole = kind == "integer" or (kind == "number" and _are_whole(distinct))
    sound = {
        "binary": False,
        "multiclass": whole or kind == "string",
        "regression": kind in ("integer", "number"),
    }
    if given is not None and sound[given] and len(distinct) > 1:
        if given == "multiclass" and kind == "number":
            file = file.retyped(Column(target, "integer"))
        return given, file, []
    if given is None and whole and 1 < len(distinct) <= FEW_NUMBERS:
        raise ConfigurationError(
            file.source,
            "--target",
            "--problem multiclass or --problem regression beside it: so few whole numbers may be"
            " classes or quantities",
            f"{target!r} with the values {sorted(int(value) for value in distinct.to_pylist())}",
        )
    if given is None and kind == "string" and 2 <= len(distinct) <= MOST_CLASSES:
        why = f"it has {len(distinct)} classes"
        return "multiclass", file, [Guess("the problem is multiclass", why, "--problem")]
    if given is None and kind in ("integer", "number") and len(distinct) > 1:
        why = f"it has {len(distinct):,} different numbers"
        return "regression", file, [Guess("the problem is regression", why, "--problem")]
    raise ConfigurationError(
        file.source,
        "--target",
        f"a column of numbers, of two values, or of 3 to {MOST_CLASSES} classes"
        + (f", that makes a {given} problem" if given else ""),
        f"{target!r}, {kind} with {len(distinct):,} distinct values",
    )


def _binary(file: TypedFile, target: str) -> tuple[Problem, TypedFile, list[Guess]]:
    """The file with a target that is a boolean, or the integers 0 and 1."""
    typed = file.columns[target]
    two = two_values(typed)
    guess = Guess("the problem is binary", f"{target} has two values", "--problem")
    if two is None or typed.column.logical_type == "boolean":
        return "binary", file, [guess]
    true, false = two
    if not true:
        text = typed.column.logical_type == "string"
        column = Column(target, "boolean" if text else "integer")
        return "binary", file.retyped(column), [guess]
    column = Column(target, "boolean", true_values=true, false_values=false)
    said = f"{target} is true where it says {', '.join(true)}, false where {', '.join(false)}"
    meaning = Guess(said, "one of the two must be", "trueValues and falseValues in the contract")
    return "binary", file.retyped(column), [guess, meaning]


def _are_whole(values: pa.Array) -> bool:
    numbers = values.to_numpy(zero_copy_only=False)
    return bool(np.all(np.isfinite(numbers) & (numbers == np.floor(numbers))))


# --- how the history is cut -----------------------------------------------------------------------


def _period(file: TypedFile, time: str) -> tuple[Every, int, pa.ChunkedArray]:
    """The shortest period with enough rows a batch, how many whole batches it gives, and the
    moments that were counted.
    """
    near = _without_strays(file.columns[time].values.cast(pa.timestamp("us", tz="UTC")))
    moments: list[datetime] = near.unique().to_pylist()
    found: list[tuple[Every, int]] = []
    for every in _PERIODS:
        batches = len({batch_of(moment, every, file.timezone).id for moment in moments})
        if batches >= FEWEST_BATCHES:
            found.append((every, batches))
            if len(near) / batches >= FEWEST_ROWS:
                return every, batches, near
    if not found:
        raise ConfigurationError(
            file.source,
            "--time",
            f"a history of at least {FEWEST_BATCHES} days",
            f"{len(near):,} rows, the first of {min(moments):%Y-%m-%d}, the last of"
            f" {max(moments):%Y-%m-%d}",
        )
    return *found[-1], near


def _without_strays(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    """The moments without the few that lie further from the middle nine tenths than these are
    long.
    """
    low, high = np.quantile(moments.cast(pa.int64()).to_numpy(), [0.05, 0.95])
    span = max(high - low, 1)
    counted = moments.cast(pa.int64())
    near = pc.and_(
        pc.greater_equal(counted, int(low - span)), pc.less_equal(counted, int(high + span))
    )
    return moments.filter(near)
