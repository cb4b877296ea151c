"""Pushes that fire triggers: by repository and branch at once, by changed paths when the mirror has the commit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import PanelError
from apps.repos import history
from apps.repos.mirror import mirror_path
from apps.repos.models import Repository
from apps.repos.services import repository_fetch_ring
from apps.runs.knock import knock
from apps.runs.models import Cause
from apps.runs.queue import ring
from apps.runs.queue_state import queue_length
from apps.runs.services.reap import Watch
from apps.triggers.burst import once
from apps.triggers.globs import any_path_matches
from apps.triggers.models import Firing, PushSource
from apps.triggers.services.begin import CHECK_TIMEOUT
from apps.triggers.services.fire import trigger_fire
from apps.triggers.services.release import firing_ignore, firing_let_go

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from apps.triggers.models import Trigger
    from apps.triggers.webhooks import PushEvent

logger = logging.getLogger(__name__)
_watch = Watch()
GIVE_UP = timedelta(minutes=15)  # after which a push whose commit does not come is refused
LONGEST_PAUSE = 30.0  # seconds between two looks for a commit
AT_ONCE = 20
QUEUE_FULL = 50  # waiting tasks: nobody takes them, more rings do not help


@dataclass(frozen=True, kw_only=True)
class PushFired:
    """What one push led to on one trigger."""

    trigger: Trigger
    text: str
    checks: bool = False  # a fetch must bring the commit first


def push_is_heard(repository: Repository, pushes: Iterable[PushEvent]) -> bool:
    """Whether any of these pushes may fire a trigger."""
    return any(_heard(repository, push) for push in pushes)


def pushes_fire(*, repository: Repository, pushes: Iterable[PushEvent], address: str = "") -> list[PushFired]:
    """Fire the triggers that wait for these pushes, once for each push. Database only."""
    found = [(pk, push, sources) for push in pushes for pk, sources in _heard(repository, push).items()]
    # Everybody takes triggers in one order, so that no two wait for each other.
    return [_fire(repository, push, address, sources) for _, push, sources in sorted(found, key=itemgetter(0))]


def firings_check_due(now: datetime, watch: Watch | None = None) -> int:
    """Have a worker look whether commits have come whose paths must be known; at how many. Called by the clock.

    What was not found for long is given up, not counting the time in which the panel or its workers were away.
    """
    if queue_length() > QUEUE_FULL:
        return 0
    since = (watch or _watch).look(now)
    due = Firing.objects.filter(state=Firing.State.CHECKING, opens_at__lte=now).order_by("opens_at")
    rows = [firing for firing in due[:AT_ONCE] if not _given_up(firing, now - max(firing.received_at, since))]
    if not rows:
        return 0
    for firing in rows:
        pause = min(LONGEST_PAUSE, max(1.0, (now - firing.received_at).total_seconds() / 4))
        Firing.objects.filter(pk=firing.pk, state=Firing.State.CHECKING).update(opens_at=now + timedelta(seconds=pause))
    ring("apps.triggers.tasks.firings_check", *(firing.pk for firing in rows), timeout=CHECK_TIMEOUT)
    return len(rows)


def firing_check(*, firing_id: int) -> None:
    """Fire or ignore a push by the paths that it changed, if the mirror has it by now. In a worker."""
    firing = Firing.objects.select_related("trigger__hours", "user").filter(pk=firing_id).first()
    if firing is None or firing.state != Firing.State.CHECKING:
        return
    now = timezone.now()
    push: dict[str, str] = firing.payload or {}
    repository = Repository.objects.filter(name=push["repository"]).first()
    if repository is None:
        firing_ignore(firing, "The repository is gone.")
        return
    changed = _changed(mirror_path(repository.pk), push["before"], push["after"])
    if changed is None:
        _wait_on(firing, repository)
    elif _asks_for(firing.trigger, repository, push["branch"], changed):
        firing_let_go(firing, now)
    else:
        firing_ignore(firing, f"None of its {len(changed)} changed files is one that the trigger asks for.")


def _heard(repository: Repository, push: PushEvent) -> dict[int, list[PushSource]]:
    """The sources that this push fits, by trigger."""
    found: dict[int, list[PushSource]] = {}
    if push.kind == "branch" and not push.deleted:
        for source in _sources(repository):
            if any_path_matches(push.name, source.branches):
                found.setdefault(source.trigger_id, []).append(source)
    return found


def _sources(repository: Repository) -> list[PushSource]:
    rows = PushSource.objects.filter(repository=repository, trigger__enabled=True).select_related("trigger__hours")
    return once(("push sources", repository.pk), lambda: list(rows.order_by("pk")))


def _fire(repository: Repository, push: PushEvent, address: str, sources: list[PushSource]) -> PushFired:
    trigger = sources[0].trigger
    payload = {
        "repository": repository.name,
        "ref": push.ref,
        "branch": push.name,
        "before": push.before,
        "after": push.after,
        "pusher": push.pusher,
    }
    actor = Actor(user=None, door=Door.SYSTEM, address=address, behind=push.pusher)
    if all(source.paths for source in sources):
        _check_later(trigger, actor, payload)
        return PushFired(trigger=trigger, text="fires if the push changes what it asks for", checks=True)
    try:
        firing = trigger_fire(
            trigger=trigger, actor=actor, cause=Cause.PUSH, source=Firing.Source.PUSH, payload=payload
        )
    except PanelError as error:
        return PushFired(trigger=trigger, text=f"refused: {error}")
    held = f"held until {firing.opens_at:%Y-%m-%d %H:%M} UTC" if firing.opens_at else "held"
    return PushFired(trigger=trigger, text=f"fired, count {firing.count}" if firing.count else held)


def _check_later(trigger: Trigger, actor: Actor, payload: dict[str, Any]) -> None:
    Firing.objects.create(
        trigger=trigger,
        state=Firing.State.CHECKING,
        source=Firing.Source.PUSH,
        cause=Cause.PUSH,
        by=actor.name,
        behind=actor.behind[:150],
        address=actor.address[:64],
        door=actor.door,
        knock=knock(actor),
        payload=payload,
        text="Waits for the commit, to see which files it changed.",
        opens_at=timezone.now(),
    )


def _changed(mirror: Path, before: str, after: str) -> list[str] | None:
    """The paths that the push changed, all of them for a new branch; None while the mirror has not the commit."""
    try:
        if history.commit_of(mirror, after) is None:
            return None
        known = before if before and history.commit_of(mirror, before) is not None else history.empty_tree(mirror)
        changes = history.changes(mirror, known, after)
    except PanelError:  # there is no mirror yet
        return None
    return [path for change in changes for path in (change.path, change.old_path) if path]


def _asks_for(trigger: Trigger, repository: Repository, branch: str, changed: list[str]) -> bool:
    sources = PushSource.objects.filter(trigger=trigger, repository=repository)
    wanted = [one.paths for one in sources if any_path_matches(branch, one.branches)]
    return any(any_path_matches(path, paths) for paths in wanted for path in changed or [""])


def _wait_on(firing: Firing, repository: Repository) -> None:
    """Fetched since it came, and not there: a later push has replaced it. Not fetched yet: it is."""
    if repository.fetched_at is not None and repository.fetched_at > firing.received_at + timedelta(seconds=60):
        firing_ignore(firing, "The commit is not on the server any more: a later push has replaced it.")
    else:
        repository_fetch_ring(repository=repository)


def _given_up(firing: Firing, looked_for: timedelta) -> bool:
    if looked_for <= GIVE_UP:
        return False
    repository = Repository.objects.filter(name=(firing.payload or {}).get("repository")).first()
    why = (repository and repository.fetch_error) or "the commit did not come"
    text = f"Which files changed could not be seen: {why}"
    rows = Firing.objects.filter(pk=firing.pk, state=Firing.State.CHECKING)
    rows.update(state=Firing.State.REFUSED, opens_at=None, text=text[:500])
    return True
