"""An agent's page, for administrators: whether it is there, what it did, and how a machine becomes it."""

from __future__ import annotations

import shlex
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe

from apps.access.admin_site import actor_of
from apps.access.asked import number_of
from apps.access.posts import posted
from apps.agents.models import Agent, Order
from apps.agents.presence import agent_badge, is_online
from apps.agents.pyz import FILE_NAME, agent_pyz
from apps.agents.services import agent_code_issue, agent_revoke
from apps.agents.services.enrol import CODE_LASTS
from apps.agents.services.switch import agent_switch
from apps.runs.notices import is_unprotected
from apps.runs.states import ALIVE

ORDERS_SHOWN = 20
LIVE_AT_ONCE = 100  # rows of the list whose state is asked in one request


def page_url(agent: Agent) -> str:
    return reverse("admin:agents_agent_page", args=[agent.pk])


def _agent(request: HttpRequest, pk: int) -> Agent:
    """The agent, for administrators. Others are told nothing, not even whether there is one."""
    if not request.user.is_superuser:
        raise PermissionDenied
    return get_object_or_404(Agent, pk=pk)


@require_GET
def page(request: HttpRequest, pk: int) -> TemplateResponse:
    agent = _agent(request, pk)
    return TemplateResponse(request, "agents/page.html", _context(request, agent))


def _context(request: HttpRequest, agent: Agent) -> dict[str, Any]:
    now = timezone.now()
    orders = agent.orders.select_related("run").defer("payload", "script").order_by("-run_id")[:ORDERS_SHOWN]
    return {
        **admin.site.each_context(request),
        "title": f"Agent {agent}",
        "agent": agent,
        "badge": agent_badge(agent, now),
        "online": is_online(agent, now),
        "code_open": bool(agent.code_digest) and agent.code_expires_at is not None and agent.code_expires_at > now,
        "triggers": list(agent.triggers.all()),
        "orders": list(orders),
        "waiting": agent.orders.filter(open=True).exclude(run__state__in=ALIVE).count(),
        "download_url": reverse("agent_program"),
        "unprotected": is_unprotected(request.get_host(), request.is_secure()),
    }


LIVE_REGIONS = {"agent-head": "agents/_head.html", "agent-orders": "agents/_orders.html"}


@require_GET
def live(request: HttpRequest, pk: int) -> JsonResponse:
    """The parts of the page that move, by the id of the element they belong into."""
    context = _context(request, _agent(request, pk))
    return JsonResponse(
        {region: render_to_string(name, context, request=request) for region, name in LIVE_REGIONS.items()}
    )


@require_GET
def live_list(request: HttpRequest) -> JsonResponse:
    """The states of the agents on a page of the list: `?pk=1&pk=2`, by the ids of their elements."""
    if not request.user.is_superuser:
        raise PermissionDenied
    asked = [number for text in request.GET.getlist("pk")[:LIVE_AT_ONCE] if (number := number_of(text)) is not None]
    now = timezone.now()
    return JsonResponse(
        {
            f"agent-state-{agent.pk}": render_to_string("agents/_badge.html", {"badge": agent_badge(agent, now)})
            for agent in Agent.objects.filter(pk__in=asked)
        }
    )


# --- buttons --------------------------------------------------------------------------------


_act = posted(_agent, page_url)


@never_cache
@_act
def code(request: HttpRequest, agent: Agent) -> HttpResponse:
    """A new code, shown on the answer to this very POST and never again, in the lines to paste on the machine."""
    fresh = agent_code_issue(agent=agent, actor=actor_of(request))
    context = {
        **admin.site.each_context(request),
        "title": f"Agent {agent}",
        "agent": agent,
        "code": fresh,
        "minutes": int(CODE_LASTS.total_seconds() // 60),
        "lines": _lines(fresh),
        "own_scripts": [trigger for trigger in agent.triggers.all() if trigger.name and not trigger.script],
        "download_url": reverse("agent_program"),
        "unprotected": _in_clear(),
    }
    return TemplateResponse(request, "agents/code.html", context)


def _lines(fresh: str) -> dict[str, str]:
    """What to paste on the machine, one step after the other."""
    insecure = " --insecure-http" if _in_clear() else ""
    return {
        "fetch": f"curl -fsSo {FILE_NAME} {shlex.quote(_public() + reverse('agent_program'))}",
        "enrol": f"sudo python3 {FILE_NAME} enrol{insecure} {shlex.quote(_public())} {fresh}",
        "install": f"sudo python3 {FILE_NAME} install --systemd\n"
        "sudo systemctl daemon-reload && sudo systemctl enable --now deploypanel-agent",
    }


def _public() -> str:
    return str(settings.PUBLIC_URL).rstrip("/")


def _in_clear() -> bool:
    """Whether machines reach the panel without TLS; on this very machine nobody listens in."""
    parts = urlsplit(_public())
    return is_unprotected(parts.netloc, parts.scheme == "https")


@_act
def revoke(request: HttpRequest, agent: Agent) -> HttpResponse:
    agent_revoke(agent=agent, actor=actor_of(request))
    messages.success(request, "Its key opens nothing any more. A new code enrols a machine again.")
    return HttpResponseRedirect(page_url(agent))


@_act
def switch(request: HttpRequest, agent: Agent) -> HttpResponse:
    on = request.POST.get("on", "1") != "0"
    agent_switch(agent=agent, actor=actor_of(request), on=on)
    messages.success(request, "It is given work again." if on else "It is off: what comes for it waits.")
    return HttpResponseRedirect(page_url(agent))


@require_safe
def program(_request: HttpRequest) -> HttpResponse:
    """The agent's program, for a machine that is to be enrolled: for anyone, as it holds no secret of anybody."""
    answer = HttpResponse(agent_pyz(), content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="{FILE_NAME}"'
    return answer


def orders_open(agent: Agent) -> bool:
    """Whether something waits for it or is carried out by it."""
    return Order.objects.filter(agent=agent, open=True).exists()
