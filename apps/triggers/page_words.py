"""What the pages of a trigger say, as plain data: made from rows already read, without any I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from apps.runs.notices import Badge, Banner, freeze_banner, hours_banners
from apps.runs.states import ENDED, RunState
from apps.triggers.models import Action, Effect, Firing, Trigger, WhenClosed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.access.decision import Decision
    from apps.access.models import Freeze
    from apps.agents.models import Agent
    from apps.runs.models import Run

EFFECT_TONES = {
    Effect.State.PENDING: "idle",
    Effect.State.STARTED: "info",
    Effect.State.MERGED: "idle",
    Effect.State.SKIPPED: "idle",
    Effect.State.UNMET: "idle",
    Effect.State.REFUSED: "bad",
    Effect.State.FAILED: "bad",
}
EFFECT_WORDS = {
    Effect.State.PENDING: "Waits",
    Effect.State.STARTED: "Started",
    Effect.State.MERGED: "Later firing",
    Effect.State.SKIPPED: "Skipped",
    Effect.State.UNMET: "Not asked for",
    Effect.State.REFUSED: "Refused",
    Effect.State.FAILED: "Not started",
}
FIRING_TONES = {
    Firing.State.HELD: "warn",
    Firing.State.CHECKING: "info dp-busy",
    Firing.State.FIRED: "good",
    Firing.State.REFUSED: "bad",
    Firing.State.IGNORED: "idle",
}
FIRING_WORDS = {
    Firing.State.HELD: "Held",
    Firing.State.CHECKING: "Checking",
    Firing.State.FIRED: "Fired",
    Firing.State.REFUSED: "Refused",
    Firing.State.IGNORED: "Nothing to do",
}
# Who called: what a person, a forge or a clock is called by itself needs no second name.
SOURCE_WORDS = {
    Firing.Source.OLD: "old client",
    Firing.Source.HTTP: "HTTP",
    Firing.Source.ADMIN: "admin",
    Firing.Source.COMMAND: "command",
    Firing.Source.PUSH: "push",
    Firing.Source.SCHEDULE: "schedule",
    Firing.Source.RUN: "end of a run",
}


def firing_badge(firing: Firing) -> Badge:
    state = Firing.State(firing.state)
    return Badge(text=FIRING_WORDS[state], tone=FIRING_TONES[state], hint=firing.text or state.label)


def effect_badge(effect: Effect) -> Badge:
    """How it went with one target, as far as there is no run to tell."""
    state = Effect.State(effect.state)
    return Badge(text=EFFECT_WORDS[state], tone=EFFECT_TONES[state], hint=effect.text or state.label)


def headline(trigger: Trigger, *, held: int, live: Sequence[Run], last: Run | None) -> Badge:
    """The one word on top of the page."""
    if not trigger.enabled:
        return Badge(text="Off", hint="It refuses every firing.")
    if live:
        return Badge(text="At work", tone="info dp-busy")
    if held:
        return Badge(text=f"{held} held", tone="warn", hint="Firings wait until the window opens.")
    if last is not None and last.state in ENDED and last.state != RunState.SUCCEEDED:
        return Badge(text=f"Last run {RunState(last.state).label.lower()}", tone="bad")
    return Badge(text="Ready", tone="good") if trigger.count else Badge(text="Never fired")


def banners(
    trigger: Trigger,
    *,
    freezes: Sequence[Freeze],
    decision: Decision,
    actions: Sequence[Action],
    agents: Sequence[Agent],
    away: int,
    may_configure: bool,
) -> list[Banner]:
    """Everything that stands in the way, the gravest first. `away`: how many of its agents are not connected."""
    found = [freeze_banner(freeze) for freeze in freezes]
    found += [_with_wait(banner, trigger) for banner in hours_banners(decision)]
    if not trigger.enabled:
        act = "switch" if may_configure else ""
        text = "It refuses every firing until somebody switches it on."
        found.append(Banner(tone="warn", title="This trigger is off.", text=text, act=act, label="Switch on"))
    if not actions and not agents:
        text = (
            "Firings are counted, and old clients see them; nothing is started. Add agents or actions under Configure."
        )
        found.append(Banner(tone="info", title="A firing starts nothing of its own.", text=text))
    if agents and away == len(agents):
        names = ", ".join(sorted(agent.name for agent in agents)[:5])
        text = f"{names}: firings wait for them, for as long as “max age” allows."
        found.append(Banner(tone="warn", title="None of its agents is connected.", text=text))
    return found


def _with_wait(banner: Banner, trigger: Trigger) -> Banner:
    after = "Firings are held until then." if trigger.when_closed == WhenClosed.HOLD else "Firings are refused."
    return Banner(tone=banner.tone, title=banner.title, text=f"{banner.text} {after}")


def rule_words(rule: Any) -> str:
    """The rule of an action on one line, as it is written."""
    return json.dumps(rule, ensure_ascii=False, separators=(", ", ": ")) if rule else ""


def payload_text(payload: Any) -> str:
    """A payload as people read it; nothing for none."""
    return "" if payload is None else json.dumps(payload, indent=2, ensure_ascii=False)
