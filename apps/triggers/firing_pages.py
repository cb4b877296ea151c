"""One firing: what came, what it led to, and the buttons while it is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.access.admin_site import actor_of
from apps.access.permissions import subjects_visible
from apps.runs.page_acts import control_url, guarded, override_of
from apps.runs.selectors import runs_visible
from apps.runs.states import ENDED
from apps.triggers.models import Firing, Trigger
from apps.triggers.page_reads import HIDDEN, FiringLine, firing_lines, payload_seen, situation_read
from apps.triggers.page_views import trigger_or_404
from apps.triggers.page_words import payload_text
from apps.triggers.services.release import firing_cancel, firing_release

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def firing_or_404(request: HttpRequest, pk: int) -> Firing:
    """The firing, if this person sees its trigger."""
    seen = subjects_visible(_user(request), "trigger").values("pk")
    return get_object_or_404(Firing.objects.filter(trigger__in=seen).select_related("ended_run"), pk=pk)


def _user(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]  # admin_view lets only people of the panel in


def page(request: HttpRequest, pk: int) -> TemplateResponse:
    firing = firing_or_404(request, pk)
    ended = firing.ended_run
    context = {
        **admin.site.each_context(request),
        **_context(request, firing),
        "title": f"Firing {firing}",
        "payload": payload_text(firing.payload) if payload_seen(firing, _user(request)) else f"({HIDDEN})",
        "ended_run": ended if ended is not None and runs_visible(_user(request)).filter(pk=ended.pk).exists() else None,
    }
    return TemplateResponse(request, "triggers/firing.html", context)


def _context(request: HttpRequest, firing: Firing) -> dict[str, Any]:
    trigger, level = trigger_or_404(request, firing.trigger_id)
    (line,) = firing_lines([firing], _user(request))
    return {
        "firing": firing,
        "trigger": trigger,
        "line": line,
        "is_over": is_over(line),
        # What the buttons ask, which only a held firing has.
        "situation": situation_read(trigger=trigger, actor=actor_of(request), level=level)
        if firing.state == Firing.State.HELD
        else None,
    }


def is_over(line: FiringLine) -> bool:
    """Whether nothing on its page can change any more."""
    if line.firing.state in {Firing.State.HELD, Firing.State.CHECKING}:
        return False
    return all(
        effect.run.state in ENDED if effect.run is not None else effect.badge.text != "Waits" for effect in line.effects
    )


@require_GET
def live(request: HttpRequest, pk: int) -> JsonResponse:
    """The parts of the page that move, by the id of the element they belong into."""
    context = _context(request, firing_or_404(request, pk))
    regions = {"firing-head": "triggers/_firing_head.html", "firing-effects": "triggers/_firing_effects.html"}
    return JsonResponse({region: render_to_string(name, context, request=request) for region, name in regions.items()})


# --- buttons --------------------------------------------------------------------------------


def _trigger_of(request: HttpRequest, pk: int) -> Trigger:
    """The trigger of the held firing, which the services' refusals are about."""
    return trigger_or_404(request, firing_or_404(request, pk).trigger_id)[0]


_act = guarded(_trigger_of)


def _held(request: HttpRequest) -> Firing:
    number = request.resolver_match.kwargs["pk"] if request.resolver_match else None
    if number is None:
        raise Http404
    return firing_or_404(request, int(number))


@_act
def release(request: HttpRequest, trigger: Trigger) -> HttpResponse:
    """Fire what was held, if the rules allow it now or somebody may override them."""
    held = _held(request)
    firing = firing_release(firing=held, actor=actor_of(request), override=override_of(request))
    messages.success(request, f"Fired: the count is {firing.count}.")
    return HttpResponseRedirect(control_url(trigger))


@_act
def cancel(request: HttpRequest, trigger: Trigger) -> HttpResponse:
    firing_cancel(firing=_held(request), actor=actor_of(request))
    messages.success(request, "The firing was cancelled: it starts nothing.")
    return HttpResponseRedirect(control_url(trigger))


def firing_url(firing: Firing) -> str:
    return reverse("admin:triggers_firing_change", args=[firing.pk])
