"""Reading a mirror: refs, commits, comparisons, with names that try to be something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.access.errors import NotFound
from apps.repos import mirror, selectors, services
from apps.repos.errors import RefMissing
from apps.repos.models import Repository
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]
HOSTILE = ["a;touch x", "$(id)", "-x", "--upload-pack=touch x", "`id`", "a'b\"c", "été", "a&b|c", "feature/x/y", "v1"]


@pytest.fixture
def shop(git_repo: Factory) -> GitRepo:
    shop = git_repo()
    shop.commit({"index.html": "1\n", "logo.png": b"\x00\x01"}, "Open the shop")
    shop.commit({"index.html": "1\n2\n", "till.py": "x = 1\n" * 20}, "Add a till")
    return shop


def fetched(shop: GitRepo) -> Repository:
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    return repository


@pytest.mark.parametrize("ref", ["main", "refs/heads/main", "v1.0", "refs/tags/v1.0", "light"])
def test_resolve_by_name(shop: GitRepo, ref: str) -> None:
    shop.tag("v1.0", "First release")
    shop.tag("light")
    commit = selectors.commit_resolve(fetched(shop), ref)
    assert (commit.sha, commit.author, commit.subject) == (shop.shas[1], "Shop Coder", "Add a till")
    assert commit.at.timestamp() == 1_700_000_060
    assert commit.email == "developer@shop.example"


def test_resolve_by_number(shop: GitRepo) -> None:
    repository, sha = fetched(shop), shop.shas[0]
    for ref in (sha, sha[:8], sha[:4], sha.upper(), f" {sha[:10]} "):
        assert selectors.commit_resolve(repository, ref).sha == sha


@pytest.mark.parametrize(
    "ref",
    ["", "main~1", "main^", "HEAD@{1}", ":/till", "main^{/till}", "f" * 40, "0" * 40, "--all", "-1", "refs/",
     "refs/heads/", "main main", "main\nmain", "*", "ma*n", "../main", "main:index.html", "\x00", "abc", "feature"],
)  # fmt: skip
def test_what_is_no_name_is_not_found(shop: GitRepo, ref: str) -> None:
    shop.branch("feature/x")
    shop.push("feature/x")
    with pytest.raises(RefMissing, match="has no branch"):
        selectors.commit_resolve(fetched(shop), ref)


def test_missing_ref_suggests(shop: GitRepo) -> None:
    with pytest.raises(NotFound, match=r"shop has no branch, tag or commit 'mian'\. Did you mean main\?") as caught:
        selectors.commit_resolve(fetched(shop), "mian")
    assert caught.value.near == ("main",)


def test_a_tree_or_file_is_no_commit(shop: GitRepo) -> None:
    shop.tag("file", sha=shop.git("rev-parse", "HEAD:index.html"))
    repository = fetched(shop)
    assert selectors.tags(repository) == []
    for ref in ("file", shop.git("rev-parse", "HEAD^{tree}")):
        with pytest.raises(RefMissing):
            selectors.commit_resolve(repository, ref)


def test_a_branch_goes_before_a_tag_and_a_full_number_before_both(shop: GitRepo) -> None:
    shop.tag("twin", sha=shop.shas[0])
    shop.branch("twin")
    shop.push("refs/heads/twin")
    shop.git("update-ref", f"refs/heads/{shop.shas[0][:7]}", shop.shas[1])
    shop.push(f"refs/heads/{shop.shas[0][:7]}")
    repository = fetched(shop)
    assert selectors.commit_resolve(repository, "twin").sha == shop.shas[1]
    assert selectors.commit_resolve(repository, shop.shas[0][:7]).sha == shop.shas[1]
    assert selectors.commit_resolve(repository, shop.shas[0]).sha == shop.shas[0]


@pytest.mark.parametrize("name", [name for name in HOSTILE if " " not in name])
def test_hostile_branch_names(shop: GitRepo, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    shop.branch(name)
    sha = shop.commit({"b": "1\n"}, "On a branch with an odd name")
    repository = fetched(shop)
    assert name in {ref.name for ref in selectors.branches(repository)}
    assert selectors.commit_resolve(repository, name).sha == sha
    assert selectors.commits(repository, name, limit=1)[0].sha == sha
    assert selectors.commits_between(repository, "main", name)[0].sha == sha
    assert set(tmp_path.iterdir()) == before


def test_a_branch_named_as_a_command_with_blanks_cannot_be(shop: GitRepo) -> None:
    with pytest.raises(RefMissing):
        selectors.commit_resolve(fetched(shop), "a;touch x")


def test_commits_are_paged_and_searched(shop: GitRepo) -> None:
    for number in range(7):
        shop.commit({"n": f"{number}\n"}, f"Count to {number}")
    repository = fetched(shop)
    assert [c.subject for c in selectors.commits(repository, "main", limit=2, skip=1)] == ["Count to 5", "Count to 4"]
    assert [c.subject for c in selectors.commits(repository, "main", search="TILL")] == ["Add a till"]
    assert len(selectors.commits(repository, "main", search="coder")) == 9
    assert [c.sha for c in selectors.commits(repository, "main", search=shop.shas[3][:9])] == [shop.shas[3]]
    for nothing in ("zzz", "--all", ".*", "-x\n", "\x00zz"):
        assert selectors.commits(repository, "main", search=nothing) == []


def test_comparison_of_two_commits(shop: GitRepo) -> None:
    shop.commit(
        {"index.html": "2\n3\n", "logo.png": b"\x00\x02", "till.py": None, "shop/till.py": "x = 1\n" * 20}, "Move"
    )
    repository = fetched(shop)
    found = selectors.comparison(repository, shop.shas[1], "main")
    assert [c.subject for c in found.commits] == ["Move"]
    assert (found.commits_total, found.behind_total, found.files_total) == (1, 0, 3)
    files = {change.path: change for change in found.files}
    assert (files["index.html"].status, files["index.html"].added, files["index.html"].deleted) == ("M", 1, 1)
    assert (files["logo.png"].added, files["logo.png"].deleted) == (None, None)
    assert (files["shop/till.py"].status, files["shop/till.py"].old_path) == ("R", "till.py")
    assert (found.added, found.deleted) == (1, 1)
    assert len(selectors.files_between(repository, shop.shas[0], "main", limit=2)) == 2


def test_comparison_backwards_and_from_nothing(shop: GitRepo) -> None:
    repository = fetched(shop)
    back = selectors.comparison(repository, shop.shas[1], shop.shas[0])
    assert (back.commits_total, back.behind_total) == (0, 1)
    new = selectors.comparison(repository, "", shop.shas[1])
    assert (new.old, new.commits_total, new.files_total) == (None, 2, 3)
    assert {change.status for change in new.files} == {"A"}
    same = selectors.comparison(repository, "main", "main")
    assert (same.commits, same.files) == ([], [])


ODD_NAMES = [
    b"new\nline",
    b"quo'te\"d",
    b"tab\there",
    b"caf\xe9",
    b"-rf",
    b" blank ",
    b"$(id)",
    "été".encode(),
    b"a\\b",
]


def test_hostile_file_names_are_shown_safely(shop: GitRepo) -> None:
    shop.commit(dict.fromkeys(ODD_NAMES, "x\n"), "Odd names")
    repository = fetched(shop)
    found = {change.path: change.added for change in selectors.files_between(repository, shop.shas[1], "main")}
    assert found == dict.fromkeys((name.decode("utf-8", "backslashreplace") for name in ODD_NAMES), 1)
    for path in found:
        path.encode("utf-8")  # can be sent and stored


def test_odd_commits_are_read(shop: GitRepo) -> None:
    tree = shop.git("rev-parse", "HEAD^{tree}")
    raw = (
        f"tree {tree}\nparent {shop.shas[1]}\nauthor J\xfcrgen \x01 <j@x> 1700000000 +0000\n"
        "committer A <a@x> 99999999999999 +0000\nencoding ISO-8859-1\n\nsubject \xfc <b>&\n"
    ).encode("latin-1")
    sha = shop.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=raw)
    shop.git("update-ref", "refs/heads/odd", sha)
    shop.push("refs/heads/odd")
    repository = fetched(shop)
    commit = selectors.commit_resolve(repository, sha)
    assert commit.subject == "subject ü <b>&"
    assert commit.author.startswith("Jürgen")
    assert commit.at.year == 1970
    assert selectors.branches(repository)[0].name


def test_selectors_are_quick_with_5000_files(git_repo: Factory) -> None:
    shop = git_repo("large")
    shop.commit({f"d{n % 50}/f{n}.txt": f"{n}\n" * 20 for n in range(5000)}, "Many")
    for number in range(30):
        shop.commit({f"d1/f{number}.txt": f"{number}!\n"}, f"Change {number}", push=number == 29)
    repository = fetched(shop)
    old = shop.shas[5]
    calls: dict[str, Callable[[], object]] = {
        "resolve": lambda: selectors.commit_resolve(repository, "main"),
        "branches": lambda: selectors.branches(repository),
        "commits": lambda: selectors.commits(repository, "main"),
        "between": lambda: selectors.commits_between(repository, old, "main"),
    }
    for name, ask in calls.items():
        assert any(_seconds(ask) < 0.1 for _ in range(50)), name  # the machine may be slow for some of them
    print(f"files: {_seconds(lambda: selectors.files_between(repository, old, 'main')) * 1000:.1f} ms")
    print(f"all files: {_seconds(lambda: selectors.files_between(repository, '', 'main')) * 1000:.1f} ms")
    assert mirror.mirror_path(repository.pk).exists()


def _seconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began
