"""What is done with repositories: fetched, exported, changed. Every door calls these."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from django.utils import timezone

from apps.access.errors import PanelError
from apps.repos import credentials, export, mirror
from apps.repos.errors import FetchStopped, GitError, MirrorDamaged
from apps.repos.models import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from apps.repos.credentials import Login
    from apps.repos.export import Export
    from apps.repos.mirror import Caller, RefChange


class Working(Protocol):
    """What is needed of a run's `Work`, so that its log shows the fetch and its stop ends it."""

    log: Any

    def execute(self, argv: list[str], *, env: Mapping[str, str] | None = None) -> int: ...
    def check(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """`fetched` is False when another's fetch, begun after this one was asked for, brought what is new."""

    fetched: bool
    changes: tuple[RefChange, ...] = ()


class _InRun:
    """A run as the caller of a fetch."""

    def __init__(self, work: Working) -> None:
        self._work = work

    def note(self, text: str) -> None:
        self._work.log.note(text)

    def check(self) -> None:
        self._work.check()

    def execute(self, argv: list[str], env: Mapping[str, str]) -> int:
        return self._work.execute(argv, env=env)


def login_of(repository: Repository) -> Login:
    """How to get at the repository's server; holds its secrets in the clear."""
    return credentials.Login(
        url=repository.url,
        private_key=repository.ssh_key.private_key if repository.ssh_key else "",
        host_keys=repository.host_keys,
        username=repository.username,
        token=repository.access_token,
    )


def repository_fetch(*, repository: Repository, work: Working | None = None, commit: str = "") -> Fetch:
    """Bring the mirror up to date. One fetch at a time; who waited for a newer one than his wish, uses it.

    With `commit`, nothing is fetched when the mirror has it already. With `work`, Git's output goes to the
    run's log and its stop ends the fetch. Raises GitError, and keeps its sentence on the repository's row.
    """
    wished = time.time()
    path = mirror.mirror_path(repository.pk)
    caller: Caller | None = _InRun(work) if work else None
    try:
        if commit and _has(path, commit):
            return Fetch(fetched=False)
        with mirror.locked(path, caller):
            if mirror.fetched_since(path, repository.url, wished):
                return Fetch(fetched=False)
            changes = mirror.fetch(path, login_of(repository), caller)
            if work is None:
                mirror.tidy(path)
    except FetchStopped:
        raise
    except PanelError as error:
        Repository.objects.filter(pk=repository.pk).update(fetch_error=str(error)[:1000])
        raise
    Repository.objects.filter(pk=repository.pk).update(fetched_at=timezone.now(), fetch_error="")
    return Fetch(fetched=True, changes=tuple(changes))


def repository_rebuild(*, repository: Repository, work: Working | None = None) -> None:
    """Build the mirror anew beside the old one, and swap them."""
    path, caller = mirror.mirror_path(repository.pk), _InRun(work) if work else None
    with mirror.locked(path, caller):
        mirror.rebuild(path, login_of(repository), caller)


def repository_export(*, repository: Repository, sha: str, folder: Path, work: Working | None = None) -> Export:
    """The commit's files in `folder`. A mirror found damaged on the way is rebuilt, once.

    Raises RefMissing for an unknown commit, GitError.
    """
    path, caller = mirror.mirror_path(repository.pk), _InRun(work) if work else None
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


def _has(path: Path, commit: str) -> bool:
    from apps.repos import history

    try:
        return history.commit_of(path, commit) is not None
    except GitError:
        return False
