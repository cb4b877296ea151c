"""A repository's page: its commits, branches and tags, how it learns of pushes, and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Prefetch
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from apps.access.errors import PanelError
from apps.access.fields import is_set
from apps.access.levels import Level
from apps.access.permissions import level_of, subjects_visible
from apps.repos import selectors
from apps.repos.errors import GitError
from apps.repos.post_receive import post_receive_script
from apps.repos.remote import remote_parse
from apps.runs.selectors import runs_visible

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from apps.repos.git import Commit
    from apps.repos.models import Repository

PER_PAGE = 20  # commits
REFS_SHOWN = 200
DELIVERIES_SHOWN = 8
FORGES = (
    ("github", "GitHub", "Settings → Webhooks → Add webhook. Content type: application/json. Just the push event."),
    ("gitlab", "GitLab", "Settings → Webhooks. The secret goes into “Secret token”. Push events, tag push events."),
    ("gitea", "Gitea, Forgejo", "Settings → Webhooks → Gitea. POST, application/json. Push events."),
    ("bitbucket", "Bitbucket", "Repository settings → Webhooks. Trigger: repository push."),
)


def repository_or_404(request: HttpRequest, pk: int) -> Repository:
    """The repository, if this person may see it. Unknown and invisible are the same answer."""
    return get_object_or_404(selectors.repositories_visible(_user(request)).select_related("ssh_key"), pk=pk)


def _user(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]  # admin_view lets only people of the panel in


def page_url(repository: Repository, **query: str) -> str:
    address = reverse("admin:repos_repository_page", args=[repository.pk])
    return f"{address}?{urlencode(query)}" if query else address


def newest_commit(repository: Repository) -> Commit | None:
    """The newest commit of any branch; None when nothing was fetched."""
    try:
        newest = selectors.branches(repository, limit=1)
    except PanelError:
        return None
    return newest[0].commit if newest else None


def followers_seen(repository: Repository, request: HttpRequest) -> dict[str, list[Any]]:
    """Its environments and nodes, those that the person may see."""
    seen = set(subjects_visible(request.user).filter(parent=repository.pk).values_list("pk", flat=True))
    rows = {"environments": repository.environments.all(), "nodes": repository.nodes.all()}
    return {kind: [row for row in found if row.pk in seen] for kind, found in rows.items()}


@require_GET
def page(request: HttpRequest, pk: int) -> TemplateResponse:
    repository = repository_or_404(request, pk)
    context = {
        **base_context(request, repository),
        **_refs(repository),
        **followers_seen(repository, request),
        "deliveries": repository.deliveries.defer("body", "pushes").prefetch_related(
            Prefetch("runs", queryset=runs_visible(_user(request)))
        )[:DELIVERIES_SHOWN],
    }
    context |= _history(request, repository, context["default_branch"])
    if context["may_configure"]:
        context |= _webhooks(repository)
    return TemplateResponse(request, "repos/page.html", context)


def base_context(request: HttpRequest, repository: Repository) -> dict[str, Any]:
    """What all pages of a repository have in common."""
    level, remote_is_ssh = level_of(_user(request), repository), _is_ssh(repository)
    return {
        **admin.site.each_context(request),
        "title": f"Repository {repository.name}",
        "repository": repository,
        "may_fetch": level >= Level.IN_HOURS,
        "may_configure": level >= Level.CONFIGURE,
        "is_ssh": remote_is_ssh,
        "needs_host_key": remote_is_ssh and not repository.host_keys.strip(),
    }


def _is_ssh(repository: Repository) -> bool:
    try:
        return remote_parse(repository.url).is_ssh
    except PanelError:
        return False


def _refs(repository: Repository) -> dict[str, Any]:
    """Branches, the main one first, and tags."""
    try:
        main = selectors.branch_default(repository)
        found = selectors.branches(repository, limit=REFS_SHOWN)
        return {
            "branches": sorted(found, key=lambda ref: ref.name != main),
            "tags": selectors.tags(repository, limit=REFS_SHOWN),
            "default_branch": main,
        }
    except GitError as error:
        return {"branches": [], "tags": [], "default_branch": "", "trouble": str(error)}


def _history(request: HttpRequest, repository: Repository, usual: str) -> dict[str, Any]:
    """A page of commits: `?ref=&search=&page=`. One more is asked for, to know whether there are more."""
    ref, search = request.GET.get("ref", "").strip() or usual, request.GET.get("search", "").strip()
    asked = request.GET.get("page", "1")
    number = max(1, int(asked)) if asked.isdecimal() and len(asked) < 7 else 1
    found: dict[str, Any] = {"ref": ref, "search": search, "number": number, "commits": []}
    if not ref:
        return found
    try:
        rows = selectors.commits(repository, ref, PER_PAGE + 1, (number - 1) * PER_PAGE, search)
    except PanelError as error:
        return {**found, "history_trouble": str(error)}
    kept = {"ref": ref, "search": search}
    return {
        **found,
        "commits": rows[:PER_PAGE],
        "newer_url": page_url(repository, **kept, page=str(number - 1)) if number > 1 else "",
        "older_url": page_url(repository, **kept, page=str(number + 1)) if len(rows) > PER_PAGE else "",
    }


def _webhooks(repository: Repository) -> dict[str, Any]:
    public = settings.PUBLIC_URL.rstrip("/")
    return {
        "forges": [{"label": label, "how": how, "url": f"{public}/hooks/{name}"} for name, label, how in FORGES],
        "script": post_receive_script(repository.name, public),
        "has_secret": is_set(repository, "webhook_secret"),
        "has_old_secret": is_set(repository, "webhook_secret_old"),
    }


@require_GET
def live(request: HttpRequest, pk: int) -> JsonResponse:
    """The parts of the page that move while a worker fetches."""
    repository = repository_or_404(request, pk)
    context = base_context(request, repository) | {"newest": newest_commit(repository)}
    return JsonResponse({"repository-head": render_to_string("repos/_head.html", context, request=request)})


@require_GET
def compare(request: HttpRequest, pk: int) -> TemplateResponse:
    """What lies between two commits: `?old=&new=`, each a branch, a tag or a commit; no `old`: from nothing.

    With `&file=`, the lines of that file alone.
    """
    repository = repository_or_404(request, pk)
    old, new = (request.GET.get(name, "").strip() for name in ("old", "new"))
    context = {**base_context(request, repository), **_refs(repository), "old": old, "new": new}
    if new and request.GET.get("file"):
        context |= _patch(request, repository)
    elif new:
        try:
            context["comparison"] = selectors.comparison(repository, old, new)
        except PanelError as error:
            context["compare_trouble"] = str(error)
    return TemplateResponse(request, "repos/compare.html", context)


@require_GET
def patch(request: HttpRequest, pk: int) -> TemplateResponse:
    """The lines of one file of a comparison, `?old=&new=&file=`, as a part of the comparison's page."""
    repository = repository_or_404(request, pk)
    return TemplateResponse(request, "repos/_patch.html", _patch(request, repository))


def _patch(request: HttpRequest, repository: Repository) -> dict[str, Any]:
    old, new, file = (request.GET.get(name, "") for name in ("old", "new", "file"))
    try:
        return {"file": file, "patch": selectors.file_patch(repository, old.strip(), new.strip(), file)}
    except PanelError as error:
        return {"file": file, "patch_trouble": str(error)}
