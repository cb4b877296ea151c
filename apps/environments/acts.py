"""The buttons of the control page: each is a POST that parses, calls one service and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from apps.access import gate
from apps.access.admin_site import actor_of
from apps.access.errors import InputError
from apps.environments import services
from apps.environments.control_reads import situation_read
from apps.environments.picker import Choice, difference_read
from apps.environments.views import environment_or_404
from apps.runs import queue
from apps.runs.models import Cause
from apps.runs.page_acts import control_url, guarded, override_of, reason_of, run_page_or

if TYPE_CHECKING:
    from apps.environments.models import Cluster, Environment, Host


def _environment(request: HttpRequest, pk: int) -> Environment:
    return environment_or_404(request, pk)[0]


_act = guarded(_environment)


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
        override=override_of(request),
        when_open="when_open" in request.POST,
    )
    return run_page_or(deployment.run, control_url(environment))


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
        "override": override_of(request),
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
            "override": reason_of(request, "override"),
        }
        return TemplateResponse(request, "environments/confirm_rollback.html", context)
    deployment = services.rollback_request(
        environment=environment,
        actor=actor_of(request),
        cause=Cause.PERSON,
        commit=commit,
        override=reason_of(request, "override"),
    )
    return run_page_or(deployment.run, control_url(environment))


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
    reason = reason_of(request) or "Paused from the control page."
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
