"""The lines that differ in one file: read within bounds, whatever the file is called and holds, and shown as pages."""

from __future__ import annotations

import html
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.access.errors import NotFound
from apps.access.levels import Level
from apps.environments.models import Environment
from apps.repos import patch, selectors, services
from apps.repos.models import Repository
from tests.support.cast import grant
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]
HOSTILE = ["-x", "--output=x", "a;touch x", "$(id).txt", ":(glob)**", "*", "a b", "q\"uo'te", "tab\there",
           "été/naïve", "a\nb",
           "<script>alert(1)</script>", "a&b=c#d?e", "%2e%2e", "\u202egnp.exe"]  # fmt: skip


@pytest.fixture
def shop(git_repo: Factory) -> GitRepo:
    return git_repo()


def fetched(shop: GitRepo) -> Repository:
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    return repository


def between(shop: GitRepo, path: str, old: str | None = None) -> patch.Patch:
    before = shop.shas[-2] if old is None else old
    return selectors.file_patch(fetched(shop), before, shop.shas[-1], path)


def lines(found: patch.Patch) -> list[str]:
    return [row.sign + row.text for row in found.rows]


def test_changed_file(shop: GitRepo) -> None:
    text = "".join(f"{number}\n" for number in range(1, 41))
    shop.commit({"a.txt": text})
    shop.commit({"a.txt": text.replace("\n20\n", "\ntwenty\nmore\n")})
    found = between(shop, "a.txt")
    assert lines(found)[1:] == [" 17", " 18", " 19", "-20", "+twenty", "+more", " 21", " 22", " 23"]
    assert found.rows[0].kind == "hunk"
    assert [(row.old, row.new) for row in found.rows[3:7]] == [(19, 19), (20, None), (None, 20), (None, 21)]
    assert (found.added, found.deleted, found.left_out) == (2, 1, 0)


def test_lines_that_look_like_a_diff(shop: GitRepo) -> None:
    shop.commit({"a": "@@ -1 +1 @@\n--- a\n+++ b\n\\ No\n"})
    shop.commit({"a": "@@ -1 +1 @@\n+++ b\n\\ No\ndiff --git\n"})
    assert lines(between(shop, "a"))[1:] == [" @@ -1 +1 @@", "---- a", " +++ b", " \\ No", "+diff --git"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_just_names(shop: GitRepo, name: str) -> None:
    shop.commit({"other": "1\n", name: "1\n"})
    shop.commit({"other": "2\n", name: "1\n2\n"})
    assert lines(between(shop, name))[1:] == [" 1", "+2"]


def test_a_name_that_is_no_text(shop: GitRepo, client: Client, owner: User) -> None:
    shop.commit({b"caf\xe9.txt": b"caf\xe9\n"})
    shop.commit({b"caf\xe9.txt": b"th\xe9\n"})
    repository = fetched(shop)
    found = selectors.files_between(repository, *shop.shas)[0]
    assert lines(selectors.file_patch(repository, *shop.shas, found.path))[1:] == ["-caf\\xe9", "+th\\xe9"]


def test_new_deleted_renamed_and_empty_files(shop: GitRepo) -> None:
    body = "".join(f"line {number}\n" for number in range(30))
    shop.commit({"gone": "1\n2", "moved": body, "same": body + "x\n", "a": "file\n"})
    shop.git("mv", "same", "elsewhere")
    shop.commit(
        {
            "gone": None,
            "fresh": "n\n",
            "empty": "",
            "moved": None,
            "new/moved": body + "end\n",
            "a": None,
            "a/b": "folder\n",
        }
    )
    repository = fetched(shop)

    def read(path: str) -> patch.Patch:
        return selectors.file_patch(repository, *shop.shas, path)

    assert lines(read("gone")) == ["@@ -1,2 +0,0 @@", "-1", "-2", "No newline at end of file"]
    assert lines(read("fresh")) == ["@@ -0,0 +1,1 @@", "+n"]
    assert read("empty").notes == ["An empty file."]
    assert (read("new/moved").notes, lines(read("new/moved"))[-1]) == (["Renamed from moved."], "+end")
    assert read("elsewhere").notes == ["Renamed from same.", "The contents are the same."]
    assert lines(read("a"))[1:] == ["-file"]
    with pytest.raises(NotFound, match="No file 'nonesuch' differs"):
        read("nonesuch")
    assert len(selectors.file_patch(repository, "", shop.shas[0], "moved").rows) == 31


def test_what_is_not_compared_is_named(shop: GitRepo) -> None:
    shop.commit({"logo.png": b"\x00\x01", "big.csv": "x\n", "run": "1\n"})
    (shop.tree / "run").chmod(0o755)
    (shop.tree / "link").symlink_to("run")
    shop.git("update-index", "--add", "--cacheinfo", f"160000,{shop.shas[0]},lib")
    files = {"logo.png": b"\x00\x02", "new.bin": b"\x00", "big.csv": "y" * (patch.SIZE_LIMIT + 1)}
    shop.write(files)
    shop.git("add", "logo.png", "new.bin", "big.csv", "link")
    shop.git("update-index", "--chmod=+x", "run")
    shop.git("commit", "-q", "-m", "All kinds")
    shop.push()
    repository, old = fetched(shop), shop.shas[0]

    def notes(path: str) -> str:
        return " ".join(selectors.file_patch(repository, old, "main", path).notes)

    assert "binary" in notes("logo.png")
    assert "binary" in notes("new.bin")
    assert "The file has 1.0 MiB" in notes("big.csv")
    assert notes("run") == "Mode 100644 → 100755. The contents are the same."
    assert "symbolic link" in notes("link")
    assert notes("lib").startswith(f"A submodule: nothing → {old[:8]}")


def test_long_files_and_lines_are_cut(shop: GitRepo) -> None:
    shop.commit({"a": "", "b": ""})
    shop.commit({"a": "1\n" * 5000, "b": "x" * 9000 + "\n"})
    found = between(shop, "a")
    assert (len(found.rows), found.left_out, found.added) == (patch.LINES_LIMIT, 3001, 5000)
    repository = Repository.objects.get()
    wide = selectors.file_patch(repository, *shop.shas, "b").rows[-1].text
    assert wide.endswith("x … 7000 more characters")


def test_what_is_not_seen_is_made_visible(shop: GitRepo) -> None:
    shop.commit({"a": "1\n"})
    shop.commit({"a": "1\r\n\x1b[31mred\u202e\n\tété 日本\n"})
    assert lines(between(shop, "a"))[1:] == ["-1", "+1^M", "+^[[31mred‹U+202E›", "+\tété 日本"]


def test_attributes_of_the_repository_change_nothing(shop: GitRepo) -> None:
    shop.commit({".gitattributes": "* -diff\n*.txt binary diff=evil\n", "a.txt": "1\n"})
    shop.commit({"a.txt": "2\n"})
    assert lines(between(shop, "a.txt"))[1:] == ["-1", "+2"]


# --- Pages ---------------------------------------------------------------------------------------


def url(name: str, repository: Repository) -> str:
    return reverse(f"admin:repos_repository_{name}", args=[repository.pk])


@pytest.mark.parametrize("name", HOSTILE)
def test_links_lead_to_the_lines(client: Client, owner: User, shop: GitRepo, name: str) -> None:
    shop.commit({name: "before\n"})
    shop.commit({name: "<b>after</b>\n"})
    repository = fetched(shop)
    client.force_login(owner)
    page = client.get(url("compare", repository), {"old": shop.shas[0], "new": "main"}).content.decode()
    assert "<script>alert" not in page
    part, whole = (
        html.unescape(page.split(start)[1].split('"')[0])
        for start in ('data-patch="', '<p class="repos-note"><a href="')
    )
    assert part.startswith(url("patch", repository))
    for address in (part, whole):
        answer = client.get(address)
        body = answer.content.decode()
        assert answer.status_code == 200
        assert "+&lt;b&gt;after" in body
        assert "-before" in body
        assert "<script>alert" not in body
    assert "<html" not in client.get(part).content.decode()


@pytest.mark.parametrize(
    "query", [{}, {"file": "a"}, {"new": "nowhere", "file": "a"}, {"new": "main", "file": "x" * 5000}, {"new": "--all"},
              {"old": "\x00", "new": "main", "file": "\x00"}]
)  # fmt: skip
def test_odd_queries(client: Client, owner: User, shop: GitRepo, query: dict[str, str]) -> None:
    shop.commit({"a": "1\n"})
    repository = fetched(shop)
    client.force_login(owner)
    assert client.get(url("compare", repository), query).status_code == 200
    answer = client.get(url("patch", repository), query)
    assert (answer.status_code, b'role="status"' in answer.content) == (200, True)


def test_who_sees_an_environment_sees_its_lines(client: Client, teammate: User, outsider: User, shop: GitRepo) -> None:
    shop.commit({"a": "1\n"})
    shop.commit({"a": "secret\n"})
    repository = fetched(shop)
    prod = Environment.objects.create(
        repository=repository, name="prod", target_path="/srv/a", deployed_commit=shop.shas[0]
    )
    grant(teammate, prod, Level.VIEW)
    query = {"old": shop.shas[0], "new": shop.shas[1], "file": "a"}
    client.force_login(teammate)
    assert "+secret" in client.get(url("patch", repository), query).content.decode()
    between = client.get(reverse("admin:environments_environment_between", args=[prod.pk]), {"ref": "main"})
    found = html.unescape(between.json()["html"])
    assert f"{url('compare', repository)}?old={shop.shas[0]}&new={shop.shas[1]}&file=a#lines" in found
    client.force_login(outsider)
    for name in ("patch", "compare"):
        answer = client.get(url(name, repository), query)
        assert (answer.status_code, b"secret" in answer.content) == (404, False)
