"""A folder published into another repository: real Git on both sides, real servers where they say no."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.access.errors import InputError
from apps.access.models import SshKey
from apps.repos import blobs, commit_tree, git, mirror, services
from apps.repos.errors import GitError, LoginRefused, PushRefused, RemoteMissing, Unreachable
from apps.repos.models import Repository
from apps.repos.services import Published, folder_publish, publish
from apps.runs import process
from apps.runs.errors import RunStopped
from tests.repos.https_server import GitServer
from tests.support.gitrepo import GitRepo
from tests.support.sshd import Fleet, keygen

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]
NODE = {"pipes/a.conf.json": b"{}\n", "variables/variables-test.json": b'{"x": 1}\n'}


class Log:
    def __init__(self, on_note: Callable[[str], None]) -> None:
        self.said: list[str] = []
        self._on_note = on_note

    def note(self, text: str) -> None:
        self.said.append(text)
        self._on_note(text)


class Work:
    """What publishing needs of a run: its log, its programs, its stop."""

    def __init__(self, on_note: Callable[[str], None] = lambda _: None) -> None:
        self.log = Log(on_note)
        self.stopped = False

    def execute(self, argv: list[str], *, env: Mapping[str, str] | None = None) -> int:
        return subprocess.run(argv, env=env, capture_output=True, check=False).returncode

    def check(self) -> None:
        if self.stopped:
            raise RunStopped("Stopped.")


def publish_node(repository: Repository, files: Mapping[str, bytes] = NODE, **more: Any) -> Published:
    given = {"branch": "main", "folder": "node", "message": "Take over datahub 12345678: Öl\n\nSource: conf 1234\n"}
    return folder_publish(repository=repository, files=files, **(given | more))


def tree_of(repo: GitRepo, branch: str = "main") -> dict[str, str]:
    """What the server has on a branch: contents by path."""
    names = repo.git("--git-dir", str(repo.bare), "ls-tree", "-r", "--name-only", "-z", branch).split("\0")
    return {name: repo.git("--git-dir", str(repo.bare), "show", f"{branch}:{name}") for name in names if name}


def commits(repo: GitRepo, branch: str = "main") -> list[str]:
    done = subprocess.run(
        ["git", "--git-dir", str(repo.bare), "log", "--format=%s|%an|%cn", branch],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()


@pytest.fixture
def extra(git_repo: Factory) -> GitRepo:
    repo = git_repo("extra")
    repo.commit({"README.md": "mine", "node/pipes/old.conf.json": "{}", "node/x": "y", "nodes/z": "z"}, "First")
    return repo


def test_one_commit_that_replaces_the_folder(extra: GitRepo) -> None:
    done = publish_node(extra.declare())
    assert done.changed
    assert (done.added, done.changed_files) == (("pipes/a.conf.json", "variables/variables-test.json"), ())
    assert done.removed == ("pipes/old.conf.json", "x")
    assert tree_of(extra) == {
        "README.md": "mine",
        "node/pipes/a.conf.json": "{}",
        "node/variables/variables-test.json": '{"x": 1}',
        "nodes/z": "z",
    }
    assert commits(extra) == ["Take over datahub 12345678: Öl|Deploypanel|Deploypanel", "First|Shop Coder|Shop Coder"]
    assert extra.git("--git-dir", str(extra.bare), "rev-parse", "main") == done.commit
    assert "Source: conf 1234" in extra.git("--git-dir", str(extra.bare), "log", "-1", "--format=%B", "main")
    extra.git("--git-dir", str(extra.bare), "fsck", "--strict")


def test_unchanged_is_neither_committed_nor_pushed(extra: GitRepo) -> None:
    repository = extra.declare()
    first = publish_node(repository)
    work = Work()
    again = publish_node(repository, work=work)
    assert again == Published(commit=first.commit, changed=False)
    assert len(commits(extra)) == 2
    assert not [line for line in work.log.said if "push" in line]


def test_only_what_changed_is_named(extra: GitRepo) -> None:
    repository = extra.declare()
    publish_node(repository)
    done = publish_node(repository, {"pipes/a.conf.json": b"[]\n", "pipes/b.conf.json": b"{}\n"})
    assert (done.added, done.changed_files, done.removed) == (
        ("pipes/b.conf.json",), ("pipes/a.conf.json",), ("variables/variables-test.json",),
    )  # fmt: skip


def test_what_is_kept_stays_as_it_is(extra: GitRepo) -> None:
    (extra.tree / "node/keep/bin").mkdir(parents=True)
    (extra.tree / "node/keep/bin/run").write_text("#!/bin/sh\n")
    (extra.tree / "node/keep/bin/run").chmod(0o755)
    (extra.tree / "node/keep/link").symlink_to("bin/run")
    extra.commit({'node/keep/ü "q"': "1", "node/keep/a": "old"}, "More")
    repository = extra.declare()
    files = {"keep/a": b"new", "b": b"2"}

    def publish() -> Published:
        return publish_node(repository, files, keeps=lambda path: path.startswith("keep/"))

    done = publish()
    assert (done.added, done.changed_files, done.removed) == (("b",), ("keep/a",), ("pipes/old.conf.json", "x"))
    kept = {name: text for name, text in tree_of(extra).items() if name.startswith("node/")}
    assert kept == {
        "node/b": "2", "node/keep/a": "new", "node/keep/bin/run": "#!/bin/sh", "node/keep/link": "bin/run",
        'node/keep/ü "q"': "1",
    }  # fmt: skip
    modes = extra.git("--git-dir", str(extra.bare), "ls-tree", "-r", "main", "node/keep/bin", "node/keep/link")
    assert [line.split()[0] for line in modes.splitlines()] == ["100755", "120000"]
    assert not publish().changed


def test_dry_run_pushes_nothing(extra: GitRepo) -> None:
    work = Work()
    done = publish_node(extra.declare(), dry_run=True, work=work)
    assert done.changed
    assert len(done.added) == 2
    assert commits(extra) == ["First|Shop Coder|Shop Coder"]
    assert not [line for line in work.log.said if "push" in line]


def test_a_new_branch_and_an_empty_repository(extra: GitRepo, git_repo: Factory) -> None:
    publish_node(extra.declare(), branch="deploy/test")
    assert set(tree_of(extra, "deploy/test")) == {f"node/{path}" for path in NODE}
    assert len(commits(extra)) == 1
    empty = git_repo("empty")
    repository = empty.declare()
    assert publish_node(repository).changed
    assert set(tree_of(empty)) == {f"node/{path}" for path in NODE}
    assert not publish_node(repository).changed


def test_the_top_as_the_folder(extra: GitRepo) -> None:
    assert publish_node(extra.declare(), folder="").changed
    assert set(tree_of(extra)) == set(NODE)


def test_a_folder_below_a_folder(extra: GitRepo) -> None:
    repository = extra.declare()
    publish_node(repository, folder="a/b")
    assert {"a/b/pipes/a.conf.json", "README.md", "node/x"} <= set(tree_of(extra))
    with pytest.raises(GitError, match=r"README\.md is a file there; README\.md/b/ cannot lie below it"):
        publish_node(repository, folder="README.md/b")
    assert publish_node(repository, folder="README.md").removed == ("",)


SETS = st.dictionaries(
    st.sampled_from(["a", "b/c", "b/d", "b/e/f", "ü", "node"]), st.sampled_from([b"", b"1", b"2\n"]), min_size=1
)


@given(sets=st.lists(SETS, min_size=1, max_size=3), folder=st.sampled_from(["node", "deep/node", "n"]))
@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_folder_holds_exactly_what_was_put_there(sets: list[dict[str, bytes]], folder: str, tmp_path: Path) -> None:
    path = tmp_path / f"{os.urandom(6).hex()}.git"
    git.call(None, "init", "-q", "--bare", str(path))
    other = {"node2/a": b"x", "deep/x": b"y", "README": b"z"}
    base = commit_tree.folder_commit(path, "", "", other, "First")
    for files in sets:
        before = {name.removeprefix(f"{folder}/") for name in blobs.files_read(path, base, [folder])}
        change = commit_tree.folder_change(path, base, folder, files)
        assert set(change.added) == files.keys() - before
        assert set(change.removed) == before - files.keys()
        base = commit_tree.folder_commit(path, base, folder, files, "Next\n\nÖl")
        assert not commit_tree.folder_change(path, base, folder, files)
        assert blobs.files_read(path, base, [""]) == other | {f"{folder}/{name}": data for name, data in files.items()}


def test_odd_names_and_contents(extra: GitRepo) -> None:
    repository = extra.declare()
    files = {'pipes/ü "q" \\ \n.json': b"\0\xff", "pipes/ space": b"", "pipes/-x": b"commit refs/heads/x\n"}
    done = publish_node(repository, files)
    assert len(done.added) == 3
    assert not publish_node(repository, files).changed
    assert {f"node/{path}" for path in files} <= set(tree_of(extra))


@pytest.mark.parametrize("path", ["../x", "a//b", "/a", ".git/hooks/x", "a/.GIT/x", "a/./b", "a\0b", ""])
def test_unsafe_paths_are_refused(extra: GitRepo, path: str) -> None:
    with pytest.raises(InputError, match="cannot be a path"):
        publish_node(extra.declare(), {path: b"x"})
    assert len(commits(extra)) == 1


def test_nothing_to_publish_and_no_branch(extra: GitRepo) -> None:
    repository = extra.declare()
    with pytest.raises(InputError, match="nothing to publish"):
        publish_node(repository, {})
    for branch in ("", "a..b", "-x y", "a:b"):
        with pytest.raises(InputError, match="cannot be the name of a branch"):
            publish_node(repository, branch=branch)


def test_links_and_submodules_in_the_folder_are_replaced(extra: GitRepo) -> None:
    (extra.tree / "node/pipes/a.conf.json").symlink_to("/etc/passwd")
    extra.commit({}, "A link")
    done = publish_node(extra.declare())
    assert done.changed_files == ("pipes/a.conf.json",)
    assert tree_of(extra)["node/pipes/a.conf.json"] == "{}"


def on_push(act: Callable[[], object], times: int = 1) -> Work:
    """A run whose `act` happens right before a push begins."""
    left = [times]

    def noted(text: str) -> None:
        if text.startswith("$ git") and " push " in text and left[0]:
            left[0] -= 1
            act()

    return Work(noted)


def test_another_push_meanwhile_is_built_upon(extra: GitRepo) -> None:
    work = on_push(lambda: extra.commit({"README.md": "theirs"}, "Quicker"))
    done = publish_node(extra.declare(), work=work)
    assert [line.split("|")[0] for line in commits(extra)] == ["Take over datahub 12345678: Öl", "Quicker", "First"]
    assert tree_of(extra)["README.md"] == "theirs"
    assert done.commit == extra.git("--git-dir", str(extra.bare), "rev-parse", "main")
    assert any("Trying again" in line for line in work.log.said)


def test_another_pushed_the_same_meanwhile(extra: GitRepo) -> None:
    repository = extra.declare()

    def same() -> None:
        for name in ("pipes/old.conf.json", "x"):
            (extra.tree / "node" / name).unlink()
        extra.commit({f"node/{path}": data for path, data in NODE.items()}, "The same")

    done = publish_node(repository, work=on_push(same))
    assert not done.changed
    assert [line.split("|")[0] for line in commits(extra)] == ["The same", "First"]


def test_overtaken_again_and_again_ends(extra: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "PAUSE", 0)
    monkeypatch.setattr(publish, "ATTEMPTS", 3)
    with pytest.raises(GitError, match="After 3 attempts: main has moved"):
        publish_node(extra.declare(), work=on_push(lambda: extra.commit({}, "Quicker"), times=99))
    assert len(commits(extra)) == 4


def test_a_branch_made_meanwhile_and_rewritten_meanwhile(extra: GitRepo) -> None:
    repository = extra.declare()

    def make() -> None:
        extra.branch("fresh")
        extra.commit({}, "Theirs")

    publish_node(repository, branch="fresh", work=on_push(make))
    assert [line.split("|")[0] for line in commits(extra, "fresh")][1] == "Theirs"
    extra.switch("main")

    def rewrite() -> None:
        extra.git("commit", "-q", "--amend", "-m", "Rewritten")
        extra.push()

    publish_node(repository, work=on_push(rewrite))
    assert [line.split("|")[0] for line in commits(extra)][1:] == ["Rewritten"]


def test_two_at_once(extra: GitRepo, transactional_db: None) -> None:
    repository = extra.declare()
    results: list[Published] = []

    def one(number: int) -> None:
        from django.db import connection

        results.append(publish_node(repository, {f"{number}": b"x"}, folder=f"node{number}"))
        connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(commits(extra)) == 5
    assert {f"node{number}/{number}" for number in range(4)} <= set(tree_of(extra))


def test_stopped_before_the_push(extra: GitRepo) -> None:
    work = Work()

    def stop(text: str) -> None:
        work.stopped = True

    work.log = Log(stop)
    with pytest.raises(RunStopped):
        publish_node(extra.declare(), work=work)
    assert len(commits(extra)) == 1


def test_a_lost_answer_is_asked_for(extra: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    real = publish.push

    def lost(*arguments: Any, **more: Any) -> None:
        real(*arguments, **more)
        raise GitError("The connection broke.")

    monkeypatch.setattr(publish, "push", lost)
    work = Work()
    done = publish_node(extra.declare(), work=work)
    assert (done.changed, len(commits(extra))) == (True, 2)
    assert "The server has the commit, although its answer was lost." in work.log.said


def test_a_push_that_fails_for_good(extra: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise GitError("The connection broke.")

    monkeypatch.setattr(publish, "push", broken)
    with pytest.raises(GitError, match="The connection broke"):
        publish_node(extra.declare())
    assert len(commits(extra)) == 1


def test_a_branch_that_takes_no_push(extra: GitRepo) -> None:
    checked_out = GitRepo("out", extra.tree / ".git", extra.tree)
    with pytest.raises(PushRefused, match=r"refuses the push to main: .*branch is currently checked out"):
        publish_node(checked_out.declare())


def test_no_such_repository(extra: GitRepo) -> None:
    with pytest.raises(RemoteMissing):
        publish_node(extra.declare(url=f"{extra.url}-not"))


def test_a_damaged_mirror_is_built_anew(extra: GitRepo) -> None:
    repository = extra.declare()
    publish_node(repository)
    path = mirror.mirror_path(repository.pk)
    for pack in [*path.glob("objects/pack/*"), *path.glob("objects/??/*")]:
        pack.chmod(0o644)
        pack.write_bytes(b"")
    assert publish_node(repository, {"a": b"1"}).changed
    assert tree_of(extra)["node/a"] == "1"


def test_locks_of_a_killed_git_are_no_hindrance(extra: GitRepo) -> None:
    repository = extra.declare()
    publish_node(repository)
    path = mirror.mirror_path(repository.pk)
    (path / f"{commit_tree.REF}.lock").write_text("")
    (path / "packed-refs.lock").write_text("")
    assert publish_node(repository, {"a": b"1"}).changed


KILLED = """
import os, sys, django
django.setup()
from apps.repos.models import Repository
from apps.repos import commit_tree
from apps.repos.services import folder_publish
real = commit_tree.git.call
def call(mirror, *arguments, **more):
    if arguments[0] == "fast-import" and sys.argv[2] == "before":
        os.kill(os.getpid(), 9)
    done = real(mirror, *arguments, **more)
    if arguments[0] == "fast-import":
        os.kill(os.getpid(), 9)
    return done
commit_tree.git.call = call
folder_publish(repository=Repository.objects.get(pk=int(sys.argv[1])), branch="main", files={"a": b"1"}, folder="node",
               message="Killed")
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_in_the_middle(extra: GitRepo, moment: str, transactional_db: None) -> None:
    repository = extra.declare()
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "deploypanel.settings"}
    done = subprocess.run([sys.executable, "-c", KILLED, str(repository.pk), moment], env=env, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(commits(extra)) == 1
    assert publish_node(repository).changed
    assert len(commits(extra)) == 2
    extra.git("--git-dir", str(mirror.mirror_path(repository.pk)), "fsck")


@pytest.fixture
def over_ssh(sshd_fleet: Callable[..., Fleet], extra: GitRepo) -> Repository:
    server = sshd_fleet(1)
    key = SshKey.objects.create(name="git", private_key=server.private_key)
    url = f"ssh://{server.user}@127.0.0.1:{server[0].port}{extra.bare}"
    return extra.declare(url=url, ssh_key=key, host_keys=server[0].host_key)


def hook(repo: GitRepo, name: str, text: str) -> None:
    path = repo.bare / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_ssh_and_a_protected_branch(over_ssh: Repository, extra: GitRepo, tmp_path: Path) -> None:
    assert publish_node(over_ssh).changed
    hook(
        extra,
        "pre-receive",
        "echo >>asked; echo 'Protected branch update failed for main.'; echo 'Ask an owner.'; exit 1",
    )
    with pytest.raises(PushRefused) as caught:
        publish_node(over_ssh, {"a": b"1"})
    assert (extra.bare / "asked").read_text() == "\n"  # a refusal is no race: it is not tried again
    assert str(caught.value) == (
        "127.0.0.1 refuses the push to main: [remote rejected] (pre-receive hook declined). It says: Protected branch "
        "update failed for main. Ask an owner. Let this log-in push to the branch, or choose another branch."
    )
    assert len(commits(extra)) == 2
    keygen(tmp_path / "other")
    over_ssh.ssh_key.private_key = (tmp_path / "other").read_text()
    with pytest.raises(LoginRefused):
        publish_node(over_ssh, {"a": b"1"})


def test_stopped_while_the_server_thinks(over_ssh: Repository, extra: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    hook(extra, "pre-receive", "sleep 60; exit 1")
    stopping, work = threading.Event(), Work()

    def check() -> None:
        if stopping.is_set():
            raise RunStopped("Stopped.")

    monkeypatch.setattr(process, "_interruption", process.Interruption())
    process.interrupt_by(stopping, check)  # as a runner does
    services.repository_fetch(repository=over_ssh)
    threading.Timer(1.5, stopping.set).start()
    began = time.monotonic()
    with pytest.raises(RunStopped):
        publish_node(over_ssh, work=work)
    assert time.monotonic() - began < 40
    assert len(commits(extra)) == 1


def test_a_server_that_never_answers(over_ssh: Repository, extra: GitRepo, settings: Any) -> None:
    services.repository_fetch(repository=over_ssh)
    hook(extra, "pre-receive", "sleep 20; exit 1")
    settings.GIT_TIMEOUT = 1
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 did not take the push in time"):
        publish_node(over_ssh)
    assert len(commits(extra)) == 1
    hook(extra, "pre-receive", "exit 0")
    settings.GIT_TIMEOUT = 60
    assert publish_node(over_ssh).changed


def test_ssh_and_another_push_while_the_server_thinks(over_ssh: Repository, extra: GitRepo) -> None:
    """The hook itself moves the branch, once: the server's own lock then refuses ours."""
    mine = extra.commit({"README.md": "theirs"}, "Quicker", push=False)
    extra.push(f"{mine}:refs/heads/aside")
    env = "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES"
    move = f"git update-ref refs/heads/main {mine}"
    hook(extra, "pre-receive", f"[ -e moved ] || {{ touch moved; {env}; {move}; }}; exit 0")
    publish_node(over_ssh)
    assert [line.split("|")[0] for line in commits(extra)][1:] == ["Quicker", "First"]
    assert tree_of(extra)["README.md"] == "theirs"


def test_https_with_a_token(extra: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra.git("--git-dir", str(extra.bare), "config", "http.receivepack", "true")
    server = GitServer(extra.bare.parent, tmp_path, token="t0ken")
    monkeypatch.setenv("GIT_SSL_CAINFO", str(server.certificate))
    monkeypatch.setenv("no_proxy", "*")
    try:
        repository = extra.declare(url=f"{server.url}/{extra.bare.name}", username="panel", access_token="t0ken")
        work = Work()
        assert publish_node(repository, work=work).changed
        assert len(commits(extra)) == 2
        assert "t0ken" not in "".join(work.log.said)
        extra.git("--git-dir", str(extra.bare), "config", "http.receivepack", "false")
        with pytest.raises(GitError, match=r"403|not accept"):
            publish_node(repository, {"a": b"1"})
        assert services.branch_tip(repository, "main") == extra.git("--git-dir", str(extra.bare), "rev-parse", "main")
    finally:
        server.stop()
