"""Runs in the admin: a list to find them, and the page on which one is watched and stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from apps.access.admin_site import ScopedModelAdmin, actor_of, display
from apps.access.errors import PanelError
from apps.access.gate import Act, decide
from apps.runs import presentation
from apps.runs.frames import kind_label
from apps.runs.kinds import kinds
from apps.runs.models import Run
from apps.runs.services import run_stop
from apps.runs.states import STOPPABLE

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.admin.options import ModelAdmin as BaseAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString


class KindFilter(admin.SimpleListFilter):
    """The kinds of work that this installation knows: asked of the registry, not of the table."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: BaseAdmin[Any]) -> list[tuple[str, str]]:
        return [(kind.name, kind.label) for kind in kinds()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Run)
class RunAdmin(ScopedModelAdmin):
    nothing_yet = "A run begins with each deployment, sync, fetch, script and check, with its log."
    subject_field = "subject"
    list_display = ("number", "shown_state", "shown_kind", "shown_subject", "who", "when", "duration", "outcome")
    list_display_links = ("number",)
    list_filter = ("state", KindFilter, "cause")
    list_filter_sheet = True
    search_fields = ("subject_path", "requested_name", "summary")
    search_help_text = "Subject, person or summary"
    ordering: ClassVar = ["-id"]
    list_fullwidth = True
    actions = None

    # --- Who may: runs are made and changed by work alone -----------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # --- The list ---------------------------------------------------------------------------

    @display(description="Run")
    def number(self, run: Run) -> str:
        return f"#{run.pk}"

    @display(description="State", ordering="state")
    def shown_state(self, run: Run) -> SafeString:
        return format_html('<span class="dp-badge {}">{}</span>', presentation.tone(run.state), run.get_state_display())

    @display(description="Kind", ordering="kind")
    def shown_kind(self, run: Run) -> str:
        return kind_label(run.kind)

    @display(description="Subject", ordering="subject_path")
    def shown_subject(self, run: Run) -> str:
        return run.subject_path

    @display(description="Asked for by", ordering="requested_name")
    def who(self, run: Run) -> SafeString:
        cause = run.get_cause_display().lower()
        return format_html('<span>{} <span class="dp-muted">({})</span></span>', run.requested_name, cause)

    @display(description="When")
    def when(self, run: Run) -> SafeString:
        return _moment(run.requested_at)

    @display(description="Duration")
    def duration(self, run: Run) -> str:
        return presentation.duration_text(run.started_at, run.ended_at)

    @display(description="Summary")
    def outcome(self, run: Run) -> SafeString:
        return format_html('<span class="run-summary dp-muted" title="{0}">{0}</span>', run.summary)

    class Media:
        css: ClassVar = {"all": ["runs/list.css"]}

    # --- The page ---------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        stop = self.admin_site.admin_view(require_POST(self.stop_view))
        return [path("<int:run_id>/stop/", stop, name="runs_run_stop"), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The run's page. All that changes on it comes by WebSocket."""
        run = self._visible(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": run,
            "title": f"Run #{run.pk}",
            "run": run,
            "kind": kind_label(run.kind),
            "tone": presentation.tone(run.state),
            "subject_page": presentation.subject_page(run.subject),
            "findings": presentation.findings(run),
            "duration": presentation.duration_text(run.started_at, run.ended_at),
            "data": presentation.page_data(run, may_stop=self._may_stop(request, run)),
        }
        return TemplateResponse(request, "runs/page.html", context | (extra_context or {}))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """A run's history is its log."""
        self._visible(request, object_id)
        return HttpResponseRedirect(reverse("admin:runs_run_change", args=[object_id]))

    def stop_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Ask for the run to stop. The service asks the gate, and writes the audit."""
        run = self._visible(request, str(run_id))
        try:
            run_stop(run=run, actor=actor_of(request))
        except PanelError as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:runs_run_change", args=[run.pk]))

    def _visible(self, request: HttpRequest, object_id: str) -> Run:
        """The run, if this person may see it. Otherwise there is no such run."""
        if not (object_id.isascii() and object_id.isdigit() and len(object_id) < 19):
            raise Http404
        run: Run | None = self.get_queryset(request).select_related("subject").filter(pk=object_id).first()
        if run is None:
            raise Http404
        return run

    def _may_stop(self, request: HttpRequest, run: Run) -> bool:
        if run.state not in STOPPABLE:
            return False
        if run.subject is None:
            return request.user.is_superuser or request.user.pk == run.requested_by_id
        return decide(actor=actor_of(request), act=Act.STOP, subject=run.subject).allowed


def _moment(at: datetime) -> SafeString:
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}" data-age>{}</time>',
        at.isoformat(),
        local.strftime("%Y-%m-%d %H:%M:%S %Z"),
        local.strftime("%Y-%m-%d %H:%M"),
    )
