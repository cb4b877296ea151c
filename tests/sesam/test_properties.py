"""What holds for every configuration, not only for those that someone thought of."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.sesam.configuration import Configuration, Entity, Json
from apps.sesam.errors import JsonProblem
from apps.sesam.group import grouped
from apps.sesam.json_text import canonical, json_read, pretty, same
from apps.sesam.kept_places import kept_places
from apps.sesam.layout import SourceSettings
from apps.sesam.plan import MOVES, plan_made
from apps.sesam.rules import Rules, pattern_read
from apps.sesam.source import source_read
from apps.sesam.storage import digest_of

KEYS = st.sampled_from(["a", "b", "c", "~x", "y/z", ""])
NUMBERS = st.one_of(st.integers(-2, 2), st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0, 1e300, 2.0**53, 2**53 + 1]))
# Few different values, so that equal ones and near misses (1, 1.0, true) meet often.
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(["", "1", "x", "$ENV(x)", "é", "\x00", "\ud800"])),
    lambda deeper: st.one_of(st.lists(deeper, max_size=3), st.dictionaries(KEYS, deeper, max_size=3)),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=4)
IDS = st.sampled_from(["p1", "p2", "q", "s"])
TYPES = st.sampled_from(["pipe", "system:url", "metadata"])
METADATA = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"node": st.just("x"), "$config-group": st.sampled_from(["G", "H"])}),
)
PARTS = st.sampled_from(["a", "b", "c", "*", "~0x", "y~1z", "0", "1", "2", ""])
POINTERS = (
    st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts)).filter(lambda one: one != "/")
)
PLACES = st.lists(st.builds("{}#{}".format, st.sampled_from(["*", "p*", "q"]), POINTERS), max_size=4)


@st.composite
def entities(draw: Any) -> dict[str, Entity]:
    found = {}
    for name in draw(st.lists(IDS, unique=True)):
        value = draw(OBJECTS) | {"_id": name, "type": draw(TYPES)}
        if (metadata := draw(METADATA)) is not None:
            value["metadata"] = metadata
        if draw(st.booleans()):
            original = draw(OBJECTS) | {"_id": name, "type": value["type"]}
            value["metadata"] = {**(metadata or {}), "orchestrator": {"original_configuration": original}}
        found[name] = Entity(id=name, value=value, file=f"pipes/{name}.conf.json")
    return found


CONFIGURATIONS = st.builds(
    Configuration,
    entities=entities(),
    variables=st.none() | OBJECTS,
    secrets=st.none() | st.frozensets(KEYS),
)
RULES = st.builds(
    Rules,
    protected=st.frozensets(IDS, max_size=1),
    ignore=st.tuples() | st.tuples(st.sampled_from(["q", "p*", "*2"])) | PLACES.map(tuple),
    orchestrator=st.booleans(),
    config_group=st.sampled_from(["", "G"]),
)
DICE = st.integers(0, 2**32).map(random.Random)
SIDES = st.tuples(CONFIGURATIONS, CONFIGURATIONS)


def rewritten(value: Json, dice: random.Random) -> Json:
    """The same value, with its keys in another order and whole numbers written another way."""
    if isinstance(value, dict):
        keys = list(value)
        dice.shuffle(keys)
        return {key: rewritten(value[key], dice) for key in keys}
    if isinstance(value, list):
        return [rewritten(one, dice) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 and dice.random() < 0.5:
        return float(value)
    return int(value) if isinstance(value, float) and value.is_integer() and dice.random() < 0.5 else value


# JSON


@settings(max_examples=150, deadline=None)
@given(JSON, JSON, JSON)
def test_equality_is_an_equivalence_and_has_one_text(one: Json, other: Json, third: Json) -> None:
    assert same(one, one)
    equal = same(one, other)
    assert equal == same(other, one) == (canonical(one) == canonical(other)) == (pretty(one) == pretty(other))
    if equal and same(other, third):
        assert same(one, third)


@settings(max_examples=100, deadline=None)
@given(JSON, DICE, st.sampled_from([None, 0, 3, "\t"]))
def test_key_order_and_formatting_never_matter(value: Json, dice: random.Random, indent: Any) -> None:
    written = json.dumps(rewritten(value, dice), indent=indent).encode()
    again = json_read(written, "a")
    assert same(value, again)
    assert canonical(value) == canonical(again)
    assert pretty(value) == pretty(again)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_every_text_can_be_read_back(value: Json) -> None:
    assert same(json_read(canonical(value).encode(), "a"), value)
    assert same(json_read(pretty(value).encode(), "a"), value)


# Plans


@settings(max_examples=300, deadline=None)
@given(SIDES, RULES)
def test_a_plan_that_was_applied_leaves_nothing_to_do(sides: tuple[Configuration, Configuration], rules: Rules) -> None:
    before, wanted = sides
    plan = plan_made(before, wanted, rules)
    again = plan_made(plan.result, wanted, rules)
    assert again.is_empty
    assert digest_of(again.result) == digest_of(plan.result)
    if plan.is_empty:
        assert not plan_made(before, plan.result, Rules(config_group=rules.config_group)).writes_configuration


@settings(max_examples=100, deadline=None)
@given(SIDES, RULES)
def test_every_id_moves_once_and_what_is_left_alone_stays(
    sides: tuple[Configuration, Configuration], rules: Rules
) -> None:
    before, wanted = sides
    plan = plan_made(before, wanted, rules)
    assert len({change.id for change in plan.changes}) == len(plan.changes)
    assert sum(plan.counts[move] for move in MOVES) == len(plan.changes)
    for change in plan.changes:
        if change.id in rules.protected or rules.ignores(change.id):
            kept, had = plan.result.entities.get(change.id), before.entities.get(change.id)
            had = next(iter(grouped([had], rules.config_group)[0]), None) if had else None  # metadata is in no group
            assert (kept.value if kept else None) == (had.value if had else None)
        if change.move == "removed":
            assert change.id not in plan.result.entities


@settings(max_examples=100, deadline=None)
@given(SIDES, RULES, DICE)
def test_how_a_configuration_was_written_never_changes_the_plan(
    sides: tuple[Configuration, Configuration], rules: Rules, dice: random.Random
) -> None:
    before, wanted = (
        Configuration(
            entities={
                name: Entity(id=name, value=rewritten(one.value, dice), file=one.file)
                for name, one in sorted(side.entities.items(), key=lambda _: dice.random())
            },
            variables=rewritten(side.variables, dice),
            secrets=side.secrets,
        )
        for side in sides
    )
    plan, again = plan_made(*sides, rules), plan_made(before, wanted, rules)
    assert plan.as_json() == again.as_json()
    assert digest_of(plan.result) == digest_of(again.result)
    assert digest_of(sides[0]) == digest_of(before)


@settings(max_examples=300, deadline=None)
@given(JSON, JSON, st.lists(POINTERS, max_size=4))
def test_to_keep_places_twice_is_to_keep_them_once(node: Json, git: Json, pointers: list[str]) -> None:
    places = [pattern_read(f"*#{pointer}").tokens for pointer in pointers]
    once = kept_places(node, git, places)
    assert same(kept_places(once, git, places), once)
    assert same(kept_places(node, node, places), node)
    if not places:
        assert same(once, git)


# Sources

PATHS = st.sampled_from(
    [
        "pipes/a.conf.json",
        "pipes/b.conf.json",
        "pipes/x/a.conf.json",
        "systems/s.conf.json",
        "node-metadata.conf.json",
        "list.txt",
        "env.json",
        "more.json",
        "pipes/readme.md",
        "node/pipes/a.conf.json",
        "node/test-env.json",
        "node/deployment/whitelist-master.txt",
        "extra_nodes/x/node-metadata.conf.json",
    ]
)
CONTENTS = st.one_of(
    st.binary(max_size=40),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.builds(
        lambda value, name, what: json.dumps(value | {"_id": name, "type": what}).encode(),
        OBJECTS,
        st.sampled_from(["a", "b", "node", ""]),
        TYPES,
    ),
    st.lists(PATHS | st.text(max_size=8), max_size=4).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
    st.text(alphabet='[]{}",:0\\u1e', max_size=30).map(str.encode),
)
FILES = st.dictionaries(PATHS | st.text(max_size=12), CONTENTS, max_size=6)
SETTINGS = st.sampled_from(
    [
        SourceSettings(),
        SourceSettings(sync_root="node"),
        SourceSettings(whitelist_file="list.txt", variables_files=("env.json", "more.json")),
        SourceSettings(layout="multi", environment="ci"),
        SourceSettings(layout="multi", whitelist_file="none", variables_files=("none",)),
        SourceSettings(sync_root="../..", variables_files=("../x",), whitelist_file="../../y"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(FILES, SETTINGS, DICE)
def test_no_content_raises_and_the_order_of_files_never_matters(
    files: dict[str, bytes], chosen: SourceSettings, dice: random.Random
) -> None:
    source = source_read(files, chosen)
    names = list(files)
    dice.shuffle(names)
    again = source_read({name: files[name] for name in names}, chosen)
    assert again.problems == source.problems
    assert again.taken == source.taken
    assert [(one.id, one.file) for one in again.entities] == [(one.id, one.file) for one in source.entities]
    assert len({one.id for one in source.entities}) == len(source.entities)
    assert set(source.taken) <= set(files)
    for problem in source.problems:
        # It can be kept in any database and shown on any page.
        assert "\x00" not in str(problem)
        assert str(problem).encode()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:0-+eE.\\un\n NaIfity', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_told(data: bytes) -> None:
    try:
        value, place = json_read(data, "a"), (1, 1)
    except JsonProblem as error:
        value, place = None, (error.problem.line, error.problem.column)
    assert min(place) >= 1
    assert same(value, value)
    assert canonical(value)
