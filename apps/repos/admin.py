"""Repositories in the admin: the list leads to each one's page, the form is for those who may configure it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Prefetch, Q
from django.http import HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.html import format_html

from apps.access.admin_site import ScopedModelAdmin
from apps.access.errors import InputError
from apps.access.fields import Sealed
from apps.access.levels import Level
from apps.access.permissions import subjects_visible
from apps.repos import acts, pages
from apps.repos.models import Repository
from apps.repos.remote import remote_parse
from apps.repos.services import repository_fetch_ring, repository_save

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString


class RepositoryForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """Keeps secrets, and what else is on the panel's machine, from who may only configure this repository."""

    by_superuser = False

    class Meta:
        model = Repository
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets name them

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        before, after = _server(self.initial.get("url", "")), _server(cleaned.get("url", ""))
        if not self.instance.pk or "url" not in self.changed_data or not after:
            return cleaned
        if after == LOCAL and not self.by_superuser:
            self.add_error("url", "Only an administrator may name a folder of the panel's own machine.")
        if before != after and isinstance(cleaned.get("access_token"), Sealed):
            self.add_error("access_token", "The server is another one: enter its token, or clear the present one.")
        return cleaned


LOCAL = ("file", "", 0)


def _server(url: str) -> tuple[str, str, int] | None:
    """Who would be given the token; None for a URL that cannot be read."""
    try:
        remote = remote_parse(url)
    except InputError:
        return None
    return remote.scheme, remote.host.lower(), remote.port


@admin.register(Repository)
class RepositoryAdmin(ScopedModelAdmin):
    nothing_yet = "Environments and nodes follow a repository; the panel keeps a mirror of it."
    form = RepositoryForm
    list_display = ("repository", "address", "newest", "fetched", "deployed_to", "configure")
    list_display_links = None
    search_fields = ("name", "url")
    search_help_text = "Name or URL"
    ordering = ("name",)
    show_full_result_count = True
    actions = None
    filter_horizontal = ("owners",)
    autocomplete_fields = ("owners",)
    fieldsets: ClassVar = (
        (None, {"fields": ("name", "url", "owners", "hours")}),
        (
            "How the panel gets in",
            {
                "fields": ("ssh_key", "host_keys", "username", "access_token"),
                "description": "ssh needs a key and the server's pinned host key (“Scan host key” on the repository's "
                "page fills it in); https needs a token unless the repository is public.",
            },
        ),
        (
            "How it learns of pushes",
            {
                "fields": ("webhook_secret", "webhook_secret_old", "poll_interval"),
                "description": "A webhook is told at once. A repository without one is looked at every so often.",
            },
        ),
    )

    # --- the list ---------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Repository]:
        rows: QuerySet[Repository] = super().get_queryset(request)
        mine = subjects_visible(request.user, "repository", Level.CONFIGURE).values("pk")
        seen = subjects_visible(request.user, "environment").values("pk")
        theirs = Repository._meta.get_field("environments").related_model._default_manager.filter(pk__in=seen)
        return rows.annotate(configurable=ExpressionWrapper(Q(pk__in=mine), BooleanField())).prefetch_related(
            Prefetch("environments", queryset=theirs)
        )

    @admin.display(description="Repository", ordering="name")
    def repository(self, row: Repository) -> SafeString:
        return format_html('<a class="dp-link dp-link-strong" href="{}">{}</a>', pages.page_url(row), row.name)

    @admin.display(description="URL", ordering="url")
    def address(self, row: Repository) -> SafeString:
        return format_html('<code class="dp-muted">{}</code>', row.url)

    @admin.display(description="Newest commit")
    def newest(self, row: Repository) -> str:
        return render_to_string("repos/_newest.html", {"commit": pages.newest_commit(row)})

    @admin.display(description="Fetched", ordering="fetched_at")
    def fetched(self, row: Repository) -> str:
        return render_to_string("repos/_fetched.html", {"repository": row})

    @admin.display(description="Environments")
    def deployed_to(self, row: Repository) -> str:
        return render_to_string("repos/_environments.html", {"environments": row.environments.all()})

    @admin.display(description="")
    def configure(self, row: Repository) -> str:
        if not getattr(row, "configurable", False):
            return ""
        address = reverse("admin:repos_repository_change", args=[row.pk])
        return format_html('<a class="dp-link" href="{}">Configure</a>', address)

    # --- the form ---------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Who may not configure it, finds its page instead of a form full of grey fields."""
        row = self.get_object(request, object_id)
        if row is not None and not self.has_change_permission(request, row):
            return HttpResponseRedirect(pages.page_url(row))
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        return response

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.by_superuser = bool(request.user.is_superuser)
        return form

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "host_keys":
            field.widget.attrs["rows"] = 3
        if db_field.name == "ssh_key":
            field.label = "SSH key"
        return field

    def save_model(self, request: HttpRequest, obj: Repository, form: Any, change: Any) -> None:
        repository_save(repository=obj)
        if not change or {"url", "ssh_key", "host_keys", "username", "access_token"} & set(form.changed_data):
            repository_fetch_ring(repository=obj)

    def response_post_save_add(self, request: HttpRequest, obj: Repository) -> HttpResponse:
        return HttpResponseRedirect(pages.page_url(obj))

    def response_post_save_change(self, request: HttpRequest, obj: Repository) -> HttpResponse:
        return HttpResponseRedirect(pages.page_url(obj))

    # --- pages of their own -----------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        views: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("page/", "page", pages.page),
            ("live/", "live", pages.live),
            ("compare/", "compare", pages.compare),
            ("compare/file/", "patch", pages.patch),
            ("fetch/", "fetch", acts.fetch),
            ("scan/", "scan", acts.scan),
            ("pin/", "pin", acts.pin),
            ("renew/", "renew", acts.renew),
            ("drop-old/", "drop_old", acts.drop_old),
        )
        own = [
            path(f"<int:pk>/{address}", wrap(view), name=f"repos_repository_{name}") for address, name, view in views
        ]
        return own + super().get_urls()
