"""Folders on disk, verified without database and node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from apps.access.errors import InputError
from apps.sesam import verification
from apps.sesam.verification import verify_folder
from tests.sesam.multinode import TEMPLATES, pipe, repository_files, system


def folder(tmp_path: Path, files: Mapping[str, Any]) -> Path:
    for name, content in files.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return tmp_path / "conf"


ORDERS = pipe("orders", node="eidsiva", url="$ENV(a)", password="$SECRET(s)")
BILLING = pipe("billing", reads=["orders"], url="$ENV(b)")
VARIABLES = {"node/variables/variables-test.json": {"a": 1, "b": 1}, "node/variables/variables-prod.json": {"a": 1}}


def ci(**more: Any) -> dict[str, Any]:
    files: dict[str, Any] = dict(repository_files([ORDERS, BILLING], environment="ci"))
    files["node/deployment/whitelist-master.txt"] = files.pop("node/deployment/whitelist-ci.txt")
    return files | VARIABLES | {"node/test-env.json": {"a": 1, "b": 2}} | more


def test_ci_must_be_in_both_variables_files(tmp_path: Path) -> None:
    found = verify_folder(folder(tmp_path, ci()))
    assert (found.layout, found.problems, found.expansion) == ("multi", (), None)
    assert found.missing == {"b": ("node/pipes/billing.conf.json",)}
    assert not found.is_sound
    assert found.references.secrets == {"s": ("node/pipes/orders.conf.json",)}


def test_ci_is_sound(tmp_path: Path) -> None:
    found = verify_folder(folder(tmp_path, ci(**{"node/variables/variables-prod.json": {"a": 1, "b": 1}})), "ci")
    assert found.is_sound
    assert [entity.id for entity in found.source.entities] == ["billing", "orders"]


def test_everything_wrong_at_once(tmp_path: Path) -> None:
    files = ci(**{"node/pipes/orders.conf.json": b"{", "node/deployment/whitelist-master.txt": b"pipes/a\npipes/b\n"})
    found = verify_folder(folder(tmp_path, files))
    texts = [str(problem) for problem in found.problems if problem.is_error]
    assert len(texts) == 2
    assert all("whitelist-master.txt" in text for text in texts)


def test_templates_of_extra_nodes_are_filled_for_test(tmp_path: Path) -> None:
    template = {"pipe_on_master_from_extra_to_master": {"_id": "##REPLACE_ID##", "type": "pipe", "u": "$ENV(c) ##X##"}}
    files = repository_files([ORDERS, BILLING], template, variables={"a": 1, "b": 1})
    found = verify_folder(folder(tmp_path, files), "test")
    assert [problem.file for problem in found.problems] == [f"{TEMPLATES}pipe_on_master_from_extra_to_master.json"]
    assert "##X## found nothing" in found.problems[0].text
    files |= repository_files(
        [ORDERS, BILLING], {"pipe_on_master_from_extra_to_master": {"_id": "new", "type": "pipe", "u": "$ENV(c)"}},
        variables={"a": 1, "b": 1},
    )  # fmt: skip
    found = verify_folder(folder(tmp_path, files), "test")
    assert found.expansion is not None
    assert list(found.expansion.shares[""].entities) == ["billing", "new"]
    assert found.missing == {"c": (f"{TEMPLATES}pipe_on_master_from_extra_to_master.json",)}


def test_an_owner_without_templates(tmp_path: Path) -> None:
    found = verify_folder(folder(tmp_path, repository_files([ORDERS], variables={"a": 1})), "test")
    assert [str(problem)[:60] for problem in found.problems] == [
        "extra_nodes/eidsiva/: No template lies here. There may be pi"
    ]


SINGLE = {"pipes/a.conf.json": pipe("a", x="$ENV(v)"), "systems/deep/s.conf.json": system("s"), "README.md": b"# \xff"}


def test_single_layout_is_guessed_or_given(tmp_path: Path) -> None:
    top = folder(tmp_path, SINGLE)
    found = verify_folder(top, "test")
    assert (found.layout, found.problems, found.missing, found.is_sound) == ("single", (), {}, True)
    assert [entity.id for entity in found.source.entities] == ["a", "s"]
    assert not verify_folder(top, "test", layout="multi").is_sound
    (top / "vars.json").write_text('{"base": 1}')
    found = verify_folder(str(top), "test", variables_files=["vars.json"])
    assert found.missing == {"v": ("pipes/a.conf.json",)}


def test_links_are_left_out_and_never_followed(tmp_path: Path) -> None:
    top = folder(tmp_path, SINGLE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.conf.json").write_text("{}")
    (top / "pipes" / "c.conf.json").symlink_to(tmp_path / "out" / "b.conf.json")
    (top / "pipes" / "more").symlink_to(tmp_path / "out")
    (top / "pipes" / "loop").symlink_to(top)
    found = verify_folder(top, "test")
    assert found.is_sound
    assert [str(problem) for problem in found.problems] == [
        f"pipes/{name}: This is a link: it is left out." for name in ("c.conf.json", "loop", "more")
    ]


def test_git_and_pipes_of_the_system_are_no_files(tmp_path: Path) -> None:
    top = folder(tmp_path, SINGLE | {".git/pipes/x.conf.json": b"{"})
    os.mkfifo(top / "pipes" / "fifo.conf.json")
    assert verify_folder(top, "test").is_sound


def test_only_what_counts_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "LIMIT_BYTES", 2000)
    top = folder(tmp_path, SINGLE | {"data/big.bin": b"x" * 5000})
    assert verify_folder(top, "test").is_sound
    (top / "pipes" / "b.conf.json").write_bytes(b" " * 5000)
    with pytest.raises(InputError, match=r"b\.conf\.json, the files have more than 2000 bytes"):
        verify_folder(top, "test")
    monkeypatch.setattr(verification, "LIMIT_FILES", 2)
    (top / "pipes" / "b.conf.json").unlink()
    with pytest.raises(InputError, match="more than 2 files"):
        verify_folder(top, "test")


@pytest.mark.parametrize(
    ("path", "environment", "layout", "text"),
    [
        ("nowhere", "ci", "", "is no folder"),
        ("conf/pipes/a.conf.json", "ci", "", "is no folder"),
        ("conf", "dev", "", "'dev' is no environment; there are ci, test, prod"),
        ("conf", "ci", "many", "'many' is no layout"),
    ],
)
def test_refused(tmp_path: Path, path: str, environment: str, layout: str, text: str) -> None:
    folder(tmp_path, SINGLE)
    with pytest.raises(InputError, match=text):
        verify_folder(tmp_path / path, environment, layout=layout)


def test_needs_no_database(tmp_path: Path) -> None:
    """Not even one that is configured: the tests' own would raise if it were asked."""
    code = "import django; django.setup(); from apps.sesam.verification import verify_folder; import sys; "
    code += "print(verify_folder(sys.argv[1]).is_sound)"
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "deploypanel.settings",
        "DEPLOYPANEL_DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    }
    top = folder(tmp_path, ci())
    done = subprocess.run([sys.executable, "-c", code, str(top)], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr
