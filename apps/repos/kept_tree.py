"""A tree that stays from one run to the next, so that only files that changed have to be written.

Writing five thousand files anew takes seconds on many a disk, and most commits change few. The tree belongs to
whoever holds its lock; what an earlier run's scripts left in it is undone first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import time
from typing import IO, TYPE_CHECKING

from django.conf import settings

from apps.repos import git
from apps.repos.errors import GitError, MirrorDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
            mine = _is_still(file, _lock(folder))
            if mine:
                os.utime(_lock(folder))
            yield mine  # closing the file frees the lock, also when this process is killed


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
    _restore(os.fsencode(folder), files=False)
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
    _restore(os.fsencode(folder), files=True)


def _restore(folder: bytes, *, files: bool) -> None:
    """Undo what Git does not look at: modes but for the owner's execute bit, and a `.git`, which no commit holds.

    They become what an archive would have made them. Without `files`, only what keeps Git from its work. Names are
    bytes: they need not be UTF-8.
    """
    os.chmod(folder, 0o755)  # noqa: PTH101, S103 - it is below a folder for the panel alone
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name == b".git" and is_folder:
            shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.name == b".git":
            os.unlink(entry.path)  # noqa: PTH108
        elif is_folder:
            _restore(entry.path, files=files)
        elif files and entry.is_file(follow_symlinks=False):
            mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
            wanted = 0o755 if mode & 0o100 else 0o644
            if mode != wanted:
                os.chmod(entry.path, wanted)  # noqa: PTH101


def discard(folder: Path) -> None:
    """Remove the borrowed tree, and what is known of it."""
    shutil.rmtree(folder, ignore_errors=True)
    _index(folder).unlink(missing_ok=True)


def prune(root: Path, is_gone: Callable[[str], bool]) -> int:
    """Remove the trees below `root` that nobody has borrowed for UNUSED seconds, or whose owner is gone; how many."""
    old = [lock for lock in root.glob("*.lock") if time.time() - lock.stat().st_mtime > UNUSED or is_gone(lock.name)]
    for lock in old:
        folder = lock.with_suffix("")
        with lock.open("ab") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(file, lock):
                discard(folder)
                lock.unlink(missing_ok=True)
    return len(old)


def _is_still(file: IO[bytes], lock: Path) -> bool:
    """Whether the file that was locked is the one in that place: until it was ours, it may have been pruned."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _index(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.index")
