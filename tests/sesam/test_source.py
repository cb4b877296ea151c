"""What a repository's files say about a node, and everything that is wrong with them, at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.sesam.configuration import Problem
from apps.sesam.models import ExtraNode, Node
from apps.sesam.references import references
from apps.sesam.source import Source, SourceSettings, owner_of, source_paths, source_read

SINGLE = SourceSettings(sync_root="sesam-home/node")
MULTI = SourceSettings(layout="multi", sync_root="root", environment="test")
CI = SourceSettings(layout="multi", sync_root="root", environment="ci")


def entity(name: str, what: str = "pipe", **more: Any) -> bytes:
    return json.dumps({"_id": name, "type": what} | more).encode()


def tree(prefix: str, **files: Any) -> dict[str, bytes]:
    """Files by path; `__` in a name is a slash, values other than bytes become JSON."""
    return {
        prefix + name.replace("__", "/"): content if isinstance(content, bytes) else json.dumps(content).encode()
        for name, content in files.items()
    }


def pipes(prefix: str, *names: str) -> dict[str, bytes]:
    return {f"{prefix}pipes/{name}.conf.json": entity(name) for name in names}


def ids(source: Source) -> list[str]:
    return [one.id for one in source.entities]


def told(source: Source, *, error: bool = True) -> list[str]:
    return [str(problem) for problem in source.problems if problem.is_error is error]


def multi(*listed: str, **files: Any) -> dict[str, bytes]:
    """A whole multi-node repository whose whitelist for test has these lines."""
    return {
        "root/node/deployment/whitelist-test.txt": "\n".join(listed).encode(),
        "root/node/variables/variables-test.json": b"{}",
        **tree("root/node/", **files),
    }


# Single-node


def test_a_single_node_is_found_wherever_below_its_folder_it_lies() -> None:
    files = {
        **pipes("sesam-home/node/", "b", "a"),
        "sesam-home/node/pipes/deep/er/c.conf.json": entity("c"),
        "sesam-home/node/area/systems/s.conf.json": entity("s", "system:url"),
        "sesam-home/node/node-metadata.conf.json": entity("node", "metadata"),
        "sesam-home/node/README.md": b"Read me",
        "sesam-home/node/pipes/.gitkeep": b"",
        "sesam-home/other/pipes/x.conf.json": b"no JSON at all",
        "sesam-home/node2/pipes/y.conf.json": b"no JSON at all",
    }
    source = source_read(files, SINGLE)
    assert ids(source) == ["a", "b", "c", "node", "s"]
    assert [one.kind for one in source.entities] == ["pipe", "pipe", "pipe", "metadata", "system"]
    assert source.problems == ()
    assert source.entities[2].file == "sesam-home/node/pipes/deep/er/c.conf.json"
    assert len(source.taken) == 5


def test_everything_wrong_is_told_at_once_with_file_and_line() -> None:
    prefix = "sesam-home/node/"
    files = {
        **pipes(prefix, "fine"),
        prefix + "pipes/broken.conf.json": b'{\n "_id": "broken",\n}',
        prefix + "pipes/nobody.conf.json": b'{"type": "pipe"}',
        prefix + "pipes/other.conf.json": entity("another"),
        prefix + "pipes/old/fine.conf.json": entity("fine"),
        prefix + "pipes/typo.conf.json": entity("typo", "pip"),
        prefix + "pipes/bare.conf.json": b'{"_id": "bare"}',
        prefix + "pipes/list.conf.json": b'[{"_id": "list", "type": "pipe"}]',
        prefix + "pipes/word.conf.json": b'"word"',
        prefix + "pipes/latin.conf.json": b'{"_id": "\xe9"}',
        prefix + "pipes/twice.conf.json": b'{"_id": "twice",\n "type": "pipe", "type": "pipe"}',
        prefix + "pipes/notes.txt": b"",
        prefix + "systems/astray.conf.json": entity("astray"),
        prefix + "loose.conf.json": entity("loose"),
    }
    source = source_read(files, SINGLE)
    pipes_folder = prefix + "pipes/"
    assert told(source) == [
        f"{pipes_folder}bare.conf.json:1: It has no type.",
        f"{pipes_folder}broken.conf.json:3:1: This is not JSON: Expecting property name enclosed in double quotes.",
        f"{pipes_folder}latin.conf.json:1:10: This is not UTF-8 text.",
        f"{pipes_folder}list.conf.json:1: This is a list; a file holds one entity.",
        f"{pipes_folder}nobody.conf.json:1: It has no _id.",
        f"{pipes_folder}old/fine.conf.json:1: The _id “fine” is also that of {pipes_folder}fine.conf.json.",
        f"{pipes_folder}twice.conf.json:2:18: The key “type” is there twice.",
        f"{pipes_folder}typo.conf.json:1: Its type is “pip”; pipe, system:… or metadata is needed.",
        f"{pipes_folder}word.conf.json:1: This is no JSON object.",
    ]
    left_out = "This is no .conf.json file in pipes/ or systems/, nor node-metadata.conf.json: it is left out."
    assert told(source, error=False) == [
        f"{prefix}loose.conf.json: {left_out}",
        f"{pipes_folder}notes.txt: {left_out}",
        f"{pipes_folder}other.conf.json:1: Its _id is “another”, unlike the file's name.",
        f"{prefix}systems/astray.conf.json:1: This pipe does not lie in pipes/.",
    ]
    assert ids(source) == ["another", "astray", "fine"]


def test_three_files_with_one_id_all_name_the_first() -> None:
    files = {f"pipes/{folder}/a.conf.json": entity("a") for folder in "321"}
    errors = source_read(files, SourceSettings()).errors
    assert [one.file for one in errors] == ["pipes/2/a.conf.json", "pipes/3/a.conf.json"]
    assert all("pipes/1/a.conf.json" in one.text for one in errors)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", " a", "a ", "\ud800", "x" * 241, "é" * 121, 7, None, [], {}, True],
)
def test_ids_that_cannot_be_file_names_are_refused(name: object) -> None:
    source = source_read({"pipes/a.conf.json": json.dumps({"_id": name, "type": "pipe"}).encode()}, SourceSettings())
    assert len(source.errors) == 1
    assert "_id" in source.errors[0].text
    assert "\0" not in source.errors[0].text
    assert source.errors[0].text.encode()


@pytest.mark.parametrize("name", ["a", "å b", "system:x", "a.b-c_d", "x" * 240, "a#b", "(a)"])
def test_ids_that_can_be_file_names_are_taken(name: str) -> None:
    assert not source_read({f"pipes/{name}.conf.json": entity(name)}, SourceSettings()).problems


@pytest.mark.parametrize("what", [7, None, [], {}, True, "", "Pipe", "pipes", "unknown"])
def test_types_that_are_unknown_are_refused(what: object) -> None:
    source = source_read({"pipes/a.conf.json": json.dumps({"_id": "a", "type": what}).encode()}, SourceSettings())
    assert "Its type is" in source.errors[0].text


@pytest.mark.parametrize("metadata", [7, "x", [], None, {"node": 7}])
def test_metadata_that_names_no_owner_sensibly_is_refused(metadata: object) -> None:
    source = source_read({"pipes/a.conf.json": entity("a", metadata=metadata)}, SourceSettings())
    assert "metadata" in source.errors[0].text


def test_a_folder_that_is_not_there_is_an_error_and_an_empty_one_a_warning() -> None:
    assert told(source_read(pipes("", "a"), SINGLE)) == ["sesam-home/node: There is no such folder, or it is empty."]
    assert told(source_read({}, SourceSettings())) == ["There is no such folder, or it is empty."]
    empty = source_read({"sesam-home/node/README.md": b""}, SINGLE)
    assert told(empty) == []
    assert told(empty, error=False) == ["sesam-home/node: No pipes or systems are taken from sesam-home/node."]


@pytest.mark.parametrize("root", ["sesam-home/node", "/sesam-home/node/", "./sesam-home//node/."])
def test_the_folder_may_be_written_in_several_ways(root: str) -> None:
    assert ids(source_read(pipes("sesam-home/node/", "a"), SourceSettings(sync_root=root))) == ["a"]


def test_a_file_with_control_characters_in_its_name_is_refused() -> None:
    source = source_read({"pipes/a\n.conf.json": entity("a"), "pipes/\udcff.conf.json": entity("b")}, SourceSettings())
    assert [problem.text for problem in source.errors] == ["Its name has control characters."] * 2
    assert all(problem.file.encode() for problem in source.errors)


# Multi-node


def test_a_whitelist_chooses_and_its_other_files_are_not_even_read() -> None:
    files = multi(
        "\ufeffnode-metadata.conf.json",
        "",
        "  ./pipes/a.conf.json  \r",
        "systems//s.conf.json",
        pipes__broken=b"{",
        **{"node-metadata.conf.json": {"_id": "node", "type": "metadata"}},
    )
    files |= pipes("root/node/", "a", "b") | {
        "root/node/pipes/c.conf.json": b"{",
        "root/node/systems/s.conf.json": entity("s", "system:url"),
        "root/pipes/z.conf.json": b"{",
    }
    source = source_read(files, MULTI)
    assert source.problems == ()
    assert ids(source) == ["a", "node", "s"]
    assert "root/node/deployment/whitelist-test.txt" in source.taken
    assert "root/node/variables/variables-test.json" in source.taken
    assert len(source.taken) == 5


def test_every_line_of_a_whitelist_that_is_wrong_is_told() -> None:
    lines = [
        "pipes/a.conf.json",
        "pipes/gone.conf.json",
        "# a comment",
        "../secrets.json",
        "/etc/passwd",
        "pipes",
        "./pipes/a.conf.json",
        "pipes\\a.conf.json",
        "pipes/lost.conf.json",
        "variables/variables-test.json",
    ]
    source = source_read(multi(*lines) | pipes("root/node/", "a"), MULTI)
    whitelist = "root/node/deployment/whitelist-test.txt"
    assert told(source) == [
        f"{whitelist}:2: pipes/gone.conf.json is not there.",
        f"{whitelist}:3: # a comment is not there.",
        f"{whitelist}:4: ../secrets.json leaves the node's folder.",
        f"{whitelist}:5: /etc/passwd leaves the node's folder.",
        f"{whitelist}:6: pipes is a folder; the list names files.",
        f"{whitelist}:8: pipes\\a.conf.json leaves the node's folder.",
        f"{whitelist}:9: pipes/lost.conf.json is not there.",
    ]
    assert f"{whitelist}:7: ./pipes/a.conf.json is already listed in line 1." in told(source, error=False)
    assert any("variables-test.json: This is no .conf.json file" in one for one in told(source, error=False))
    assert ids(source) == ["a"]


def test_a_whitelist_with_old_line_endings_is_read() -> None:
    files = multi() | pipes("root/node/", "a", "b")
    files["root/node/deployment/whitelist-test.txt"] = b"pipes/a.conf.json\rpipes/b.conf.json\r\n\r\n"
    assert ids(source_read(files, MULTI)) == ["a", "b"]


def test_a_whitelist_that_is_absent_or_no_text_is_told() -> None:
    files = multi() | pipes("root/node/", "a")
    files["root/node/deployment/whitelist-test.txt"] = b"\xff"
    assert "not UTF-8" in told(source_read(files, MULTI))[0]
    del files["root/node/deployment/whitelist-test.txt"]
    source = source_read(files, MULTI)
    assert "There is no such whitelist" in told(source)[0]
    assert ids(source) == []


def test_without_a_whitelist_everything_counts() -> None:
    settings = SourceSettings(layout="multi", sync_root="root", whitelist_file="none", variables_files=("none",))
    source = source_read(pipes("root/node/", "a", "b"), settings)
    assert ids(source) == ["a", "b"]
    assert source.problems == ()
    assert source.variables == {}


def test_a_chosen_whitelist_counts_for_a_single_node_too() -> None:
    files = pipes("", "a", "b") | {"lists/mine.txt": b"pipes/b.conf.json"}
    assert ids(source_read(files, SourceSettings(whitelist_file="lists/mine.txt"))) == ["b"]


def test_owners_and_templates_are_told_apart() -> None:
    files = multi("pipes/a.conf.json", "pipes/b.conf.json") | pipes("root/node/", "a")
    files |= {
        "root/node/pipes/b.conf.json": entity("b", metadata={"node": "eidsiva"}),
        "root/extra_nodes/eidsiva/node-metadata.conf.json": b"not looked at here",
        "root/extra_nodes/eidsiva/pipe_on_extra_from_extra_to_master.json": b"{}",
        "extra_nodes/elsewhere/x.json": b"{}",
    }
    source = source_read(files, MULTI)
    assert [owner_of(one) for one in source.entities] == ["", "eidsiva"]
    assert sorted(source.templates) == [
        "root/extra_nodes/eidsiva/node-metadata.conf.json",
        "root/extra_nodes/eidsiva/pipe_on_extra_from_extra_to_master.json",
    ]
    assert source.problems == ()


# Variables


def test_several_variables_files_are_merged_and_the_later_wins() -> None:
    settings = SourceSettings(variables_files=("all.json", "variables/own.json"))
    files = pipes("", "a") | {
        "all.json": b'{"same": 1, "url": "x", "only": [1]}',
        "variables/own.json": b'{"same": 1.0, "url": "y"}',
    }
    source = source_read(files, settings)
    assert source.variables == {"same": 1, "url": "y", "only": [1]}
    assert told(source, error=False) == [
        "variables/own.json: The variable “url” has another value in all.json; this one counts."
    ]
    assert source.errors == ()
    assert source.variables_by_file["all.json"]["url"] == "x"


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"[]", "one JSON object"), (b"{", "not JSON"), (b'{"a": 1, "a": 2}', "twice"), (None, "no such variables file")],
)
def test_a_variables_file_that_is_none_is_told(content: bytes | None, text: str) -> None:
    files = pipes("", "a") | ({} if content is None else {"env.json": content})
    source = source_read(files, SourceSettings(variables_files=("env.json",)))
    assert len(source.errors) == 1
    assert source.errors[0].file == "env.json"
    assert text in source.errors[0].text


def test_in_ci_each_environment_must_hold_every_variable() -> None:
    files = {
        "root/node/deployment/whitelist-master.txt": b"pipes/a.conf.json\n",
        "root/node/pipes/a.conf.json": entity("a", url="$ENV(both) $ENV(one) $ENV(ci) $ENV(gone)"),
        "root/node/test-env.json": b'{"both": "ci", "one": "ci", "ci": 1}',
        "root/node/variables/variables-test.json": b'{"both": 1, "one": 1}',
        "root/node/variables/variables-prod.json": b'{"both": 2}',
    }
    source = source_read(files, CI)
    assert source.problems == ()
    assert source.variables == {"both": "ci", "one": "ci", "ci": 1}
    where = ("root/node/pipes/a.conf.json",)
    assert source.variables_missing(references(source.entities)) == {"one": where, "ci": where, "gone": where}
    assert source.lacking("one") == ("root/node/variables/variables-prod.json",)
    del files["root/node/test-env.json"]
    assert source_read(files, CI).errors == ()
    del files["root/node/variables/variables-prod.json"]
    assert "no such variables file" in told(source_read(files, CI))[0]


def test_chosen_variables_files_in_ci_hold_every_name_together() -> None:
    settings = SourceSettings(
        layout="multi", sync_root="root", environment="ci", variables_files=("a.json", "b.json"), whitelist_file="none"
    )
    files = {
        "root/node/pipes/a.conf.json": entity("a", url="$ENV(one) $ENV(two) $ENV(three)"),
        "root/node/a.json": b'{"one": 1}',
        "root/node/b.json": b'{"two": 1}',
    }
    source = source_read(files, settings)
    assert list(source.variables_missing(references(source.entities))) == ["three"]


# Where the files lie


@pytest.mark.parametrize(
    ("chosen", "paths"),
    [
        (SourceSettings(), ("",)),
        (SourceSettings(sync_root="/a/b/"), ("a/b",)),
        (SourceSettings(layout="multi"), ("extra_nodes", "node")),
        (MULTI, ("root/extra_nodes", "root/node")),
        (
            SourceSettings(layout="multi", sync_root="r", template_paths=("extra_nodes/x/", "templates/y")),
            ("r/extra_nodes", "r/node", "r/templates/y"),
        ),
        (
            SourceSettings(layout="multi", template_paths=("nodes", "node/../extra_nodes/x")),
            ("extra_nodes", "node", "nodes"),
        ),
    ],
)
def test_what_to_read_from_git(chosen: SourceSettings, paths: tuple[str, ...]) -> None:
    assert source_paths(chosen) == paths


@pytest.mark.parametrize(
    ("chosen", "variables", "whitelist"),
    [
        (SINGLE, (), ""),
        (MULTI, ("root/node/variables/variables-test.json",), "root/node/deployment/whitelist-test.txt"),
        (CI, ("root/node/test-env.json",), "root/node/deployment/whitelist-master.txt"),
        (SourceSettings(variables_files=("v.json",), sync_root="x"), ("x/v.json",), ""),
        (SourceSettings(layout="multi", variables_files=("none",), whitelist_file="none"), (), ""),
    ],
)
def test_the_layouts_own_files(chosen: SourceSettings, variables: tuple[str, ...], whitelist: str) -> None:
    assert chosen.variables_paths == variables
    assert chosen.whitelist_path == whitelist


@pytest.mark.django_db
def test_settings_of_a_node_and_of_one_that_a_master_feeds() -> None:
    from apps.repos.models import Repository

    repository = Repository.objects.create(name="conf", url="https://git.example/conf.git")
    master = Node.objects.create(
        name="main",
        repository=repository,
        layout="multi",
        sync_root="root",
        variables_files=["v.json"],
        config_group="G",
    )
    fed = Node.objects.create(name="fed", sync_root="elsewhere", config_group="F")
    ExtraNode.objects.create(master=master, name="fed", template_path="templates/fed", node=fed)
    settings = SourceSettings.of(master)
    assert settings == SourceSettings(
        layout="multi",
        sync_root="root",
        variables_files=("v.json",),
        config_group="G",
        template_paths=("templates/fed",),
    )
    assert SourceSettings.of(Node.objects.get(name="fed")).folder == "root/node"
    assert SourceSettings.of(Node.objects.get(name="fed")).config_group == "F"
    assert SourceSettings.of(Node(name="new")).template_paths == ()


def test_problems_are_told_once_and_in_order() -> None:
    problems = source_read({"pipes/b.conf.json": b"{", "pipes/a.conf.json": b"["}, SourceSettings()).problems
    assert [one.file for one in problems] == ["", "pipes/a.conf.json", "pipes/b.conf.json"]
    assert isinstance(problems[0], Problem)
