"""Commits as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.repos import export, mirror
from apps.repos.errors import MirrorDamaged
from apps.repos.services.fetch import InRun, repository_rebuild

if TYPE_CHECKING:
    from pathlib import Path

    from apps.repos.export import Export
    from apps.repos.models import Repository
    from apps.repos.services.fetch import Working


def repository_export(*, repository: Repository, sha: str, folder: Path, work: Working | None = None) -> Export:
    """The commit's files in `folder`. A mirror found damaged on the way is rebuilt, once.

    Raises RefMissing for an unknown commit, GitError.
    """
    path, caller = mirror.mirror_path(repository.pk), InRun(work) if work else None
    try:
        return export.export(path, sha, folder, caller)
    except MirrorDamaged as damage:
        if caller:
            caller.note(f"{damage} It is built anew.")
    repository_rebuild(repository=repository, work=work)
    return export.export(path, sha, folder, caller)


def tree_times_settle(*, repository: Repository, folder: Path) -> None:
    """Call after a build: files whose content did not change since an earlier release get their time back.

    Then rsync links them into the new release instead of copying them.
    """
    export.times_settle(mirror.mirror_path(repository.pk), folder)
