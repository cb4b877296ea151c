"""What is edited inside a trigger's form: what fires it, and what a firing does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Q
from django.forms import BaseInlineFormSet
from django.utils.functional import cached_property

from apps.access.admin_site import StackedInline
from apps.access.asked import number_of
from apps.access.levels import Level
from apps.access.models import Subject
from apps.access.permissions import subjects_visible
from apps.environments.models import Cluster, Environment, Host
from apps.repos.models import Repository
from apps.sesam.models import Node
from apps.triggers.forms import ActionForm, EndSourceForm, PatternsField, PushSourceForm, RuleField
from apps.triggers.models import Action, EndSource, PushSource, Trigger

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

LINES = {
    "branches": "One pattern a line: main, release/*. Empty: any branch.",
    "paths": "One pattern a line: web/**, docs/*.md. One changed file must match. Empty: any path.",
}


class TriggerInline(StackedInline):
    """Who configures the trigger edits it; what may be chosen is what that person sees, or acts upon."""

    extra = 0
    tab = False

    def _may(self, request: HttpRequest, obj: Any) -> bool:
        triggers = admin.site.get_model_admin(Trigger)
        return triggers.has_change_permission(request, obj) or (obj is None and triggers.has_add_permission(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = self.choices(db_field.name, request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = self.choices(db_field.name, request)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def choices(self, name: str, request: HttpRequest) -> QuerySet[Any]:
        """What may be chosen in that field, and what is chosen there already."""
        raise NotImplementedError

    def held(self, name: str, request: HttpRequest) -> Q:
        number = getattr(request.resolver_match, "kwargs", {}).get("object_id", "")
        rows: QuerySet[Any] = self.model._default_manager.filter(trigger=number_of(number) or 0)
        return Q(pk__in=rows.exclude(**{name: None}).values(name))


class PushSourceInline(TriggerInline):
    model = PushSource
    form = PushSourceForm
    fields = ("repository", "branches", "paths")
    verbose_name = "push"
    verbose_name_plural = "Pushes that fire it"

    def choices(self, name: str, request: HttpRequest) -> QuerySet[Any]:
        seen = subjects_visible(request.user, "repository").values("pk")
        return Repository.objects.filter(Q(pk__in=seen) | self.held(name, request)).order_by("name")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name not in LINES or field is None:
            return field
        field.widget.attrs["rows"] = 2
        return PatternsField(label=field.label, widget=field.widget, required=False, help_text=LINES[db_field.name])


class EndSourceInline(TriggerInline):
    model = EndSource
    fk_name = "trigger"
    form = EndSourceForm
    fields = ("of", "states")
    verbose_name = "end of a run"
    verbose_name_plural = "Ends of runs that fire it"

    def choices(self, name: str, request: HttpRequest) -> QuerySet[Any]:
        seen = subjects_visible(request.user).values("pk")
        return Subject.objects.filter(Q(pk__in=seen) | self.held(name, request)).order_by("path")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        field.label_from_instance = lambda row: f"{row.path} ({row.kind})"
        return field


class ActionFormSet(BaseInlineFormSet):  # type: ignore[type-arg]  # generic only in the stubs
    """Its forms know who edits, and as whom the trigger is about to act."""

    person: Any = None

    def _construct_form(self, i: int, **kwargs: Any) -> Any:
        form = super()._construct_form(i, **kwargs)  # type: ignore[misc]  # the stubs leave it out
        form.person, form.act_as = self.person, self._act_as()
        form.let_loose = self._present is not None and form.act_as is None
        return form

    @cached_property
    def _present(self) -> User | None:
        """Whom the database names: the instance has what the form says by now."""
        row = Trigger.objects.filter(pk=self.instance.pk).select_related("act_as").first() if self.is_bound else None
        return row.act_as if row is not None else None

    def _act_as(self) -> User | None:
        chosen = number_of(str(self.data.get("act_as", ""))) if self.is_bound else None
        if chosen is None or (self._present is not None and self._present.pk == chosen):
            return None if chosen is None else self._present
        return User.objects.filter(pk=chosen).first()


class ActionInline(TriggerInline):
    model = Action
    form = ActionForm
    formset = ActionFormSet
    fields = ("kind", "environment", "node", "commit_from", "cluster", "hosts", "script", "when", "position")
    verbose_name = "action"
    verbose_name_plural = "What a firing does"

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.person = request.user
        return formset

    def choices(self, name: str, request: HttpRequest) -> QuerySet[Any]:
        person, held = request.user, self.held(name, request)
        if name == "environment":
            mine = Q(pk__in=subjects_visible(person, "environment", Level.IN_HOURS).values("pk"))
            return Environment.objects.filter(mine | held).order_by("path")
        if name == "node":
            mine = Q(pk__in=subjects_visible(person, "node", Level.IN_HOURS).values("pk"))
            return Node.objects.filter(mine | held).order_by("name")
        if name == "hosts":
            hosts = Host.objects.all() if person.has_perm("environments.change_host") else Host.objects.filter(held)
            return hosts.order_by("name")
        configured = subjects_visible(person, "environment", Level.CONFIGURE).values("pk")
        theirs = Q(pk__in=Cluster.objects.filter(environments__in=configured).values("pk"))
        everything = person.has_perm("environments.change_cluster")
        clusters = Cluster.objects.all() if everything else Cluster.objects.filter(theirs | held)
        return clusters.order_by("name")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is None:
            return field
        if db_field.name == "when":
            field.widget.attrs |= {"rows": 2, "placeholder": '{"equals": {"/ref": "refs/heads/main"}}'}
            hint = "A rule on the payload, as JSON: all, any, not, equals, matches, present. Empty: always."
            return RuleField(label="When", widget=field.widget, required=False, help_text=hint)
        if db_field.name == "script":
            field.widget.attrs |= {
                "rows": 6,
                "spellcheck": "false",
                "class": f"{field.widget.attrs.get('class', '')} dp-mono",
            }
        return field
