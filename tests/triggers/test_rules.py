"""Rules on payloads, and the pointers and patterns in them: what holds, what does not, and what is refused."""

from __future__ import annotations

import fnmatch
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.access.errors import InputError
from apps.triggers.globs import any_path_matches, path_matches, patterns_checked, text_matches
from apps.triggers.pointers import MISSING, pointer_value
from apps.triggers.rules import rule_checked, rule_holds

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
    with pytest.raises(InputError):
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
        None,
    ],
)
def test_what_holds(rule: Any) -> None:
    assert rule_holds(rule, PUSH)


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
    assert not rule_holds(rule, PUSH)


@pytest.mark.parametrize("payload", [None, 3, "text", [], {}])
def test_any_payload_can_be_asked(payload: Any) -> None:
    assert not rule_holds({"matches": {"/ref": "*"}}, payload)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("main", "a rule is a mapping"),
        ({}, "exactly one of"),
        ({"all": [], "any": []}, "exactly one of"),
        ({"all": []}, "all: give a list"),
        ({"any": {"present": "/a"}}, "any: give a list"),
        ({"equal": {"/a": 1}}, "equal: no rule is called 'equal'"),
        ({"equals": {}}, "equals: give a mapping"),
        ({"equals": {"ref": 1}}, "equals: 'ref' is no pointer: begin it with a slash"),
        ({"matches": {"/ref": 3}}, "matches: /ref needs a pattern"),
        ({"matches": {"/ref": "x" * 501}}, "matches: /ref needs a pattern"),
        ({"present": []}, "present: give a pointer"),
        ({"present": [3]}, "present: a pointer is a text"),
        ({"all": [{"present": "/a"}, {"not": {"any": [3]}}]}, r"all\[2\]\.not\.any\[1\]: a rule is a mapping"),
        ({3: 4}, "no rule is called '3'"),
        ({"equals": {"/a": float("nan")}}, "JSON's values only"),
        ({"equals": {"/a": {1, 2}}}, "JSON's values only"),
        ({"present": ["/a"] * 300}, "at most 200 parts"),
        ({"equals": {"/a": "x" * 20000}}, "at most 16384 characters"),
    ],
)
def test_what_is_no_rule_is_refused_with_its_place(rule: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        rule_checked(rule)


def test_rules_within_rules_have_an_end() -> None:
    rule: Any = {"present": "/a"}
    for _ in range(5000):
        rule = {"not": rule}
    with pytest.raises(InputError, match="at most 20 deep"):
        rule_checked(rule)


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
        rule_checked(data)
    except InputError:
        return
    assert rule_holds(data, PUSH) in {True, False}


def test_no_pattern_takes_long() -> None:
    began = time.monotonic()
    text_matches("a" * 65536, "*a" * 249 + "b")
    text_matches("a" * 65536, "*" + "a" * 400 + "?b*")
    path_matches("/".join("a" * 200), "/".join(["**", "a"] * 100) + "/b")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("main", ["main"], ["mainly", "x/main"]),
        ("release/*", ["release/1.0"], ["release/1/2", "release"]),
        ("**", ["main", "a/b/c"], []),
        ("web/**", ["web/a", "web/a/b.js"], ["web", "webby/a", "a/web/b"]),
        ("web/", ["web/a", "web/a/b.js"], ["web"]),
        ("**/*.md", ["README.md", "docs/a.md", "docs/x/a.md"], ["a.mdx", "docs"]),
        ("docs/**/a.md", ["docs/a.md", "docs/x/a.md", "docs/x/y/a.md"], ["docs/b.md"]),
        ("docs/*.md", ["docs/a.md"], ["docs/x/a.md"]),
        ("*", ["main"], ["a/b"]),
        ("/setup.py", ["setup.py"], ["a/setup.py"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
    ],
)
def test_patterns_of_paths(pattern: str, fits: list[str], others: list[str]) -> None:
    assert [path for path in fits if not path_matches(path, pattern)] == []
    assert [path for path in others if path_matches(path, pattern)] == []


def test_no_pattern_at_all_fits_every_path() -> None:
    assert any_path_matches("anything", [])
    assert not any_path_matches("anything", ["other"])


@pytest.mark.parametrize("patterns", ["main", [""], ["  "], [3], ["x" * 501], ["a"] * 101, ["a\0b"]])
def test_lists_of_patterns_are_checked(patterns: Any) -> None:
    with pytest.raises(InputError, match=r"branches: "):
        patterns_checked(patterns, "branches")
