"""What the pages of a trigger read, each thing once. It decides nothing: page_words.py says what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.paginator import Page, Paginator
from django.db.models import Exists, OuterRef, Prefetch, Q, Subquery
from django.utils import timezone

from apps.access import gate
from apps.access.levels import Level
from apps.access.models import Subject
from apps.access.permissions import subjects_visible
from apps.access.selectors import freezes_on
from apps.agents.models import Order
from apps.agents.presence import agent_badge, online_count
from apps.runs.models import Run
from apps.runs.notices import Badge
from apps.runs.selectors import runs_visible
from apps.runs.situation import Situation
from apps.runs.states import ACTIVE, RunState
from apps.triggers import page_words
from apps.triggers.models import Action, Effect, EndSource, Firing, PushSource, Trigger
from apps.triggers.services.admit import firing_rules

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from apps.access.actor import Actor
    from apps.agents.models import Agent

FIRINGS_PAGE = 15
HELD_SHOWN = 10
LIVE_SHOWN = 8
UNFINISHED = (RunState.WAITING, *ACTIVE)
HIDDEN = "something that you may not see"


@dataclass(frozen=True, kw_only=True)
class AgentLine:
    """One of the trigger's agents: whether it is there, and how its last run of this trigger went."""

    agent: Agent
    badge: Badge
    last: Run | None


@dataclass(frozen=True, kw_only=True)
class ActionLine:
    """One thing that a firing does, as far as the person may know of it."""

    action: Action
    kind: str
    target: Subject | None  # an environment or node with a page
    words: str
    rule: str


@dataclass(frozen=True, kw_only=True)
class EffectLine:
    """What a firing led to at one target: the run, or why there is none."""

    target: str
    badge: Badge
    run: Run | None
    text: str


@dataclass(frozen=True, kw_only=True)
class FiringLine:
    firing: Firing
    badge: Badge
    source: str
    effects: tuple[EffectLine, ...]


@dataclass(frozen=True, kw_only=True)
class TriggerSituation(Situation):
    """A trigger as it stands at one moment, for one person."""

    trigger: Trigger
    agents: tuple[AgentLine, ...]
    actions: tuple[ActionLine, ...]
    pushes: tuple[PushSource, ...]
    ends: tuple[EndSource, ...]
    held: tuple[Firing, ...]
    held_total: int
    live: tuple[Run, ...]
    last_firing: Firing | None

    @property
    def online(self) -> int:
        return sum(line.badge.text == "Online" for line in self.agents)


def situation_read(*, trigger: Trigger, actor: Actor, level: Level) -> TriggerSituation:
    """Everything about `trigger` that `actor` needs before firing it."""
    now = timezone.now()
    on, *_ = firing_rules(trigger, depth=0)  # of circles, a page needs no word
    decision = gate.decide(actor=actor, act=gate.Act.ACT, subject=trigger, at=now, extra=[on])
    person = actor.user
    seen = _Sight(person)
    agents = list(_agents(trigger))
    actions = list(trigger.actions.select_related("environment", "node", "cluster").prefetch_related("hosts"))
    held = list(trigger.firings.filter(state=Firing.State.HELD).order_by("id")[: HELD_SHOWN + 1])
    held_total = len(held)
    if held_total > HELD_SHOWN:
        held_total = trigger.firings.filter(state=Firing.State.HELD).count()
    live = _runs_live(trigger, person)
    return TriggerSituation(
        trigger=trigger,
        level=level,
        decision=decision,
        active=None,  # firings of a trigger do not exclude each other
        waiting=(),
        banners=tuple(
            page_words.banners(
                trigger,
                freezes=list(freezes_on(trigger, now)),
                decision=decision,
                actions=actions,
                agents=agents,
                away=len(agents) - online_count(agents, now),
                may_configure=level >= Level.CONFIGURE,
            )
        ),
        headline=page_words.headline(trigger, held=held_total, live=live, last=_run_last(trigger)),
        agents=_agent_lines(agents, now),
        actions=tuple(_action_line(action, seen) for action in actions),
        pushes=tuple(row for row in trigger.push_sources.select_related("repository") if seen(row.repository_id)),
        ends=tuple(row for row in trigger.end_sources.select_related("of") if seen(row.of_id)),
        held=tuple(held[:HELD_SHOWN]),
        held_total=held_total,
        live=tuple(live),
        last_firing=trigger.firings.filter(state=Firing.State.FIRED).first(),
    )


class _Sight:
    """Which subjects the person sees: asked once, at the first question."""

    def __init__(self, person: User | None) -> None:
        self.person = person
        self._numbers: set[int] | None = None

    def __call__(self, number: int | None) -> bool:
        if self.person is not None and self.person.is_superuser:
            return True
        if self._numbers is None:
            self._numbers = set(subjects_visible(self.person).values_list("pk", flat=True))
        return number in self._numbers


def _agents(trigger: Trigger) -> QuerySet[Agent]:
    newest = Order.objects.filter(agent=OuterRef("pk"), subject=trigger.pk).order_by("-run_id")
    return trigger.agents.annotate(last_run_id=Subquery(newest.values("run_id")[:1]))


def _agent_lines(agents: Iterable[Any], now: datetime) -> tuple[AgentLine, ...]:
    runs = Run.objects.in_bulk({agent.last_run_id for agent in agents if agent.last_run_id})
    return tuple(
        AgentLine(agent=agent, badge=agent_badge(agent, now), last=runs.get(agent.last_run_id)) for agent in agents
    )


def _runs_live(trigger: Trigger, person: User | None) -> list[Run]:
    """What it started and is not finished, the oldest first."""
    if person is None:
        return []
    # Asked of the few runs that have not ended, not of all that the trigger ever led to.
    mine = Q(subject=trigger.pk) | Exists(Effect.objects.filter(run=OuterRef("pk"), trigger=trigger))
    live = runs_visible(person).filter(mine, state__in=UNFINISHED).select_related("order__agent")
    return list(live.order_by("id")[:LIVE_SHOWN])


def _run_last(trigger: Trigger) -> Run | None:
    newest = Effect.objects.filter(trigger=trigger, run__isnull=False).select_related("run").order_by("-id").first()
    return newest.run if newest is not None else None


def _action_line(action: Action, seen: _Sight) -> ActionLine:
    kind, target = Action.Kind(action.kind), action.environment or action.node
    words = ""
    if target is not None and not seen(target.pk):
        target, words = None, HIDDEN
    elif kind is Action.Kind.SCRIPT:
        words = _places(action)
    elif kind is Action.Kind.DEPLOY and target is not None:
        words = f"commit from {action.commit_from}" if action.commit_from else "the newest commit of its branch"
    return ActionLine(
        action=action, kind=kind.value, target=target, words=words, rule=page_words.rule_words(action.when)
    )


def _places(action: Action) -> str:
    """Where a script runs."""
    places = [f"cluster {action.cluster.name}"] if action.cluster is not None else []
    return ", ".join([*places, *(host.name for host in action.hosts.all())]) or "no host"


# --- firings --------------------------------------------------------------------------------


def firings_page(trigger: Trigger, person: User, number: str) -> Page[Any]:
    """One page of its firings, newest first; a page that does not exist is the nearest that does."""
    page: Page[Any] = Paginator(trigger.firings.order_by("-id"), FIRINGS_PAGE).get_page(number)
    page.object_list = firing_lines(page.object_list, person)
    return page


def firing_lines(firings: Iterable[Firing], person: User) -> list[FiringLine]:
    """Firings with what each led to, as far as the person may see that; a fixed number of queries."""
    rows = list(firings)
    effects: dict[int, list[EffectLine]] = {}
    seen = _Sight(person)
    for effect in effects_read(row.pk for row in rows):
        effects.setdefault(effect.firing_id, []).append(_effect_line(effect, seen))
    return [
        FiringLine(
            firing=row,
            badge=page_words.firing_badge(row),
            source=page_words.SOURCE_WORDS[Firing.Source(row.source)],
            effects=tuple(effects.get(row.pk, ())),
        )
        for row in rows
    ]


def payload_seen(firing: Firing, person: User) -> bool:
    """Whether this person may read the payload: that of a push or of a run's end tells of something else."""
    telling = {Firing.Source.PUSH: "repository", Firing.Source.RUN: "of"}.get(Firing.Source(firing.source))
    if telling is None or person.is_superuser:
        return True
    if firing.ended_run is not None:
        return _Sight(person)(firing.ended_run.subject_id)
    path = firing.payload.get(telling) if isinstance(firing.payload, dict) else None
    named = set(Subject.objects.filter(path=path).values_list("pk", flat=True)) if isinstance(path, str) else set()
    return bool(named) and all(map(_Sight(person), named))


def effects_read(firings: Iterable[int]) -> QuerySet[Effect]:
    whole = Run.objects.defer("params", "result")
    rows = Effect.objects.filter(firing__in=list(firings)).select_related("action").order_by("id")
    return rows.prefetch_related(Prefetch("run", queryset=whole))


def _effect_line(effect: Effect, seen: _Sight) -> EffectLine:
    badge = page_words.effect_badge(effect)
    if not _is_seen(effect, seen):
        return EffectLine(target=HIDDEN, badge=Badge(text=badge.text, tone=badge.tone), run=None, text="")
    return EffectLine(target=effect.target, badge=badge, run=effect.run, text=effect.text)


def _is_seen(effect: Effect, seen: _Sight) -> bool:
    """Its agents and scripts belong to the trigger itself; environments and nodes are shown to who sees them."""
    if effect.agent_id is not None:
        return True
    if effect.run is not None:
        return seen(effect.run.subject_id)
    if effect.action is None:
        return seen(None)
    target = effect.action.environment_id or effect.action.node_id
    return target is None or seen(target)
