"""Placeholders in templates, as tables; what lies in a template folder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.sesam.template_files import NAMES, templates_read
from apps.sesam.templates import Parents, template_fill

INBOUND = {
    "_id": "orders",
    "type": "pipe",
    "source": {"type": "sql", "table": 'say "hi" \\ {x}', "columns": ["a", {"name": "b"}], "rate": 2.5, "limit": 10},
    "metadata": {"$config": True, "none": None, "odd": "##REPLACE_ID##"},
}
OUTBOUND = {"_id": "billing", "type": "pipe", "namespaces": {"identity": "bill"}, "pump": {"schedule_interval": 30}}
PARENTS = Parents(id="orders", inbound=INBOUND, outbound=OUTBOUND)
IN, OUT = "##INBOUND_PARENT_PIPE.{}##", "##OUTBOUND_PARENT_PIPE.{}##"


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("##REPLACE_ID##", "orders"),
        ("to-##REPLACE_ID##-copy", "to-orders-copy"),
        ("##REPLACE_ID####REPLACE_ID##", "ordersorders"),
        (IN.format("_id"), "orders"),
        (OUT.format("_id"), "billing"),
        # A whole string keeps the value's type.
        (IN.format("source.limit"), 10),
        (IN.format("source.rate"), 2.5),
        (IN.format("metadata.$config"), True),
        (IN.format("metadata.none"), None),
        (IN.format("source.columns"), ["a", {"name": "b"}]),
        (OUT.format("namespaces"), {"identity": "bill"}),
        # Lists by number.
        (IN.format("source.columns.1.name"), "b"),
        # Within a longer string: text, and JSON text for what is none.
        ("every " + OUT.format("pump.schedule_interval") + " s", "every 30 s"),
        ("is " + IN.format("metadata.$config"), "is true"),
        ("is " + IN.format("metadata.none"), "is null"),
        ("[" + IN.format("source.columns") + "]", '[["a", {"name": "b"}]]'),
        # What breaks a JSON text, and what looks like a placeholder, is put in as it is.
        (IN.format("source.table"), 'say "hi" \\ {x}'),
        ("t: " + IN.format("source.table"), 't: say "hi" \\ {x}'),
        (IN.format("metadata.odd"), "##REPLACE_ID##"),
        ("a " + IN.format("metadata.odd"), "a ##REPLACE_ID##"),
        # Deep in lists and objects, and in keys.
        ([["##REPLACE_ID##"], {"a": [IN.format("source.limit")]}], [["orders"], {"a": [10]}]),
        ({"##REPLACE_ID##": 1, "x-" + IN.format("source.limit"): 2}, {"orders": 1, "x-10": 2}),
        # No placeholders at all.
        ({"a": [1, None, True, 1.5, "b"]}, {"a": [1, None, True, 1.5, "b"]}),
        ("## A heading ## and text", "## A heading ## and text"),
        ("# one", "# one"),
        ("####", "####"),
        ("ticket #5 and ##", "ticket #5 and ##"),
    ],
)
def test_fill(template: Any, filled: Any) -> None:
    done = template_fill(template, PARENTS)
    assert (done.value, done.unfound) == (filled, [])
    assert type(done.value) is type(filled)


@pytest.mark.parametrize(
    ("template", "placeholder", "why"),
    [
        (IN.format("source.gone"), IN.format("source.gone"), "pipe “orders” has nothing at source.gone"),
        ("x " + OUT.format("a.b"), OUT.format("a.b"), "pipe “billing” has nothing at a.b"),
        (IN.format("source.columns.2"), IN.format("source.columns.2"), "nothing at source.columns.2"),
        (IN.format("source.columns.-1"), IN.format("source.columns.-1"), "nothing at"),
        (IN.format("source.limit.x"), IN.format("source.limit.x"), "nothing at"),
        (IN.format("source."), IN.format("source."), "nothing at source."),
        ("##INBOUND_PARENT_PIPE##", "##INBOUND_PARENT_PIPE##", "no such placeholder"),
        ("##INBOUND_PARENT_PIPE.##", "##INBOUND_PARENT_PIPE.##", "no such placeholder"),
        ("##replace_id##", "##replace_id##", "no such placeholder; there are ##REPLACE_ID##"),
        ("##REPLACE_ID.x##", "##REPLACE_ID.x##", "no such placeholder"),
        ("a ##NODE## b", "##NODE##", "no such placeholder"),
        ("##X##", "##X##", "no such placeholder"),
        ("##REPLACE_ID#", "##REPLACE_ID#", "is written ##NAME##"),
        ("x-#REPLACE_ID##", "#REPLACE_ID##", "is written ##NAME##"),
        ("##INBOUND_PARENT_PIPE._id", "##INBOUND_PARENT_PIPE._id", "is written ##NAME##"),
        ({"##GONE##": 1}, "##GONE##", "no such placeholder"),
        ({"a": 1, IN.format("metadata.none"): 1, "null": 2}, "null", "the key “null” is there already"),
    ],
)
def test_found_nothing(template: Any, placeholder: str, why: str) -> None:
    lost = template_fill(template, PARENTS).unfound
    assert [one.placeholder for one in lost] == [placeholder]
    assert why in lost[0].why


def test_no_pipe_on_that_side() -> None:
    lost = template_fill([IN.format("_id"), OUT.format("_id")], Parents(id="master")).unfound
    assert [one.why for one in lost] == ["there is no inbound pipe here", "there is no outbound pipe here"]


def test_the_outbound_pipe_is_noticed() -> None:
    assert template_fill(OUT.format("_id"), PARENTS).uses_outbound
    assert not template_fill("##REPLACE_ID##", PARENTS).uses_outbound


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(value=VALUES)
@settings(max_examples=60, deadline=None)
def test_any_value_is_put_in_whole(value: Any) -> None:
    parents = Parents(id="p", inbound={"_id": "p", "v": value})
    assert template_fill({"a": [IN.format("v")]}, parents).value == {"a": [value]}
    inside = template_fill(f"<{IN.format('v')}>", parents).value[1:-1]
    assert (inside if isinstance(value, str) else json.loads(inside)) == value


FOLDER = "extra_nodes/eidsiva"
OBJECT = b'{"_id": "x", "type": "pipe"}'


@pytest.mark.parametrize(
    ("files", "used", "told"),
    [
        ({NAMES[0]: OBJECT}, {NAMES[0]: 1}, []),
        ({NAMES[0]: b"[%s, %s]" % (OBJECT, OBJECT)}, {NAMES[0]: 2}, []),
        ({NAMES[0]: b"[]"}, {NAMES[0]: 0}, []),
        ({NAMES[0]: b'\xef\xbb\xbf{"_id": "x"}'}, {NAMES[0]: 1}, []),
        ({NAMES[0]: OBJECT, "README.md": b"x", ".keep": b"", "sub/a.json": b"x"}, {NAMES[0]: 1}, []),
        (
            {NAMES[0]: OBJECT, "pipe_on_extra_from_extra_to_mastr.json": OBJECT},
            {NAMES[0]: 1},
            [("pipe_on_extra_from_extra_to_mastr.json", False, f"Templates here: {NAMES[0]}. There may be")],
        ),
        ({NAMES[0]: b"{"}, {}, [(NAMES[0], True, "not JSON")]),
        ({NAMES[0]: b"5"}, {}, [(NAMES[0], True, "or a list of them; it is none")]),
        ({NAMES[0]: b"[{}, 5]"}, {}, [(NAMES[0], True, "item 2 of the list is none")]),
        ({}, {}, [("", True, "No template lies here. There may be pipe_on_extra_from_extra_to_master.json")]),
    ],
)
def test_template_folder(files: dict[str, bytes], used: dict[str, int], told: list[tuple[str, bool, str]]) -> None:
    elsewhere = {"extra_nodes/other/x.json": b"x", "extra_nodes/eidsiva2/y.json": b"x", "node/pipes/a": b"x"}
    there = {f"{FOLDER}/{name}": data for name, data in files.items()}
    for folder in (FOLDER, f"{FOLDER}/", f"/{FOLDER}/"):
        found = templates_read(there | elsewhere, folder)
        assert {name: len(template.entries) for name, template in found.by_name.items()} == used
        assert len(found.problems) == len(told)
        for problem, (name, is_error, text) in zip(found.problems, told, strict=True):
            assert (problem.file, problem.is_error) == (f"{FOLDER}/{name}", is_error)
            assert text in problem.text


def test_names_are_the_nine() -> None:
    assert len(NAMES) == 9
    assert {"system_on_master_from_master_to_extra.json", "pipe_on_extra_from_master_to_extra.json"} <= set(NAMES)


def test_line_of_a_placeholder() -> None:
    text = b'{\n  "_id": "##REPLACE_ID##",\n  "x": "##INBOUND_PARENT_PIPE.gone##"\n}'
    template = templates_read({f"{FOLDER}/{NAMES[0]}": text}, FOLDER).by_name[NAMES[0]]
    assert template.line_of("##INBOUND_PARENT_PIPE.gone##") == 3
    assert template.line_of("##NOT##") == 0
