"""The buttons of the control page: each is a POST that parses, calls one service and says what came of it."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST

from apps.access import gate
from apps.access.admin_site import actor_of
from apps.access.asked import nul_refused
from apps.access.errors import InputError, PanelError, Refused
from apps.environments import services
from apps.environments.control_reads import situation_read
from apps.environments.picker import Choice, difference_read
from apps.environments.views import environment_or_404
from apps.runs import queue
from apps.runs.models import Cause

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.environments.models import Cluster, Environment, Host
    from apps.runs.models import Run

REASON_LIMIT = 300


def _act(view: Callable[[HttpRequest, Environment], HttpResponse]) -> Callable[[HttpRequest, int], HttpResponse]:
    """POST only, on an environment that the person sees; the services' refusals become pages and messages."""

    @require_POST
    @wraps(view)
    def guarded(request: HttpRequest, pk: int) -> HttpResponse:
        environment, _ = environment_or_404(request, pk)
        nul_refused(request)
        try:
            return view(request, environment)
        except Refused as refused:
            return _refused(request, environment, refused)
        except PanelError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(control_url(environment))

    return guarded


def control_url(environment: Environment, **query: str) -> str:
    address = reverse("admin:environments_environment_control", args=[environment.pk])
    kept = {name: value for name, value in query.items() if value}
    return f"{address}?{urlencode(kept)}" if kept else address


def _run_url(run: Run) -> str:
    return reverse("admin:runs_run_change", args=[run.pk])


def _refused(request: HttpRequest, environment: Environment, refused: Refused) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": f"Environment {environment.path}",
        "env": environment,
        "decision": refused.decision,
    }
    return TemplateResponse(request, "environments/refused.html", context, status=403)


@_act
def deploy(request: HttpRequest, environment: Environment) -> HttpResponse:
    """Deploy what was picked. Without the confirmation of the page's dialog, a page of its own asks."""
    choice = Choice.of(environment, request.POST)
    if not request.POST.get("confirmed"):
        return _confirm_deploy(request, environment, choice)
    cluster, host = _target(environment, choice.target)
    deployment = services.deploy_request(
        environment=environment,
        actor=actor_of(request),
        cause=Cause.PERSON,
        ref=choice.ref or choice.branch,
        commit="" if choice.ref else choice.commit,
        cluster=cluster,
        host=host,
        override=_reason(request),
        when_open="when_open" in request.POST,
    )
    run = deployment.run
    if run is None:
        return HttpResponseRedirect(control_url(environment))
    return HttpResponseRedirect(_run_url(run))


def _confirm_deploy(request: HttpRequest, environment: Environment, choice: Choice) -> HttpResponse:
    _target(environment, choice.target)
    _, level = environment_or_404(request, environment.pk)
    context = {
        **admin.site.each_context(request),
        "title": f"Environment {environment.path}",
        "env": environment,
        "choice": choice,
        "difference": difference_read(environment, choice.wanted),
        "situation": situation_read(environment=environment, actor=actor_of(request), level=level),
        "override": _reason(request),
        "when_open": "when_open" in request.POST,
    }
    return TemplateResponse(request, "environments/confirm_deploy.html", context)


def _target(environment: Environment, target: str) -> tuple[Cluster | None, Host | None]:
    """`cluster:NAME` or `host:NAME` of this environment, or empty for all of it; raises InputError."""
    if not target:
        return None, None
    kind, _, name = target.partition(":")
    clusters = {cluster.name: cluster for cluster in environment.clusters.prefetch_related("hosts")}
    if kind == "cluster" and name in clusters:
        return clusters[name], None
    hosts = {host.name: host for cluster in clusters.values() for host in cluster.hosts.all()}
    if kind == "host" and name in hosts:
        return None, hosts[name]
    raise InputError(f"{target!r} is no cluster or host of {environment.path}", "target")


def _reason(request: HttpRequest) -> str:
    """The override's reason, only when the button that overrides was the one pressed."""
    if "overriding" not in request.POST:
        return ""
    reason = request.POST.get("override", "").strip()
    if not reason:
        raise InputError("say why: an override is recorded with its reason", "override")
    return reason[:REASON_LIMIT]


@_act
def rollback(request: HttpRequest, environment: Environment) -> HttpResponse:
    """Switch back to a release that is still on the hosts."""
    commit = request.POST.get("commit", "").strip()
    if not request.POST.get("confirmed"):
        context: dict[str, Any] = {
            **admin.site.each_context(request),
            "title": f"Environment {environment.path}",
            "env": environment,
            "commit": commit,
            "override": request.POST.get("override", "").strip()[:REASON_LIMIT],
        }
        return TemplateResponse(request, "environments/confirm_rollback.html", context)
    deployment = services.rollback_request(
        environment=environment,
        actor=actor_of(request),
        cause=Cause.PERSON,
        commit=commit,
        override=request.POST.get("override", "").strip()[:REASON_LIMIT],
    )
    if deployment.run is None:
        return HttpResponseRedirect(control_url(environment))
    return HttpResponseRedirect(_run_url(deployment.run))


@_act
def preview(request: HttpRequest, environment: Environment) -> HttpResponse:
    """Ask what a deployment would do; its result appears on the control page."""
    choice = Choice.of(environment, request.POST)
    cluster, host = _target(environment, choice.target)
    run = services.preview_request(
        environment=environment,
        actor=actor_of(request),
        cause=Cause.PERSON,
        ref=choice.wanted,
        cluster=cluster,
        host=host,
    )
    picked = {"branch": choice.branch, "commit": choice.commit, "ref": choice.ref, "target": choice.target}
    return HttpResponseRedirect(control_url(environment, preview=str(run.pk), **picked) + "#preview")


@_act
def resume(request: HttpRequest, environment: Environment) -> HttpResponse:
    services.auto_resume(environment=environment, actor=actor_of(request))
    messages.success(request, "Automatic deployment goes on: the next push deploys.")
    return HttpResponseRedirect(control_url(environment))


@_act
def pause(request: HttpRequest, environment: Environment) -> HttpResponse:
    reason = request.POST.get("reason", "").strip()[:REASON_LIMIT] or "Paused from the control page."
    services.auto_pause(environment=environment, actor=actor_of(request), reason=reason)
    messages.success(request, "Automatic deployment is paused.")
    return HttpResponseRedirect(control_url(environment))


@_act
def refresh(request: HttpRequest, environment: Environment) -> HttpResponse:
    """Ask every host what it runs: in a worker, for a host that hangs must not hold the page."""
    gate.require(actor=actor_of(request), act=gate.Act.STOP, subject=environment, action="environment.refresh")
    with transaction.atomic():
        queue.ring("apps.environments.tasks.status_read", environment.pk)
    messages.success(request, "Every host is being asked what it runs; the answers appear here.")
    return HttpResponseRedirect(control_url(environment))
