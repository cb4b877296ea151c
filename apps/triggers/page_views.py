"""A trigger's control page and what it fetches. Every view first asks whether the person may see the trigger at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import Http404, HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.access.admin_site import actor_of
from apps.access.levels import Level
from apps.access.permissions import level_of, subjects_visible
from apps.runs.notices import is_unprotected
from apps.triggers import page_lines
from apps.triggers.models import Action, Concurrency, Trigger, WhenClosed
from apps.triggers.page_reads import TriggerSituation, firings_page, situation_read
from apps.triggers.services.secrets import server_secret_is_set

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WITH = ("hours", "act_as")
CONCURRENCY = {Concurrency.EACH: "Each", Concurrency.LATEST: "Latest", Concurrency.SKIP: "Skip"}
ACTS = ("fire", "secret", "forget", "switch")


def trigger_or_404(request: HttpRequest, pk: int) -> tuple[Trigger, Level]:
    """The trigger and how much this person may do with it. Unknown and invisible are the same answer."""
    visible = subjects_visible(_user(request), "trigger").values("pk")
    trigger = get_object_or_404(Trigger.objects.filter(pk__in=visible).select_related(*WITH), pk=pk)
    level = level_of(_user(request), trigger)
    if level < Level.VIEW:
        raise Http404
    return trigger, level


def _user(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]  # admin_view lets only people of the panel in


@require_GET
def control_page(request: HttpRequest, pk: int) -> TemplateResponse:
    """What it does and what it did, and the buttons that this person may press."""
    return control_answer(request, pk)


def control_answer(request: HttpRequest, pk: int, *, payload: str = "", payload_trouble: str = "") -> TemplateResponse:
    """The control page; with a payload that was refused, which somebody may have typed with care."""
    situation = _situation(request, pk)
    context = {
        **admin.site.each_context(request),
        **situation_context(request, situation),
        **_lines(situation.trigger),
        "title": f"Trigger {situation.trigger}",
        "firings": firings_page(situation.trigger, _user(request), request.GET.get("page", "1")),
        "payload": payload,
        "payload_trouble": payload_trouble,
    }
    return TemplateResponse(request, "triggers/control.html", context)


def _situation(request: HttpRequest, pk: int) -> TriggerSituation:
    trigger, level = trigger_or_404(request, pk)
    return situation_read(trigger=trigger, actor=actor_of(request), level=level)


def situation_context(request: HttpRequest, situation: TriggerSituation) -> dict[str, Any]:
    """What the parts of the page that refresh themselves are made of."""
    trigger, person = situation.trigger, _user(request)
    own = any(line.kind == Action.Kind.AGENTS for line in situation.actions)
    return {
        "situation": situation,
        "trigger": trigger,
        "banners": situation.banners,
        "act_urls": {name: reverse(f"admin:triggers_trigger_{name}", args=[trigger.pk]) for name in ACTS},
        "concurrency": CONCURRENCY[Concurrency(trigger.concurrency)],
        "has_agents_action": own,
        "does_agents": bool(situation.agents),
        "manages_agents": person.is_superuser,
        "overrides": person.is_superuser and not situation.decision.allowed,
        "holds": trigger.when_closed == WhenClosed.HOLD,
        "old_clients_on": server_secret_is_set(),
        "unprotected": is_unprotected(request.get_host(), request.is_secure()),
    }


def _lines(trigger: Trigger) -> dict[str, str]:
    return {
        "fire_url": page_lines.fire_url(trigger.name),
        "curl_line": page_lines.curl_line(trigger.name, "THE-SECRET"),
        "old_line": page_lines.old_line(trigger.name),
        "command_line": page_lines.command_line(trigger.name),
    }


LIVE_REGIONS = {
    "control-head": "triggers/_head.html",
    "control-banners": "runs/_banners.html",
    "control-running": "triggers/_running.html",
    "control-held": "triggers/_held.html",
    "control-agents": "triggers/_agents.html",
    "control-firings": "triggers/_firings.html",
}


@require_GET
def live(request: HttpRequest, pk: int) -> JsonResponse:
    """The parts of the page that move, by the id of the element they belong into."""
    situation = _situation(request, pk)
    context = situation_context(request, situation)
    context["firings"] = firings_page(situation.trigger, _user(request), request.GET.get("page", "1"))
    regions = LIVE_REGIONS | ({"control-gate": "triggers/_gate.html"} if situation.may_act else {})
    return JsonResponse({region: render_to_string(name, context, request=request) for region, name in regions.items()})
