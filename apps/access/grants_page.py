"""The permissions page of one subject: people and groups × rights, for whoever configures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse

from apps.access.actor import Actor, Door
from apps.access.address import address_of
from apps.access.asked import nul_refused, number_of
from apps.access.errors import InputError, PanelError
from apps.access.gate import Act, decide
from apps.access.levels import Level, level_label, level_named
from apps.access.services import grant_set, grants_on

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest, HttpResponse

    from apps.access.models import Subject
    from apps.access.services.grants import Holder

PER_PAGE = 50
FOUND = 10
MEANINGS = {
    Level.VIEW: "see it, its runs and logs",
    Level.IN_HOURS: "{verb} while its business hours are open, and stop runs",
    Level.ACT: "{verb} at any time",
    Level.CONFIGURE: "change its settings, its freezes and these permissions",
}


@dataclass(frozen=True)
class Row:
    """One person or group with the right held."""

    key: str  # what the form sends: user:5, group:3
    name: str
    kind: str
    note: str
    label: str


def grants_view(model_admin: ModelAdmin[Any], request: HttpRequest, subject: Subject) -> HttpResponse:
    """GET shows, POST sets one right; for holders of CONFIGURE."""
    actor = Actor(user=request.user, door=Door.ADMIN, address=address_of(request))  # type: ignore[arg-type]
    if not decide(actor=actor, act=Act.CONFIGURE, subject=subject).allowed:
        raise PermissionDenied
    nul_refused(request)
    if request.method == "POST":
        _set(request, actor, subject)
        return HttpResponseRedirect(request.get_full_path())
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "POST"])
    context = {**model_admin.admin_site.each_context(request), "opts": model_admin.opts, **_context(request, subject)}
    return TemplateResponse(request, "access/grants.html", context)


def _set(request: HttpRequest, actor: Actor, subject: Subject) -> None:
    try:
        holder = _holder(request.POST.get("holder", ""))
        name = request.POST.get("level", "")
        level = Level.NONE if name == "none" else level_named(subject.kind, name)
        changed = grant_set(actor=actor, subject=subject, holder=holder, level=level)
    except PanelError as error:
        messages.error(request, str(error))
        return
    if not changed:
        messages.info(request, f"{holder} has that right already; nothing was changed.")
    elif level is Level.NONE:
        messages.success(request, f"{holder} has no right on {subject} any more.")
    else:
        messages.success(request, f"{holder} now has “{level_label(subject.kind, level)}” on {subject}.")


def _holder(text: str) -> User | Group:
    kind, _, digits = text.partition(":")
    number = number_of(digits)
    table: Any = {"user": User, "group": Group}.get(kind)
    holder = table.objects.filter(pk=number).first() if table is not None and number is not None else None
    if not isinstance(holder, User | Group):
        raise InputError("Choose a person or a group.")
    return holder


def _context(request: HttpRequest, subject: Subject) -> dict[str, Any]:
    given, query = grants_on(subject), request.GET.get("q", "").strip()
    holders: Any = Paginator(list(given.items()), PER_PAGE).get_page(request.GET.get("page"))
    found, more = _found(query, given)
    verb = level_label(subject.kind, Level.ACT)
    return {
        "title": f"Permissions of {subject}",
        "original": subject,
        "subject": subject,
        "levels": [
            (level_label(subject.kind, level), meaning.format(verb=verb)) for level, meaning in MEANINGS.items()
        ],
        "page": holders,
        "rows": [_row(subject, holder, level) for holder, level in holders],
        "query": query,
        "found": [_row(subject, holder, Level.NONE) for holder in found],
        "more": more,
        "superusers": User.objects.filter(is_superuser=True, is_active=True).order_by("username")[:10],
    }


def _row(subject: Subject, holder: User | Group, level: Level) -> Row:
    label = level_label(subject.kind, level)
    if isinstance(holder, Group):
        count = holder.user_set.count()
        return Row(f"group:{holder.pk}", holder.name, "group", f"{count} {'person' if count == 1 else 'people'}", label)
    note = holder.get_full_name() or holder.email
    if not holder.is_active:
        note = f"{note} (switched off)".strip()
    return Row(f"user:{holder.pk}", holder.username, "person", note, label)


def _found(query: str, given: dict[Holder, Level]) -> tuple[list[Holder], bool]:
    """People and groups to give a right to: the first few that match and hold none, and whether there are more."""
    if not query:
        return [], False
    people = User.objects.filter(is_active=True).exclude(pk__in=[one.pk for one in given if isinstance(one, User)])
    groups = Group.objects.exclude(pk__in=[one.pk for one in given if isinstance(one, Group)])
    words = Q(username__icontains=query) | Q(first_name__icontains=query)
    words |= Q(last_name__icontains=query) | Q(email__icontains=query)
    holders: list[Holder] = [
        *people.filter(words).order_by("username")[: FOUND + 1],
        *groups.filter(name__icontains=query).order_by("name")[: FOUND + 1],
    ]
    return holders[:FOUND], len(holders) > FOUND
