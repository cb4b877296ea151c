"""Rules on payloads as the panel takes them, and the patterns of paths and branches."""

from __future__ import annotations

import time
from typing import Any

import pytest

from apps.access.errors import InputError
from apps.triggers.globs import any_path_matches, path_matches, patterns_checked
from apps.triggers.rules import pointer_checked, pointer_value, rule_checked, rule_holds
from deploypanel_agent.pointers import MISSING


def test_the_rule_decides_and_without_one_everything_holds() -> None:
    assert rule_holds({"equals": {"/ref": "main"}}, {"ref": "main"})
    assert not rule_holds({"equals": {"/ref": "main"}}, {"ref": "other"})
    assert rule_holds(None, {"ref": "other"})


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("main", "a rule is a mapping with exactly one of all, any, not, equals, matches, present."),
        ({"equal": {"/a": 1}}, "no rule is called 'equal'; there are all, any, not, equals, matches, present."),
        ({"any": {"present": "/a"}}, "any: give a list of one rule or more."),
        ({"equals": {"ref": 1}}, "equals: 'ref' is no pointer: begin it with a slash, as in /ref."),
        ({"matches": {"/ref": 3}}, "matches: /ref needs a pattern of at most 500 characters, in quotes."),
        (
            {"all": [{"present": "/a"}, {"not": {"any": [{"matches": {"/b": 3}}]}}]},
            "all[2].not.any[1].matches: /b needs a pattern of at most 500 characters, in quotes.",
        ),
        ({"all": [{"present": "/a"}] * 600}, "all[100].present: a rule has at most 200 parts."),
    ],
)
def test_what_is_no_rule_is_refused_with_its_place(rule: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        rule_checked(rule)
    assert str(caught.value) == told
    with pytest.raises(InputError):
        rule_holds(rule, {})


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"equals": {"/a": float("nan")}}, "JSON's values only"),
        ({"equals": {"/a": {1, 2}}}, "JSON's values only"),
        ({"equals": {"/a": "x" * 20000}}, "at most 16384 characters"),
    ],
)
def test_what_cannot_be_stored_is_refused(rule: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        rule_checked(rule)


def test_pointers() -> None:
    pointer_checked("/after")
    assert pointer_value({"after": 1}, "/after") == 1
    assert pointer_value({"after": 1}, "/before") is MISSING
    for read in (pointer_checked, lambda pointer: pointer_value({}, pointer)):
        with pytest.raises(InputError, match="'ref' is no pointer: begin it with a slash"):
            read("ref")


def test_no_pattern_takes_long() -> None:
    began = time.monotonic()
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
