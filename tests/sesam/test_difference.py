"""Two JSON values side by side: equal ones show nothing, and each side can be read off the rows again."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.sesam.difference import (
    ADDED,
    BY_INDEX,
    CHANGED,
    REMOVED,
    SAME,
    Difference,
    Row,
    difference,
)
from apps.sesam.json_layout import laid_out
from apps.sesam.json_text import same

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text('ab:" é\n', max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["_id", "type", "a", "b", "c"]), inner),
    max_leaves=25,
)
ENTITIES = st.dictionaries(st.sampled_from(["_id", "type", "source", "transform", "Metadata"]), VALUES)


def side(found: Difference, name: str) -> str:
    """One side as text again."""
    cells = [getattr(row, name) for row in found.rows]
    return "\n".join(cell.text for cell in cells if cell is not None)


def ordered(rows: list[Row]) -> list[Row]:
    """Within each run of one-sided rows the removed ones first: which comes first says nothing."""
    found: list[Row] = []
    run: list[Row] = []
    for row in [*rows, None]:
        if row is not None and row.kind in {ADDED, REMOVED}:
            run.append(row)
            continue
        found += sorted(run, key=lambda one: one.kind, reverse=True)
        run = []
        if row is not None:
            found.append(row)
    return found


def mirrored(rows: tuple[Row, ...]) -> list[Row]:
    other = {ADDED: REMOVED, REMOVED: ADDED}
    return [Row(other.get(row.kind, row.kind), row.right, row.left) for row in rows]


def words(found: Difference, kind: str) -> list[tuple[str, str]]:
    return [
        (row.left.text.strip() if row.left else "", row.right.text.strip() if row.right else "")
        for row in found.rows
        if row.kind == kind
    ]


@settings(max_examples=150, deadline=None)
@given(ENTITIES, ENTITIES)
def test_sides_can_be_read_off_the_rows(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = difference(before, after)
    assert same(json.loads(side(found, "left")), before)
    assert same(json.loads(side(found, "right")), after)
    assert found.is_empty == same(before, after)
    for name in ("left", "right"):
        numbers = [cell.number for row in found.rows if (cell := getattr(row, name)) is not None]
        assert numbers == list(range(1, len(numbers) + 1))


@settings(max_examples=150, deadline=None)
@given(ENTITIES, ENTITIES)
def test_swapped_input_mirrors(before: dict[str, Any], after: dict[str, Any]) -> None:
    rows = difference(before, after).rows
    assert ordered(mirrored(difference(after, before).rows)) == ordered(list(rows))


@settings(max_examples=100, deadline=None)
@given(VALUES.filter(lambda value: value is not None))
def test_one_value_alone_is_laid_out_whole(value: Any) -> None:
    assert side(difference(value, value), "left") == laid_out(value)
    assert same(json.loads(laid_out(value)), value)
    assert side(difference(None, value), "right") == side(difference(value, None), "left") == laid_out(value)


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, max_size=8), st.randoms(use_true_random=False))
def test_sections_hold_all_rows_in_order(items: list[Any], random: Any) -> None:
    changed = [item for item in items if random.random() > 0.2]
    found = difference({"list": items}, {"list": changed})
    assert [row for section in found.sections() for row in section.rows] == list(found.rows)
    assert all(row.kind == SAME for section in found.sections() if section.folded for row in section.rows)


def test_order_of_keys_and_the_spelling_of_numbers_never_show() -> None:
    assert difference({"b": 1, "a": [True, 2.0]}, {"a": [True, 2], "b": 1.0}).is_empty
    assert not difference({"a": 1}, {"a": True}).is_empty


def test_keys_stand_in_canonical_order() -> None:
    text = side(difference({"z": 1, "type": "pipe", "a": {"type": 1, "_id": 2}, "_id": "x"}, {}), "left")
    assert list(json.loads(text)) == ["_id", "type", "a", "z"]
    assert text.index('"_id": 2') < text.index('"type": 1')


def test_rules_stand_one_a_line() -> None:
    rules = [["copy", "*"], ["add", "rdf:type", ["ni", "crm", "person"]], ["add", "n", {"a": 1}]]
    assert laid_out({"default": rules}).split("\n") == [
        "{",
        '  "default": [',
        '    ["copy", "*"],',
        '    ["add", "rdf:type", ["ni", "crm", "person"]],',
        "    [",
        '      "add",',
        '      "n",',
        "      {",
        '        "a": 1',
        "      }",
        "    ]",
        "  ]",
        "}",
    ]


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        pytest.param(["a", "b", "c"], ["a", "x", "c"], {CHANGED: 1}, id="flat list on one row"),
        pytest.param({"a": 1}, {"a": 2}, {CHANGED: 1}, id="value"),
        pytest.param({"a": 1}, {"b": 1}, {ADDED: 1, REMOVED: 1}, id="other key"),
        pytest.param({"a": 1}, {"a": {"b": 1}}, {REMOVED: 1, ADDED: 3}, id="other type"),
        pytest.param({"a": []}, {"a": [{"b": 1}]}, {ADDED: 3}, id="filled list"),
        pytest.param([["a", 1], ["b", 2]], [["a", 1], ["n", 0], ["b", 2]], {ADDED: 1}, id="rule put between"),
        pytest.param([["a", 1], ["b", 2], ["c", 3]], [["a", 1], ["c", 3]], {REMOVED: 1}, id="rule taken out"),
        pytest.param([["a", 1], ["b", 2]], [["b", 2], ["a", 1]], {REMOVED: 1, ADDED: 1}, id="rules swapped"),
        pytest.param(
            [["add", "x", 1], ["add", "y", 2], ["add", "z", 3]],
            [["add", "n", 0], ["add", "y", 5], ["add", "z", 3]],
            {CHANGED: 2},
            id="like beside like",
        ),
        pytest.param(
            [{"_id": "a", "v": 1}, {"_id": "b", "v": 1}], [{"_id": "b", "v": 2}], {REMOVED: 4, CHANGED: 1}, id="by id"
        ),
    ],
)
def test_what_changed(before: Any, after: Any, kinds: dict[str, int]) -> None:
    found = difference(before, after)
    assert {kind: found.count(kind) for kind in (ADDED, CHANGED, REMOVED) if found.count(kind)} == kinds


def test_words_that_differ_are_marked() -> None:
    left, right = "SELECT name, age FROM person WHERE age > 17", "SELECT name, age FROM people WHERE age > 18"
    row = next(row for row in difference({"query": left}, {"query": right}).rows if row.kind == CHANGED)
    assert row.left is not None
    assert row.right is not None
    assert [text for text, differs in row.left.parts if differs] == ["person", "17"]
    assert [text for text, differs in row.right.parts if differs] == ["people", "18"]
    assert row.left.parts[0] == ('"query": "SELECT name, age FROM ', False)


def test_a_word_deep_in_a_rule_is_marked() -> None:
    before = {"rules": [["copy", "*"], ["add", "age", ["plus", "_S.age", 1]]]}
    after = {"rules": [["copy", "*"], ["add", "age", ["plus", "_S.years", 1]]]}
    row = next(row for row in difference(before, after).rows if row.kind == CHANGED)
    assert row.right is not None
    assert [text for text, differs in row.right.parts if differs] == ["years"]


def test_very_long_lines_are_marked_by_their_ends() -> None:
    long = "word " * 1_000_000
    start = time.process_time()
    row = next(
        row for row in difference({"a": f"{long}one{long}"}, {"a": f"{long}other{long}"}).rows if row.kind == CHANGED
    )
    assert row.right is not None
    assert [text for text, differs in row.right.parts if differs] == ["ther"]
    assert row.right.text.strip() == f'"a": "{long}other{long}"'
    assert time.process_time() - start < 1.0


def test_equal_lines_fold() -> None:
    before = {"list": [{"n": number} for number in range(30)]}
    after = {"list": [{"n": number if number != 15 else 99} for number in range(30)]}
    sections = difference(before, after).sections()
    assert [section.folded for section in sections] == [True, False, True]
    assert len(sections[1].rows) == 7


def test_what_is_too_much_is_told() -> None:
    many = difference(None, {"list": [{"n": number} for number in range(100)]}, rows_most=50)
    assert (len(many.rows), many.left_out) == (50, 254)
    twins = difference([["a"], ["b"]] * 900 + [["c"]], [["b"], ["a"]] * 900 + [["d"]])
    assert twins.notes == (BY_INDEX,)
    assert not twins.is_empty


def test_deep_values_are_told_on_one_line() -> None:
    deep: Any = {"a": 1}
    for _ in range(150):
        deep = {"a": deep}
    found = difference({"d": deep}, {"d": deep, "e": 1})
    assert same(json.loads(side(found, "left")), {"d": deep})
    assert found.count(ADDED) == 1


def big(changes: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pipe of five thousand lines, and the same with some rules put in, taken out and changed."""
    rules = [["add", f"property_{n}", ["concat", [f"_S.column_{n}", " ", f"_S.other_{n}"]]] for n in range(4980)]
    other = list(rules)
    for number in range(changes):
        place = number * (4900 // changes)
        if number % 3 == 0:
            other[place] = ["add", f"property_{place}", ["upper", f"_S.column_{place}"]]
        elif number % 3 == 1:
            other.insert(place, ["remove", f"x_{number}"])
        else:
            del other[place]
    pipe = {"_id": "p", "type": "pipe", "transform": {"type": "dtl", "rules": {"default": rules}}}
    return pipe, pipe | {"transform": {"type": "dtl", "rules": {"default": other}}}


@pytest.mark.parametrize("changes", [1, 40, 1500])
def test_a_pipe_of_five_thousand_lines_is_quick(changes: int) -> None:
    before, after = big(changes)
    quickest = 9.0
    for _ in range(3):
        start = time.process_time()
        found = difference(before, after)
        quickest = min(quickest, time.process_time() - start)
    assert len(found.rows) > 4900
    assert not found.notes
    assert quickest < 0.3


@pytest.mark.parametrize("kind", ["reversed", "all else", "same items"])
def test_the_worst_lists_are_quick_too(kind: str) -> None:
    before = [["add", f"p{number}", number] for number in range(5000)]
    after: list[Any] = {
        "reversed": before[::-1],
        "all else": [["copy", f"q{number}"] for number in range(5000)],
        "same items": [["a"], ["b"], ["b"]] * 1600,
    }[kind]
    start = time.process_time()
    found = difference(before, after)
    assert time.process_time() - start < 1.0
    assert same(json.loads(side(found, "right")), after)
