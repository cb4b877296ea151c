"""A folder of files brought into another repository's branch: a commit on top of it, pushed, never forced."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from apps.access.errors import InputError
from apps.repos import commit_tree, credentials, history, mirror
from apps.repos.errors import GitError, MirrorDamaged, PushOvertaken
from apps.repos.push import push
from apps.repos.services.fetch import InRun, login_of, repository_fetch, repository_rebuild

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from apps.repos.commit_tree import FolderChange
    from apps.repos.credentials import Login
    from apps.repos.mirror import Caller
    from apps.repos.models import Repository
    from apps.repos.services.fetch import Working

ATTEMPTS = 6
PAUSE = 0.2  # seconds before the second attempt; each further one waits that much longer
TIP_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Published:
    """What became of it. `commit` is the branch's newest one: the new one, or the one that had it all already.

    The paths are below the folder. In a dry run `commit` is the one that would have been built upon.
    """

    commit: str
    changed: bool
    added: tuple[str, ...] = ()
    changed_files: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def folder_publish(
    *,
    repository: Repository,
    branch: str,
    files: Mapping[str, bytes],
    folder: str,
    message: str,
    keeps: Callable[[str], bool] | None = None,
    work: Working | None = None,
    dry_run: bool = False,
) -> Published:
    """Make `folder` on `branch` hold exactly these files (by path below it); everything outside of it stays.

    So do files in it, of which `keeps` is true by their path below it, unless they are among these files.

    1. Ask where the branch is; fetch only when the mirror has not got that commit. A branch, or a whole
       repository, that does not exist yet, is made.
    2. Nothing differs: nothing is committed or pushed.
    3. Commit on top with Git's plumbing, under the mirror's lock, and push.
    4. Another pushed meanwhile: from 1 again, a few times. An answer that was lost is asked for.

    With `work`, what Git says goes to the run's log, and its stop ends it. Raises InputError, PushRefused
    (protected branch, hook), LoginRefused, GitError.
    """
    if not history.ref_is_possible(f"refs/heads/{branch}"):
        raise InputError(f"{branch[:80]!r} cannot be the name of a branch.", "branch")
    task = _Task(
        repository=repository, branch=branch, files=files, folder=folder.strip("/"), message=message,
        keeps=keeps, work=work, dry_run=dry_run, login=login_of(repository),
    )  # fmt: skip
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return task.attempt()
        except (PushOvertaken, MirrorDamaged) as error:
            if attempt == ATTEMPTS:
                raise GitError(f"After {ATTEMPTS} attempts: {error}", error.said) from None
            task.note(f"{error} Trying again.")
            if isinstance(error, MirrorDamaged):
                repository_rebuild(repository=repository, work=work)
            time.sleep(PAUSE * attempt)
    raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One publication, over as many attempts as it takes."""

    repository: Repository
    branch: str
    files: Mapping[str, bytes]
    folder: str
    message: str
    keeps: Callable[[str], bool] | None
    work: Working | None
    dry_run: bool
    login: Login

    @property
    def path(self) -> Path:
        return mirror.mirror_path(self.repository.pk)

    @property
    def caller(self) -> Caller | None:
        return InRun(self.work) if self.work else None

    def note(self, text: str) -> None:
        if self.caller:
            self.caller.note(text)

    def attempt(self) -> Published:
        if self.caller:
            self.caller.check()
        base = self._tip()
        if base and _lacks(self.path, base):
            repository_fetch(repository=self.repository, work=self.work)
            if _lacks(self.path, base):
                raise PushOvertaken(f"{self.branch} has moved again while it was fetched.")
        with mirror.locked(self.path, self.caller):
            mirror.prepare(self.path)
            change = commit_tree.folder_change(self.path, base, self.folder, self.files, self.keeps)
            if not change or self.dry_run:
                return _published(base, change)
            sha = commit_tree.folder_commit(self.path, base, self.folder, self.files, self.message, change.kept)
            self._push(sha, base)
        return _published(sha, change)

    def _tip(self) -> str:
        name = f"refs/heads/{self.branch}"
        return mirror.remote_tips(self.login, [name], TIP_TIMEOUT)[name]

    def _push(self, sha: str, base: str) -> None:
        try:
            with credentials.opened(
                self.login, connect_timeout=settings.SSH_CONNECT_TIMEOUT, keepalive=settings.SSH_KEEPALIVE
            ) as env:
                push(self.path, self.login, env, sha=sha, branch=self.branch, caller=self.caller)
        except GitError as error:
            self._settle(error, sha, base)

    def _settle(self, error: GitError, sha: str, base: str) -> None:
        """The server knows best whether the push failed. Raises what it means when it did."""
        try:
            tip = self._tip()
        except GitError:
            raise error from None
        if tip == sha:
            self.note("The server has the commit, although its answer was lost.")
            return
        if tip != base:
            raise PushOvertaken(f"{self.branch} has moved to {tip[:8] or 'nothing'} meanwhile.", error.said) from None
        raise error


def _lacks(path: Path, sha: str) -> bool:
    """Whether the mirror is not there, or has no such commit."""
    return not (path / "HEAD").exists() or history.commit_of(path, sha) is None


def _published(commit: str, change: FolderChange) -> Published:
    return Published(
        commit=commit,
        changed=bool(change),
        added=change.added,
        changed_files=change.changed,
        removed=change.removed,
    )
