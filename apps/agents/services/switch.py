"""An agent switched off is given no work; its line stays, so that what it is at work on comes to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from apps.access import audit
from apps.access.decision import Decision, RuleResult
from apps.access.errors import Refused
from apps.agents.bell import ring_agents
from apps.agents.models import Agent

if TYPE_CHECKING:
    from apps.access.actor import Actor


def agent_switch(*, agent: Agent, actor: Actor, on: bool) -> None:
    """Let it work, or not. Raises Refused for who is no administrator."""
    action, user = f"switch agent {'on' if on else 'off'}", actor.user
    allowed = user.is_active and user.is_superuser if user is not None else actor.is_trusted and not actor.by_secret
    reasons = [] if allowed else ["Only an administrator may change agents."]
    with transaction.atomic():
        audit.record(actor=actor, action=action, allowed=allowed, reasons=reasons, detail={"agent": agent.name})
        if allowed:
            Agent.objects.filter(pk=agent.pk).update(enabled=on)
            ring_agents()
    if not allowed:
        rule = RuleResult(name="permission", allowed=False, reason=reasons[0])
        raise Refused(Decision(at=timezone.now(), rules=(rule,)))
    agent.enabled = on
