"""What is read of agents and their orders, most of it by the hub at each of its looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.agents.hand_over import Open
from apps.agents.models import Agent, Order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

COLUMNS = (
    "run_id",
    "agent_id",
    "subject_id",
    "name",
    "run__state",
    "fired_at",
    "max_age",
    "run__stop_requested_by",
    "agent__enabled",
)


def sessions_count(prefix: str) -> int:
    """How many agents are connected to the process whose sessions begin so."""
    return Agent.objects.filter(session__startswith=prefix).count()


def lines_standing(agent_ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """The session and the key's digest of each of these agents."""
    rows = Agent.objects.filter(pk__in=agent_ids).values_list("pk", "session", "key_digest")
    return {number: (session, digest) for number, session, digest in rows}


def orders_open(prefix: str) -> Iterator[Open]:
    """Unfinished orders of the agents connected to this process, the oldest first."""
    rows = Order.objects.filter(open=True, agent__session__startswith=prefix)
    for row in rows.order_by("run_id").values_list(*COLUMNS):
        yield Open(*row)
