"""Mirrors of real repositories over file://: brought up to date, pruned, shared, repaired."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from apps.repos import mirror, selectors, services
from apps.repos.errors import FetchStopped, GitError, NotMirrored, RemoteMissing
from apps.repos.models import Repository
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]


def folder_of(repository: Repository) -> Path:
    return mirror.mirror_path(repository.pk)


def test_fetch_makes_a_mirror_and_updates_it(git_repo: Factory) -> None:
    shop = git_repo()
    first = shop.commit({"a": "1\n"}, "First")
    repository = shop.declare()
    done = services.repository_fetch(repository=repository)
    assert done.fetched
    assert [(c.name, c.before, c.after) for c in done.changes] == [("refs/heads/main", "", first)]
    second = shop.commit({"a": "2\n"}, "Second")
    done = services.repository_fetch(repository=repository)
    assert [(c.before, c.after) for c in done.changes] == [(first, second)]
    repository.refresh_from_db()
    assert repository.fetched_at
    assert not repository.fetch_error


def test_fetch_is_incremental(git_repo: Factory) -> None:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    before = set(folder_of(repository).rglob("*"))
    services.repository_fetch(repository=repository)
    assert set(folder_of(repository).rglob("*")) == before


def test_fetch_prunes_deleted_branches_and_follows_forced_pushes(git_repo: Factory) -> None:
    shop = git_repo()
    first = shop.commit({"a": "1\n"})
    shop.branch("feature/x")
    shop.commit({"b": "1\n"})
    shop.switch("main")
    gone = shop.commit({"a": "2\n"})
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    assert {ref.name for ref in selectors.branches(repository)} == {"main", "feature/x"}
    shop.git("reset", "-q", "--hard", first)
    other = shop.commit({"a": "3\n"}, "Rewritten")
    shop.delete("feature/x")
    shop.git("update-ref", "-d", "refs/heads/feature/x")
    shop.branch("feature")  # where a folder of branches was, a branch may be
    shop.push("feature")
    services.repository_fetch(repository=repository)
    assert {ref.name: ref.sha for ref in selectors.branches(repository)} == {"main": other, "feature": other}
    assert selectors.commit_resolve(repository, gone).sha == gone  # it may be deployed: it stays


def test_fetch_with_a_known_commit_does_nothing(git_repo: Factory) -> None:
    shop = git_repo()
    sha = shop.commit({"a": "1\n"})
    repository = shop.declare()
    assert services.repository_fetch(repository=repository, commit=sha).fetched
    shop.bare.rename(shop.bare.with_suffix(".away"))
    assert not services.repository_fetch(repository=repository, commit=sha).fetched


def test_fetch_of_an_empty_repository(git_repo: Factory) -> None:
    repository = git_repo().declare()
    assert services.repository_fetch(repository=repository).changes == ()
    assert selectors.branches(repository) == []


def test_fetch_error_is_kept_and_cleared(git_repo: Factory) -> None:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    repository = shop.declare(url=f"file://{shop.bare}x")
    with pytest.raises(RemoteMissing, match="has no repository"):
        services.repository_fetch(repository=repository)
    repository.refresh_from_db()
    assert "has no repository" in repository.fetch_error
    repository.url = shop.url
    services.repository_fetch(repository=repository)
    repository.refresh_from_db()
    assert repository.fetch_error == ""


def test_not_fetched_yet_says_so(git_repo: Factory) -> None:
    with pytest.raises(NotMirrored, match="Fetch now"):
        selectors.branches(git_repo().declare())


def test_concurrent_fetches_wait_for_one(git_repo: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    repository = shop.declare()
    real, calls = mirror.fetch, []

    def counted(*arguments: object) -> object:
        calls.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(mirror, "fetch", counted)
    path = folder_of(repository)
    results: list[bool] = []
    all_wish = threading.Barrier(10)

    def ask() -> None:
        wished = time.time()
        all_wish.wait(60)
        with mirror.locked(path):
            if mirror.fetched_since(path, repository.url, wished):
                results.append(False)
                return
            mirror.fetch(path, services.login_of(repository))
            results.append(True)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 10
    assert len(calls) == 1  # begun after all had asked, it serves all of them


def test_waiting_for_another_fetch_can_be_stopped(git_repo: Factory) -> None:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    repository = shop.declare()

    class Work:
        said: list[str] = []
        log = property(lambda self: self)

        def note(self, text: str) -> None:
            self.said.append(text)

        def check(self) -> None:
            raise FetchStopped("Stopped.")

    work = Work()
    with mirror.locked(folder_of(repository)), pytest.raises(FetchStopped):
        services.repository_fetch(repository=repository, work=work)  # type: ignore[arg-type]
    assert "waiting" in work.said[0]


def test_lock_is_free_after_an_error(git_repo: Factory) -> None:
    repository = git_repo().declare()
    with pytest.raises(ZeroDivisionError), mirror.locked(folder_of(repository)):
        _ = 1 / 0
    with mirror.locked(folder_of(repository)):
        pass


@pytest.mark.parametrize("damage", ["head", "objects", "pack", "folder", "config", "tip"])
def test_damaged_mirror_is_rebuilt(git_repo: Factory, damage: str) -> None:
    shop = git_repo()
    for number in range(3):
        shop.commit({"a": f"{number}\n"})
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    path = folder_of(repository)
    if damage == "head":
        (path / "HEAD").unlink()
    elif damage == "objects":
        shutil.rmtree(path / "objects")
    elif damage in {"pack", "tip"}:
        for file in [*path.rglob("*.pack"), *path.rglob("objects/??/*")]:
            file.chmod(0o644)
            if damage == "pack":
                file.write_bytes(b"rubbish")
            else:
                file.unlink()
    elif damage == "config":
        (path / "config").write_bytes(b"[core\x00")
    else:
        for left in path.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    services.repository_fetch(repository=repository)
    assert selectors.commit_resolve(repository, "main").sha == shop.shas[-1]
    assert len(selectors.commits(repository, "main")) == 3
    assert not path.with_suffix(".new").exists()
    assert not path.with_suffix(".broken").exists()


def test_locks_of_a_killed_git_are_removed(git_repo: Factory) -> None:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    path = folder_of(repository)
    for name in ("packed-refs.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x1", "config.lock"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    shop.branch("other")
    sha = shop.commit({"a": "2\n"})
    services.repository_fetch(repository=repository)
    assert selectors.commit_resolve(repository, "other").sha == sha
    assert not list(path.rglob("*.lock"))


def test_new_address_brings_the_other_repository(git_repo: Factory) -> None:
    shop, till = git_repo("shop"), git_repo("till")
    shop.commit({"a": "1\n"})
    sha = till.commit({"b": "1\n"}, "Till")
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    repository.url = till.url
    services.repository_fetch(repository=repository)
    assert selectors.commit_resolve(repository, "main").sha == sha


def test_default_branch_is_the_servers(git_repo: Factory) -> None:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    shop.branch("trunk")
    shop.push("trunk")
    shop.git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=shop.bare)
    shop.delete("main")
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    assert selectors.branch_default(repository) == "trunk"


def test_operators_settings_and_hooks_are_ignored(
    git_repo: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    repository = shop.declare()
    trace = tmp_path / "ran"
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {trace}\n")
    evil.chmod(0o755)
    home = tmp_path / "operator"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[core]\n\tfsmonitor = {evil}\n\thooksPath = {tmp_path}\n[credential]\n\thelper = {evil}\n"
        f'[url "file:///nowhere"]\n\tinsteadOf = file://{shop.bare}\n[uploadpack]\n\tpackObjectsHook = {evil}\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(evil))
    (tmp_path / "reference-transaction").symlink_to(evil)
    services.repository_fetch(repository=repository)
    hooks = folder_of(repository) / "hooks"
    hooks.mkdir()
    (hooks / "reference-transaction").symlink_to(evil)
    shop.commit({"a": "2\n"})
    services.repository_fetch(repository=repository)
    assert not trace.exists()


@pytest.mark.parametrize("url", ["ext::sh -c touch% /tmp/x", "--upload-pack=touch /tmp/x", "http://shop.example/x"])
def test_a_hostile_url_in_the_database_runs_nothing(git_repo: Factory, url: str) -> None:
    from apps.access.errors import PanelError

    repository = git_repo().declare(url=url)
    with pytest.raises(PanelError):
        services.repository_fetch(repository=repository)


def test_git_itself_refuses_helpers_and_plain_http(git_repo: Factory, tmp_path: Path) -> None:
    """The second fence: what would happen if a URL came past the first."""
    from apps.repos import git

    trace = tmp_path / "ran"
    for url in (f"ext::touch {trace}", "http://127.0.0.1:1/x.git", "git://127.0.0.1/x"):
        with pytest.raises(GitError, match="not allowed"):
            git.call(None, "ls-remote", "--", url)
    assert not trace.exists()


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_fetch_holds_no_transaction(git_repo: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    repository = shop.declare()
    real = mirror.fetch

    def watched(*arguments: object) -> object:
        assert not connection.in_atomic_block
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(mirror, "fetch", watched)
    services.repository_fetch(repository=repository)
