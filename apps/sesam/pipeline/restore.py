"""Putting back what a node had before one of its syncs: the way of a sync, with a snapshot in Git's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.runs.errors import RunFailed
from apps.sesam.configuration import Configuration
from apps.sesam.pipeline import stages
from apps.sesam.pipeline.outcome import failure_kept, success_kept
from apps.sesam.pipeline.session import node_of, session_opened
from apps.sesam.pipeline.sync import brought, debts_first
from apps.sesam.storage import configuration_of

if TYPE_CHECKING:
    from apps.runs.work import Work
    from apps.sesam.models import Snapshot, Sync


def restore(work: Work, row: Sync) -> None:
    """Carry it out; raises RunFailed and what else ends runs. What is protected stays as the node has it now."""
    node, snapshot = node_of(row), row.restored
    if snapshot is None:
        raise RunFailed("The snapshot is gone.")
    work.plan_steps(stages.RESTORING, [""])
    work.remember(sync=row.pk, node=node.name, snapshot=snapshot.pk)
    with failure_kept(row, node), session_opened(work, row) as session:
        debts_first(session)
        session.wanted = _content(snapshot, session.rules.config_group)
        work.log.note(f"Snapshot of {snapshot}: {snapshot.entities} entities.")
        work.log.note("Secrets cannot be restored: a node does not show their values. It keeps those that it has.")
        brought(session)
        success_kept(row, node, snapshot.commit)
    if work.reason is not None:
        work.summary = f"{work.summary} {work.reason} It came too late."


def _content(snapshot: Snapshot, group: str) -> Configuration:
    taken_of = snapshot.sync.rules.get("config_group", "") if snapshot.sync else group
    if taken_of != group:
        raise RunFailed(
            f"The snapshot is of the configuration group {taken_of or '(none)'}, and the node's is {group or '(none)'} "
            "now: it would take away what it does not know of.",
            "Set the group on the node as it was, and restore again.",
        )
    kept = configuration_of(snapshot.content)
    return Configuration(entities=kept.entities, variables=kept.variables)
