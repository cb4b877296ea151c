"""Files of a commit as bytes in memory: nothing is written to disk, whatever a repository calls its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.repos import git, history
from apps.repos.errors import GitError, MirrorDamaged, NotMirrored, RefMissing
from apps.repos.faults import fault
from apps.runs import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

LIMIT_BYTES = 64 * 1024 * 1024  # of all files together
LIMIT_FILES = 20_000
HEADER_ROOM = 128  # bytes that Git puts before and after each content
_KINDS = {"120000": "a link", "160000": "a submodule"}


class FilesRead(dict[str, bytes]):
    """Contents by path from the repository's top. Odd bytes of a path are written `\\xe9`.

    `left_out` says by path why an entry is not among them: it is no file, or its name cannot be told from
    another's. `unread` has the paths of files that were not wanted.
    """

    left_out: Mapping[str, str] = {}
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Blob:
    path: str
    oid: str
    size: int


def files_read(
    mirror: Path,
    sha: str,
    folders: Sequence[str],
    *,
    wanted: Callable[[str], bool] | None = None,
    limit_bytes: int = LIMIT_BYTES,
    limit_files: int = LIMIT_FILES,
) -> FilesRead:
    """All files under these folders (or of these names; `""`: everything) of a commit given by its full number.

    `wanted` says by path which of them are read; the limits are for those.

    Two short Git commands, however many files. Links are not followed. Raises RefMissing for an unknown
    commit, MirrorDamaged, NotMirrored, and GitError when there is more than the limits allow.
    """
    files = FilesRead()
    left_out: dict[str, str] = {}
    found = list(_blobs(_listing(mirror, sha, folders), left_out))
    blobs = [blob for blob in found if wanted is None or wanted(blob.path)]
    _check_limits(blobs, folders, limit_bytes, limit_files)
    contents = _contents(mirror, {blob.oid: blob.size for blob in blobs})
    for blob in blobs:
        if blob.path in files:
            left_out[blob.path] = "Two files have this name when their odd bytes are written out: one is left out."
        files.setdefault(blob.path, contents[blob.oid])
    files.left_out = left_out
    if wanted is not None:
        files.unread = tuple(blob.path for blob in found if not wanted(blob.path))
    return files


def _listing(mirror: Path, sha: str, folders: Sequence[str]) -> bytes:
    if not history.FULL_SHA.match(sha):
        raise RefMissing(f"{sha[:80]!r} is no full commit number.")
    if not (mirror / "HEAD").exists():
        raise NotMirrored("This repository was not fetched yet. Press “Fetch now”.")
    paths = [] if any(not folder.strip("/") for folder in folders) else [folder.strip("/") for folder in folders]
    try:
        return _output(mirror, "ls-tree", "-r", "-l", "-z", "--full-tree", sha, "--", *paths, limit=LIMIT_BYTES)
    except MirrorDamaged:
        raise
    except GitError as error:
        if history.commit_of(mirror, sha) is None:
            raise RefMissing(f"There is no commit {sha} in the mirror.") from None
        raise MirrorDamaged(f"The mirror is damaged: the files of {sha[:8]} cannot be listed.", error.said) from None


def _blobs(listing: bytes, left_out: dict[str, str]) -> Iterator[_Blob]:
    for line in listing.split(b"\x00"):
        if not line:
            continue
        head, path = line.split(b"\t", 1)
        mode, kind, oid, size = head.decode("ascii").split()
        if kind == "blob" and not size.isdigit():  # Git writes BAD
            raise MirrorDamaged(f"The mirror is damaged: the content of {git.text_of(path)} is not there.")
        if kind == "blob" and mode not in _KINDS:
            yield _Blob(git.text_of(path), oid, int(size))
        else:
            left_out[git.text_of(path)] = f"This is {_KINDS.get(mode, 'no file')}: it is left out."


def _check_limits(blobs: list[_Blob], folders: Sequence[str], limit_bytes: int, limit_files: int) -> None:
    place = " and ".join(folder or "the repository's top" for folder in folders) or "the repository"
    if len(blobs) > limit_files:
        raise GitError(f"{len(blobs)} files lie under {place}; the panel reads at most {limit_files} at once.")
    total = sum(blob.size for blob in blobs)
    if total > limit_bytes:
        largest = max(blobs, key=lambda blob: blob.size)
        raise GitError(
            f"The files under {place} have {total} bytes together; the panel reads at most {limit_bytes} at once. "
            f"The largest is {largest.path} with {largest.size}."
        )


def _contents(mirror: Path, sizes: dict[str, int]) -> dict[str, bytes]:
    """Contents by number, each asked for once."""
    if not sizes:
        return {}
    asked = "".join(f"{oid}\n" for oid in sizes).encode()
    room = sum(sizes.values()) + HEADER_ROOM * len(sizes)
    raw = memoryview(_output(mirror, "cat-file", "--batch", stdin=asked, limit=room))
    contents, at = {}, 0
    for oid, size in sizes.items():
        head = f"{oid} blob {size}\n".encode()
        begin, end = at + len(head), at + len(head) + size
        if bytes(raw[at:begin]) != head or len(raw) < end + 1:
            raise MirrorDamaged(f"The mirror is damaged: the content {oid} cannot be read.")
        contents[oid] = bytes(raw[begin:end])
        at = end + 1
    return contents


def _output(mirror: Path, *arguments: str, limit: int, stdin: bytes = b"") -> bytes:
    done = process.run(
        git.command(mirror, *arguments),
        env=git.environment({"GIT_LITERAL_PATHSPECS": "1"}),
        timeout=git.READ_TIMEOUT,
        stdin=stdin,
        limit_bytes=limit,
    )
    if done.status != 0:
        raise fault(git.text_of(done.err), done.status)
    if done.truncated:
        raise GitError("Git listed more than the panel reads at once.")
    return done.out
