"""What a person must confirm."""

from __future__ import annotations

from typing import Any

import pytest

from apps.sesam.configuration import Configuration, Entity
from apps.sesam.guard import Question, questions, unanswered
from apps.sesam.plan import plan_made
from apps.sesam.rules import Rules


def entity(name: str, what: str = "pipe") -> Entity:
    return Entity(id=name, value={"_id": name, "type": what})


def side(*names: str, metadata: bool = False) -> Configuration:
    entities = [entity(name) for name in names] + ([entity("node", "metadata")] if metadata else [])
    return Configuration(entities={one.id: one for one in entities})


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"p{number:03}" for number in range(first, first + count)]


def asked(
    before: Configuration, wanted: Configuration, rules: Rules | None = None, **limits: int
) -> tuple[Question, ...]:
    limits = {"removal_limit": 10, "removal_share": 20} | limits
    return questions(plan_made(before, wanted, rules or Rules()), **limits)


@pytest.mark.parametrize(
    ("there", "removed", "limits", "number"),
    [
        (40, 10, {}, None),
        (40, 11, {}, 11),
        (100, 20, {}, None),
        (100, 21, {}, 21),
        (55, 11, {}, None),
        (54, 11, {}, 11),
        (40, 1, {"removal_limit": 0, "removal_share": 0}, 1),
        (40, 0, {"removal_limit": 0, "removal_share": 0}, None),
        (40, 39, {"removal_share": 100}, None),
        (40, 39, {"removal_limit": 1000}, None),
    ],
)
def test_many_removals_are_asked_about(there: int, removed: int, limits: dict[str, int], number: int | None) -> None:
    found = asked(side(*numbered(there)), side(*numbered(there - removed, removed)), **limits)
    assert [(one.kind, one.number) for one in found] == ([] if number is None else [("removals", number)])


def test_the_question_names_some_of_what_goes() -> None:
    (question,) = asked(side(*numbered(40)), side(*numbered(28, 12)))
    assert question.text == (
        "12 of the node's 40 pipes and systems would be removed: p000, p001, p002, p003, p004 and 7 more."
    )
    assert question.as_json() == {"kind": "removals", "number": 12, "text": question.text}


@pytest.mark.parametrize(
    ("before", "wanted", "rules", "number"),
    [
        (["a", "b"], [], Rules(), 2),
        (["a", "b"], ["c", "d", "e"], Rules(), 2),
        (["a", "b"], ["b"], Rules(), None),
        ([], [], Rules(), None),
        ([], ["a"], Rules(), None),
        (["a", "w"], [], Rules(protected=frozenset({"w"})), 1),
        (["a", "w"], [], Rules(ignore=("w",)), 1),
        (["w"], [], Rules(protected=frozenset({"w"})), None),
        (["a", "w"], ["w"], Rules(ignore=("w",)), None),
    ],
)
def test_nobody_empties_a_node_unasked(before: list[str], wanted: list[str], rules: Rules, number: int | None) -> None:
    found = asked(side(*before), side(*wanted), rules, removal_limit=1000, removal_share=100)
    assert [(one.kind, one.number) for one in found] == ([] if number is None else [("everything", number)])


def test_to_empty_a_large_node_is_one_question() -> None:
    (question,) = asked(side(*numbered(40)), side())
    assert question.kind == "everything"
    assert "Everything that this node has would be removed: 40 of 40 (p000," in question.text


def test_missing_node_metadata_is_asked_about() -> None:
    (question,) = asked(side("a", metadata=True), side("a"))
    assert (question.kind, question.number) == ("metadata", 1)
    assert "node-metadata.conf.json" in question.text
    assert asked(side("a"), side("a", metadata=True)) == ()
    assert asked(side("a", metadata=True), side("a"), Rules(protected=frozenset({"node"}))) == ()
    assert asked(side("a", metadata=True), side("a"), Rules(config_group="G")) == ()


def test_node_metadata_does_not_count_as_something_that_stays() -> None:
    kinds = [one.kind for one in asked(side("a", metadata=True), side(metadata=True))]
    assert kinds == ["everything"]
    assert [one.kind for one in asked(side("a", metadata=True), side())] == ["everything", "metadata"]


@pytest.mark.parametrize(
    ("confirmed", "left"),
    [
        ({}, ["removals", "metadata"]),
        ({"removals": 12}, ["metadata"]),
        ({"removals": 13, "metadata": 1}, []),
        ({"removals": 11, "metadata": 1}, ["removals"]),
        ({"everything": 100, "metadata": True}, ["removals", "metadata"]),
        ({"removals": "12", "metadata": None}, ["removals", "metadata"]),
    ],
)
def test_who_confirms_confirms_up_to_a_number(confirmed: dict[str, Any], left: list[str]) -> None:
    found = [Question(kind="removals", number=12, text=""), Question(kind="metadata", number=1, text="")]
    assert [one.kind for one in unanswered(found, confirmed)] == left
