"""Mirrors brought up to date: one fetch at a time, in a process that holds nobody up."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.access import gate
from apps.access.errors import PanelError
from apps.repos import credentials, history, mirror
from apps.repos.errors import FetchStopped, GitError
from apps.repos.models import Repository
from apps.runs.process import spawn_detached
from apps.runs.queue import ring

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from apps.access.actor import Actor
    from apps.repos.credentials import Login
    from apps.repos.mirror import Caller, RefChange


RING_AGAIN = timedelta(seconds=60)  # after which a fetch that was rung for and did not begin is taken for lost
TIP_TIMEOUT = 10.0  # seconds
LOG_SIZE = 1024 * 1024  # bytes; then the log of fetches is begun anew, the old one kept


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


class InRun:
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
    caller: Caller | None = InRun(work) if work else None
    try:
        if commit and _has(path, commit):
            return Fetch(fetched=False)
        with mirror.locked(path, caller):
            if mirror.fetched_since(path, repository.url, wished):
                return Fetch(fetched=False)
            _begun(repository)
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


def branch_tip(repository: Repository, ref: str, timeout: float = TIP_TIMEOUT) -> str:
    """Where a branch or a tag is on the server now: one question, nothing is fetched. Empty: there is none of it.

    `timeout` in seconds, for all of it. Raises GitError.
    """
    return branch_tips(repository, [ref], timeout)[ref]


def branch_tips(repository: Repository, refs: Iterable[str], timeout: float = TIP_TIMEOUT) -> dict[str, str]:
    """The same for several branches and tags, with the same one question."""
    return mirror.remote_tips(login_of(repository), refs, timeout)


def repository_rebuild(*, repository: Repository, work: Working | None = None) -> None:
    """Build the mirror anew beside the old one, and swap them."""
    path, caller = mirror.mirror_path(repository.pk), InRun(work) if work else None
    with mirror.locked(path, caller):
        mirror.rebuild(path, login_of(repository), caller)


def repository_fetch_request(*, repository: Repository, actor: Actor) -> None:
    """Have a worker fetch. For those who may fetch; raises Refused."""
    gate.require(actor=actor, act=gate.Act.ACT, subject=repository, action="fetch")
    repository_fetch_ring(repository=repository)


def repository_fetch_ring(*, repository: Repository) -> None:
    """Have a worker fetch, in the caller's transaction if there is one. Asked ten times, it fetches once."""
    now = timezone.now()
    # Rung, and not begun when this row was read: that fetch will bring what was pushed before.
    if repository.fetch_rung_at is not None and repository.fetch_rung_at > now - RING_AGAIN:
        return
    not_rung = Q(fetch_rung_at=None) | Q(fetch_rung_at__lt=now - RING_AGAIN)
    if Repository.objects.filter(not_rung, pk=repository.pk).update(fetch_rung_at=now):
        ring("apps.repos.tasks.fetch", repository.pk)
    repository.fetch_rung_at = now  # by this or, since the row was read, by another


def repository_fetch_start(*, repository_id: int) -> None:
    """Start a process that fetches. Until it begins to, nobody rings again: it will bring all that is there then."""
    panel_command_start("repos", "fetch", "--id", str(repository_id))


def _begun(repository: Repository) -> None:
    """A fetch that begins now brings all that was asked for before; who asks from now on may have later news."""
    Repository.objects.filter(pk=repository.pk, fetch_rung_at__isnull=False).update(fetch_rung_at=None)


def panel_command_start(*arguments: str) -> int:
    """Start one of the panel's own commands in a process that outlives this one; its pid.

    It gives way to everything else: a burst of pushes must not slow the answers to those pushes.
    """
    log = Path(settings.DATA_DIR) / "logs" / "fetches.log"
    if log.exists() and log.stat().st_size > LOG_SIZE:
        log.replace(log.with_suffix(".log.1"))
    command = ["nice", "-n", "10", sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *arguments]
    return spawn_detached(command, env={**os.environ, "DEPLOYPANEL_ROLE": "command"}, log=log)


def _has(path: Path, commit: str) -> bool:
    try:
        return history.commit_of(path, commit) is not None
    except GitError:
        return False
