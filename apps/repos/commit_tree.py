"""Commits made in a mirror without a working copy: one folder replaced, all else as it was. Nothing is checked out."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.access.errors import InputError
from apps.repos import git
from apps.repos.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

AUTHOR = "Deploypanel <deploypanel@localhost>"
REF = "refs/deploypanel/publish"  # holds the newest commit made here; nobody fetches or pushes it
IMPORT_TIMEOUT = 120  # seconds
_FILE = "100"  # regular files' modes begin so


@dataclass(frozen=True, kw_only=True)
class FolderChange:
    """What replacing a folder does: paths below it, each sorted. `kept` stays as it is: mode and number by path."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def folder_change(
    mirror: Path,
    base: str,
    folder: str,
    files: Mapping[str, bytes],
    keeps: Callable[[str], bool] | None = None,
) -> FolderChange:
    """Compare a commit's folder with these files, by their paths below it. `base` empty: there is no commit yet.

    Only contents count. Other files there of which `keeps` is true stay. Raises InputError for a path that Git
    cannot have, or that would take another file's place outside the folder; GitError.
    """
    _check_paths(folder, files)
    there = _entries(mirror, base, folder) if base else {}
    hashed = hashlib.sha256 if len(base) == 64 else hashlib.sha1
    wanted = {
        path: hashed(b"blob %d\x00%b" % (len(data), data), usedforsecurity=False).hexdigest()
        for path, data in files.items()
    }
    others = there.keys() - wanted.keys()
    kept = {path: there[path] for path in sorted(others) if keeps is not None and keeps(path)}
    return FolderChange(
        added=tuple(sorted(wanted.keys() - there.keys())),
        changed=tuple(sorted(path for path in wanted.keys() & there.keys() if not _has(there[path], wanted[path]))),
        removed=tuple(sorted(others - kept.keys())),
        kept=kept,
    )


def folder_commit(
    mirror: Path,
    base: str,
    folder: str,
    files: Mapping[str, bytes],
    message: str,
    kept: Mapping[str, str] | None = None,
) -> str:
    """The number of a new commit on top of `base` (empty: the first one). The caller holds the mirror's lock.

    `kept`: as `folder_change` found it.
    """
    now = f"{AUTHOR} {int(time.time())} +0000"
    words = message.encode()
    head = [f"commit {REF}\nmark :1\nauthor {now}\ncommitter {now}\ndata {len(words)}\n".encode(), words, b"\n"]
    if base:
        head.append(f"from {base}\n".encode())
        head.append(b"D %b\n" % _quoted(folder) if folder else b"deleteall\n")
    body = [b"M %b %b\n" % (entry.encode("ascii"), _below(folder, path)) for path, entry in (kept or {}).items()]
    for path in sorted(files):
        full = _below(folder, path)
        body += [b"M 100644 inline %b\ndata %d\n" % (full, len(files[path])), files[path], b"\n"]
    stream = b"".join([*head, *body, b"get-mark :1\ndone\n"])
    # --force: what the reference held is an earlier commit of ours and not a forerunner of this one.
    said = git.call(
        mirror, "fast-import", "--quiet", "--force", "--done", "--date-format=raw", stdin=stream, timeout=IMPORT_TIMEOUT
    )
    return said.decode("ascii", "replace").strip()


def _entries(mirror: Path, base: str, folder: str) -> dict[str, str]:
    """What is in the folder now: mode and number of the contents, by path."""
    _check_place(mirror, base, folder)
    raw = git.read(mirror, "ls-tree", "-r", "-z", "--full-tree", base, "--", *([folder] if folder else []))
    found = {}
    for line in raw.split(b"\x00"):
        if line:
            head, path = line.split(b"\t", 1)
            mode, _kind, oid = head.split()
            name = path[len(folder.encode()) :].lstrip(b"/") if folder else path
            found[git.text_of(name)] = f"{mode.decode('ascii')} {oid.decode('ascii')}"
    return found


def _has(entry: str, oid: str) -> bool:
    """Whether it is a regular file of these contents, and no link or submodule."""
    return entry.startswith(_FILE) and entry.endswith(f" {oid}")


def _check_place(mirror: Path, base: str, folder: str) -> None:
    """A file where one of the folder's parents must be would be lost."""
    parts = folder.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts))]
    if not above:
        return
    for line in git.read(mirror, "ls-tree", "-z", "--full-tree", base, "--", *above).split(b"\x00"):
        head, _, path = line.partition(b"\t")
        if line and head.split()[1] != b"tree":
            raise GitError(f"{git.text_of(path)} is a file there; {folder}/ cannot lie below it.")


def _check_paths(folder: str, files: Mapping[str, bytes]) -> None:
    if not files:
        raise InputError("There is nothing to publish: an empty folder is not put in the place of a full one.")
    for path in files:
        parts = [*(folder.split("/") if folder else []), *path.split("/")]
        if any(part in {"", ".", ".."} or part.lower() == ".git" or "\x00" in part for part in parts):
            raise InputError(f"{path!r} in {folder or 'the top'!r} cannot be a path in a repository.")


def _below(folder: str, path: str) -> bytes:
    return _quoted(f"{folder}/{path}" if folder else path)


def _quoted(path: str) -> bytes:
    """As fast-import wants paths with odd letters; harmless for all others."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode()
