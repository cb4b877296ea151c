"""What repositories and nodes could send to exhaust the panel: each is refused or read in a moment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from apps.sesam import archive, entities, json_text
from apps.sesam.archive import BadArchive, configuration_read, list_files
from apps.sesam.configuration import Entity, Json, Problem
from apps.sesam.entities import entities_read
from apps.sesam.errors import JsonProblem
from apps.sesam.findings import names_kept, problems_kept
from apps.sesam.json_text import json_read
from apps.sesam.layout import SourceSettings
from apps.sesam.references import references
from apps.sesam.rules import Rules
from apps.sesam.shares import Growing, Sides
from apps.sesam.template_files import TemplateFile
from apps.sesam.templates import Parents, template_fill
from apps.sesam.whitelist import files_chosen

MOMENT = 5.0  # seconds of work; what these guard against takes minutes at least


@pytest.fixture(autouse=True)
def in_a_moment() -> Iterator[None]:
    began = time.thread_time()
    yield
    assert time.thread_time() - began < MOMENT


@pytest.fixture
def few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (json_text, archive, entities):
        monkeypatch.setattr(module, "MOST_VALUES", 1000)


@pytest.mark.parametrize("text", ["$ENV(" * 100_000, "$SECRET($ENV(x " * 50_000, "$ENV(" * 100_000 + " )"])
def test_names_that_are_never_closed_are_read_once(text: str) -> None:
    found = references([Entity(id="a", value={"_id": "a", "x": text + " $ENV(there)"})])
    assert list(found.variables) == ["there"]


def test_many_stars_in_a_rule_cost_no_more() -> None:
    rules = Rules(ignore=("*a" * 40 + "b", "x*y*"))
    assert not rules.ignores("a" * 5000)
    assert rules.ignores("a" * 60 + "b")
    assert rules.ignores("x-and-y-")


@pytest.mark.parametrize(
    ("rule", "name", "ignored"),
    [
        ("a*b*c", "abc", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "acb", False),
        ("*", "", True),
        ("a**b", "ab", True),
        ("*.log", "x.log", True),
        ("*.log", "x-log", False),
        ("a*a", "a", False),
        ("*b*b*", "abcb", True),
        ("*b*b*", "abc", False),
    ],
)
def test_stars_stand_for_any_letters(rule: str, name: str, ignored: bool) -> None:
    assert Rules(ignore=(rule,)).ignores(name) is ignored


def test_signs_of_placeholders_are_counted_once() -> None:
    filled = template_fill({"_id": "#" * 300_000, "b": "#" * 100_000 + "REPLACE_ID"}, Parents(id="a"))
    assert len(filled.unfound) == 1


def test_fault_before_a_text_without_end_is_placed() -> None:
    with pytest.raises(JsonProblem) as caught:
        json_read(b'[NaN, "' + b'\\"' * 400_000 + b"\\", "a.json")
    assert (caught.value.problem.line, caught.value.problem.column) == (1, 2)


@pytest.mark.usefixtures("few_values")
def test_json_of_too_many_values_is_not_parsed() -> None:
    with pytest.raises(JsonProblem, match="more than 1,000 values"):
        json_read(b"[" + b"[]," * 2000 + b"0]", "a.json")


@pytest.mark.usefixtures("few_values")
def test_texts_may_be_long() -> None:
    assert json_read(b'"' + b"x" * 50_000 + b'"', "a.json") == "x" * 50_000


@pytest.mark.usefixtures("few_values")
def test_configuration_of_too_many_values_is_not_parsed() -> None:
    files = {f"pipes/{number}.conf.json": b"[" + b"[]," * 200 + b"0]" for number in range(20)}
    with pytest.raises(BadArchive, match="more than 1,000 values"):
        configuration_read(files)


@pytest.mark.usefixtures("few_values")
def test_repository_of_too_many_values_is_a_problem() -> None:
    files = {f"node/pipes/{number}.conf.json": b"[" + b"[]," * 200 + b"0]" for number in range(20)}
    found, problems = entities_read(files, "node")
    assert not found
    assert [(problem.file, problem.is_error) for problem in problems] == [("node", True)]


def test_list_of_too_many_entities_is_refused() -> None:
    with pytest.raises(BadArchive, match="are the limit"):
        list_files(b"[" + b"{}," * 30_000 + b"{}]")


def test_endless_whitelist_is_cut_short() -> None:
    settings = SourceSettings(whitelist_file="list.txt")
    files = {f"pipes/{number}.conf.json": b"{}" for number in range(5000)} | {"list.txt": b"nothing\n" * 200_000}
    chosen, problems = files_chosen(files, settings)
    assert not chosen
    assert "more than" in problems[-1].text
    assert len(problems) <= 50_001


def test_whitelist_that_names_a_folder_says_so() -> None:
    settings = SourceSettings(whitelist_file="list.txt")
    _, problems = files_chosen({"pipes/in/a.conf.json": b"{}", "list.txt": b"pipes/in\npipes\n"}, settings)
    assert all("is a folder" in problem.text for problem in problems)


def grown(template: TemplateFile, times: int, inbound: Entity) -> Growing:
    share = Growing("main", ())
    for number in range(times):
        share.fill(template, frozenset({"pipe"}), Sides(extra="far", id=f"p{number}", inbound=inbound))
    return share


def template_of(**more: Json) -> TemplateFile:
    value: dict[str, Json] = {"_id": "##REPLACE_ID##-copy", "type": "pipe", **more}
    return TemplateFile(file="t.json", entries=(value,), text=json.dumps(value))


def test_large_template_for_many_pipes_fills_no_memory() -> None:
    share = grown(template_of(comment="x" * (1 << 20)), 500, Entity(id="a", value={"_id": "a"}))
    assert len(share.replicas) < 64
    assert [problem.is_error for problem in share.problems] == [True]
    assert "64 MB" in share.problems[0].text


@pytest.mark.parametrize("text", ["##INBOUND_PARENT_PIPE.large##", "and ##INBOUND_PARENT_PIPE.large##"])
@pytest.mark.parametrize("large", ["x" * (1 << 20), {"x": ["y" * (1 << 20)]}])
def test_small_template_that_multiplies_a_pipe_fills_no_memory(text: str, large: Json) -> None:
    share = grown(template_of(items=[text] * 10_000), 3, Entity(id="a", value={"_id": "a", "large": large}))
    assert not share.replicas
    assert "64 MB" in share.problems[0].text


def test_endless_placeholders_without_a_value_are_cut_short() -> None:
    template = template_of(items=["##INBOUND_PARENT_PIPE.nothing##"] * 300)
    share = grown(template, 200, Entity(id="a", value={"_id": "a"}))
    assert len(share.unfound) < 2000
    assert "placeholders of them find nothing" in share.problems[-1].text


def test_endless_readers_of_a_pipe_are_not_all_named() -> None:
    readers = tuple(Entity(id=f"r{number}", value={"_id": f"r{number}"}) for number in range(5000))
    share = Growing("main", ())
    sides = Sides(extra="far", id="a", inbound=Entity(id="a", value={"_id": "a"}), outbound=readers)
    share.fill(template_of(to="##OUTBOUND_PARENT_PIPE._id##"), frozenset({"pipe"}), sides)
    assert len(share.problems[0].text) < 500


def test_masses_of_problems_are_kept_in_bounds_and_errors_first() -> None:
    warnings = [Problem(file=f"f{number}", text="odd", is_error=False) for number in range(5000)]
    kept = problems_kept([*warnings, Problem(file="z", text="wrong")])
    assert len(kept) == 2001
    assert kept[0]["file"] == "z"
    assert kept[-1]["text"] == "And 3,001 more."


def test_masses_of_missing_names_are_kept_in_bounds() -> None:
    kept = names_kept({"variables": {f"n{number}": ["f"] * 100 for number in range(5000)}, "secrets": {"a": ("f",)}})
    assert len(kept["variables"]) == 2001
    assert kept["variables"]["n0"][-1] == "and 50 more"
    assert kept["variables"]["and 3,000 more"] == []
    assert kept["secrets"] == {"a": ["f"]}
