"""The buttons of a trigger's pages: each is a POST that parses, calls one service and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache

from apps.access.admin_site import actor_of
from apps.access.errors import InputError
from apps.runs.models import Cause
from apps.runs.page_acts import control_url, guarded, override_of
from apps.runs.wording import moment_in
from apps.triggers import page_lines
from apps.triggers.models import Firing, Trigger
from apps.triggers.page_reads import situation_read
from apps.triggers.page_views import control_answer, situation_context, trigger_or_404
from apps.triggers.payload import payload_read
from apps.triggers.services.fire import trigger_fire
from apps.triggers.services.secrets import trigger_secret_forget, trigger_secret_rotate
from apps.triggers.services.settings import trigger_switch

if TYPE_CHECKING:
    from typing import Any


def _trigger(request: HttpRequest, pk: int) -> Trigger:
    return trigger_or_404(request, pk)[0]


_act = guarded(_trigger)


@_act
def fire(request: HttpRequest, trigger: Trigger) -> HttpResponse:
    """Fire it once. Without the confirmation of the page's dialog, a page of its own asks."""
    text = request.POST.get("payload", "")
    try:
        payload = payload_read(text)
        if not request.POST.get("confirmed"):
            return _confirm(request, trigger, text)
        firing = trigger_fire(
            trigger=trigger,
            actor=actor_of(request),
            cause=Cause.PERSON,
            source=Firing.Source.ADMIN,
            payload=payload,
            override=override_of(request),
        )
    except InputError as error:
        if error.place == "override":
            raise
        return control_answer(request, trigger.pk, payload=text, payload_trouble=str(error))
    messages.success(request, _told(firing, trigger))
    return HttpResponseRedirect(control_url(trigger))


def _confirm(request: HttpRequest, trigger: Trigger, payload: str) -> HttpResponse:
    _, level = trigger_or_404(request, trigger.pk)
    situation = situation_read(trigger=trigger, actor=actor_of(request), level=level)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        **situation_context(request, situation),
        "title": f"Trigger {trigger}",
        "payload": payload,
        "override": override_of(request),
    }
    return TemplateResponse(request, "triggers/confirm_fire.html", context)


def _told(firing: Firing, trigger: Trigger) -> str:
    if firing.state == Firing.State.HELD:
        when = f" It fires {moment_in(firing.opens_at, trigger.hours)}." if firing.opens_at else ""
        return f"The firing is held until the window opens.{when}"
    return f"Fired: the count is {firing.count}."


@never_cache
@_act
def secret(request: HttpRequest, trigger: Trigger) -> HttpResponse:
    """The new secret, shown on the answer to this very POST and never again."""
    fresh = trigger_secret_rotate(trigger=trigger, actor=actor_of(request))
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"Trigger {trigger}",
        "trigger": trigger,
        "fresh": fresh,
        "curl_line": page_lines.curl_line(trigger.name, fresh) if trigger.name else "",
    }
    return TemplateResponse(request, "triggers/secret.html", context)


@_act
def forget(request: HttpRequest, trigger: Trigger) -> HttpResponse:
    trigger_secret_forget(trigger=trigger, actor=actor_of(request))
    messages.success(request, "The former secret is not accepted any more.")
    return HttpResponseRedirect(control_url(trigger) + "#sources")


@_act
def switch(request: HttpRequest, trigger: Trigger) -> HttpResponse:
    on = request.POST.get("on", "1") != "0"
    trigger_switch(trigger=trigger, actor=actor_of(request), on=on)
    messages.success(request, "It can be fired again." if on else "It is off: every firing is refused.")
    return HttpResponseRedirect(control_url(trigger))
