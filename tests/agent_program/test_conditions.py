"""The rules on payloads that agents and the panel share: what holds, what does not, and what is refused, and where."""

from __future__ import annotations

import fnmatch
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploypanel_agent.condition import ConditionError, condition_checked, condition_holds
from deploypanel_agent.patterns import text_matches
from deploypanel_agent.pointers import MISSING, PointerError, pointer_value

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5, "", "a", "ab", "main", "0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "0", "", "x/y"]), inner),
    max_leaves=8,
)
POINTER = st.sampled_from(["", "/", "/a", "/a/b", "/a/0", "/0", "/01", "/-", "/x~1y", "/b/a/0"])
RULE = st.recursive(
    st.one_of(
        st.dictionaries(POINTER, JSON, min_size=1, max_size=2).map(lambda body: {"equals": body}),
        st.dictionaries(POINTER, st.sampled_from(["*", "a*", "?", "*a*b*", "main", ""]), min_size=1, max_size=2).map(
            lambda body: {"matches": body}
        ),
        st.lists(POINTER, min_size=1, max_size=2).map(lambda body: {"present": body}),
        POINTER.map(lambda body: {"present": body}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda body: {"all": body}),
        st.lists(inner, min_size=1, max_size=3).map(lambda body: {"any": body}),
        inner.map(lambda body: {"not": body}),
    ),
    max_leaves=5,
)
PUSH: dict[str, Any] = {
    "ref": "refs/heads/main",
    "forced": False,
    "size": 1,
    "nothing": None,
    "commits": [{"id": "4f2a", "files": ["web/a.js"]}],
    "a/b": "slash",
    "m~n": "tilde",
    "": "empty",
}
# RFC 6901, section 5
RFC = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


def holds(rule: Any, payload: Any) -> bool:
    condition_checked(rule)
    return condition_holds(rule, payload)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/foo/2", MISSING),
        ("/foo/-", MISSING),
        ("/foo/00", MISSING),
        ("/foo/-1", MISSING),
        ("/foo/١", MISSING),
        ("/foo/0/x", MISSING),
        ("/none", MISSING),
    ],
)
def test_a_pointer_leads_where_the_standard_says(pointer: str, value: Any) -> None:
    assert pointer_value(RFC, pointer) == value


@pytest.mark.parametrize("pointer", ["ref", "/a~2b", "/a~", 3, None, "/" + "x" * 500])
def test_what_is_no_pointer_is_refused(pointer: Any) -> None:
    with pytest.raises(PointerError):
        pointer_value({}, pointer)


@pytest.mark.parametrize(
    "rule",
    [
        {"equals": {"/ref": "refs/heads/main"}},
        {"equals": {"/commits/0/id": "4f2a", "/forced": False}},
        {"equals": {"/size": 1.0}},
        {"equals": {"/nothing": None}},
        {"equals": {"/a~1b": "slash", "/m~0n": "tilde", "/": "empty"}},
        {"equals": {"/commits/0": {"files": ["web/a.js"], "id": "4f2a"}}},
        {"matches": {"/ref": "refs/heads/*"}},
        {"matches": {"/ref": "refs/*/ma?n"}},
        {"present": "/nothing"},
        {"present": ["/ref", "/commits/0/files/0"]},
        {"present": ""},
        {"all": [{"present": "/ref"}, {"not": {"equals": {"/forced": True}}}]},
        {"any": [{"equals": {"/ref": "other"}}, {"matches": {"/ref": "*main"}}]},
        {"not": {"present": "/commits/1"}},
    ],
)
def test_what_holds(rule: Any) -> None:
    assert holds(rule, PUSH)


@pytest.mark.parametrize(
    "rule",
    [
        {"equals": {"/ref": "main"}},
        {"equals": {"/size": True}},
        {"equals": {"/forced": 0}},
        {"equals": {"/forced": None}},
        {"equals": {"/none": None}},
        {"equals": {"/commits": [{"id": "4f2a"}]}},
        {"matches": {"/ref": "refs/heads"}},
        {"matches": {"/size": "1"}},
        {"matches": {"/none": "*"}},
        {"present": ["/ref", "/none"]},
        {"all": [{"present": "/ref"}, {"present": "/none"}]},
        {"any": [{"present": "/none"}]},
        {"not": {"present": "/ref"}},
    ],
)
def test_what_does_not_hold(rule: Any) -> None:
    assert not holds(rule, PUSH)


@pytest.mark.parametrize("payload", [None, 3, "text", [], {}])
def test_any_payload_can_be_asked(payload: Any) -> None:
    assert not holds({"matches": {"/ref": "*"}}, payload)


@given(st.lists(RULE, min_size=1, max_size=3), JSON)
@settings(max_examples=200, deadline=None)
def test_rules_of_rules_hold_as_logic_says(rules: list[dict[str, Any]], payload: Any) -> None:
    each = [holds(rule, payload) for rule in rules]
    assert holds({"all": rules}, payload) == all(each)
    assert holds({"any": rules}, payload) == any(each)
    assert [holds({"not": rule}, payload) for rule in rules] == [not one for one in each]


@given(RULE, JSON)
@settings(max_examples=200, deadline=None)
def test_a_rule_says_the_same_after_a_journey_as_json(rule: dict[str, Any], payload: Any) -> None:
    assert holds(json.loads(json.dumps(rule)), json.loads(json.dumps(payload))) == holds(rule, payload)


@given(JSON, POINTER)
@settings(max_examples=200, deadline=None)
def test_what_lies_at_a_pointer_is_present_and_equals_itself(payload: Any, pointer: str) -> None:
    value = pointer_value(payload, pointer)
    there = value is not MISSING
    assert holds({"present": pointer}, payload) == there
    assert holds({"equals": {pointer: value if there else None}}, payload) == there
    assert holds({"matches": {pointer: "*"}}, payload) == isinstance(value, str)


@given(JSON, JSON)
@settings(max_examples=200, deadline=None)
def test_equal_is_what_is_the_same_as_json(one: Any, other: Any) -> None:
    assert holds({"equals": {"": one}}, other) == (_canonical(one) == _canonical(other))


def _canonical(value: Any) -> str:
    """As JSON that has one kind of number only."""
    return json.dumps(json.loads(json.dumps(value), parse_int=float), sort_keys=True)


@pytest.mark.parametrize(
    ("rule", "path", "told"),
    [
        (None, (), "a rule is a mapping"),
        ({}, (), "exactly one of"),
        ({"all": [], "any": []}, (), "exactly one of"),
        ({"eval": "1"}, (), "no rule is called 'eval'"),
        ({3: 4}, (), "no rule is called '3'"),
        ({"all": {}}, ("all",), "give a list"),
        ({"all": []}, ("all",), "give a list of one rule or more"),
        ({"any": []}, ("any",), "give a list of one rule or more"),
        ({"all": [1]}, ("all", 0), "a rule is a mapping"),
        ({"all": [{"present": "/a"}, {"not": {"any": [3]}}]}, ("all", 1, "not", "any", 0), "a rule is a mapping"),
        ({"not": {"equals": {}}}, ("not", "equals"), "give a mapping from pointers"),
        ({"equals": {"ref": 1}}, ("equals",), "'ref' is no pointer: begin it with a slash"),
        ({"equals": {"/~2": 1}}, ("equals",), "write ~0 for a ~"),
        ({"equals": {3: 1}}, ("equals",), "a pointer is a text"),
        ({"equals": {"/" + "a" * 500: 1}}, ("equals",), "a pointer has at most 500"),
        ({"matches": {"/a": 1}}, ("matches", "/a"), "/a needs a pattern"),
        ({"matches": {"/a": "x" * 501}}, ("matches", "/a"), "/a needs a pattern of at most 500"),
        ({"present": []}, ("present",), "give a pointer"),
        ({"present": ["a"]}, ("present",), "'a' is no pointer"),
        ({"all": [{"present": "/a"}] * 99 + [{"present": ["/a", "/b"]}]}, ("all", 99, "present"), "at most 200 parts"),
        ({"all": [{"present": "/a"}] * 600}, ("all", 99, "present"), "at most 200 parts"),
    ],
)
def test_what_is_no_rule_is_refused_with_its_place(rule: Any, path: tuple[Any, ...], told: str) -> None:
    with pytest.raises(ConditionError, match=told) as caught:
        condition_checked(rule)
    assert caught.value.path == path


@pytest.mark.parametrize("around", [lambda rule: {"not": rule}, lambda rule: {"all": [rule]}])
def test_rules_within_rules_have_an_end(around: Any) -> None:
    rule: Any = {"present": "/a"}
    for _ in range(19):
        rule = around(rule)
    condition_checked(rule)
    for _ in range(5000):
        rule = around(rule)
    with pytest.raises(ConditionError, match="at most 20 deep"):
        condition_checked(rule)


@given(st.text("ab/*?", max_size=8), st.text("ab/", max_size=10))
def test_patterns_of_texts_are_those_of_the_shell(pattern: str, text: str) -> None:
    assert text_matches(text, pattern) == fnmatch.fnmatchcase(text, pattern)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["all", "any", "not", "equals", "matches", "present", "/a", "x"]), inner, max_size=2
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_is_given_is_a_rule_or_refused(data: Any) -> None:
    try:
        condition_checked(data)
    except ConditionError:
        return
    assert condition_holds(data, PUSH) in {True, False}


@pytest.mark.parametrize("pattern", ["*a" * 249 + "b", "*" + "a" * 400 + "?b*", "*" + "a?" * 249 + "b", "*a?b" * 120])
def test_no_pattern_takes_long(pattern: str) -> None:
    began = time.monotonic()
    assert not condition_holds({"matches": {"": pattern}}, "a" * 65536)
    assert time.monotonic() - began < 5
