"""What `manage.py trigger` reads, and how it words what it found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.access.errors import InputError
from apps.triggers.models import Effect, Firing
from apps.triggers.payload import LONGEST, payload_read

if TYPE_CHECKING:
    from datetime import datetime

    from apps.triggers.models import Trigger

FIRINGS_SHOWN = 10


def payload_given(text: str) -> Any:
    """JSON, or `@FILE`, or `@-` for standard input. Raises InputError."""
    if not text.startswith("@"):
        return payload_read(text)
    try:
        if text == "@-":
            raw = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with Path(text[1:]).open("rb") as file:
                raw = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{text[1:]} cannot be read: {problem}.", "--payload") from None
    return payload_read(raw)


def trigger_row(trigger: Trigger) -> dict[str, Any]:
    """One trigger, for JSON."""
    return {
        "name": trigger.name,
        "enabled": trigger.enabled,
        "count": trigger.count,
        "fired_at": trigger.fired_at,
        "concurrency": trigger.concurrency,
        "when_closed": trigger.when_closed,
        "hours": trigger.hours.name if trigger.hours else None,
        "schedule": trigger.schedule,
        "next_at": trigger.next_at,
        "agents": [agent.name for agent in trigger.agents.all()],
        "held": trigger.firings.filter(state=Firing.State.HELD).count(),
    }


def firing_row(firing: Firing) -> dict[str, Any]:
    """One firing with what it led to, for JSON."""
    return {
        "firing": firing.pk,
        "trigger": firing.trigger.name,
        "state": firing.state,
        "count": firing.count,
        "source": firing.source,
        "by": firing.by,
        "behind": firing.behind,
        "received_at": firing.received_at,
        "opens_at": firing.opens_at,
        "text": firing.text,
        "effects": [effect_row(effect) for effect in effects_of(firing)],
    }


def effect_row(effect: Effect) -> dict[str, Any]:
    run = effect.run
    return {
        "target": effect.target,
        "state": effect.state,
        "text": effect.text,
        "run": run.pk if run else None,
        "run_state": run.state if run else None,
        "summary": run.summary if run else "",
    }


def effects_of(firing: Firing) -> list[Effect]:
    return list(firing.effects.select_related("run").order_by("pk"))


def firing_words(firing: Firing) -> str:
    """One line: `Fired: the count is 7.`"""
    if firing.state == Firing.State.FIRED:
        return f"{firing.trigger} fired: the count is {firing.count}."
    if firing.state == Firing.State.HELD and firing.opens_at:
        return f"{firing.trigger} is held until {moment(firing.opens_at)}. {firing.text}".rstrip()
    return f"{firing.trigger}: {firing.get_state_display().lower()}. {firing.text}".rstrip()


def effect_words(effect: Effect) -> str:
    run = effect.run
    if effect.state != Effect.State.STARTED or run is None:
        return f"{effect.target}: {effect.get_state_display().lower()}. {effect.text}".rstrip()
    return f"{effect.target}: run #{run.pk} {run.get_state_display().lower()}. {run.summary}".rstrip()


def trigger_lines(trigger: Trigger) -> list[str]:
    """One trigger in full, with its newest firings."""
    row = trigger_row(trigger)
    lines = [
        f"{trigger}: {'on' if trigger.enabled else 'OFF'}, count {trigger.count}",
        f"  fired        {moment(trigger.fired_at)}",
        f"  concurrency  {trigger.concurrency}",
        f"  agents       {', '.join(row['agents']) or 'none'}",
        f"  does         {', '.join(str(action) for action in trigger.actions.all()) or 'nothing else'}",
    ]
    if trigger.schedule:
        lines.append(f"  schedule     {trigger.schedule}, next {moment(trigger.next_at)}")
    if trigger.hours:
        lines.append(f"  hours        {trigger.hours.name}; outside them firings are: {trigger.when_closed}")
    for firing in trigger.firings.all()[:FIRINGS_SHOWN]:
        who = f"{firing.by} ({firing.behind})" if firing.behind else firing.by
        lines.append(
            f"  {firing.count or '-':>6}  {moment(firing.received_at)}  {firing.state}  {firing.source}, {who}"
        )
    return lines


def moment(at: datetime | None) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}" if at else "never"
