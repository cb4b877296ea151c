"""What goes with a trigger that is deleted, and what keeps it from being deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.runs.models import Run
from apps.runs.states import ENDED
from apps.triggers.models import Effect, EndSource, Firing, Trigger

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NAMED = 10


def goes_with(triggers: Sequence[Trigger]) -> list[str]:
    """In words: each trigger, with its firings, which are its own and may be many."""
    return [f"{trigger}, with {_firings(Firing.objects.filter(trigger=trigger).count())}" for trigger in triggers]


def keeps(triggers: Sequence[Trigger]) -> list[str]:
    """What it has promised and not yet done, and who relies on it; empty: it may go."""
    runs = Run.objects.filter(subject__in=[trigger.pk for trigger in triggers]).exclude(state__in=ENDED)
    found = [
        f"run #{number}, which is not finished"
        for number in runs.order_by("pk").values_list("pk", flat=True)[:MOST_NAMED]
    ]
    waiting = Effect.objects.filter(trigger__in=triggers, state=Effect.State.PENDING).values("firing")
    held = Firing.objects.filter(trigger__in=triggers, state__in=[Firing.State.HELD, Firing.State.CHECKING])
    if number := Firing.objects.filter(pk__in=waiting).count() + held.count():
        found.append(f"{_firings(number)} that did not have their turn yet")
    others = EndSource.objects.filter(of__in=[trigger.pk for trigger in triggers]).exclude(trigger__in=triggers)
    if others.exists():
        found.append("another trigger, which the end of its runs fires")
    return found


def _firings(number: int) -> str:
    return "1 firing" if number == 1 else f"{number:,} firings"
