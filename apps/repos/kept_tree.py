"""A tree that stays from one run to the next, so that only files that changed have to be written.

Writing five thousand files anew takes seconds on many a disk, and most commits change few. The tree belongs to
whoever holds its lock; what an earlier run's scripts left in it is undone first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from typing import TYPE_CHECKING

from django.conf import settings

from apps.repos import git
from apps.repos.errors import GitError, MirrorDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from apps.repos.mirror import Caller

UNUSED = 20 * 86400  # seconds after which a tree that nobody borrowed is removed


@contextlib.contextmanager
def borrowed(folder: Path) -> Iterator[bool]:
    """Be alone with the tree at `folder` until the block ends; False when another process has it."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(folder).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            os.utime(_lock(folder))
            yield True  # closing the file frees the lock, also when this process is killed


def bring(mirror: Path, sha: str, folder: Path, caller: Caller | None = None) -> None:
    """Make the borrowed tree hold the commit's files and nothing else. Raises MirrorDamaged, GitError."""
    try:
        _bring(mirror, sha, folder, caller)
    except MirrorDamaged:
        raise
    except GitError:
        discard(folder)  # whatever is wrong with it: an empty one is right
        _bring(mirror, sha, folder, caller)


def _bring(mirror: Path, sha: str, folder: Path, caller: Caller | None) -> None:
    folder.mkdir(exist_ok=True, mode=0o755)
    index = _index(folder)
    index.with_name(f"{index.name}.lock").unlink(missing_ok=True)  # of a git that was killed; the lock is ours
    for step in (
        ("update-index", "-q", "--refresh"),
        ("read-tree", "--reset", "-u", sha),
        ("clean", "-ffdxq"),
    ):
        git.call(
            mirror,
            f"--work-tree={folder}",
            *step,
            env={"GIT_INDEX_FILE": str(index)},
            timeout=settings.GIT_TIMEOUT,
            cwd=folder,
        )
        if caller:
            caller.check()


def discard(folder: Path) -> None:
    """Remove the borrowed tree, and what is known of it."""
    shutil.rmtree(folder, ignore_errors=True)
    _index(folder).unlink(missing_ok=True)


def prune(root: Path) -> int:
    """Remove the trees below `root` that nobody has borrowed for UNUSED seconds; how many."""
    old = [lock for lock in root.glob("*.lock") if time.time() - lock.stat().st_mtime > UNUSED]
    for lock in old:
        folder = lock.with_suffix("")
        with lock.open("ab") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            discard(folder)
            lock.unlink(missing_ok=True)
    return len(old)


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _index(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.index")
