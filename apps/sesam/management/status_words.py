"""What the panel knows of nodes, as lines for a terminal and as JSON for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.sesam.management.acting import question_lines
from apps.sesam.selectors import branch_of, repository_of, snapshots_of
from apps.sesam.words import shown

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from apps.sesam.models import Node, Snapshot

SNAPSHOTS = 10


def status_json(node: Node, run: int | None, *, whole: bool) -> dict[str, Any]:
    """What scripts get of a node; its snapshots too, when it was asked for alone."""
    repository = repository_of(node)
    found = {
        "node": node.name,
        "enabled": node.enabled,
        "state": node.state,
        "since": node.state_since,
        "detail": node.state_detail,
        "repository": repository.name if repository else None,
        "branch": branch_of(node),
        "apply": node.apply_mode,
        "paused": node.auto_paused_reason if node.auto_paused_at else None,
        "applied_commit": node.applied_commit or None,
        "applied_at": node.applied_at,
        "seen_commit": node.seen_commit or None,
        "checked_at": node.checked_at,
        "next_check": next_check(node),
        "questions": node.questions,
        "owed": node.owed_id is not None,
        "run": run,
    }
    return found | ({"snapshots": [_snapshot_json(one) for one in snapshots_of(node)]} if whole else {})


def status_line(node: Node, run: int | None) -> str:
    """One node of many."""
    marks = [
        f"run #{run}" if run else "",
        "automatic applying paused" if node.auto_paused_at else "",
        shown(node.state_detail),
    ]
    told = ", ".join(mark for mark in marks if mark)
    since = _time(node.state_since)
    commit = node.applied_commit[:10] or "-"
    return f"{node.name:<20} {node.get_state_display():<18} {since:<17} {commit:<11} {told}".rstrip()


def status_lines(node: Node, run: int | None) -> Iterator[str]:
    """One node, with all that there is."""
    repository = repository_of(node)
    yield f"{node.name}: {node.get_state_display().lower()} since {_time(node.state_since)}"
    if node.state_detail:
        yield f"  {shown(node.state_detail)}"
    yield f"  follows      {f'{repository.name} {branch_of(node)}' if repository else 'nothing'}"
    yield f"  applies      {node.get_apply_mode_display().lower()}{_paused(node)}"
    yield f"  last good    {f'{node.applied_commit[:10]} {_time(node.applied_at)}' if node.applied_commit else 'none'}"
    yield f"  checked      {_time(node.checked_at) or 'never'}, next {_time(next_check(node)) or 'never by itself'}"
    if run:
        yield f"  at work      run #{run}"
    for line in question_lines(node.questions):
        yield f"  {line}"
    snapshots = list(snapshots_of(node)[:SNAPSHOTS])
    yield f"  snapshots    {'none' if not snapshots else 'newest first; restore --snapshot NUMBER'}"
    for one in snapshots:
        yield f"    {_snapshot_line(one)}"


def next_check(node: Node) -> dt.datetime | None:
    """When a worker looks at it next; None when never by itself."""
    if not node.enabled or node.interval is None or node.is_ci:
        return None
    return node.check_after or timezone.now()


def _paused(node: Node) -> str:
    return f"; paused: {node.auto_paused_reason}" if node.auto_paused_at else ""


def _snapshot_json(one: Snapshot) -> dict[str, Any]:
    return {
        "snapshot": one.pk,
        "taken_at": one.taken_at,
        "commit": one.commit or None,
        "entities": one.entities,
        "variables": one.variables,
        "run": one.sync.run_number if one.sync else None,
    }


def _snapshot_line(one: Snapshot) -> str:
    variables = "variables unread" if one.variables is None else f"{one.variables} variables"
    run = f"before run #{one.sync.run_number}" if one.sync and one.sync.run_number else ""
    commit = one.commit[:10] or "-"
    return f"{one.pk:<6} {_time(one.taken_at)}  {commit:<11} {one.entities} entities, {variables}  {run}".rstrip()


def _time(at: dt.datetime | None) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}" if at else ""
