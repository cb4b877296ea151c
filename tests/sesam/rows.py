"""Nodes and what was done to them, as rows made directly: the pages are tested apart from the work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from apps.repos.models import Repository
from apps.runs.models import Cause, Run
from apps.runs.states import ENDED, RunState
from apps.sesam.configuration import Configuration, Entity
from apps.sesam.models import Node, Snapshot, Sync
from apps.sesam.rules import Rules
from apps.sesam.storage import configuration_keep
from tests.ui.rows import repository_make, sha

SUBJECTS = (
    "Fetch customers from the new CRM",
    "Speed up the invoice pipe",
    "Remove the old webshop",
    "Name the ERP system by its region",
    "Keep orders for ninety days",
)
TOKEN = "eyJhbGciOi.unmistakable.token"


def node_make(name: str = "dev", repository: Repository | None = None, **fields: Any) -> Node:
    wanted: dict[str, Any] = {
        "url": f"https://{name}.example/api",
        "jwt": TOKEN,
        "repository": repository or Repository.objects.filter(name="conf").first() or repository_make("conf"),
        "sync_root": "sesam-home/sesam-node",
        "state": "in_sync",
        "checked_at": timezone.now(),
        "answered_at": timezone.now(),
        "check_after": timezone.now() + timedelta(seconds=48),
    }
    return Node.objects.create(name=name, **wanted | fields)


def pipe(name: str, **value: Any) -> Entity:
    body = {"_id": name, "type": "pipe", "source": {"type": "dataset", "dataset": f"{name}-in"}} | value
    return Entity(id=name, value=body, file=f"sesam-home/sesam-node/pipes/{name}.conf.json")


def configuration(*entities: Entity, variables: dict[str, Any] | None = None) -> Configuration:
    return Configuration(entities={one.id: one for one in entities}, variables=variables)


def sync_make(
    node: Node,
    number: int,
    *,
    action: str = "sync",
    state: RunState = RunState.SUCCEEDED,
    ago: timedelta = timedelta(hours=3),
    took: float | None = 7.0,
    by: str = "alice",
    before: Configuration | None = None,
    wanted: Configuration | None = None,
    **fields: Any,
) -> Sync:
    """A run with its sync. A successful sync is what the node then has."""
    at = timezone.now() - ago
    ended = at + timedelta(seconds=took) if took is not None and state in ENDED else None
    run = Run.objects.create(
        kind=action,
        subject_id=node.pk,
        subject_path=node.path,
        state=state,
        cause=Cause.PERSON,
        exclusive=action in {"sync", "restore"},
        requested_by=User.objects.filter(username=by).first(),
        requested_name=by,
        started_at=at,
        ended_at=ended,
        time_limit=3600,
        silence_limit=900,
    )
    Run.objects.filter(pk=run.pk).update(requested_at=at)
    kept: dict[str, Any] = {
        "ref": node.branch,
        "commit": sha(number),
        "commit_subject": SUBJECTS[number % len(SUBJECTS)],
        "commit_author": "Ola Coder",
        "rules": Rules().as_json(),
        "counts": {"new": number % 4, "changed": number % 3, "removed": 0, "variables": 0, "secrets": 0},
    }
    row = Sync.objects.create(
        run=run,
        run_number=run.pk,
        node=node,
        node_name=node.name,
        action=action,
        state=state,
        requested_name=by,
        started_at=at,
        ended_at=ended,
        before=configuration_keep(before) if before else None,
        wanted=configuration_keep(wanted) if wanted else None,
        **kept | fields,
    )
    Sync.objects.filter(pk=row.pk).update(requested_at=at)
    if action == "sync" and state == RunState.SUCCEEDED:
        node.applied_commit, node.applied_at = row.commit, ended
        Node.objects.filter(pk=node.pk).update(applied_commit=row.commit, applied_at=ended)
    return row


def snapshot_make(
    node: Node, content: Configuration, sync: Sync | None = None, ago: timedelta = timedelta()
) -> Snapshot:
    row = Snapshot.objects.create(
        node=node,
        sync=sync,
        content=configuration_keep(content),
        commit=sync.previous_commit if sync else "",
        entities=len(content.entities),
        variables=len(content.variables) if content.variables is not None else None,
    )
    Snapshot.objects.filter(pk=row.pk).update(taken_at=timezone.now() - ago)
    row.refresh_from_db()
    return row
