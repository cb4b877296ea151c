"""Releases on a host: their folders, their release file, and which of them may go. Pure.

The release file `.git_release` is how the panel knows what a host runs. Its form is shared with other
tools that deploy to the same hosts: branch, commit, UTC time, folder, and while it runs a fifth line.
"""

from __future__ import annotations

import datetime as dt
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

FILE = ".git_release"
IN_PROGRESS = "deployment in progress"
_TIME = "%Y-%m-%dT%H:%M:%S.%f"
_COMMIT = re.compile(r"\A[0-9a-f]{7,64}\Z")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
ABANDONED_AFTER = dt.timedelta(days=1)
_BRANCH_LENGTH = 60  # characters of the branch in a folder's name


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a release file says."""

    branch: str
    commit: str
    at: dt.datetime | None
    folder: str
    in_progress: bool = False

    def text(self) -> str:
        """The file's content. It ends without a newline: readers count lines by splitting."""
        at = (self.at or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).strftime(_TIME)
        lines = [self.branch, self.commit, at, self.folder, *([IN_PROGRESS] if self.in_progress else [])]
        return "\n".join(line.replace("\n", " ") for line in lines)


def parsed(text: str) -> Release | None:
    """The release that `text` describes; None when it is no release file."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if len(lines) < 4 or not _COMMIT.match(lines[1].strip()):
        return None
    return Release(
        branch=lines[0].strip(),
        commit=lines[1].strip(),
        at=_time(lines[2].strip()),
        folder=lines[3].strip(),
        in_progress=any(line.strip() == IN_PROGRESS for line in lines[4:]),
    )


def _time(text: str) -> dt.datetime | None:
    """UTC. Older files have a blank between date and time; the fraction may be missing."""
    try:
        at = dt.datetime.fromisoformat(text.replace(" ", "T", 1))
    except ValueError:
        return None
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)


def releases_folder(target_path: str, repository: str) -> str:
    """Where the releases of `repository` stand for this target: beside it."""
    return posixpath.join(posixpath.dirname(target_path.rstrip("/")), f"{repository}_releases")


def shared_folder(target_path: str, repository: str) -> str:
    """Where shared paths live across releases."""
    return posixpath.join(posixpath.dirname(target_path.rstrip("/")), f"{repository}_shared")


def folder_name(day: dt.date, branch: str, commit: str, attempt: int = 1) -> str:
    """`YYYYMMDD_BRANCH_COMMIT8`, with `-2` for the second that day, and safe whatever the branch is called."""
    safe = _UNSAFE.sub("-", branch)[:_BRANCH_LENGTH].strip("-.") or "commit"
    return f"{day:%Y%m%d}_{safe}_{commit[:8]}" + (f"-{attempt}" if attempt > 1 else "")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A release folder on a host, with its release file (None when it has none that can be read)."""

    folder: str
    release: Release | None
    live: bool = False  # some link points to it

    @property
    def complete(self) -> bool:
        return self.release is not None and not self.release.in_progress

    def abandoned(self, now: dt.datetime) -> bool:
        """Whether nobody can still be copying into it."""
        at = self.release.at if self.release is not None else None
        return at is not None and now - at > ABANDONED_AFTER

    @property
    def order(self) -> str:
        """Releases sort by the time in their file, those without one by their folder's date."""
        if self.release is not None and self.release.at is not None:
            return self.release.at.strftime("%Y%m%d%H%M%S%f")
        return posixpath.basename(self.folder)[:8]


def may_be_written(found: Sequence[Found], folder: str, commit: str) -> bool:
    """Whether a copy may go into `folder`: it is not there, or it is the unfinished, unused rest of the same commit."""
    for one in found:
        if one.folder == folder:
            unfinished = one.release is not None and one.release.in_progress and one.release.commit == commit
            return unfinished and not one.live
    return True


def to_prune(
    found: Sequence[Found], keep: int, busy: Collection[str] = (), now: dt.datetime | None = None
) -> list[str]:
    """Folders to delete, newest first, so that `keep` complete releases stay.

    What is live stays, and `busy` (folders of other runs), and what another tool may still be copying:
    unfinished folders go when they are a day old, folders without a release file never.
    """
    now = now or dt.datetime.now(dt.UTC)
    newest = sorted(found, key=lambda one: one.order, reverse=True)
    complete = [one for one in newest if one.complete]
    kept = {one.folder for one in complete[:keep]} | {one.folder for one in found if one.live} | set(busy)
    return [one.folder for one in newest if one.folder not in kept and (one.complete or one.abandoned(now))]
