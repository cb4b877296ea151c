"""The admin of what follows a repository and is acted upon: environments, Sesam nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html

from apps.access.actor import Actor, Door
from apps.access.admin_site import ScopedModelAdmin, actor_of
from apps.access.asked import number_of
from apps.access.forms import LinesField
from apps.access.levels import Level
from apps.access.permissions import subjects_visible
from apps.access.services import grant_set
from apps.repos.models import Repository
from apps.runs.services import run_active_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


class FollowerAdmin(ScopedModelAdmin):
    """The list leads to each subject's control page; the form is for those who may configure it."""

    account_field = ""  # the account in whose name it acts by itself

    # --- rights -----------------------------------------------------------------------------

    def may_add(self, request: HttpRequest) -> bool:
        """Who configures a repository may give it what follows it."""
        return subjects_visible(request.user, "repository", Level.CONFIGURE).exists()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Not under the feet of a run that works for it: it could not end truthfully, nor keep others away."""
        if obj is not None and run_active_on(obj.pk) is not None:
            return False
        return super().has_delete_permission(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "repository":
            least = subjects_visible(request.user, "repository", Level.CONFIGURE)
            allowed = Q(pk__in=least.values("pk")) | Q(pk__in=self._present(request, "repository"))
            kwargs["queryset"] = Repository.objects.filter(allowed)
        if db_field.name == self.account_field:
            kwargs["queryset"] = self._accounts(request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def _accounts(self, request: HttpRequest) -> QuerySet[User]:
        """Nobody lends rights that are not theirs: only a superuser names another account than the present or own."""
        people = User.objects.filter(is_active=True).order_by("username")
        if request.user.is_superuser:
            return people
        return people.filter(Q(pk=request.user.pk) | Q(pk__in=self._present(request, self.account_field)))

    def _present(self, request: HttpRequest, field: str) -> QuerySet[Any]:
        """What the edited row has in that field now."""
        number = getattr(request.resolver_match, "kwargs", {}).get("object_id", "")
        rows: QuerySet[Any] = self.model._default_manager.filter(pk=number_of(number) or 0)
        return rows.values(field)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change and not request.user.is_superuser:  # or its maker could not even see it
            maker = actor_of(request)
            panel = Actor(user=None, door=Door.SYSTEM, address=maker.address, behind=maker.name)
            holder = User.objects.get(username=maker.name)
            grant_set(actor=panel, subject=form.instance, holder=holder, level=Level.CONFIGURE)

    # --- the form ---------------------------------------------------------------------------

    def lines_field(self, field: Any, hint: str, rows: int = 3) -> LinesField:
        """A list of words as lines, not JSON, in the theme's own text box."""
        field.widget.attrs["rows"] = rows
        return LinesField(label=field.label, widget=field.widget, required=False, help_text=hint)

    def response_post_save_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        return HttpResponseRedirect(self.control_url(obj))

    # --- the list ---------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        mine = subjects_visible(request.user, self.model._meta.model_name or "", Level.CONFIGURE).values("pk")
        rows: QuerySet[Any] = super().get_queryset(request)
        marked: QuerySet[Any] = rows.annotate(configurable=ExpressionWrapper(Q(pk__in=mine), BooleanField()))
        return marked

    def control_url(self, row: Model) -> str:
        return reverse(f"admin:{self._named('control')}", args=[row.pk])

    def _named(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def control_link(self, row: Any) -> str:
        return format_html(
            '<a class="dp-link dp-link-strong dp-nowrap" href="{}">{}</a>', self.control_url(row), row.path
        )

    @admin.display(description="")
    def configure(self, row: Model) -> str:
        if not getattr(row, "configurable", False):
            return ""
        address = reverse(f"admin:{self._named('change')}", args=[row.pk])
        return format_html('<a class="dp-link" href="{}">Configure</a>', address)

    def own_pages(self, pages: Iterable[tuple[str, str, Callable[..., Any]]]) -> list[URLPattern]:
        """Pages below the subject's number: (address, name, view)."""
        wrap = self.admin_site.admin_view
        return [path(f"<int:pk>/{address}", wrap(view), name=self._named(name)) for address, name, view in pages]
