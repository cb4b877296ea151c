"""Trees that stay from one run to the next: exactly the commit each time, whatever was done to them between."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.repos import kept_tree, services
from apps.repos.models import Repository
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]


def fetched(shop: GitRepo) -> Repository:
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    return repository


def brought(repository: Repository, sha: str, tmp_path: Path) -> Path:
    with services.tree_borrowed(repository=repository, purpose="test") as kept:
        assert kept is not None
        return services.repository_export(repository=repository, sha=sha, folder=tmp_path / "unused", kept=kept).folder


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_tree_follows_the_commits_and_writes_only_what_changed(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    first = shop.commit({"a": "1\n", "b": "1\n", "sub/c": "1\n", ".gitignore": "cache\n"})
    second = shop.commit({"a": "2\n", "sub/c": None})
    repository = fetched(shop)
    tree = brought(repository, first, tmp_path)
    assert files(tree) == {"a": "1\n", "b": "1\n", "sub/c": "1\n", ".gitignore": "cache\n"}
    untouched, before = (tree / "b").stat(), (tree / "a").stat().st_mtime
    tree = brought(repository, second, tmp_path)
    assert files(tree) == {"a": "2\n", "b": "1\n", ".gitignore": "cache\n"}
    assert ((tree / "b").stat().st_ino, (tree / "b").stat().st_mtime) == (untouched.st_ino, untouched.st_mtime)
    assert (tree / "a").stat().st_mtime != before
    tree = brought(repository, first, tmp_path)
    assert files(tree)["a"] == "1\n"
    assert (tree / "a").stat().st_mtime == before, "the same content has the same time again"


def test_what_a_build_did_is_undone(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    sha = shop.commit({"a": "1\n", "run.sh": "#!/bin/sh\n", "keep/x": "x\n", ".gitignore": "cache\n"})
    repository = fetched(shop)
    tree = brought(repository, sha, tmp_path)
    wanted = files(tree)
    at = (tree / "a").stat().st_mtime_ns
    (tree / "a").write_text("9\n")  # of the same size, and with the same time
    os.utime(tree / "a", ns=(at, at))
    (tree / "run.sh").unlink()
    (tree / "keep/x").unlink()
    (tree / "keep").rmdir()
    (tree / "keep").symlink_to("/etc")
    (tree / "cache").mkdir()
    (tree / "cache/y").write_text("y")
    (tree / "made/.git").mkdir(parents=True)
    (tree / "made/file").write_text("m")
    assert files(brought(repository, sha, tmp_path)) == wanted
    assert not (tree / "keep").is_symlink()
    assert not (tree / "made").exists()
    assert os.access(tree / "run.sh", os.X_OK)


def test_what_git_does_not_look_at_is_undone_too(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    sha = shop.commit({"a": "1\n", "sub/b": "1\n", "run.sh": "#!/bin/sh\n"})
    repository = fetched(shop)
    tree = brought(repository, sha, tmp_path)
    for path, mode in (("a", 0o600), ("run.sh", 0o700), ("sub/b", 0o666), ("sub", 0o000)):
        (tree / path).chmod(mode)
    (tree / ".git").mkdir()
    (tree / ".git/config").write_text("[core]\n")
    brought(repository, sha, tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tree.rglob("*")}
    assert modes == {"a": 0o644, "sub": 0o755, "b": 0o644, "run.sh": 0o755}


def test_attributes_that_come_later_count_for_files_that_stay(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    first = shop.commit({"a.txt": "1\n"})
    second = shop.commit({".gitattributes": "*.txt eol=crlf\n"})
    third = shop.commit({".gitattributes": None})
    repository = fetched(shop)
    written = []
    for number, sha in enumerate((first, second, third)):
        tree = brought(repository, sha, tmp_path / str(number))
        written.append((tree / "a.txt").read_bytes())
    assert written == [b"1\n", b"1\r\n", b"1\n"]


def test_a_git_that_was_killed_leaves_nothing_in_the_way(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    sha = shop.commit({"a": "1\n"})
    repository = fetched(shop)
    tree = brought(repository, sha, tmp_path)
    tree.with_name(f"{tree.name}.index.lock").touch()
    assert files(brought(repository, sha, tmp_path)) == {"a": "1\n"}
    tree.with_name(f"{tree.name}.index").write_bytes(b"half an index")
    (tree / "a").write_text("half")
    assert files(brought(repository, sha, tmp_path)) == {"a": "1\n"}


def test_a_borrowed_tree_is_nobody_elses(git_repo: Factory, tmp_path: Path) -> None:
    repository = git_repo().declare()
    with services.tree_borrowed(repository=repository, purpose="test") as kept:
        assert kept is not None
        with services.tree_borrowed(repository=repository, purpose="test") as second:
            assert second is None
        with services.tree_borrowed(repository=repository, purpose="other") as other:
            assert other is not None


def test_a_tree_that_is_pruned_in_the_very_moment_is_not_borrowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, real = tmp_path / "tree", fcntl.flock

    def late(*arguments: Any) -> None:
        """Its place is given to another between the opening of the file and its locking."""
        folder.with_name("tree.lock").unlink()
        folder.with_name("tree.lock").touch()
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", late)
        with kept_tree.borrowed(folder) as mine:
            assert not mine
    with kept_tree.borrowed(folder) as mine:
        assert mine


def test_export_attributes_need_an_archive(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    sha = shop.commit({"a": "1\n", "secret": "x\n", ".gitattributes": "secret export-ignore\n"})
    assert brought(fetched(shop), sha, tmp_path) == tmp_path / "unused"
    assert "secret" not in files(tmp_path / "unused")


def test_trees_of_a_deleted_repository_are_pruned(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    sha = shop.commit({"a": "1\n"})
    repository = fetched(shop)
    tree = brought(repository, sha, tmp_path)
    repository.delete()
    assert services.trees_prune() == 1
    assert not list(tree.parent.iterdir())


def test_trees_that_nobody_uses_are_pruned(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    sha = shop.commit({"a": "1\n"})
    tree = brought(fetched(shop), sha, tmp_path)
    assert services.trees_prune() == 0
    old = time.time() - kept_tree.UNUSED - 60
    os.utime(tree.with_name(f"{tree.name}.lock"), (old, old))
    assert services.trees_prune() == 1
    assert not list(tree.parent.iterdir())
