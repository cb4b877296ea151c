"""Acts on a node itself: pause, resume, look now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from apps.access import gate
from apps.access.errors import InputError
from apps.runs.services import paused_now
from apps.sesam.models import Node
from apps.sesam.services.check_due import check_start

if TYPE_CHECKING:
    from apps.access.actor import Actor


def node_pause(*, node: Node, actor: Actor, reason: str) -> None:
    """Nothing is applied by itself until someone resumes. For those who may sync; raises Refused, InputError."""
    if not reason.strip():
        raise InputError("Say why, for those who find it paused.", "reason")
    gate.require(
        actor=actor, act=gate.Act.STOP, subject=node, action="pause automatic applying", detail={"reason": reason}
    )
    Node.objects.filter(pk=node.pk).update(wanted_commit="", **paused_now(reason.strip()))


def node_resume(*, node: Node, actor: Actor, reason: str = "") -> None:
    """What is new is applied by itself again, from the next check on. For those who may sync; raises Refused."""
    detail = {"reason": reason} if reason else {}
    gate.require(actor=actor, act=gate.Act.STOP, subject=node, action="resume automatic applying", detail=detail)
    # Compared anew, or a check would find that nothing has changed since it was paused.
    rows = Node.objects.filter(pk=node.pk)
    rows.update(auto_paused_at=None, auto_paused_reason="", compared="", check_after=None, tried="", tries=0)


def node_check_request(*, node: Node, actor: Actor) -> None:
    """Have a worker look now. For those who may sync; raises Refused, InputError for a node that is off."""
    if not node.enabled:
        raise InputError(f"{node.name} is off: switch it on first.")
    gate.require(actor=actor, act=gate.Act.STOP, subject=node, action="check")
    with transaction.atomic():
        Node.objects.filter(pk=node.pk).update(compared="")
        check_start(node=node)
