"""What holds for all code: sizes, words that must not be there, task paths that exist, migrations that are complete."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent.parent
HARD_STOP = 400  # lines; aim at 30 to 150
FORBIDDEN = {
    "a path of one machine": re.compile(r"/work/|/root/|/home/[a-z]"),
    "a package index or download host": re.compile(r"pypi\.org|pythonhosted|--(extra-)?index-url +\S|--find-links"),
    "something left to do": re.compile(r"\b(TODO|FIXME|XXX)\b"),
}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name.decode() for name in listed.split(b"\0") if name and (ROOT / name.decode()).is_file()]


def modules() -> list[Path]:
    return [
        path
        for path in tracked("apps/*.py", "deploypanel/*.py", "deploypanel_agent/*.py", "scripts/*.py")
        if "migrations" not in path.parts
    ]


def test_no_module_is_too_long() -> None:
    long = {str(path.relative_to(ROOT)): count for path in modules() if (count := _lines(path)) > HARD_STOP}
    assert not long, f"split these (hard stop {HARD_STOP} lines): {long}"


def test_no_test_module_is_too_long() -> None:
    long = {str(path.relative_to(ROOT)): count for path in tracked("tests/*.py") if (count := _lines(path)) > 600}
    assert not long, long


def test_no_module_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "helpers", "helper", "common", "core", "misc", "manager", "handler", "handlers"}
    assert [path for path in modules() if path.stem in nothing or path.parent.name in nothing] == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_says(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in tracked()
        if path != Path(__file__).resolve() and path.suffix not in {".png", ".ico", ".woff2", ".jpg"}
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


def test_every_task_that_is_rung_exists() -> None:
    paths = sorted({path for module in modules() for path in _rung(module)})
    assert paths, "no ring(…) was found: has it another name?"
    for path in paths:
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name)), path


@pytest.mark.django_db
def test_migrations_are_complete() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_lazy_model_references_point_downward() -> None:
    """Strings such as "repos.Repository" cross apps unseen by import-linter."""
    rank = {"access": 0, "runs": 1, "repos": 2, "files": 2, "environments": 3, "sesam": 3, "agents": 3, "triggers": 4}
    wrong = []
    for path in tracked("apps/*/models.py"):
        own = path.parent.name
        for label in re.findall(r"\"([a-z]+)\.[A-Z]\w+\"", path.read_text(encoding="utf-8")):
            if label != own and rank.get(label, -1) >= rank[own]:
                wrong.append(f"{own} → {label}")
    assert wrong == []


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _rung(path: Path) -> Iterator[str]:
    """The dotted paths in calls of `ring("…", …)` and `queue.ring("…", …)`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        first = node.args[0]
        if name == "ring" and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value
