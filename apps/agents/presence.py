"""Whether an agent is there, and how pages say it: from rows already read, without any I/O."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from apps.runs.notices import Badge
from apps.runs.wording import moment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from apps.agents.models import Agent

# An agent beats every 25 seconds at least, and what is heard is written in batches. A web process that was killed
# could not write down that its agents are gone.
SILENT_AFTER = timedelta(seconds=90)
TRANSPORTS = {"websocket": "Connected by WebSocket.", "poll": "Connected by long polling."}


def is_online(agent: Agent, now: datetime) -> bool:
    """Whether it is connected, as far as the panel knows at that moment."""
    if not agent.session or not agent.key_digest or agent.seen_at is None:
        return False
    return now - agent.seen_at < SILENT_AFTER


def agent_badge(agent: Agent, now: datetime) -> Badge:
    """Whether work reaches this machine now. Switched off counts before everything else."""
    if not agent.enabled:
        return Badge(text="Off", hint="It is given no work.")
    if is_online(agent, now):
        return Badge(text="Online", tone="good", hint=TRANSPORTS.get(agent.transport, ""))
    if not agent.key_digest and agent.revoked_at is not None:
        return Badge(text="Revoked", tone="bad", hint="Its key opens nothing any more; a new code enrols it again.")
    if not agent.key_digest:
        return Badge(text="Not enrolled", tone="warn", hint="No machine goes by this name yet.")
    return Badge(text="Offline", tone="bad", hint=away_words(agent))


def away_words(agent: Agent) -> str:
    """Since when it has not been heard."""
    left = agent.disconnected_at if not agent.session and agent.disconnected_at is not None else agent.seen_at
    return f"Not connected since {moment(left)}." if left else "It was never connected."


def online_count(agents: Iterable[Agent], now: datetime) -> int:
    return sum(agent.enabled and is_online(agent, now) for agent in agents)
