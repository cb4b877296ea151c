"""Agents for which work waits and that are not there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.agents.models import Agent, Order
from apps.agents.presence import away_words, is_online
from apps.runs.states import RunState
from deploypanel.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator


def agents() -> Iterator[Finding]:
    """One that is away and has nothing to do is no fault: it may be switched off for the night."""
    waiting = Counter(
        Order.objects.filter(open=True, run__state=RunState.QUEUED).values_list("agent_id", flat=True)[:10_000]
    )
    for agent in Agent.objects.filter(pk__in=list(waiting)):
        about, runs = f"agent {agent.name}", f"{waiting[agent.pk]} runs wait for it"
        if not agent.enabled:
            yield Finding(about=about, text=f"is switched off, and {runs}", remedy="switch it on, or stop the runs")
        elif not agent.key_digest:
            remedy = f"manage.py agent code {agent.name}, then enrol its machine"
            yield Finding(about=about, text=f"is no machine (yet), and {runs}", remedy=remedy)
        elif not is_online(agent, timezone.now()):
            text = f"is away, and {runs}. {away_words(agent)}"
            yield Finding(about=about, text=text, remedy="look on the machine: systemctl status deploypanel-agent")
