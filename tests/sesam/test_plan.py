"""What would change on a node, by every rule."""

from __future__ import annotations

import time
from typing import Any

import pytest

from apps.sesam.configuration import Configuration, Entity, Json
from apps.sesam.errors import PatternError
from apps.sesam.group import grouped
from apps.sesam.plan import Plan, plan_made
from apps.sesam.rules import Rules, pattern_fault, pattern_read

NO_RULES = Rules()


def entity(name: str, what: str = "pipe", **more: Any) -> Entity:
    return Entity(id=name, value={"_id": name, "type": what} | more, file=f"{what}s/{name}.conf.json")


def side(*entities: Entity, variables: dict[str, Json] | None = None, secrets: set[str] | None = None) -> Configuration:
    return Configuration(
        entities={one.id: one for one in entities},
        variables=variables,
        secrets=None if secrets is None else frozenset(secrets),
    )


def moves(plan: Plan) -> dict[str, str]:
    return {change.id: change.move for change in plan.changes}


def planned(before: Configuration, wanted: Configuration, rules: Rules = NO_RULES) -> Plan:
    """A plan, after making sure that applying it leaves nothing to do."""
    plan = plan_made(before, wanted, rules)
    again = plan_made(plan.result, wanted, rules)
    assert again.is_empty
    assert {name: one.value for name, one in again.result.entities.items()} == {
        name: one.value for name, one in plan.result.entities.items()
    }
    return plan


def values(plan: Plan) -> dict[str, Json]:
    return {name: dict(one.value) for name, one in plan.result.entities.items()}


# Moves


def test_entities_are_new_changed_removed_or_unchanged_by_value() -> None:
    before = side(entity("gone"), entity("same", n=1, o={"a": 1, "b": 2}), entity("other", n=1))
    wanted = side(entity("fresh"), entity("same", o={"b": 2.0, "a": 1}, n=1.0), entity("other", n=True))
    plan = planned(before, wanted)
    assert moves(plan) == {"gone": "removed", "same": "unchanged", "fresh": "new", "other": "changed"}
    assert plan.counts == {
        "new": 1,
        "changed": 1,
        "removed": 1,
        "unchanged": 1,
        "ignored": 0,
        "protected": 0,
        "variables": 0,
        "secrets": 0,
    }
    assert not plan.is_empty
    assert sorted(plan.result.entities) == ["fresh", "other", "same"]
    change = next(one for one in plan.changes if one.id == "other")
    assert (change.before, change.after) == (before.entities["other"].value, wanted.entities["other"].value)
    assert change.file == "pipes/other.conf.json"


def test_changes_are_sorted_by_kind_and_id() -> None:
    wanted = side(entity("b"), entity("a", "system:url"), entity("node", "metadata"), entity("a2"))
    assert [(one.kind, one.id) for one in planned(side(), wanted).changes] == [
        ("metadata", "node"),
        ("pipe", "a2"),
        ("pipe", "b"),
        ("system", "a"),
    ]


def test_the_same_is_an_empty_plan() -> None:
    both = side(entity("a"), variables={"x": 1}, secrets={"s"})
    plan = planned(both, both)
    assert plan.is_empty
    assert not plan.writes_configuration
    assert plan.ids("unchanged") == ["a"]


def test_an_entity_that_becomes_another_kind_is_changed() -> None:
    change = planned(side(entity("a")), side(entity("a", "system:url"))).changes[0]
    assert (change.kind, change.move) == ("system", "changed")


def test_lists_are_ordered() -> None:
    assert moves(planned(side(entity("a", l=[1, 2])), side(entity("a", l=[2, 1])))) == {"a": "changed"}


# Protected and ignored


@pytest.mark.parametrize("rules", [Rules(protected=frozenset({"w"})), Rules(ignore=("w",)), Rules(ignore=("*w*",))])
def test_what_is_left_alone_stays_as_the_node_has_it(rules: Rules) -> None:
    node, git = entity("w", n=1), entity("w", n=2)
    move = "protected" if rules.protected else "ignored"
    for before, wanted, result in [
        (side(node), side(git), {"w": node.value}),
        (side(node), side(), {"w": node.value}),
        (side(), side(git), {}),
        (side(node), side(node), {"w": node.value}),
    ]:
        plan = planned(before, wanted, rules)
        assert moves(plan) == {"w": move}
        assert values(plan) == result
        assert plan.is_empty


def test_ids_match_as_a_whole_and_only_a_star_is_special() -> None:
    wanted = side(*(entity(name) for name in ("a.b", "axb", "a.b2", "pre-x", "x", "X")))
    rules = Rules(ignore=("a.b", "pre-*", "?"))
    assert planned(side(), wanted, rules).ids("ignored") == ["a.b", "pre-x"]
    assert Rules(protected=frozenset({"a*"})).ignore == ()
    assert planned(side(), wanted, Rules(protected=frozenset({"a*"}))).ids("protected") == []


PLACES = [
    # rule, node, Git, what the node shall have, move
    ("a#/x", {"x": 1, "y": 1}, {"x": 2, "y": 1}, {"x": 1, "y": 1}, "ignored"),
    ("a#/x", {"x": 1, "y": 1}, {"x": 2, "y": 2}, {"x": 1, "y": 2}, "changed"),
    ("a#/x", {"x": 1}, {}, {"x": 1}, "ignored"),
    ("a#/x", {}, {"x": 2}, {}, "ignored"),
    ("a#/x", {"x": None}, {"x": 2}, {"x": None}, "ignored"),
    ("*#/x", {"x": [1]}, {"x": {}}, {"x": [1]}, "ignored"),
    ("b#/x", {"x": 1}, {"x": 2}, {"x": 2}, "changed"),
    # Objects around a place
    ("a#/m/x", {"m": {"x": 1}}, {}, {"m": {"x": 1}}, "ignored"),
    ("a#/m/x", {"m": {"x": 1, "y": 1}}, {}, {"m": {"x": 1}}, "changed"),
    ("a#/m/x", {}, {"m": {"x": 1}}, {}, "ignored"),
    ("a#/m/x", {}, {"m": {"x": 1, "y": 1}}, {"m": {"y": 1}}, "changed"),
    ("a#/m/x", {"m": {}}, {"m": {"x": 1}}, {"m": {}}, "ignored"),
    ("a#/m/x", {"m": {"x": 1}}, {"m": {}}, {"m": {"x": 1}}, "ignored"),
    ("a#/m/x", {"m": 5}, {"m": {"x": 1}}, {"m": {"x": 1}}, "changed"),
    ("a#/m/x", {"m": {"x": 1}}, {"m": 5}, {"m": 5}, "changed"),
    ("a#/m/n/x", {"m": {"n": {"x": 1}}}, {}, {"m": {"n": {"x": 1}}}, "ignored"),
    # Escapes and stars
    ("a#/m~1x", {"m/x": 1}, {"m/x": 2}, {"m/x": 1}, "ignored"),
    ("a#/m~0x", {"m~x": 1}, {"m~x": 2}, {"m~x": 1}, "ignored"),
    ("a#/~01", {"~1": 1}, {"~1": 2}, {"~1": 1}, "ignored"),
    ("a#/m/*", {"m": {"x": 1, "y": 2}}, {"m": {"x": 3, "z": 4}}, {"m": {"x": 1, "y": 2}}, "ignored"),
    (
        "a#/*/x",
        {"m": {"x": 1}, "n": {"x": 2}},
        {"m": {"x": 3}, "n": {"x": 4}},
        {"m": {"x": 1}, "n": {"x": 2}},
        "ignored",
    ),
    ("a#/co*", {"comment": 1, "cold": 2, "x": 3}, {"comment": 4, "x": 3}, {"comment": 1, "cold": 2, "x": 3}, "ignored"),
    ("a#/m//x", {"m": {"": {"x": 1}}}, {"m": {"": {"x": 2}}}, {"m": {"": {"x": 1}}}, "ignored"),
    # Lists
    ("a#/l/1", {"l": [1, 2, 3]}, {"l": [1, 9, 3]}, {"l": [1, 2, 3]}, "ignored"),
    ("a#/l/1", {"l": [1, 2, 3]}, {"l": [4, 9, 3]}, {"l": [4, 2, 3]}, "changed"),
    ("a#/l/2", {"l": [1, 2, 3]}, {"l": [1, 2]}, {"l": [1, 2, 3]}, "ignored"),
    ("a#/l/2", {"l": [1, 2]}, {"l": [1, 2, 3]}, {"l": [1, 2]}, "ignored"),
    ("a#/l/1", {"l": [1]}, {"l": [1, 2, 3]}, {"l": [1, 2, 3]}, "changed"),
    ("a#/l/3", {"l": [1, 2, 3, 4]}, {"l": [1]}, {"l": [1]}, "changed"),
    ("a#/l/*", {"l": [1, 2, 3]}, {"l": [4]}, {"l": [1, 2, 3]}, "ignored"),
    ("a#/l/*", {"l": [1]}, {"l": [4, 5, 6]}, {"l": [1]}, "ignored"),
    ("a#/l/*/x", {"l": [{"x": 1, "y": 1}, {"x": 2}]}, {"l": [{"x": 3, "y": 1}]}, {"l": [{"x": 1, "y": 1}]}, "changed"),
    ("a#/l/-", {"l": [1]}, {"l": [1, 2]}, {"l": [1, 2]}, "changed"),
    ("a#/l/x", {"l": [1]}, {"l": {"x": 2}}, {"l": {"x": 2}}, "changed"),
]


@pytest.mark.parametrize(("rule", "node", "git", "result", "move"), PLACES)
def test_the_nodes_value_stays_at_ignored_places(rule: str, node: Any, git: Any, result: Any, move: str) -> None:
    plan = planned(side(entity("a", **node)), side(entity("a", **git)), Rules(ignore=(rule,)))
    assert moves(plan) == {"a": move}
    assert values(plan) == {"a": {"_id": "a", "type": "pipe"} | result}
    assert plan.is_empty is (move == "ignored")
    if move == "ignored":
        assert rule in plan.changes[0].note


def test_neither_side_is_changed_by_ignored_places() -> None:
    node, git = entity("a", m={"x": 1, "l": [1]}), entity("a", m={"x": 2, "l": [2, 3], "y": 1})
    planned(side(node), side(git), Rules(ignore=("a#/m/x", "a#/m/l/*")))
    assert node.value["m"] == {"x": 1, "l": [1]}
    assert git.value["m"] == {"x": 2, "l": [2, 3], "y": 1}


def test_a_new_entity_comes_whole_and_a_removed_one_goes_whole() -> None:
    rules = Rules(ignore=("*#/x",))
    plan = planned(side(entity("old", x=1)), side(entity("new", x=1)), rules)
    assert values(plan) == {"new": {"_id": "new", "type": "pipe", "x": 1}}
    assert moves(plan) == {"old": "removed", "new": "new"}


@pytest.mark.parametrize(
    "rule", ["", " ", "#/x", "a#", "a#x", "a#/", "a##/x", "a#/~", "a#/~2", "a#/x~", "a#" + "/x" * 51]
)
def test_rules_that_cannot_be_read_are_refused(rule: str) -> None:
    with pytest.raises(PatternError, match="rule"):
        pattern_read(rule)
    assert pattern_fault(["fine", rule])
    with pytest.raises(PatternError):
        plan_made(side(entity("a")), side(entity("a", x=1)), Rules(ignore=(rule,)))


def test_many_stars_do_not_take_long() -> None:
    started = time.thread_time()
    wanted = side(entity("a" * 200))
    planned(side(), wanted, Rules(ignore=("*" * 200 + "b", "a*" * 4 + "b")))
    assert time.thread_time() - started < 2


def test_rules_survive_being_kept() -> None:
    rules = Rules(protected=frozenset({"b", "a"}), ignore=("x#/y", "z"), orchestrator=True, config_group="G")
    assert rules.as_json()["protected"] == ["a", "b"]
    assert Rules.from_json(rules.as_json()) == rules
    assert Rules.from_json({}) == Rules()


# Orchestrator


def test_what_an_orchestrator_made_stays_while_git_has_what_it_started_from() -> None:
    git = entity("a", n=1)
    made = entity(
        "a", n=2, metadata={"orchestrator": {"original_configuration": {"n": 1.0, "type": "pipe", "_id": "a"}}}
    )
    rules = Rules(orchestrator=True)
    plan = planned(side(made), side(git), rules)
    assert moves(plan) == {"a": "unchanged"}
    assert values(plan) == {"a": made.value}
    assert "orchestrator" in plan.changes[0].note
    assert moves(planned(side(made), side(entity("a", n=3)), rules)) == {"a": "changed"}
    assert moves(planned(side(made), side(git))) == {"a": "changed"}
    assert moves(planned(side(made), side(), rules)) == {"a": "removed"}


@pytest.mark.parametrize(
    "metadata", [None, 1, [], {}, {"orchestrator": 1}, {"orchestrator": {"original_configuration": "x"}}]
)
def test_metadata_that_is_no_orchestrators_is_compared_as_usual(metadata: Json) -> None:
    rules = Rules(orchestrator=True)
    assert moves(planned(side(entity("a", metadata=metadata)), side(entity("a")), rules)) == {"a": "changed"}


def test_an_orchestrators_work_in_a_group_stays_too() -> None:
    made = entity(
        "a", metadata={"$config-group": "G", "orchestrator": {"original_configuration": {"_id": "a", "type": "pipe"}}}
    )
    rules = Rules(orchestrator=True, config_group="G")
    assert moves(planned(side(made), side(entity("a")), rules)) == {"a": "unchanged"}


# Groups


def test_a_group_takes_its_name_and_leaves_node_metadata_out() -> None:
    rules = Rules(config_group="G")
    wanted = side(entity("a"), entity("b", metadata={"$config-group": "G", "x": 1}), entity("node", "metadata"))
    plan = planned(side(), wanted, rules)
    assert values(plan) == {
        "a": {"_id": "a", "type": "pipe", "metadata": {"$config-group": "G"}},
        "b": {"_id": "b", "type": "pipe", "metadata": {"$config-group": "G", "x": 1}},
    }
    assert wanted.entities["a"].value == {"_id": "a", "type": "pipe"}
    assert planned(plan.result, wanted, rules).is_empty


def test_an_entity_of_another_group_is_a_problem() -> None:
    entities = [
        entity("a", metadata={"$config-group": "H"}),
        entity("b", metadata={"$config-group": None}),
        entity("c"),
    ]
    kept, problems = grouped(entities, "G")
    assert [one.id for one in kept] == ["a", "b", "c"]
    assert [str(problem) for problem in problems] == [
        "pipes/a.conf.json:1: “a” is of the group H; this node takes only G."
    ]
    assert grouped(entities, "") == (tuple(entities), ())


# Variables and secrets


def test_variables_are_replaced_as_a_whole() -> None:
    before = side(variables={"same": 1, "old": 1, "other": True, "none": None})
    wanted = side(variables={"same": 1.0, "new": None, "other": 1, "none": None})
    plan = planned(before, wanted)
    assert [(one.name, one.move) for one in plan.variables] == [
        ("new", "new"),
        ("old", "removed"),
        ("other", "changed"),
    ]
    assert plan.result.variables == wanted.variables
    assert plan.counts["variables"] == 3
    assert not plan.is_empty
    assert not plan.writes_configuration


@pytest.mark.parametrize(("node", "git"), [(None, {"a": 1}), ({"a": 1}, None), (None, None)])
def test_variables_that_were_not_asked_for_are_not_compared(node: Json, git: Json) -> None:
    plan = planned(side(variables=node), side(variables=git))
    assert plan.is_empty
    assert plan.result.variables == node


def test_secrets_are_compared_by_presence() -> None:
    plan = planned(side(secrets={"a", "more"}), side(secrets={"a", "c", "b"}))
    assert plan.secrets_missing == ("b", "c")
    assert plan.result.secrets == {"a", "b", "c", "more"}
    assert planned(side(secrets=set()), side()).is_empty
    assert planned(side(), side(secrets={"a"})).is_empty


def test_the_plan_for_machines_has_what_was_promised() -> None:
    before = side(entity("gone"), entity("kept"), variables={"v": 1}, secrets=set())
    wanted = side(entity("fresh"), entity("kept"), variables={"w": 1}, secrets={"s"})
    kept = {"variables": {"x": ("pipes/a.conf.json",)}, "secrets": {"y": ["pipes/b.conf.json"]}}
    assert planned(before, wanted).as_json(kept) == {
        "new": ["fresh"],
        "changed": [],
        "removed": ["gone"],
        "unchanged": ["kept"],
        "ignored": [],
        "protected": [],
        "variables": {"new": ["w"], "changed": [], "removed": ["v"]},
        "secrets_to_send": ["s"],
        "missing_variables": {"x": ["pipes/a.conf.json"]},
        "missing_secrets": {"y": ["pipes/b.conf.json"]},
    }
    assert planned(before, wanted).as_json()["missing_variables"] == {}


# Size


def big(count: int, changed: int = 0) -> Configuration:
    transform = [["copy", "*"], ["add", "rdf:type", ["ni", "x", "y"]], ["comment", "…" * 30]]
    return side(
        *(
            entity(
                f"pipe-{number:05}",
                source={"type": "dataset", "dataset": f"d{number}", "n": int(number < changed)},
                transform={"type": "dtl", "rules": {"default": transform * 3}},
                metadata={"node": "x", "tags": ["a", "b"]},
            )
            for number in range(count)
        )
    )


def test_five_thousand_pipes_are_compared_at_once() -> None:
    before, wanted = big(5000), big(5000, changed=100)
    rules = Rules(protected=frozenset({"pipe-00001"}), ignore=("x*", "pipe-0000*#/source/n", "pipe-00042#/metadata/*"))
    times = []
    for _ in range(3):
        started = time.process_time()
        plan = plan_made(before, wanted, rules)
        times.append(time.process_time() - started)
    assert (plan.counts["changed"], plan.counts["ignored"], plan.counts["protected"]) == (90, 9, 1)
    print(f"plan of 5,000 pipes: {min(times) * 1000:.0f} ms")
    assert min(times) < 0.3


def test_what_is_very_deep_does_not_crash() -> None:
    one: list[Any] = []
    other: list[Any] = [1]
    for _ in range(50_000):
        one, other = [one], [other]
    rules = Rules(ignore=("a#/l/0/0/0",))
    assert moves(plan_made(side(entity("a", l=one)), side(entity("a", l=other)), rules)) == {"a": "ignored"}
    assert moves(plan_made(side(entity("a", l=one)), side(entity("a", l=other)), NO_RULES)) == {"a": "changed"}
