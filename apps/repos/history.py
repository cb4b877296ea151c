"""What a mirror knows: refs, commits and comparisons, read by one short Git command each."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from apps.repos import git
from apps.repos.errors import GitError, RefMissing
from apps.repos.git import Commit, FileChange, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Counts = tuple[int | None, int | None]

SHA = re.compile(r"\A[0-9a-f]{4,64}\Z")
FULL_SHA = re.compile(r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
LOG_FORMAT = "--format=%H%x00%an%x00%ae%x00%ct%x00%s"
_REF_FIELDS = ("objectname", "objecttype", "authorname", "authoremail", "committerdate:unix", "subject")
REF_FORMAT = "--format=%(refname)" + "".join(f"%00%({star}{name})" for star in ("", "*") for name in _REF_FIELDS)
# Git's own rules for the name of a ref, as far as a wrong one could mean something else.
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|\Z)|\A/|/\Z|\.\Z|\A\.|\A@\Z|\A\Z")


def ref_is_possible(name: str) -> bool:
    """Whether Git could have a ref of that name at all. What it could not have, is never asked for."""
    return not _BAD_REF.search(name)


def refs(mirror: Path, *names: str, newest: int | None = None) -> list[Ref]:
    """Branches and tags under these full names (`refs/heads/`, `refs/tags/v1`), newest first."""
    count = [f"--count={newest}"] if newest else []
    raw = git.read(mirror, "for-each-ref", REF_FORMAT, "--sort=-creatordate", *count, "--", *names)
    return [ref for line in raw.split(b"\n") if line and (ref := _ref(line))]


def _ref(line: bytes) -> Ref | None:
    name, *fields = line.split(b"\x00")
    direct, peeled = fields[: len(_REF_FIELDS)], fields[len(_REF_FIELDS) :]
    sha, kind, author, email, at, subject = peeled if peeled[0] else direct
    if kind != b"commit":
        return None  # a tag on a file or a tree
    full = git.text_of(name)
    tag = full.startswith("refs/tags/")
    commit = _commit((sha, author, email.strip(b"<>"), at, subject))
    return Ref(name=full.split("/", 2)[2], sha=commit.sha, kind="tag" if tag else "branch", commit=commit)


def _commit(fields: tuple[bytes, ...]) -> Commit:
    sha, author, email, at, subject = fields
    try:
        moment = datetime.fromtimestamp(int(at), UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0, UTC)  # a commit may claim any date; a wrong one must not stop a page
    return Commit(
        sha=sha.decode("ascii", "replace"),
        author=git.text_of(author)[:200],
        email=git.text_of(email)[:200],
        at=moment,
        subject=git.text_of(subject)[:500],
    )


def _commits(raw: bytes) -> Iterator[Commit]:
    parts = raw.split(b"\x00")
    for start in range(0, len(parts) - 4, 5):
        yield _commit(tuple(part.strip(b"\n") for part in parts[start : start + 5]))


def commit_of(mirror: Path, sha: str) -> Commit | None:
    """The commit with this full or short number; None when there is none. Raises RefMissing when several fit."""
    if not SHA.match(sha):
        return None
    found = git.read(mirror, "cat-file", "--batch-check=%(objectname)", stdin=f"{sha}^{{commit}}\n".encode())
    if found.strip().endswith(b"ambiguous"):
        raise RefMissing(f"More than one commit begins with {sha}: give more of its digits.")
    if not FULL_SHA.match(found.decode("ascii", "replace").strip()):
        return None
    return next(log(mirror, found.decode().strip(), limit=1), None)


def log(
    mirror: Path, new: str, *, old: str = "", limit: int = 50, skip: int = 0, message: str = "", author: str = ""
) -> Iterator[Commit]:
    """Commits that `new` has and `old` has not, newest first. Both are full commit numbers."""
    search = ["-i", "-F"] if message or author else []
    search += [f"--grep={message}"] if message else []
    search += [f"--author={author}"] if author else []
    span = [new, *([f"^{old}"] if old else [])]
    return _commits(
        git.read(mirror, "log", "-z", LOG_FORMAT, f"--max-count={limit}", f"--skip={skip}", *search, *span, "--")
    )


def count(mirror: Path, new: str, old: str = "") -> int:
    raw = git.read(mirror, "rev-list", "--count", new, *([f"^{old}"] if old else []), "--")
    return int(raw)


def default_branch(mirror: Path) -> str:
    """The server's main branch by name; empty when unknown."""
    try:
        return git.text_of(git.read(mirror, "symbolic-ref", "HEAD").strip()).removeprefix("refs/heads/")
    except GitError:
        return ""


def empty_tree(mirror: Path) -> str:
    """The number of the tree without files, in this repository's kind of hash."""
    return git.read(mirror, "hash-object", "-t", "tree", "--stdin").decode().strip()


def changes(mirror: Path, old: str, new: str) -> list[FileChange]:
    """The files that differ between two commits or trees, renames recognised, without line counts."""
    raw = git.read(mirror, "diff-tree", "-r", "-z", "-M", "--raw", "--no-ext-diff", "--no-textconv", old, new, "--")
    parts = iter(raw.split(b"\x00"))
    found = []
    for head in parts:
        if not head.startswith(b":"):
            continue
        status, first = head.rsplit(b" ", 1)[1][:1].decode(), next(parts)
        if status in {"R", "C"}:
            found.append(FileChange(status=status, path=git.text_of(next(parts)), old_path=git.text_of(first)))
        else:
            found.append(FileChange(status=status, path=git.text_of(first)))
    return found


def line_counts(mirror: Path, old: str, new: str) -> dict[str, Counts]:
    """Lines added and deleted, by path; None twice for a binary file."""
    raw = git.read(mirror, "diff-tree", "-r", "-z", "-M", "--numstat", "--no-ext-diff", "--no-textconv", old, new, "--")
    parts = iter(raw.split(b"\x00"))
    counts: dict[str, Counts] = {}
    for head in parts:
        if head.count(b"\t") < 2:
            continue
        added, deleted, path = head.split(b"\t", 2)
        if not path:  # a rename: the old and the new name follow
            next(parts)
            path = next(parts)
        counts[git.text_of(path)] = (_number(added), _number(deleted))
    return counts


def counted(change: FileChange, counts: dict[str, Counts]) -> FileChange:
    added, deleted = counts.get(change.path, (None, None))
    return dataclasses.replace(change, added=added, deleted=deleted)


def _number(raw: bytes) -> int | None:
    return int(raw) if raw.isdigit() else None
