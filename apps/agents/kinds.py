"""The kind of work that agents carry out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from apps.agents.bell import ring_agents
from apps.agents.models import Order
from apps.runs.kinds import RunKind, register
from apps.runs.states import ENDED, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.runs.models import Run


class AgentKind(RunKind):
    """A build script on an agent."""

    name, label = "agent", "Agent script"
    is_remote = True

    def lost_after(self, run: Run) -> float:
        """An agent that cannot reach the panel works on: it gets longer than a runner beside the database."""
        return float(settings.AGENT_LOST_AFTER)

    def moved(self, run: Run) -> None:
        if run.state in ENDED:
            Order.objects.filter(run=run, open=True).update(open=False)
        if run.state != RunState.RUNNING:
            ring_agents()  # it is to be stopped, or the next one of its trigger may begin

    def moved_together(self, runs: Sequence[Run]) -> None:
        Order.objects.filter(run__in=runs, open=True).update(open=False)
        ring_agents()


def register_kinds() -> None:
    register(AgentKind())
