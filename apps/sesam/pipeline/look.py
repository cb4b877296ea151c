"""Runs that only look: what a sync would change, and whether what Git holds is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from apps.sesam.models import Node
from apps.sesam.pipeline import stages
from apps.sesam.pipeline.compare import compared, guarded
from apps.sesam.pipeline.extras import extras_told
from apps.sesam.pipeline.gitside import commit_found, desired_found, names_verified
from apps.sesam.pipeline.outcome import failure_kept, success_kept
from apps.sesam.pipeline.session import node_of, session_opened
from apps.sesam.words import counts_words

if TYPE_CHECKING:
    from apps.runs.work import Work
    from apps.sesam.models import Sync


def plan(work: Work, row: Sync) -> None:
    """Everything up to the guard. Missing names and questions are told, and nothing fails for them."""
    node = node_of(row)
    work.plan_steps(stages.PLANNING, [""])
    with failure_kept(row, node), session_opened(work, row) as session:
        commit_found(work, row, node)
        work.remember(sync=row.pk, node=node.name, commit=row.commit)
        desired = desired_found(work, row, node)
        names_verified(work, row, node, desired, client=session.client, fails=False)
        session.desired, session.wanted = desired, desired.configuration
        compared(session)
        asked = guarded(session)
        session.keep(no_change=session.plan.is_empty)
        extras_told(session)
        missing = sum(len(names) for names in row.missing.values())
        more = [f"{missing} missing names"] if missing else []
        more += [f"{len(asked)} questions"] if asked else []
        told = ", ".join([counts_words(session.plan.counts), *more])
        work.summary = f"{row.ref} {row.commit[:8]} against {node.name}: {told}."


def verify(work: Work, row: Sync) -> None:
    """What Git holds, and all names that it uses; no node is asked."""
    node = node_of(row)
    work.plan_steps(stages.VERIFYING, [""])
    with failure_kept(row, node):
        commit_found(work, row, node)
        work.remember(sync=row.pk, node=node.name, commit=row.commit)
        desired = desired_found(work, row, node)
        names_verified(work, row, node, desired, client=None)
        row.counts = {"entities": len(desired.configuration.entities)}
        row.save(update_fields=["counts"])
        if node.is_ci:
            # There is no node behind it: what was verified last is what it “has”.
            success_kept(row, node, row.commit)
            Node.objects.filter(pk=node.pk).update(checked_at=timezone.now())
        work.summary = f"{row.ref} {row.commit[:8]} is sound: {len(desired.configuration.entities)} entities."
