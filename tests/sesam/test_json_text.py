"""JSON is read strictly, and equal values have one text."""

from __future__ import annotations

import pytest

from apps.sesam import json_places
from apps.sesam.errors import JsonProblem
from apps.sesam.json_places import DEEPEST
from apps.sesam.json_text import canonical, json_read, pretty, same

REFUSED = [
    (b"", "not JSON", 1, 1),
    (b"{", "not JSON", 1, 2),
    (b'{"a": 1,\n "b": }', "not JSON", 2, 7),
    (b'{"a": 1}\n{"b": 2}', "not JSON", 2, 1),
    (b'{"a": 1,\n "b": 2,\n "a": 3}', "“a” is there twice", 3, 2),
    (b'{"a": [{"x": 1}, {"x": 2,\n "x": 3}]}', "“x” is there twice", 2, 2),
    (b'{"a": "\\"x\\": 1", "\\u0061": 2}', "“a” is there twice", 1, 19),
    (b'{"a": "NaN",\n "b": NaN}', "NaN is not JSON", 2, 7),
    (b"[-Infinity]", "-Infinity is not JSON", 1, 2),
    (b"[\n1e999]", "too large", 2, 1),
    (b"[1, " + b"9" * 5000 + b"]", "too large", 1, 5),
    (b'{"a":\n"\xff"}', "not UTF-8", 2, 2),
    ('{"a": 1}'.encode("utf-16"), "not UTF-8", 1, 1),
    (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "levels deep", 1, DEEPEST + 1),
    (b"[" * 100_000 + b"]" * 100_000, "levels deep", 1, DEEPEST + 1),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "levels deep", 1, 5 * DEEPEST + 1),
    (b"[" * 100_000, "levels deep", 1, DEEPEST + 1),
    (b'"a\nb"', "not JSON", 1, 3),
]


@pytest.mark.parametrize(("data", "text", "line", "column"), REFUSED)
def test_json_that_is_refused_has_a_place(data: bytes, text: str, line: int, column: int) -> None:
    with pytest.raises(JsonProblem) as caught:
        json_read(data, "pipes/a.conf.json")
    problem = caught.value.problem
    assert text in problem.text
    assert (problem.file, problem.line, problem.column) == ("pipes/a.conf.json", line, column)
    assert str(caught.value).startswith("pipes/a.conf.json:")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b" [1, 1.5, true, null] \r\n", [1, 1.5, True, None]),
        (b'{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]}', {"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]}),
        (b'"{[NaN \\" 1e999"', '{[NaN " 1e999'),
        (b'["' + b"[" * 1000 + b'"]', ["[" * 1000]),
    ],
)
def test_json_that_is_read(data: bytes, value: object) -> None:
    assert json_read(data, "a") == value


def test_json_as_deep_as_allowed_is_read_and_written() -> None:
    value = json_read(b"[" * DEEPEST + b"1.0" + b"]" * DEEPEST, "a")
    assert same(value, value)
    assert canonical(value) == "[" * DEEPEST + "1" + "]" * DEEPEST
    assert pretty(value).count("[") == DEEPEST


def test_depth_is_counted_not_brackets() -> None:
    assert len(json_read(b"[" + b"[{}]," * 10_000 + b"1]", "a")) == 10_001
    assert json_read(b"[" * DEEPEST + b"1" + b"]" * DEEPEST, "a")
    assert json_read(b"[1," * (DEEPEST - 1) + b"{}" + b"]" * (DEEPEST - 1), "a")


def test_a_fault_far_down_a_huge_file_is_told_without_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_places, "_MOST_TOKENS", 10)
    with pytest.raises(JsonProblem, match="too large to say where"):
        json_read(b"[" + b"1," * 20 + b"NaN]", "a")


EQUAL = [
    (1, 1.0, True),
    (-0.0, 0, True),
    (1e300, int(1e300), True),
    (2**53 + 1, float(2**53), False),
    (1, True, False),
    (0, False, False),
    (0.0, False, False),
    (None, False, False),
    ("1", 1, False),
    ([], {}, False),
    ([1, 2], [2, 1], False),
    ([[1]], [[1.0]], True),
    ({"a": 1, "b": [True]}, {"b": [True], "a": 1.0}, True),
    ({"a": None}, {}, False),
    ({"a": 1}, {"b": 1}, False),
    ({"a": [1]}, {"a": [True]}, False),
    ("\u00e9", "e\u0301", False),
]


@pytest.mark.parametrize(("one", "other", "equal"), EQUAL)
def test_values_are_equal_by_value(one: object, other: object, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal
    assert (canonical(one) == canonical(other)) is equal
    assert (pretty(one) == pretty(other)) is equal


def test_comparison_of_what_is_very_deep_does_not_crash() -> None:
    one: list[object] = []
    other: list[object] = []
    for _ in range(50_000):
        one, other = [one], [other]
    assert same(one, other)
    assert not same(one, [other])


def test_pretty_puts_first_what_people_look_for() -> None:
    value = {"source": {"system": "s", "type": "json"}, "type": "pipe", "metadata": {}, "_id": "å"}
    assert pretty(value) == (
        '{\n  "_id": "å",\n  "type": "pipe",\n  "metadata": {},\n'
        '  "source": {\n    "type": "json",\n    "system": "s"\n  }\n}'
    )


def test_half_a_character_can_be_shown_and_encoded() -> None:
    value = json_read(b'{"a": "\\ud800"}', "a")
    assert pretty(value).encode()
    assert canonical(value).encode()
