"""Tests of the rules as SQL: proven equal to Great Expectations on every kind of rule, over any cut
into parts.
"""

import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from data_contracts.contract import Contract, Rule
from tasks.lake import to_frame
from tasks.validation import scan
from tasks.validation.expectations import RuleResult, run_rules
from tasks.validation.scan import scan_rules
from tests.sample_contract import BATCH, column, sample_contract, sample_table


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The sample contract."""
    return sample_contract(tmp_path_factory.mktemp("contract"))


def scanned(
    directory: Path,
    table: pa.Table,
    rules: Sequence[Rule],
    contract: Contract,
    cuts: Sequence[int] = (),
    **limits: int,
) -> tuple[RuleResult, ...]:
    """The scan's results over ``table``, written to ``directory`` as parts that end at ``cuts``."""
    parts = []
    for start, end in zip((0, *cuts), (*cuts, table.num_rows), strict=True):
        parts.append(directory / f"part-{len(parts):05d}.parquet")
        pq.write_table(table.slice(start, end - start), parts[-1])
    return scan_rules(parts, rules, contract, BATCH, directory, **limits)


# --- equal to Great Expectations ------------------------------------------------------------------

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "b\n",
    "a\nb",
    "a\0b",
    "é",
    "e\u0301",
    "💥",
    "'",
    '"; --',
    "%",
    "NaN",
    " a",
    "\u0661",
]
WHOLE = [0, 1, -1, 2, 2**53, -(2**53), 2**53 + 2, 2**62, 2**62 + 1, 2**63 - 1, -(2**63)]
REAL = [
    0.0,
    0.1,
    -0.1,
    1.0,
    1000.0,
    5e-324,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    2.0**53,
]
DAYS = [date(2013, 5, 16), date(2013, 5, 17), date(2013, 5, 18), date(1, 1, 1), date(9999, 12, 31)]
TIMES = [
    BATCH.start,
    BATCH.end,
    BATCH.start - timedelta(microseconds=1),
    BATCH.end - timedelta(microseconds=1),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
    datetime(2200, 1, 1, tzinfo=UTC),
    BATCH.start + timedelta(hours=8),
]
PATTERNS = [
    "^a",
    "a$",
    "^[ab]$",
    "a.b",
    "",
    "(?i)^A$",
    r"\d",
    r"^\w+$",
    "é|💥",
    "'",
    "^.$",
    r"\bb",
    "^[^@]+@[^@]+$",
]

cells: dict[str, st.SearchStrategy[Any]] = {
    "sold_at": st.sampled_from(TIMES),
    "id": st.sampled_from(WHOLE) | st.integers(-3, 3),
    "shop": st.sampled_from("ABC"),
    "amount": st.sampled_from(REAL) | st.floats(),
    "note": st.sampled_from(TEXTS) | st.text(max_size=4),
    "till": st.sampled_from(WHOLE) | st.integers(-(2**63), 2**63 - 1),
    "paid_on": st.sampled_from(DAYS),
    "email": st.sampled_from(["a@b", "nobody", "@", ""]),
    "returned": st.booleans(),
}
bounds: dict[str, st.SearchStrategy[Any]] = {
    "sold_at": st.sampled_from(
        ["2013-05-17T08:00", "2013-05-17T12:00:00Z", "2013-05-17T00:00:00.000001"]
    ),
    "amount": st.sampled_from([value for value in REAL if abs(value) < float("inf")] + [0, 1, -5]),
    "till": st.sampled_from(
        [0, 1, -1, 0.5, 2**53 + 1, -(2**53) - 1, 2.0**62, 2**62 + 1, 2**63 - 1, 2**63, -(2**70)]
    ),
    "paid_on": st.sampled_from([day.isoformat() for day in DAYS]),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, list[int]]:
    """A table in the contract's types with gaps, some columns without any, and where it is cut into
    parts.
    """
    rows = draw(st.integers(1, 12))
    columns = {}
    for name, values in cells.items():
        gaps = draw(st.sampled_from(["none", "some", "all"]))
        cell = {"none": values, "some": st.none() | values, "all": st.none()}[gaps]
        columns[name] = draw(st.lists(cell, min_size=rows, max_size=rows))
    cuts = sorted(draw(st.sets(st.integers(1, rows - 1), max_size=3))) if rows > 1 else []
    return sample_table(rows, **columns), cuts


def _ordered(low: Any, high: Any) -> tuple[Any, Any]:
    """The contract's compiler refuses bounds in the wrong order."""
    if low is None or high is None:
        return low, high
    return (low, high) if low <= high else (high, low)


@st.composite
def rules(draw: st.DrawFn) -> list[Rule]:
    """One rule of each kind."""
    flags = st.booleans()
    found = [Rule("within", "row", "within_batch", ("sold_at",))]
    for name in cells:
        found.append(Rule(f"{name}:not_null", "row", "not_null", (name,)))
        found.append(Rule(f"{name}:unique", "row", "unique", (name,)))
        share = draw(st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0]))
        found.append(Rule(f"{name}:null_share", "batch", "null_share", (name,), {"max": share}))
    for name, values in bounds.items():
        zoned = name != "sold_at"
        pair = draw(
            st.tuples(st.none() | values, st.none() | values).filter(
                lambda pair: pair != (None, None)
            )
        )
        low, high = _ordered(*pair) if zoned else (pair[0], None) if pair[0] else (None, pair[1])
        strict = {"strict_min": draw(flags), "strict_max": draw(flags)}
        found.append(
            Rule(f"{name}:between", "row", "between", (name,), {"min": low, "max": high} | strict)
        )
    for name, allowed in {
        "till": st.sampled_from(WHOLE),
        "note": st.sampled_from(TEXTS),
        "amount": st.sampled_from([0.1, 0, 1, 1000.0, 5e-324]),
        "returned": st.booleans(),
        "paid_on": st.sampled_from(DAYS),
    }.items():
        chosen = tuple(draw(st.lists(allowed, min_size=1, max_size=4)))
        found.append(Rule(f"{name}:in_set", "row", "in_set", (name,), {"values": chosen}))
        found.append(Rule(f"{name}:not_in_set", "row", "not_in_set", (name,), {"values": chosen}))
    pattern = draw(st.sampled_from(PATTERNS))
    found.append(Rule("note:matches", "row", "matches", ("note",), {"pattern": pattern}))
    length = draw(st.sampled_from([(None, 1), (1, None), (1, 1), (0, 2), (2, 3)]))
    found.append(
        Rule(
            "note:length", "row", "length_between", ("note",), {"min": length[0], "max": length[1]}
        )
    )
    key = tuple(draw(st.lists(st.sampled_from(list(cells)), min_size=2, max_size=3, unique=True)))
    found.append(Rule("key:unique", "row", "unique", key))
    limit = draw(st.sampled_from([(1, None), (None, 6), (3, 9), (12, 12)]))
    found.append(Rule("rows", "batch", "row_count", (), {"min": limit[0], "max": limit[1]}))
    seconds = draw(st.sampled_from([0.0, 1e-6, 3600.0, 86_400.0]))
    found.append(Rule("fresh", "batch", "fresh", ("sold_at",), {"seconds": seconds}))
    alone = [rule for rule in found if rule.scope == "row" and rule.check != "unique"]
    found += [
        _count(
            "some",
            draw(st.lists(st.sampled_from(alone), max_size=2, unique_by=lambda rule: rule.id)),
            draw,
        ),
        _count(
            "doubles",
            [next(rule for rule in found if rule.check == "unique" and rule.columns == key)],
            draw,
        ),
    ]
    return found


def _count(name: str, counted: list[Rule], draw: st.DrawFn) -> Rule:
    limit, unit = draw(st.sampled_from([0, 2, 50])), draw(st.sampled_from(["rows", "percent"]))
    columns = tuple(dict.fromkeys(name for rule in counted for name in rule.columns))
    given = {"rules": tuple(counted), "operator": "mustBeLessThan", "limit": limit, "unit": unit}
    return Rule(f"{name}:count", "batch", "count", columns, given)


@settings(
    max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate]
)  # to shrink takes minutes
@given(drawn=tables(), chosen=rules(), at_once=st.sampled_from([2, scan.KEYS_AT_ONCE]))
def test_equal_to_great_expectations(
    contract: Contract, drawn: tuple[pa.Table, list[int]], chosen: list[Rule], at_once: int
) -> None:
    """Success, row positions and what was found are the same, whatever the values, wherever parts
    end, in any number of passes.
    """
    table, cuts = drawn

    expected = run_rules(to_frame(table), chosen, contract, BATCH)
    with tempfile.TemporaryDirectory() as directory:
        found = scanned(Path(directory), table, chosen, contract, cuts, keys_at_once=at_once)

    assert found == expected


# --- what the scan does on its own ----------------------------------------------------------------


def test_doubles_are_found_across_parts(tmp_path: Path, contract: Contract) -> None:
    """Uniqueness is a promise of the batch, not of a part."""
    table = sample_table(6, till=[1, 2, 3, 1, None, None])

    (result,) = scanned(
        tmp_path, table, [Rule("r", "row", "unique", ("till",))], contract, cuts=[2, 4]
    )

    assert result.positions == (0, 3)


def test_doubles_are_found_in_every_pass(tmp_path: Path, contract: Contract) -> None:
    """Each value twice, and far more values than one pass tells apart."""
    table = sample_table(40, till=[*range(20), *range(20)])

    (result,) = scanned(
        tmp_path,
        table,
        [Rule("r", "row", "unique", ("till",))],
        contract,
        cuts=[7, 30],
        keys_at_once=3,
    )

    assert result.positions == tuple(range(40))


@pytest.mark.parametrize("gap", [False, True])
def test_a_key_with_a_unique_column_needs_no_look(
    tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch, gap: bool
) -> None:
    """Where each row has an id of its own no key with the id comes twice; with gaps among the ids
    one may.
    """
    looks: list[str] = []
    unique = scan._unique

    def counted(of: Any, rule: Rule, none: bool = False) -> RuleResult:
        looks.append(f"{rule.id}: {'known' if none else 'looked for'}")
        return unique(of, rule, none)

    monkeypatch.setattr(scan, "_unique", counted)
    rules = [
        Rule("key", "row", "unique", ("shop", "id")),
        Rule("id:unique", "row", "unique", ("id",)),
        Rule("id:not_null", "row", "not_null", ("id",)),
    ]
    table = sample_table(4, shop=["A"] * 4, id=[1, 2, None, None] if gap else [1, 2, 3, 4])

    key, *_ = scanned(tmp_path, table, rules, contract)

    assert looks == ["id:unique: looked for", f"key: {'looked for' if gap else 'known'}"]
    assert key.positions == ((2, 3) if gap else ())


def test_pattern_that_sql_does_not_know_has_no_result(tmp_path: Path, contract: Contract) -> None:
    """Look-around is Python's: the caller must judge that rule by other means."""
    rules = [
        Rule("a", "row", "matches", ("note",), {"pattern": "a(?!b)"}),
        Rule("b", "row", "matches", ("note",), {"pattern": "^a"}),
    ]

    results = scanned(tmp_path, sample_table(), rules, contract)

    assert [result.rule.id for result in results] == ["b"]


def test_kinds_without_a_scan_have_no_result(tmp_path: Path, contract: Contract) -> None:
    """What SQL is not written for is left to the caller by name, not passed over."""
    rules = [
        Rule("kind", "row", "multiple_of", ("amount",), {"of": 2}),
        Rule("known", "row", "not_null", ("shop",)),
    ]

    results = scanned(tmp_path, sample_table(), rules, contract)

    assert [result.rule.id for result in results] == ["known"]


def test_columns_that_differ_in_case_only(tmp_path: Path) -> None:
    """SQL takes ``Till`` and ``till`` for one name; they are two columns, and odd names are only
    names.
    """

    def rename(document: Any) -> None:
        column(document, "returned").update(name="TILL", logicalType="integer")
        column(document, "note")["name"] = 'file_index "'

    contract = sample_contract(tmp_path, rename)
    table = sample_table(3, till=[1, None, 1]).set_column(
        8, "TILL", pa.array([None, 2, 3], pa.int64())
    )
    table = table.rename_columns(
        ['file_index "' if name == "note" else name for name in table.column_names]
    )
    table = table.append_column("file_index", pa.array([7, 7, 7])).append_column(
        "row", pa.array([7, 7, 7])
    )
    rules = [Rule(name, "row", "not_null", (name,)) for name in ("till", "TILL", 'file_index "')]

    results = scanned(tmp_path, table, rules, contract, cuts=[1])

    assert [result.positions for result in results] == [(1,), (0,), (0, 2)]


def test_directory_called_like_a_partition(tmp_path: Path, contract: Contract) -> None:
    """The columns are those of the files, whatever the path says."""
    lake = tmp_path / "till=9" / "it's"
    lake.mkdir(parents=True)
    rule = Rule("r", "row", "in_set", ("till",), {"values": (9,)})

    (result,) = scanned(lake, sample_table(2), [rule], contract)

    assert result.positions == (0, 1)


def test_nothing_is_left_behind(tmp_path: Path, contract: Contract) -> None:
    """What did not fit in memory goes when the scan ends."""
    scanned(tmp_path, sample_table(), [Rule("r", "row", "unique", ("id",))], contract)

    assert [path.name for path in tmp_path.iterdir()] == ["part-00000.parquet"]
