"""Exports: a clean tree with the right content, modes, times, and links that lead nowhere they should not."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.repos import mirror, services
from apps.repos.errors import GitError, RefMissing, UnsafePath
from apps.repos.models import Repository
from apps.repos.tree import safe_file
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db
Factory = Callable[..., GitRepo]


def fetched(shop: GitRepo) -> Repository:
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    return repository


def test_export_writes_the_commit_and_nothing_else(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    first = shop.commit({"a": "1\n", "deploy.sh": "#!/bin/sh\n", "sub/dir/b": "b\n"})
    shop.commit({"a": "2\n"})
    done = services.repository_export(repository=fetched(shop), sha=first[:9], folder=tmp_path / "out")
    assert done.commit.sha == first
    assert (done.files, done.warnings) == (3, ())
    found = sorted(str(path.relative_to(done.folder)) for path in done.folder.rglob("*") if path.is_file())
    assert found == ["a", "deploy.sh", "sub/dir/b"]
    assert (done.folder / "a").read_text() == "1\n"
    assert stat.S_IMODE((done.folder / "deploy.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((done.folder / "a").stat().st_mode) == 0o644
    assert (done.folder / "a").stat().st_uid == os.getuid()
    assert not (tmp_path / "out.tar").exists()


def test_export_needs_an_empty_folder_and_a_commit(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    sha = shop.commit({"a": "1\n"})
    repository = fetched(shop)
    (tmp_path / "x").mkdir()
    (tmp_path / "x/y").touch()
    with pytest.raises(GitError, match="not empty"):
        services.repository_export(repository=repository, sha=sha, folder=tmp_path / "x")
    with pytest.raises(RefMissing):
        services.repository_export(repository=repository, sha="f" * 40, folder=tmp_path / "z")


def test_gitattributes_are_respected(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    shop.commit(
        {
            ".gitattributes": "docs export-ignore\nversion.txt export-subst\n*.bat eol=crlf\n",
            "docs/x": "x\n",
            "version.txt": "$Format:%H$\n",
            "run.bat": "echo\n",
        }
    )
    done = services.repository_export(repository=fetched(shop), sha="HEAD" and shop.shas[0], folder=tmp_path / "out")
    assert not (done.folder / "docs").exists()
    assert (done.folder / "version.txt").read_text() == f"{shop.shas[0]}\n"
    assert (done.folder / "run.bat").read_bytes() == b"echo\r\n"


def test_odd_file_names_arrive(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    names = [b"new\nline", b"quo'te\"d", b"caf\xe9", b"-rf", b" blank ", b"$(id)", b"x" * 200, b"deep/" * 40 + b"end"]
    sha = shop.commit({name: name for name in names})
    services.repository_export(repository=fetched(shop), sha=sha, folder=tmp_path / "out")
    for name in names:
        assert (tmp_path / "out" / os.fsdecode(name)).read_bytes() == name


def test_same_content_keeps_its_time_and_another_gets_another(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    shop.step = 0  # all commits in one second
    first = shop.commit({"same": "1\n", "changed": "a\n"})
    second = shop.commit({"changed": "b\n"})
    third = shop.commit({"changed": "c\n"})
    repository = fetched(shop)
    times: dict[str, dict[str, float]] = {}
    for number, sha in enumerate([first, second, third, first]):
        folder = tmp_path / f"out{number}"
        services.repository_export(repository=repository, sha=sha, folder=folder)
        times[f"{number}"] = {path.name: path.stat().st_mtime for path in folder.iterdir()}
    assert len({found["same"] for found in times.values()}) == 1
    assert len({times[n]["changed"] for n in "012"}) == 3
    assert times["0"] == times["3"]
    assert times["0"]["same"] == 1_700_000_000


def test_expanded_files_differ_in_time_between_commits(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    shop.step = 0
    shop.commit({".gitattributes": "v export-subst\n", "v": "$Format:%H$\n"})
    shop.commit({"other": "1\n"})
    repository = fetched(shop)
    for number in (0, 1):
        services.repository_export(repository=repository, sha=shop.shas[number], folder=tmp_path / str(number))
    assert (tmp_path / "0/v").stat().st_mtime != (tmp_path / "1/v").stat().st_mtime
    assert (tmp_path / "0/.gitattributes").stat().st_mtime == (tmp_path / "1/.gitattributes").stat().st_mtime


def test_built_files_get_the_time_of_their_content(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    shop.commit({"a": "1\n"})
    repository = fetched(shop)
    seen = []
    for number in (0, 1):
        folder = tmp_path / str(number)
        services.repository_export(repository=repository, sha=shop.shas[0], folder=folder)
        (folder / "built.js").write_text("same\n")
        os.utime(folder / "built.js", (1_800_000_000 + number, 1_800_000_000 + number))
        services.tree_times_settle(repository=repository, folder=folder)
        seen.append([(folder / name).stat().st_mtime for name in ("a", "built.js")])
    assert seen[0] == seen[1]


def test_rsync_sends_only_what_changed(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    shop.step = 0
    shop.commit({f"f{n}": f"{n}\n" for n in range(30)})
    shop.commit({"f3": "4\n"})
    repository = fetched(shop)
    for number in (0, 1):
        services.repository_export(repository=repository, sha=shop.shas[number], folder=tmp_path / str(number))
    target = tmp_path / "target"
    subprocess.run(["rsync", "-a", f"{tmp_path}/0/", f"{target}/"], check=True)
    done = subprocess.run(["rsync", "-ai", f"{tmp_path}/1/", f"{target}/"], check=True, capture_output=True, text=True)
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith(">f")] == ["f3"]


def test_submodules_and_lfs_are_named(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12345\n"
    sha = shop.commit({".gitattributes": "*.psd filter=lfs diff=lfs merge=lfs -text\n", "big.psd": pointer, "a": "1\n"})
    shop.git("update-index", "--add", "--cacheinfo", f"160000,{sha},vendor/lib")
    shop.git("commit", "-q", "-m", "Add a submodule")
    shop.push()
    done = services.repository_export(
        repository=fetched(shop), sha="HEAD" and shop.git("rev-parse", "HEAD"), folder=tmp_path / "o"
    )
    assert done.warnings == (
        "Submodules are not fetched: vendor/lib is left empty.",
        "Git LFS is not supported: big.psd is a pointer, not the file itself.",
    )


@pytest.fixture
def linked(git_repo: Factory, tmp_path: Path) -> Path:
    """A tree with links of every kind; `outside` holds what must stay untouched."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.sh").write_text("#!/bin/sh\n")
    shop = git_repo()
    shop.write({"real.sh": "#!/bin/sh\n", "sub/x": "x\n"})
    links = {
        "predeploy.sh": str(outside / "secret.sh"),
        "up.sh": "../outside/secret.sh",
        "inside.sh": "real.sh",
        "sub/up-inside.sh": "../real.sh",
        "dangling": "nowhere",
        "dangling-out": "/nowhere/at/all",
        "loop": "loop",
        "tests": str(outside),
        "out-and-back": "../tree/real.sh",
    }
    for name, target in links.items():
        (shop.tree / name).symlink_to(target)
    sha = shop.commit()
    done = services.repository_export(repository=fetched(shop), sha=sha, folder=tmp_path / "tree")
    assert len(done.warnings) == 1
    for name in ("predeploy.sh →", "up.sh →", "dangling-out →", "tests →"):
        assert name in done.warnings[0]
    assert "inside.sh" not in done.warnings[0]
    return done.folder


@pytest.mark.parametrize(
    "name", ["predeploy.sh", "up.sh", "dangling-out", "loop", "tests/secret.sh", "../outside/secret.sh"]
)
def test_files_outside_the_tree_are_refused(linked: Path, name: str) -> None:
    with pytest.raises(UnsafePath):
        safe_file(linked, name)
    assert (linked.parent / "outside/secret.sh").exists()


def test_files_inside_the_tree_are_found(linked: Path) -> None:
    real = linked / "real.sh"
    for name in ("real.sh", "inside.sh", "sub/up-inside.sh", "out-and-back"):
        assert safe_file(linked, name) == real
    for name in ("missing.sh", "dangling", "sub", "real.sh/x", "sub/missing"):
        assert safe_file(linked, name) is None


def test_two_exports_at_once(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    shop.commit({f"f{n}": f"{n}\n" for n in range(200)})
    repository = fetched(shop)
    from apps.repos import export

    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            export.export(mirror.mirror_path(repository.pk), shop.shas[0], tmp_path / f"o{number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(len(list((tmp_path / f"o{number}").iterdir())) == 200 for number in range(4))


def test_export_repairs_a_damaged_mirror(git_repo: Factory, tmp_path: Path) -> None:
    shop = git_repo()
    sha = shop.commit({"a": "1\n", "b": "2\n"})
    repository = fetched(shop)
    path = mirror.mirror_path(repository.pk)
    blob = shop.git("rev-parse", "HEAD:a")
    packs = list((path / "objects/pack").glob("*.pack"))
    for pack in packs:  # into loose objects, of which one is lost
        moved = tmp_path / pack.name
        shutil.move(pack, moved)
        shop.git(f"--git-dir={path}", "unpack-objects", "-q", stdin=moved.read_bytes())
    for index in (path / "objects/pack").glob("*"):
        index.unlink()
    (path / "objects" / blob[:2] / blob[2:]).unlink()
    done = services.repository_export(repository=repository, sha=sha, folder=tmp_path / "out")
    assert (done.folder / "a").read_text() == "1\n"


def test_a_tree_with_a_git_folder_in_it_is_not_fetched(git_repo: Factory) -> None:
    """What Git's own check at the door keeps out: files that would be taken for a repository's insides."""
    shop = git_repo()
    shop.commit({"a": "1\n"})
    blob = shop.git("rev-parse", "HEAD:a")
    raw = b"100644 config\x00" + bytes.fromhex(blob)
    inner = shop.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=raw)
    outer = shop.git(
        "hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=b"40000 .git\x00" + bytes.fromhex(inner)
    )
    sha = shop.git("commit-tree", outer, "-m", "Evil")
    shop.git("update-ref", "refs/heads/main", sha)
    shop.push("refs/heads/main")
    with pytest.raises(GitError, match="hasDotgit"):
        services.repository_fetch(repository=shop.declare())
