"""Environments and deployments in the admin. Hosts and clusters are in admin_hosts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import BooleanField, ExpressionWrapper, OuterRef, Q, Subquery
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join

from apps.access.actor import Actor, Door
from apps.access.admin_site import ScopedModelAdmin, actor_of
from apps.access.asked import number_of
from apps.access.forms import LinesField
from apps.access.levels import Level
from apps.access.permissions import subjects_visible
from apps.access.services import grant_set
from apps.environments import (
    acts,
    admin_hosts,  # noqa: F401 - registers hosts and clusters
    views,
)
from apps.environments.forms import EnvironmentForm
from apps.environments.models import Cluster, Deployment, Environment
from apps.repos.models import Repository
from apps.runs.services import run_active_on
from apps.runs.wording import age, badge, short, state_badge, took

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


@admin.register(Environment)
class EnvironmentAdmin(ScopedModelAdmin):
    """The list leads to each environment's control page; the form is for those who may configure it."""

    form = EnvironmentForm
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

    def may_add(self, request: HttpRequest) -> bool:
        """Who configures a repository may give it environments."""
        return subjects_visible(request.user, "repository", Level.CONFIGURE).exists()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Not under the feet of a run that works for it: it could not end truthfully, nor keep others away."""
        if obj is not None and run_active_on(obj.pk) is not None:
            return False
        return super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("repository",) if obj is not None else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "repository":
            least = subjects_visible(request.user, "repository", Level.CONFIGURE)
            kwargs["queryset"] = Repository.objects.filter(pk__in=least.values("pk"))
        if db_field.name == "deploy_as":
            kwargs["queryset"] = self._accounts(request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "clusters" and not request.user.has_perm("environments.change_cluster"):
            kwargs["queryset"] = self._clusters(request)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def _clusters(self, request: HttpRequest) -> QuerySet[Cluster]:
        """Who configures an environment runs commands on its hosts; to see one is not enough to choose its hosts."""
        mine = Q(environments__in=subjects_visible(request.user, "environment", Level.CONFIGURE).values("pk"))
        return Cluster.objects.filter(pk__in=Cluster.objects.filter(mine).values("pk"))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change and not request.user.is_superuser:  # or its maker could not even see it
            maker = actor_of(request)
            panel = Actor(user=None, door=Door.SYSTEM, address=maker.address, behind=maker.name)
            holder = User.objects.get(username=maker.name)
            grant_set(actor=panel, subject=form.instance, holder=holder, level=Level.CONFIGURE)

    def _accounts(self, request: HttpRequest) -> QuerySet[User]:
        """Nobody lends rights that are not theirs: only a superuser names another account than the present or own."""
        people = User.objects.filter(is_active=True).order_by("username")
        if request.user.is_superuser:
            return people
        number = getattr(request.resolver_match, "kwargs", {}).get("object_id", "")
        present = Environment.objects.filter(pk=number_of(number) or 0).values("deploy_as")
        return people.filter(Q(pk=request.user.pk) | Q(pk__in=present))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "shared_paths":  # lines, not JSON, in the theme's own text box
            field.widget.attrs["rows"] = 3
            return LinesField(
                label=field.label, widget=field.widget, required=False, help_text="One path a line, such as uploads."
            )
        return field

    # --- the list ---------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Environment]:
        newest = Deployment.objects.filter(environment=OuterRef("pk")).order_by("-id").values("state")[:1]
        live = Deployment.objects.filter(environment=OuterRef("pk"), commit=OuterRef("deployed_commit"))
        mine = subjects_visible(request.user, "environment", Level.CONFIGURE).values("pk")
        rows: QuerySet[Environment] = super().get_queryset(request)
        return rows.annotate(
            last_state=Subquery(newest),
            live_subject=Subquery(live.order_by("-id").values("commit_subject")[:1]),
            configurable=ExpressionWrapper(Q(pk__in=mine), BooleanField()),
        )

    @admin.display(description="")
    def configure(self, row: Environment) -> str:
        if not getattr(row, "configurable", False):
            return ""
        address = reverse("admin:environments_environment_change", args=[row.pk])
        return format_html('<a class="dp-link" href="{}">Configure</a>', address)

    @admin.display(description="Environment", ordering="path")
    def environment(self, row: Environment) -> str:
        address = reverse("admin:environments_environment_control", args=[row.pk])
        return format_html('<a class="dp-link dp-link-strong dp-nowrap" href="{}">{}</a>', address, row.path)

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
        wrap = self.admin_site.admin_view
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
        own = [
            path(f"<int:pk>/{address}", wrap(view), name=f"environments_environment_{name}")
            for address, name, view in pages
        ]
        return own + super().get_urls()

    def response_post_save_change(self, request: HttpRequest, obj: Environment) -> HttpResponse:
        return HttpResponseRedirect(acts.control_url(obj))


@admin.register(Deployment)
class DeploymentAdmin(ScopedModelAdmin):
    """What was brought where, and by whom: to read only, and kept when runs and logs are pruned."""

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
    list_display_links = None
    list_filter = ("state", "action", ("environment", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("environment", "run")
    search_fields = ("environment_path", "commit", "commit_subject", "requested_name", "ref")
    search_help_text = "Environment, commit, subject or person"
    show_full_result_count = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

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

    @admin.display(description="Commit")
    def commit_what(self, row: Deployment) -> str:
        what = row.commit_subject or row.ref
        return format_html('{} <span class="dp-list-subject">{}</span>', short(row.commit), what)

    @admin.display(description="Where to")
    def target_name(self, row: Deployment) -> str:
        return row.target or "all"

    @admin.display(description="By", ordering="requested_name")
    def by(self, row: Deployment) -> str:
        return row.requested_name

    @admin.display(description="Requested", ordering="requested_at")
    def requested_age(self, row: Deployment) -> str:
        return age(row.requested_at)

    @admin.display(description="Took")
    def took(self, row: Deployment) -> str:
        return took(row.started_at, row.ended_at) if row.started_at and row.ended_at else ""

    @admin.display(description="Run")
    def run_link(self, row: Deployment) -> str:
        if row.run_id is None:
            return f"#{row.run_number}" if row.run_number else ""
        address = reverse("admin:runs_run_change", args=[row.run_id])
        return format_html('<a class="dp-link" href="{}">#{}</a>', address, row.run_id)
