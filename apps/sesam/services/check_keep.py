"""Keeping what a check found, unless a run was at work meanwhile: what that wrote is newer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.access import audit
from apps.access.actor import Actor, Door
from apps.repos.services import repository_fetch_ring
from apps.runs.models import Run
from apps.runs.states import ACTIVE
from apps.sesam.models import Node
from apps.sesam.services.check_due import claims_release, pause_of
from apps.sesam.services.check_look import source_of, wish_digest
from apps.sesam.services.state import node_state_set

if TYPE_CHECKING:
    from datetime import datetime

    from apps.repos.models import Repository
    from apps.sesam.services.check_judge import Verdict
    from apps.sesam.services.check_look import Seen, Tip

FETCH_SOON, FETCH_LATER = timedelta(seconds=2), timedelta(seconds=10)  # until a fetch is looked for again
DRIFT = "drift "  # begins what is remembered of a try to heal
QUIET = timedelta(hours=2)  # without drift, after which a node counts as one that does not drift
FETCH_LONG = timedelta(seconds=20)  # one that takes longer, is not looked for so often


def verdict_keep(*, node: Node, claimed_at: datetime, tip: Tip, seen: Seen, verdict: Verdict) -> bool:
    """Store it and give back the claim; whether it counts. It does not when a run was at work, or the claim is void."""
    now = timezone.now()
    with transaction.atomic():
        if _overtaken(node, claimed_at):
            claims_release(ids=[node.pk], claimed_at=claimed_at, again_at=now)
            return False
        mine = Node.objects.filter(pk=node.pk, check_claimed_at=claimed_at)
        if not mine.update(**_schedule(node, claimed_at, now, verdict), **_found(node, now, tip, seen, verdict)):
            return False
        node_state_set(node=node, state=verdict.state, detail=verdict.detail)
        if verdict.in_sync and tip.commit != node.applied_commit:
            _record(node, tip.commit)
    return True


def fetch_awaited(*, node: Node, claimed_at: datetime) -> None:
    """The mirror lacks the commit: have it fetched, and look again soon. Nothing of the node's is changed."""
    now, repository = timezone.now(), source_of(node).repository
    with transaction.atomic():
        if repository is not None:
            repository_fetch_ring(repository=repository)
        claims_release(ids=[node.pk], claimed_at=claimed_at, again_at=now + _patience(repository, now))


def _overtaken(node: Node, claimed_at: datetime) -> bool:
    runs = Run.objects.filter(subject_id=node.pk, exclusive=True)
    return runs.filter(Q(state__in=ACTIVE) | Q(ended_at__gte=claimed_at)).exists()


def _schedule(node: Node, claimed_at: datetime, now: datetime, verdict: Verdict) -> dict[str, Any]:
    failures = node.check_failures + 1 if verdict.failed else 0
    after = None
    if node.interval is not None or (node.owed_id is not None and verdict.failed):
        # From the claim on, which all nodes of a repository have in common: they stay together.
        due = claimed_at + timedelta(seconds=pause_of(node, failures))
        after = max(due, now + timedelta(seconds=1))
    return {"check_claimed_at": None, "checked_at": now, "check_after": after, "check_failures": failures}


def _found(node: Node, now: datetime, tip: Tip, seen: Seen, verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = {"compared": verdict.key, "questions": list(verdict.questions)}
    found["seen_commit"] = "" if tip.error else tip.commit
    if not seen.error:
        found |= {"answered_at": now, "seen_digest": seen.digest, "seen_etag": seen.etag[:200]}
    if verdict.in_sync:
        found |= _tried(node, now)
        found["applied_settings"] = wish_digest(node)
        if tip.commit != node.applied_commit:
            found |= {"applied_commit": tip.commit, "applied_at": now}
    return found


def _tried(node: Node, now: datetime) -> dict[str, Any]:
    """It is in sync: what was tried has helped. How often it was healed of late, still counts."""
    if node.tried.startswith(DRIFT) and node.tried_at is not None and now - node.tried_at < QUIET:
        return {"tried": DRIFT}
    return {"tried": "", "tries": 0}


def _record(node: Node, commit: str) -> None:
    """The last good commit moves on without a run: the node has all that it wants."""
    actor = Actor(user=None, door=Door.SCHEDULE, behind="a check")
    detail = {"commit": commit, "before": node.applied_commit}
    audit.record(actor=actor, action="find in sync", subject=node, detail=detail)


def _patience(repository: Repository | None, now: datetime) -> timedelta:
    rung = repository.fetch_rung_at if repository is not None else None
    return FETCH_LATER if rung is not None and now - rung > FETCH_LONG else FETCH_SOON
