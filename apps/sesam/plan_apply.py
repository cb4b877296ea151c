"""Whether a plan can be applied as it stands, by whom, and what must be confirmed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse

from apps.access.levels import Level
from apps.access.permissions import level_of
from apps.runs.states import ENDED, RunState
from apps.sesam import control
from apps.sesam.control_reads import situation_read
from apps.sesam.models import SyncAction

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.sesam.models import Node, Sync
    from apps.sesam.plan_reads import Comparison


def apply_context(row: Sync, comparison: Comparison, actor: Actor) -> dict[str, Any]:
    """What the form “Apply this” needs; nothing where there is nothing to apply, or nobody who may."""
    node = row.node
    if node is None or not _can_be_applied(row, comparison):
        return {}
    if control.is_troubled(row):
        return {"apply_refused": "It cannot be applied as it is: correct what is listed above first."}
    level = level_of(actor.user, node)
    if level < Level.IN_HOURS:
        return {"apply_refused": "You may look at this node; to apply needs the right to sync."}
    situation = situation_read(node=node, actor=actor, level=level)
    return {
        "apply": True,
        "situation": situation,
        "overrides": bool(actor.user and actor.user.is_superuser) and not situation.decision.allowed and node.enabled,
        "hours": node.hours,
        "verb": "Apply this",
        "look_url": reverse("admin:sesam_node_plan", args=[node.pk]),
        "look_label": "Plan again",
        "look_help": "",
        "questions": control.questions(row.questions),
        "plan_old": _why_old(row, node),
    }


def _can_be_applied(row: Sync, comparison: Comparison) -> bool:
    """A plan with something to do, or a sync that only waits for a person's word."""
    if row.state not in ENDED or not row.commit or comparison.plan.is_empty:
        return False
    if row.refused:
        return False
    if row.action == SyncAction.PLAN:
        return True
    return row.action == SyncAction.SYNC and row.state == RunState.FAILED and bool(row.questions) and not row.journal


def _why_old(row: Sync, node: Node) -> str:
    written = (SyncAction.SYNC, SyncAction.RESTORE)
    since = node.syncs.filter(action__in=written, pk__gt=row.pk).order_by("-id").first()
    return control.plan_is_old(row, node, since)
