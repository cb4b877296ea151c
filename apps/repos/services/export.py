"""Commits as files."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from apps.repos import export, kept_tree, mirror
from apps.repos.errors import MirrorDamaged
from apps.repos.services.fetch import InRun, repository_rebuild
from apps.repos.services.prune import repository_gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apps.repos.export import Export
    from apps.repos.models import Repository
    from apps.repos.services.fetch import Working


@contextlib.contextmanager
def tree_borrowed(*, repository: Repository, purpose: str) -> Iterator[Path | None]:
    """A tree to export into that stays for the next one with this purpose; None while another process has it."""
    folder = _trees() / f"{repository.pk}-{purpose}"
    with kept_tree.borrowed(folder) as free:
        yield folder if free else None


def trees_prune() -> int:
    """Remove kept trees that were not used for twenty days, and those of deleted repositories; how many."""
    return kept_tree.prune(_trees(), lambda name: repository_gone(name.partition("-")[0]))


def _trees() -> Path:
    return Path(settings.WORK_DIR) / "trees"


def repository_export(
    *, repository: Repository, sha: str, folder: Path, work: Working | None = None, kept: Path | None = None
) -> Export:
    """The commit's files, in `folder`, or in the borrowed tree `kept` where that can be. A damaged mirror is rebuilt.

    The result says in which. Raises RefMissing for an unknown commit, GitError.
    """
    path, caller = mirror.mirror_path(repository.pk), InRun(work) if work else None
    try:
        return export.export(path, sha, folder, caller, kept=kept)
    except MirrorDamaged as damage:
        if caller:
            caller.note(f"{damage} It is built anew.")
    repository_rebuild(repository=repository, work=work)
    return export.export(path, sha, folder, caller, kept=kept)


def tree_times_settle(*, repository: Repository, folder: Path) -> None:
    """Call after a build: files whose content did not change since an earlier release get their time back.

    Then rsync links them into the new release instead of copying them.
    """
    export.times_settle(mirror.mirror_path(repository.pk), folder)
