"""Environments and deployments in the admin. Hosts and clusters are in admin_hosts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, Q, Subquery
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from apps.access.levels import Level
from apps.access.permissions import subjects_visible
from apps.environments import (
    acts,
    admin_hosts,  # noqa: F401 - registers hosts and clusters
    views,
)
from apps.environments.forms import EnvironmentForm
from apps.environments.models import Cluster, Deployment, Environment
from apps.repos.subject_admin import FollowerAdmin
from apps.runs.history_admin import HistoryAdmin
from apps.runs.wording import age, badge, short, state_badge

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django.urls import URLPattern


@admin.register(Environment)
class EnvironmentAdmin(FollowerAdmin):
    """The list leads to each environment's control page; the form is for those who may configure it."""

    nothing_yet = "An environment says which branch goes to which hosts, and where to."
    form = EnvironmentForm
    account_field = "deploy_as"
    list_display = (
        "environment",
        "branch",
        "deployed",
        "deployed_age",
        "last_result",
        "auto",
        "hours_name",
        "configure",
    )
    list_display_links = None
    list_filter = ("repository", "method", "auto_deploy", "hours")
    list_select_related = ("repository", "hours")
    search_fields = ("path", "branch", "target_path", "deployed_commit")
    search_help_text = "Repository, name, branch, folder or deployed commit"
    ordering = ("repository__name", "order", "name")
    autocomplete_fields = ("clusters",)
    show_full_result_count = True
    fieldsets: ClassVar = (
        (None, {"fields": ("repository", "name", "order", "branch", "hours")}),
        (
            "Where to",
            {
                "fields": ("clusters", "target_path", "remote_user", "method", "keep_releases", "shared_paths"),
                "description": "“Releases and a symlink” copies each commit beside the last and switches all hosts at "
                "once; a rollback takes seconds. “In place” copies into the folder itself.",
            },
        ),
        (
            "How",
            {
                "fields": (
                    "rsync_options",
                    "parallel",
                    "tolerated_failures",
                    "fail_on_tests",
                    "time_limit",
                    "silence_limit",
                    "stop_grace",
                )
            },
        ),
        (
            "By itself",
            {
                "fields": ("auto_deploy", "deploy_as"),
                "description": "A push to the branch deploys with the rights, and in the hours, of this account.",
            },
        ),
    )

    # --- rights -----------------------------------------------------------------------------

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("repository",) if obj is not None else ()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "clusters" and not request.user.has_perm("environments.change_cluster"):
            kwargs["queryset"] = self._clusters(request)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def _clusters(self, request: HttpRequest) -> QuerySet[Cluster]:
        """Who configures an environment runs commands on its hosts; to see one is not enough to choose its hosts."""
        mine = Q(environments__in=subjects_visible(request.user, "environment", Level.CONFIGURE).values("pk"))
        return Cluster.objects.filter(pk__in=Cluster.objects.filter(mine).values("pk"))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "shared_paths":  # lines, not JSON, in the theme's own text box
            return self.lines_field(field, "One path a line, such as uploads.")
        return field

    # --- the list ---------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Environment]:
        newest = Deployment.objects.filter(environment=OuterRef("pk")).order_by("-id").values("state")[:1]
        live = Deployment.objects.filter(environment=OuterRef("pk"), commit=OuterRef("deployed_commit"))
        rows: QuerySet[Environment] = super().get_queryset(request)
        return rows.annotate(
            last_state=Subquery(newest),
            live_subject=Subquery(live.order_by("-id").values("commit_subject")[:1]),
        )

    @admin.display(description="Environment", ordering="path")
    def environment(self, row: Environment) -> str:
        return self.control_link(row)

    @admin.display(description="Deployed")
    def deployed(self, row: Environment) -> str:
        subject = getattr(row, "live_subject", None) or ""
        return format_html('{} <span class="dp-list-subject">{}</span>', short(row.deployed_commit), subject)

    @admin.display(description="Age", ordering="deployed_at")
    def deployed_age(self, row: Environment) -> str:
        return age(row.deployed_at)

    @admin.display(description="Last result")
    def last_result(self, row: Environment) -> str:
        return state_badge(getattr(row, "last_state", None) or "") or "–"

    @admin.display(description="Auto-deploy", ordering="auto_deploy")
    def auto(self, row: Environment) -> str:
        if not row.auto_deploy:
            return badge("Off")
        return badge("Paused", "warn", row.auto_paused_reason) if row.auto_paused_at else badge("On", "good")

    @admin.display(description="Hours", ordering="hours__name")
    def hours_name(self, row: Environment) -> str:
        return format_html('<span class="dp-nowrap">{}</span>', row.hours.name if row.hours else "at any time")

    # --- pages of their own -----------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("control/", "control", views.control_page),
            ("live/", "live", views.live),
            ("commits/", "commits", views.commits),
            ("between/", "between", views.between),
            ("preview/<int:run_id>/", "preview_result", views.preview),
            ("deploy/", "deploy", acts.deploy),
            ("rollback/", "rollback", acts.rollback),
            ("preview/", "preview", acts.preview),
            ("pause/", "pause", acts.pause),
            ("resume/", "resume", acts.resume),
            ("refresh/", "refresh", acts.refresh),
        )
        return self.own_pages(pages) + super().get_urls()


@admin.register(Deployment)
class DeploymentAdmin(HistoryAdmin):
    """What was brought where, and by whom: to read only, and kept when runs and logs are pruned."""

    nothing_yet = "Each deployment and rollback of an environment is kept here."
    subject_field = "environment"
    list_display = (
        "what",
        "outcome",
        "commit_what",
        "target_name",
        "by",
        "requested_age",
        "took",
        "run_link",
    )
    list_filter = ("state", "action", ("environment", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("environment", "run")
    search_fields = ("environment_path", "commit", "commit_subject", "requested_name", "ref")
    search_help_text = "Environment, commit, subject or person"

    @admin.display(description="Environment", ordering="environment_path")
    def what(self, row: Deployment) -> str:
        if row.environment_id is None:
            return row.environment_path
        address = reverse("admin:environments_environment_control", args=[row.environment_id])
        return format_html('<a class="dp-link dp-link-strong" href="{}">{}</a>', address, row.environment_path)

    @admin.display(description="Result", ordering="state")
    def outcome(self, row: Deployment) -> str:
        parts = [(state_badge(row.state),)]
        if row.action != "deploy":
            parts.append((badge(row.get_action_display()),))
        return format_html_join(" ", "{}", parts)

    @admin.display(description="Where to")
    def target_name(self, row: Deployment) -> str:
        return row.target or "all"
