"""Files of a commit in memory, and where a branch is on its server: against real Git."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.repos import mirror, selectors, services
from apps.repos.errors import GitError, MirrorDamaged, NotMirrored, RefMissing, RemoteMissing, Unreachable
from apps.repos.models import Repository
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]


def fetched(repo: GitRepo) -> Repository:
    repository = repo.declare()
    services.repository_fetch(repository=repository)
    return repository


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["node"], {"node/pipes/a.json", "node/b.json"}),
        (["node/"], {"node/pipes/a.json", "node/b.json"}),
        (["/node/pipes/"], {"node/pipes/a.json"}),
        (["node", "extra_nodes"], {"node/pipes/a.json", "node/b.json", "extra_nodes/x/t.json"}),
        (["node", "node/pipes"], {"node/pipes/a.json", "node/b.json"}),
        ([""], {"node/pipes/a.json", "node/b.json", "extra_nodes/x/t.json", "-x/c", "no*e/d", "nodes/e"}),
        (["node", ""], {"node/pipes/a.json", "node/b.json", "extra_nodes/x/t.json", "-x/c", "no*e/d", "nodes/e"}),
        (["-x"], {"-x/c"}),
        (["no*e"], {"no*e/d"}),
        (["node/b.json"], {"node/b.json"}),
        (["nowhere"], set()),
        ([":(exclude)node"], set()),
    ],
)
def test_files_under_folders(git_repo: Factory, folders: list[str], expected: set[str]) -> None:
    conf = git_repo("conf")
    names = ["node/pipes/a.json", "node/b.json", "extra_nodes/x/t.json", "-x/c", "no*e/d", "nodes/e"]
    sha = conf.commit({name: f"{name}\n" for name in names})
    files = selectors.files_read(fetched(conf), sha, folders)
    assert files == {name: f"{name}\n".encode() for name in expected}
    assert files.left_out == {}


def test_contents_are_exact(git_repo: Factory) -> None:
    conf = git_repo("conf")
    contents = {"empty": b"", "no end": b"x", "zeros": b"\0\n\0", "header": b"0" * 40 + b" blob 3\nabc\n", "two": b"x"}
    contents["big"] = hashlib.sha512(b"seed").digest() * 40_000  # 2.5 MB
    sha = conf.commit(dict(contents))
    assert selectors.files_read(fetched(conf), sha, [""]) == contents


def test_an_earlier_commit_is_read_as_it_was(git_repo: Factory) -> None:
    conf = git_repo("conf")
    first = conf.commit({"a": "1"})
    second = conf.commit({"a": "2", "b": "2"})
    repository = fetched(conf)
    assert selectors.files_read(repository, first, [""]) == {"a": b"1"}
    assert selectors.files_read(repository, second, [""]) == {"a": b"2", "b": b"2"}


def test_odd_names_links_and_submodules(git_repo: Factory) -> None:
    conf = git_repo("conf")
    conf.write({"pipes/ü.json": "1", b"pipes/\xe9.json": "2", "pipes/tab\tline\n.json": "3", "pipes/\\xe9.json": "4"})
    (conf.tree / "pipes/link").symlink_to("/etc/passwd")
    conf.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},pipes/module")
    conf.git("add", "-A", "-f", "pipes/ü.json", b"pipes/\xe9.json", "pipes")
    conf.git("commit", "-q", "-m", "Odd")
    conf.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},pipes/module")
    conf.git("commit", "-q", "--amend", "-m", "Odd")
    conf.push()
    files = selectors.files_read(fetched(conf), conf.git("rev-parse", "HEAD"), ["pipes"])
    assert sorted(files) == ["pipes/\\xe9.json", "pipes/tab\tline\n.json", "pipes/ü.json"]
    assert files.left_out == {
        "pipes/\\xe9.json": "Two files have this name when their odd bytes are written out: one is left out.",
        "pipes/link": "This is a link: it is left out.",
        "pipes/module": "This is a submodule: it is left out.",
    }


def test_limits_name_the_place_and_the_largest(git_repo: Factory) -> None:
    conf = git_repo("conf")
    sha = conf.commit({"node/a": "1" * 10, "node/b": "2" * 90})
    repository = fetched(conf)
    with pytest.raises(GitError, match=r"under node have 100 bytes.*at most 99.*largest is node/b with 90"):
        selectors.files_read(repository, sha, ["node"], limit_bytes=99)
    with pytest.raises(GitError, match=r"2 files lie under node.*at most 1 at once"):
        selectors.files_read(repository, sha, ["node"], limit_files=1)
    assert len(selectors.files_read(repository, sha, ["node"], limit_bytes=100, limit_files=2)) == 2


def test_same_content_counts_each_time_and_is_read_once(git_repo: Factory) -> None:
    conf = git_repo("conf")
    sha = conf.commit({f"node/{number}": "same" for number in range(50)})
    repository = fetched(conf)
    assert set(selectors.files_read(repository, sha, ["node"]).values()) == {b"same"}
    with pytest.raises(GitError, match="200 bytes"):
        selectors.files_read(repository, sha, ["node"], limit_bytes=199)


def test_what_is_not_wanted_is_named_and_not_counted(git_repo: Factory) -> None:
    conf = git_repo("conf")
    sha = conf.commit({"node/a.json": "1", "node/big.bin": "x" * 1000})
    files = selectors.files_read(fetched(conf), sha, [""], wanted=lambda path: path.endswith(".json"), limit_bytes=1)
    assert (files, files.unread) == ({"node/a.json": b"1"}, ("node/big.bin",))


@pytest.mark.parametrize("sha", ["1" * 40, "main", "", "--help", "abc"])
def test_unknown_commit(git_repo: Factory, sha: str) -> None:
    conf = git_repo("conf")
    conf.commit({"a": "1"})
    with pytest.raises(RefMissing):
        selectors.files_read(fetched(conf), sha, [""])


def test_not_mirrored(git_repo: Factory) -> None:
    conf = git_repo("conf")
    sha = conf.commit({"a": "1"})
    with pytest.raises(NotMirrored, match="Fetch now"):
        selectors.files_read(conf.declare(), sha, [""])


@pytest.mark.parametrize("lost", ["blob", "tree", "cut"])
def test_damage_is_told_apart(git_repo: Factory, lost: str) -> None:
    conf = git_repo("conf")
    sha = conf.commit({"node/a": "1\n"})
    repository = fetched(conf)
    path = mirror.mirror_path(repository.pk)
    pack = next(path.glob("objects/pack/*.pack"), None)
    if pack:  # loose objects can be damaged one by one
        moved = pack.rename(path / "moved.pack")
        for left in path.glob("objects/pack/*"):
            left.unlink()
        conf.git("--git-dir", str(path), "unpack-objects", "-q", stdin=moved.read_bytes())
    oid = conf.git("rev-parse", "HEAD:node" if lost == "tree" else "HEAD:node/a")
    broken = Path(path, "objects", oid[:2], oid[2:])
    if lost == "cut":
        broken.chmod(0o644)
        broken.write_bytes(broken.read_bytes()[:4])
    else:
        broken.unlink()
    with pytest.raises(MirrorDamaged):
        selectors.files_read(repository, sha, ["node"])


def test_tip_of_branch_and_tag(git_repo: Factory) -> None:
    conf = git_repo("conf")
    first = conf.commit({"a": "1"})
    conf.tag("light")
    conf.tag("heavy", "A message")
    conf.tag("main", "A tag called as the branch")
    second = conf.commit({"a": "2"})
    conf.branch("refs/heads/main")  # its name ends like the full name of another
    conf.commit({"a": "3"})
    repository = conf.declare()
    assert services.branch_tip(repository, "main", 10) == second
    assert services.branch_tip(repository, "light", 10) == first
    assert services.branch_tip(repository, "heavy", 10) == first
    assert services.branch_tip(repository, "refs/tags/heavy", 10) == first
    for gone in ("gone", "mai", "ma*n", "", "a b", "--upload-pack=x"):
        assert services.branch_tip(repository, gone, 10) == "", gone


def test_tip_of_an_empty_and_of_no_repository(git_repo: Factory) -> None:
    conf = git_repo("conf")
    repository = conf.declare()
    assert services.branch_tip(repository, "main") == ""
    repository.url = f"{conf.url}x"
    with pytest.raises(RemoteMissing):
        services.branch_tip(repository, "main")


def test_tip_in_time(git_repo: Factory) -> None:
    conf = git_repo("conf")
    with pytest.raises(Unreachable, match="did not say within"):
        services.branch_tip(conf.declare(), "main", 0.001)
