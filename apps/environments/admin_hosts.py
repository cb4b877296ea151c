"""Hosts and clusters in the admin. A host's name leads to its page (host_pages.py); the form is for managers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Prefetch, TextField
from django.db.models.functions import Cast
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html

from apps.access.admin_site import ModelAdmin, actor_of
from apps.access.asked import number_of
from apps.access.errors import PanelError
from apps.environments import host_pages
from apps.environments.host_key import fingerprint_or_nothing
from apps.environments.host_reads import clusters_visible, hosts_visible
from apps.environments.models import Cluster, Host
from apps.environments.selectors import environments_visible
from apps.environments.services.hosts import hosts_check
from apps.runs.wording import age, badge

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

CHECKED_AT_ONCE = 50  # by one press of a button


class WordsField(forms.CharField):
    """A list of words, edited with commas between them."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        return [word for part in str(super().clean(value)).split(",") if (word := part.strip())]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.clean(data))


class ClusterFilter(admin.SimpleListFilter):
    """By cluster; only those that the person may see are named."""

    title = "cluster"
    parameter_name = "cluster"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in clusters_visible(request.user).values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Host]) -> QuerySet[Host]:
        number = number_of(self.value() or "")
        if number is None:
            return queryset
        return queryset.filter(clusters__in=clusters_visible(request.user).filter(pk=number))


class VisibleAdmin(ModelAdmin):
    """Seen through the environments that a person may see; changed by who has Django's own permission for it."""

    def visible(self, user: User) -> QuerySet[Any]:
        raise NotImplementedError

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request.user)  # type: ignore[arg-type]  # the admin lets nobody else in

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        rows = self.visible(request.user)  # type: ignore[arg-type]
        return (rows if obj is None else rows.filter(pk=obj.pk)).exists() or self.has_change_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) or self.has_add_permission(request)


@admin.register(Host)
class HostAdmin(VisibleAdmin):
    nothing_yet = "A host is a machine that the panel reaches by SSH, and deploys to."
    list_display = ("host", "where", "key", "state", "in_clusters", "label_list", "last_check", "configure")
    list_display_links = None
    list_filter = ("active", ClusterFilter)
    search_fields = ("name", "address", "labels_text")
    search_help_text = "Name, address or label"
    show_full_result_count = True
    actions = ("check_chosen",)
    autocomplete_fields = ("jump_host",)
    fieldsets: ClassVar = (
        (None, {"fields": ("name", ("address", "port"), "jump_host", "active", "labels")}),
        ("Log-in", {"fields": ("user", "ssh_key")}),
        (
            "Identity",
            {
                "fields": ("host_key",),
                "description": "Rather than pasting it, save the host and scan its key on the page that follows.",
            },
        ),
    )

    def visible(self, user: User) -> QuerySet[Host]:
        return hosts_visible(user)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Host]:
        clusters = Prefetch("clusters", queryset=clusters_visible(request.user), to_attr="clusters_seen")
        rows: QuerySet[Host] = super().get_queryset(request)
        return rows.prefetch_related(clusters).annotate(labels_text=Cast("labels", TextField())).order_by("name")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "labels":  # words, not JSON
            text = super().formfield_for_dbfield(Host._meta.get_field("address"), request)
            hint = "For your own search: web, paris"
            return WordsField(label=field.label, required=False, widget=text.widget, help_text=hint)
        if db_field.name == "host_key":
            field.widget.attrs["rows"] = 2
        if db_field.name == "ssh_key" and field is not None:
            field.label = "SSH key"
        return field

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = super().get_list_display(request)
        return columns if self.has_change_permission(request) else [one for one in columns if one != "configure"]

    # --- the list ---------------------------------------------------------------------------

    @admin.display(description="Host", ordering="name")
    def host(self, row: Host) -> str:
        return format_html('<a class="dp-link dp-link-strong" href="{}">{}</a>', host_pages.page_url(row), row.name)

    @admin.display(description="Address", ordering="address")
    def where(self, row: Host) -> str:
        return f"{row.address}:{row.port}"

    @admin.display(description="Key", ordering="host_key")
    def key(self, row: Host) -> str:
        pinned = fingerprint_or_nothing(row.host_key)
        return (
            badge("Pinned", "good", pinned) if pinned else badge("Not pinned", "bad", "Deployments refuse it: scan it")
        )

    @admin.display(description="Active", ordering="active")
    def state(self, row: Host) -> str:
        return badge("Active", "good") if row.active else badge("Inactive", "idle", "Left out of deployments")

    @admin.display(description="Clusters")
    def in_clusters(self, row: Host) -> str:
        return ", ".join(cluster.name for cluster in getattr(row, "clusters_seen", ())) or "–"

    @admin.display(description="Labels")
    def label_list(self, row: Host) -> str:
        return ", ".join(str(label) for label in row.labels)

    @admin.display(description="Last check", ordering="checked_at")
    def last_check(self, row: Host) -> str:
        if row.checked_at is None:
            return "never"
        report = row.check_report
        tone, word = ("good", "Ready") if report.get("ok") else ("bad", "Failed")
        return format_html("{} {}", badge(word, tone, report.get("summary", "")), age(row.checked_at))

    @admin.display(description="")
    def configure(self, row: Host) -> str:
        address = reverse("admin:environments_host_change", args=[row.pk])
        return format_html('<a class="dp-link" href="{}">Configure</a>', address)

    @admin.action(description="Check the chosen hosts")
    def check_chosen(self, request: HttpRequest, queryset: QuerySet[Host]) -> None:
        hosts = list(queryset[: CHECKED_AT_ONCE + 1])
        if len(hosts) > CHECKED_AT_ONCE:
            messages.error(request, f"Choose at most {CHECKED_AT_ONCE} hosts at once.")
            return
        try:
            reports = hosts_check(hosts=hosts, actor=actor_of(request))
        except PanelError as error:
            messages.error(request, str(error))
            return
        for report in reports:
            say = messages.success if report.ok else messages.error
            say(request, f"{report.host}: {report.summary()}")

    # --- pages of their own -----------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        pages = (
            ("page/", host_pages.host_page),
            ("check/", host_pages.check),
            ("scan/", host_pages.scan),
            ("pin/", host_pages.pin),
        )
        own = [
            path(f"<int:pk>/{address}", wrap(view), name=f"environments_host_{address.rstrip('/')}")
            for address, view in pages
        ]
        return [*own, *super().get_urls()]

    def response_post_save_add(self, request: HttpRequest, obj: Host) -> HttpResponse:
        return HttpResponseRedirect(host_pages.page_url(obj))

    def response_post_save_change(self, request: HttpRequest, obj: Host) -> HttpResponse:
        return HttpResponseRedirect(host_pages.page_url(obj))


@admin.register(Cluster)
class ClusterAdmin(VisibleAdmin):
    nothing_yet = "A cluster is a group of hosts that environments are deployed to."
    list_display = ("name", "host_count", "environment_names")
    search_fields = ("name",)
    show_full_result_count = True
    autocomplete_fields = ("hosts",)
    fields = ("name", "hosts")

    def visible(self, user: User) -> QuerySet[Cluster]:
        return clusters_visible(user)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cluster]:
        rows: QuerySet[Cluster] = super().get_queryset(request)
        seen = Prefetch("environments", queryset=environments_visible(request.user), to_attr="environments_seen")
        return rows.annotate(hosts_count=Count("hosts", distinct=True)).prefetch_related(seen)

    @admin.display(description="Hosts", ordering="hosts_count")
    def host_count(self, row: Cluster) -> int:
        return int(getattr(row, "hosts_count", 0))

    @admin.display(description="Environments")
    def environment_names(self, row: Cluster) -> str:
        return ", ".join(one.path for one in getattr(row, "environments_seen", ())) or "–"
