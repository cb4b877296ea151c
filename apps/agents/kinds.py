"""The kind of work that agents carry out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.agents.models import Order
from apps.runs.kinds import RunKind, register
from apps.runs.states import ENDED

if TYPE_CHECKING:
    from apps.runs.models import Run


class AgentKind(RunKind):
    """A build script on an agent."""

    name, label = "agent", "Agent script"
    is_remote = True

    def moved(self, run: Run) -> None:
        if run.state in ENDED:
            Order.objects.filter(run=run).update(open=False)


def register_kinds() -> None:
    register(AgentKind())
