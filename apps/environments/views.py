"""The control page and what it fetches. Every view first asks whether the person may see the environment at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.access.admin_site import actor_of
from apps.access.asked import number_of
from apps.access.errors import PanelError
from apps.access.levels import Level
from apps.access.permissions import level_of
from apps.environments import selectors
from apps.environments.control_reads import EnvironmentSituation, durations_recent, history_page, situation_read
from apps.environments.picker import Choice, branch_names, commits_page, difference_read
from apps.runs.models import Run
from apps.runs.notices import is_unprotected

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from apps.environments.models import Environment


def environment_or_404(request: HttpRequest, pk: int) -> tuple[Environment, Level]:
    """The environment and how much this person may do with it. Unknown and invisible are the same answer."""
    visible = selectors.environments_visible(_user(request)).select_related("repository", "hours", "deploy_as")
    environment = get_object_or_404(visible, pk=pk)
    level = level_of(_user(request), environment)
    if level < Level.VIEW:
        raise Http404
    return environment, level


def _user(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]  # admin_view lets only people of the panel in


def _situation(request: HttpRequest, pk: int) -> EnvironmentSituation:
    environment, level = environment_or_404(request, pk)
    return situation_read(environment=environment, actor=actor_of(request), level=level)


@require_GET
def control_page(request: HttpRequest, pk: int) -> TemplateResponse:
    """What runs where, and the buttons that this person may press."""
    situation = _situation(request, pk)
    environment = situation.environment
    branches, trouble = branch_names(environment)
    context = {
        **admin.site.each_context(request),
        **situation_context(request, situation),
        "title": f"Environment {environment.path}",
        "branches": branches,
        "trouble": trouble,
        "choice": Choice.of(environment, request.GET),
        "history": history_page(environment, request.GET.get("page", "1")),
        "bars": durations_recent(environment),
        "preview": _preview_run(environment, request.GET.get("preview", "")),
    }
    return TemplateResponse(request, "environments/control.html", context)


def situation_context(request: HttpRequest, situation: EnvironmentSituation) -> dict[str, Any]:
    """What the parts of the page that refresh themselves are made of."""
    overrides = _user(request).is_superuser and not situation.decision.allowed
    return {
        "situation": situation,
        "banners": situation.banners,
        "act_urls": {"resume": reverse("admin:environments_environment_resume", args=[situation.environment.pk])},
        "hours": situation.environment.hours,
        **_gate_words(situation.environment),
        "releases": _ways_back(situation),
        "env": situation.environment,
        "overrides": overrides,
        "unprotected": is_unprotected(request.get_host(), request.is_secure()),
        "may_roll_back": situation.active is None and (situation.decision.allowed or overrides),
        "clusters": [group.cluster for group in situation.fleet],
        "hosts": sorted({line.host for line in situation.lines}, key=lambda host: host.name),
    }


def _gate_words(environment: Environment) -> dict[str, str]:
    """How the buttons of the form are called."""
    return {
        "verb": "Deploy",
        "look_url": reverse("admin:environments_environment_preview", args=[environment.pk]),
        "look_label": "Preview",
        "look_help": "A preview changes nothing, anywhere.",
    }


def _ways_back(situation: EnvironmentSituation) -> list[selectors.ReleaseChoice]:
    """The releases that hosts still have; where there are none, the deployment before, to be made again."""
    if not situation.may_act:
        return []
    environment = situation.environment
    found = selectors.releases_available(environment)
    commit = "" if found else selectors.commit_before(environment)
    before = environment.deployments.filter(commit=commit).first() if commit else None
    if before is None:
        return found
    return [
        selectors.ReleaseChoice(
            commit=commit,
            branch=before.branch,
            folder="",
            deployed_at=before.ended_at,
            commit_subject=before.commit_subject,
            commit_author=before.commit_author,
            hosts=0,
            everywhere=False,
        )
    ]


LIVE_REGIONS = {
    "control-head": "environments/_head.html",
    "control-banners": "runs/_banners.html",
    "control-running": "runs/_running.html",
    "control-fleet": "environments/_fleet.html",
    "control-gate": "runs/_gate.html",
    "control-releases": "environments/_releases.html",
}


LIVE_FOR_ALL = ("control-head", "control-banners", "control-running", "control-fleet")


@require_GET
def live(request: HttpRequest, pk: int) -> JsonResponse:
    """The parts of the page that move, by the id of the element they belong into."""
    situation = _situation(request, pk)
    context = situation_context(request, situation)
    regions = dict(LIVE_REGIONS) if situation.may_act else {name: LIVE_REGIONS[name] for name in LIVE_FOR_ALL}
    return JsonResponse({region: render_to_string(name, context, request=request) for region, name in regions.items()})


@require_GET
def commits(request: HttpRequest, pk: int) -> JsonResponse:
    """A page of a branch's commits: `?branch=&search=&page=`. 400 with a sentence when that branch cannot be read."""
    environment, _ = environment_or_404(request, pk)
    try:
        return JsonResponse(commits_page(environment, request.GET))
    except PanelError as error:
        return JsonResponse({"error": str(error)}, status=400)


@require_GET
def between(request: HttpRequest, pk: int) -> JsonResponse:
    """What lies between the deployed commit and `?ref=`: facts for the page's script, and the same as a table."""
    environment, _ = environment_or_404(request, pk)
    try:
        difference = difference_read(environment, request.GET.get("ref", ""))
    except PanelError as error:
        return JsonResponse({"error": str(error)}, status=400)
    context = {"difference": difference, "env": environment}
    html = render_to_string("environments/_between.html", context, request=request)
    return JsonResponse({**difference.as_json(), "html": html})


@require_GET
def preview(request: HttpRequest, pk: int, run_id: int) -> HttpResponse:
    """The result of a preview run, as the part of the page that shows it."""
    environment, _ = environment_or_404(request, pk)
    run = _preview_run(environment, str(run_id))
    if run is None:
        raise Http404
    context = {"preview": run, "env": environment}
    return JsonResponse({"control-preview": render_to_string("environments/_preview.html", context, request=request)})


def _preview_run(environment: Environment, text: str) -> Run | None:
    """Only a preview of this very environment: the number comes from the address."""
    if (number := number_of(text)) is None:
        return None
    return Run.objects.filter(pk=number, kind="preview", subject_id=environment.pk).first()
