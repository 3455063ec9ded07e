"""A first model spec and contract from one file of history, for a person to review; both run as
they are.
"""

from __future__ import annotations

import difflib
import math
import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
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
"""Rows that a batch should have, so that it can judge a challenger alone (``gate.rows``) ..."""
ENOUGH_SHARE = 0.9
"""... and the share of batches that should have them."""
LABELLED = 0.95
"""Share of the rows whose label is known when a batch's labels count as mature."""
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
    waits = _waits(typed, target, time)
    later = (target, *waits)
    contract = infer_contract(typed, model, event_time=time, later=later, path=path)
    now = datetime.now(UTC)
    spec, more = _spec(typed, model, target, time, problem, every, waits, now)
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
    waits: dict[str, np.ndarray],
    now: datetime,
) -> tuple[str, list[Guess]]:
    moments = file.columns[time].values
    near = _without_strays(moments.cast(pa.timestamp("us", tz="UTC")))
    every, batches = (given, 0) if given else _period(file, near)
    wordy = [
        name
        for name, typed in file.columns.items()
        if typed.column.logical_type == "string"
        and name != target
        and pc.count_distinct(typed.values).as_py() > MOST_CATEGORIES
    ]
    delay, known = _delay(waits)
    guesses = [known, *_gap(file, near, every)]
    newest = pc.max(near).as_py()
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
        _line("labels", {"delay": delay}, "a guess: how long after a batch's end is it known?"),
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


def _period(file: TypedFile, near: pa.ChunkedArray) -> tuple[Every, int]:
    """The shortest period in which nearly all batches of the moments ``near`` have enough rows, and
    how many batches it gives.
    """
    counted = pc.value_counts(near)
    moments: list[datetime] = counted.field("values").to_pylist()
    found: list[tuple[Every, int]] = []
    for every in _PERIODS:
        rows = Counter[str]()
        for moment, count in zip(moments, counted.field("counts").to_pylist(), strict=True):
            rows[batch_of(moment, every, file.timezone).id] += count
        if len(rows) >= FEWEST_BATCHES:
            found.append((every, len(rows)))
            enough = sum(count >= FEWEST_ROWS for count in rows.values())
            if enough >= ENOUGH_SHARE * len(rows):
                return every, len(rows)
    if not found:
        raise ConfigurationError(
            file.source,
            "--time",
            f"a history of at least {FEWEST_BATCHES} days",
            f"{len(near):,} rows, the first of {min(moments):%Y-%m-%d}, the last of"
            f" {max(moments):%Y-%m-%d}",
        )
    return found[-1]


def _gap(file: TypedFile, near: pa.ChunkedArray, every: Every) -> list[Guess]:
    """The longest time without a row, where it is a whole batch or more."""
    days = pc.floor_temporal(near, unit="day").unique().to_pylist()
    batches = sorted({batch_of(day, every, file.timezone) for day in days}, key=lambda b: b.start)
    gaps = [(one.end, other.start) for one, other in pairwise(batches) if other.start > one.end]
    if not gaps:
        return []
    start, end = max(gaps, key=lambda gap: gap[1] - gap[0])
    days_long = (end - start) // timedelta(days=1)
    what = f"no row lies from {start:%Y-%m-%d} to {end:%Y-%m-%d}, {days_long:,} days"
    why = "the longest of 1 gap" if len(gaps) == 1 else f"the longest of {len(gaps)} gaps"
    return [Guess(what, f"{why}; what was learned before it may be old after it", "the file")]


# --- when labels are known ------------------------------------------------------------------------


def _waits(file: TypedFile, target: str, time: str) -> dict[str, np.ndarray]:
    """Columns of times that are never before the event, and after it for most rows -> the time from
    the event until then, float64 seconds, of the rows that have both.
    """
    event = file.columns[time].values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    found = {}
    for name, typed in file.columns.items():
        if name in (target, time) or typed.column.logical_type not in ("timestamp", "date"):
            continue
        later = typed.values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        waited = pc.subtract(later, event).drop_null().to_numpy() / 1e6
        # A date says the day: it begins before what happens on it.
        slack = 86_400 if typed.column.logical_type == "date" else 0
        if len(waited) and waited.min() >= -slack and (waited > 0).mean() > 0.5:
            found[name] = waited
    return found


def _delay(waits: dict[str, np.ndarray]) -> tuple[str, Guess]:
    """``labels.delay`` as 19 of 20 rows of the column that comes last have it, in whole days or
    hours, and why.
    """
    if not waits:
        return "0d", Guess(
            "labels are known at once",
            "no column of times after the event says when",
            "labels.delay",
        )
    name = max(waits, key=lambda one: float(np.quantile(waits[one], LABELLED)))
    wait = float(np.quantile(waits[name], LABELLED))
    unit, seconds = ("h", 3600) if wait <= 86_400 else ("d", 86_400)
    delay = f"{math.ceil(wait / seconds)}{unit}"
    middle = float(np.median(waits[name])) / seconds
    return delay, Guess(
        f"labels are known {delay} after their batch",
        f"{name!r} is never before the event, {middle:.3g}{unit} after it in the middle and"
        f" {delay} in 19 of 20 rows; it is taken to say when a label became known",
        "labels.delay, and availability in the contract",
    )


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
