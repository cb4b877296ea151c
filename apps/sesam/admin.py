"""Nodes and what was done to them in the admin. Secret stores are in admin_stores.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, Subquery
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from apps.repos.subject_admin import FollowerAdmin
from apps.runs.history_admin import HistoryAdmin
from apps.runs.wording import age, badge, short, state_badge
from apps.sesam import (
    acts,
    admin_stores,  # noqa: F401 - registers secret stores
    control,
    extras_page,
    plan_views,
    views,
)
from apps.sesam.admin_inlines import ExtraNodeInline
from apps.sesam.forms import NodeForm
from apps.sesam.models import Node, SecretStore, Sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django.urls import URLPattern

LINES = {"variables_files": 2, "protected": 2, "ignore": 3}  # lists, edited as lines: rows of their boxes
HINTS = {
    "variables_files": "One file a line, relative to the node's folder. Empty: the layout's own "
    "(variables/variables-test.json); none: there are none.",
    "protected": "One id a line: what the node has of it stays, and what Git has of it never goes there.",
    "ignore": "What differs on purpose, one a line: an id, or a place in an entity "
    "(my-pipe#/pump/schedule_interval). * stands for any letters.",
}


@admin.register(Node)
class NodeAdmin(FollowerAdmin):
    """The list leads to each node's page; the form is for those who may configure it."""

    nothing_yet = "A node is a Sesam node whose configuration follows Git."
    form = NodeForm
    account_field = "sync_as"
    inlines = (ExtraNodeInline,)
    change_form_before_template = "sesam/_form_warning.html"
    list_display = (
        "node",
        "state_since_words",
        "follows",
        "applies",
        "applied",
        "applied_age",
        "last_result",
        "configure",
    )
    list_display_links = None
    list_filter = ("state", "apply_mode", "layout", "environment", "enabled", "repository", "hours")
    list_select_related = ("repository", "hours", "fed_by__master__repository")
    search_fields = ("name", "url", "branch", "sync_root", "applied_commit", "repository__name")
    search_help_text = "Name, URL, repository, branch, folder or commit"
    ordering = ("name",)
    show_full_result_count = True
    fieldsets: ClassVar = (
        (None, {"fields": ("name", "repository", "branch", "hours", "enabled")}),
        (
            "The node",
            {
                "fields": ("url", "jwt", "verify_tls", "ca_bundle"),
                "description": "A node at another address, or whose certificate is trusted for other reasons, may be "
                "another node: its token is asked for anew, so that nobody sends it elsewhere. A certificate of your "
                "own authority goes into the CA bundle; not to verify TLS lets anyone between the panel and the node "
                "read and change everything.",
            },
        ),
        (
            "What it takes from the repository",
            {
                "fields": (
                    "layout",
                    "sync_root",
                    "environment",
                    "variables_files",
                    "whitelist_file",
                    "config_group",
                ),
                "description": "Single node: pipes/, systems/ and node-metadata.conf.json lie in the folder. "
                "Multi-node: the folder holds node/ and extra_nodes/.",
            },
        ),
        ("Variables and secrets", {"fields": ("verify", "upload", "secret_store")}),
        ("What a sync leaves alone", {"fields": ("protected", "ignore", "orchestrator")}),
        (
            "By itself",
            {
                "fields": ("apply_mode", "interval", "sync_as"),
                "description": "Every node with an interval is watched. Heal also applies when the node itself was "
                "changed by somebody.",
            },
        ),
        (
            "Limits",
            {"fields": ("removal_limit", "removal_share", "keep_snapshots", "snapshot_days", "time_limit")},
        ),
    )

    # --- the form ---------------------------------------------------------------------------

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.may_use_stores = request.user.has_perm("sesam.change_secretstore")
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "secret_store" and not request.user.has_perm("sesam.change_secretstore"):
            kwargs["queryset"] = SecretStore.objects.filter(pk__in=self._present(request, "secret_store"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name in LINES and field is not None:
            return self.lines_field(field, HINTS[db_field.name], LINES[db_field.name])
        if db_field.name == "ca_bundle":
            field.widget.attrs["rows"] = 3
        if db_field.name == "jwt":
            field.label = "JWT"
        return field

    # --- the list ---------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        newest = Sync.objects.filter(node=OuterRef("pk"), action__in=("sync", "restore", "verify")).order_by("-id")
        live = Sync.objects.filter(node=OuterRef("pk"), commit=OuterRef("applied_commit"), state="succeeded")
        rows: QuerySet[Node] = super().get_queryset(request)
        return rows.annotate(
            last_state=Subquery(newest.values("state")[:1]),
            live_subject=Subquery(live.order_by("-id").values("commit_subject")[:1]),
        )

    @admin.display(description="Node", ordering="name")
    def node(self, row: Node) -> str:
        return self.control_link(row)

    @admin.display(description="State", ordering="state")
    def state_since_words(self, row: Node) -> str:
        shown = control.state_badge(row)
        parts = [badge(shown.text, shown.tone, shown.hint)]
        if not row.verify_tls and not row.is_ci:
            parts.append(badge("TLS not verified", "warn dp-badge-plain"))
        elif row.is_in_clear:
            parts.append(badge("Not encrypted", "warn dp-badge-plain"))
        words = format_html_join(" ", "{}", ((part,) for part in parts))
        return format_html('{}<div class="dp-list-subject dp-nowrap">since {}</div>', words, age(row.state_since))

    @admin.display(description="Follows", ordering="repository__name")
    def follows(self, row: Node) -> str:
        if row.repository is not None:
            words = '<span class="dp-nowrap">{} <code class="dp-muted">{}</code></span>'
            return format_html(words, row.repository.name, row.branch)
        extra = getattr(row, "fed_by", None)
        return (
            format_html("{} <span class='dp-muted'>as {}</span>", extra.master.name, extra.name) if extra else "nothing"
        )

    @admin.display(description="Applies", ordering="apply_mode")
    def applies(self, row: Node) -> str:
        if row.auto_paused_at is not None and row.apply_mode != "manual":
            return badge("Paused", "warn", row.auto_paused_reason)
        return control.mode_words(row, getattr(row, "fed_by", None))

    @admin.display(description="Last good commit")
    def applied(self, row: Node) -> str:
        subject = getattr(row, "live_subject", None) or ""
        return format_html('{} <span class="dp-list-subject">{}</span>', short(row.applied_commit), subject)

    @admin.display(description="Age", ordering="applied_at")
    def applied_age(self, row: Node) -> str:
        return age(row.applied_at)

    @admin.display(description="Last result")
    def last_result(self, row: Node) -> str:
        return state_badge(getattr(row, "last_state", None) or "") or "–"

    # --- pages of their own -----------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("control/", "control", views.control_page),
            ("live/", "live", views.live),
            ("extras/", "extras", extras_page.extras),
            ("snapshot/<int:number>/", "snapshot", views.snapshot_page),
            ("plan/", "plan", acts.plan),
            ("sync/", "sync", acts.sync),
            ("restore/", "restore", acts.restore),
            ("pause/", "pause", acts.pause),
            ("resume/", "resume", acts.resume),
            ("check/", "check", acts.check),
            ("switch/", "switch", acts.switch),
        )
        return self.own_pages(pages) + plan_views.plan_urls() + super().get_urls()


@admin.register(Sync)
class SyncAdmin(HistoryAdmin):
    """What was done to which node, and by whom."""

    nothing_yet = "Each plan, sync and restore of a node is kept here."
    subject_field = "node"
    list_display = ("what", "outcome", "commit_what", "counted", "by", "requested_age", "took", "plan_link", "run_link")
    list_filter = ("state", "action", ("node", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("node", "run")
    search_fields = ("node_name", "commit", "commit_subject", "requested_name", "ref")
    search_help_text = "Node, commit, subject or person"

    def get_urls(self) -> list[URLPattern]:
        return plan_views.sync_urls() + super().get_urls()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sync]:
        rows: QuerySet[Sync] = super().get_queryset(request)
        return rows.defer("rules", "problems", "missing", "refused", "extras", "journal")

    @admin.display(description="Node", ordering="node_name")
    def what(self, row: Sync) -> str:
        if row.node_id is None:
            return row.node_name
        address = reverse("admin:sesam_node_control", args=[row.node_id])
        return format_html('<a class="dp-link dp-link-strong" href="{}">{}</a>', address, row.node_name)

    @admin.display(description="Result", ordering="state")
    def outcome(self, row: Sync) -> str:
        parts = [(state_badge(row.state),)]
        if action := control.what(row):
            parts.append((badge(action.capitalize()),))
        return format_html_join(" ", "{}", parts)

    @admin.display(description="Changes")
    def counted(self, row: Sync) -> str:
        return control.Counts.of(row).words if row.counts else ""

    @admin.display(description="Plan")
    def plan_link(self, row: Sync) -> str:
        if row.wanted_id is None:
            return ""
        return format_html('<a class="dp-link" href="{}">Plan</a>', reverse("admin:sesam_sync_plan", args=[row.pk]))
