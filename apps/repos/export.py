"""A commit as a tree of files: exported once, clean, for one run alone."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from apps.repos import file_times, git, history, kept_tree
from apps.repos.errors import GitError, RefMissing
from apps.repos.faults import fault
from apps.repos.tree import link_leaves
from apps.runs import process

if TYPE_CHECKING:
    from pathlib import Path

    from apps.repos.git import Commit
    from apps.repos.mirror import Caller

LFS_HEAD = b"version https://git-lfs.github.com/spec/v1"
LFS_SIZE = 1024  # bytes; a pointer is far smaller
# Attributes that only an archive heeds, or that change what is written of a content that stays the same.
FRESH = (b"export-", b"crlf", b"ident", b"encoding")
NAMED = 5  # how many of a kind a warning names


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a commit's tree. `oid` is the number of its content."""

    mode: str
    kind: str  # blob or commit (a submodule)
    oid: str
    path: bytes


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was exported. `warnings` are sentences about what this commit wants and does not get."""

    commit: Commit
    folder: Path
    files: int
    warnings: tuple[str, ...] = ()


def export(mirror: Path, sha: str, folder: Path, caller: Caller | None = None, *, kept: Path | None = None) -> Export:
    """Write the commit's files into `folder`, which must not exist or be empty; or into the borrowed tree `kept`.

    `.gitattributes` counts (export-ignore, export-subst, line ends), file modes are kept, links stay links
    wherever they lead. Raises MirrorDamaged, RefMissing, GitError.
    """
    commit = history.commit_of(mirror, sha)
    if commit is None:
        raise RefMissing(f"There is no commit {sha} in the mirror.")
    entries = tree_entries(mirror, commit.sha)
    attributes = _attributes(mirror, entries)
    if kept is not None and not any(word in attributes for word in FRESH):
        folder = kept
        kept_tree.bring(mirror, commit.sha, folder, caller)
    else:
        _unpack(mirror, commit.sha, folder, caller)
    # Without attributes, what Git stores is what was written, and need not be read again.
    contents = file_times.contents_of(folder) if attributes else _stored(entries)
    file_times.settle(folder, memory_path(mirror), contents, int(commit.at.timestamp()))
    return Export(
        commit=commit,
        folder=folder,
        files=len(contents),
        warnings=(*_submodules(entries), *_lfs(folder, entries, attributes), *_links(folder, entries)),
    )


def memory_path(mirror: Path) -> Path:
    return mirror.with_suffix(".times")


def times_settle(mirror: Path, folder: Path) -> None:
    """Give every file of a tree that was built the time of its content: see file_times."""
    file_times.settle(folder, memory_path(mirror), file_times.contents_of(folder), int(time.time()))


def tree_entries(mirror: Path, sha: str) -> list[Entry]:
    entries = []
    for line in git.read(mirror, "ls-tree", "-r", "-z", "--full-tree", sha).split(b"\x00"):
        if line:
            head, path = line.split(b"\t", 1)
            mode, kind, oid = head.decode().split()
            entries.append(Entry(mode=mode, kind=kind, oid=oid, path=path))
    return entries


def _unpack(mirror: Path, sha: str, folder: Path, caller: Caller | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise GitError(f"{folder} is not empty: an export needs a folder of its own.")
    archive = folder.with_name(f"{folder.name}.tar")
    steps = [
        git.command(mirror, "archive", "--format=tar", f"--output={archive}", sha),
        # Owners are ours, modes are the commit's. tar makes links that lead out only after all else is written.
        ["tar", "--extract", f"--file={archive}", f"--directory={folder}", "--no-same-owner", "--same-permissions"],
    ]
    try:
        for argv in steps:
            _run(argv, caller)
    finally:
        archive.unlink(missing_ok=True)


def _run(argv: list[str], caller: Caller | None) -> None:
    done = process.run(argv, env=git.environment(), timeout=settings.GIT_TIMEOUT)
    if caller:
        caller.check()
    if done.status == 0:
        return
    said = git.text_of(done.err).strip()
    if argv[0] == "git":
        raise fault(said, done.status)
    raise GitError(f"The commit's files could not be written: {said.splitlines()[-1] if said else done.status}", said)


def _stored(entries: list[Entry]) -> file_times.Contents:
    return {entry.path: entry.oid.encode() for entry in entries if entry.mode.startswith("100")}


def _attributes(mirror: Path, entries: list[Entry]) -> bytes:
    """All `.gitattributes` files of the commit, one after the other."""
    wanted = [e.oid for e in entries if e.kind == "blob" and e.path.rsplit(b"/", 1)[-1] == b".gitattributes"]
    if not wanted:
        return b""
    return git.read(mirror, "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in wanted).encode()) or b" "


def _submodules(entries: list[Entry]) -> list[str]:
    paths = [entry.path for entry in entries if entry.kind == "commit"]
    return [f"Submodules are not fetched: {_named(paths)} is left empty."] if paths else []


def _lfs(folder: Path, entries: list[Entry], attributes: bytes) -> list[str]:
    if b"filter=lfs" not in attributes:
        return []
    paths = [entry.path for entry in entries if entry.mode.startswith("100") and _is_pointer(folder, entry.path)]
    return [f"Git LFS is not supported: {_named(paths)} is a pointer, not the file itself."] if paths else []


def _is_pointer(folder: Path, path: bytes) -> bool:
    full = folder / os.fsdecode(path)
    if not full.is_file() or full.is_symlink() or full.stat().st_size > LFS_SIZE:
        return False
    with full.open("rb") as file:
        return file.read(len(LFS_HEAD)) == LFS_HEAD


def _links(folder: Path, entries: list[Entry]) -> list[str]:
    found = []
    for entry in [one for one in entries if one.mode == "120000"]:
        link = folder / os.fsdecode(entry.path)
        if link.is_symlink() and link_leaves(folder, link):
            found.append(f"{git.text_of(entry.path)} → {git.text_of(os.fsencode(link.readlink()))}")
    if not found:
        return []
    return [f"Links out of the tree are copied as links and not followed: {_listed(found)}."]


def _named(paths: list[bytes]) -> str:
    return _listed([git.text_of(path) for path in paths])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
