"""Times of files that say when their content last changed, though every export writes them anew.

rsync takes a file of the same size and time for unchanged, and links it into the next release instead of
copying it. Git keeps no times, and two commits of one second would get the same. So the panel remembers,
per repository, when it first saw each content at each path: the same content always gets the same time back,
another content always another one. Without the memory (a new machine) the next copy merely compares more.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEEP = 200  # exports after which a content that was not seen again is forgotten
REMARK = 20  # exports after which it is noted again that a content was seen: to note each time costs most of all
READ_SIZE = 1 << 18

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS content
    (path BLOB, digest BLOB, at INTEGER, seen INTEGER, PRIMARY KEY (path, digest)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS exports (number INTEGER PRIMARY KEY)",
)

Contents = dict[bytes, bytes]  # path inside the tree → what identifies its content


def contents_of(folder: Path) -> Contents:
    """Every regular file below `folder` by a digest of its content; links are left alone."""
    root = os.fsencode(folder)
    return {os.path.relpath(path, root): _digest(path) for path in _files(root)}


def settle(folder: Path, memory: Path, contents: Contents, moment: int) -> None:
    """Set each file's time: the remembered one, or `moment` (seconds since the epoch) for a content never seen."""
    times = _times(memory, contents, moment)
    root = os.fsencode(folder)
    for path, at in times.items():
        full = os.path.join(root, path)  # noqa: PTH118 - names are bytes: they need not be UTF-8
        if os.lstat(full).st_mtime_ns != at * 1_000_000_000:
            os.utime(full, (at, at), follow_symlinks=False)


def _times(memory: Path, contents: Contents, moment: int) -> dict[bytes, int]:
    memory.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(memory, timeout=30, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("BEGIN IMMEDIATE")  # waits its turn: two exports of one repository may be at work
        for statement in SCHEMA:
            database.execute(statement)
        number = database.execute("INSERT INTO exports DEFAULT VALUES").lastrowid or 0
        known: dict[bytes, dict[bytes, int]] = {}
        fresh: set[tuple[bytes, bytes]] = set()
        for path, digest, at, seen in database.execute("SELECT path, digest, at, seen FROM content"):
            known.setdefault(path, {})[digest] = at
            if seen > number - REMARK:
                fresh.add((path, digest))
        times = {path: _time(known.get(path, {}), digest, moment) for path, digest in contents.items()}
        database.executemany(
            "INSERT INTO content VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seen = excluded.seen",
            [(path, contents[path], at, number) for path, at in times.items() if (path, contents[path]) not in fresh],
        )
        if number % KEEP == 0:
            database.execute("DELETE FROM content WHERE seen < ?", (number - KEEP,))
            database.execute("DELETE FROM exports WHERE number < ?", (number,))
        database.execute("COMMIT")
    return times


def _time(seen: dict[bytes, int], digest: bytes, moment: int) -> int:
    if digest in seen:
        return seen[digest]
    taken = set(seen.values())
    while moment in taken:
        moment += 1
    return moment


def _files(root: bytes) -> Iterator[bytes]:
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry.path


def _digest(path: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a name in bytes
        while block := file.read(READ_SIZE):
            digest.update(block)
    return digest.digest()
