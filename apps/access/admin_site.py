"""The admin's base classes: the only module that knows which theme is used."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.utils.text import get_text_list
from unfold.admin import ModelAdmin as ThemeModelAdmin
from unfold.admin import StackedInline, TabularInline
from unfold.decorators import action, display

from apps.access import audit
from apps.access.actor import Actor, Door
from apps.access.address import address_of
from apps.access.levels import Level
from apps.access.models import Subject
from apps.access.permissions import level_of, subjects_visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse

__all__ = ["ModelAdmin", "ScopedModelAdmin", "StackedInline", "TabularInline", "action", "actor_of", "display"]


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person, as the gate and the audit want to know them."""
    user = request.user if isinstance(request.user, User) else None
    return Actor(user=user, door=Door.ADMIN, address=address_of(request))


class ModelAdmin(ThemeModelAdmin):
    """The theme's, with every change in the audit trail: what was changed, never to what."""

    list_filter_sheet = False
    compressed_fields = True
    warn_unsaved_form = True
    list_per_page = 50
    show_full_result_count = False
    # Django's own history would tell the same twice.

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit(request, obj, "add", message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit(request, obj, "change", message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            self._audit(request, obj, "delete", "")
        return super().log_deletions(request, queryset)

    def _audit(self, request: HttpRequest, obj: Model, verb: str, message: Any) -> None:
        audit.record(
            actor=actor_of(request),
            action=f"{self.opts.model_name}.{verb}",
            subject=obj if isinstance(obj, Subject) else None,
            detail={"object": str(obj)[:200], "changes": message or []},
        )


class ScopedModelAdmin(ModelAdmin):
    """The admin of a model of which people see and change only what they were granted.

    For a kind of Subject nothing more is needed. Another model names in `subject_field` the foreign
    key that leads to its subject (`environment`, `run__subject`). Levels say what each act needs.
    New rows are made by superusers, unless `may_add` says otherwise.
    """

    subject_field: str = ""
    view_level: Level = Level.VIEW
    change_level: Level = Level.CONFIGURE
    delete_level: Level = Level.CONFIGURE

    # --- the policy -------------------------------------------------------------------------

    def level(self, request: HttpRequest, obj: Model) -> Level:
        """What this person may do with this row. Asked once per row and request."""
        known: dict[tuple[str, Any], Level] = request.__dict__.setdefault("_levels", {})
        key = (self.opts.label, obj.pk)
        if key not in known:
            subject = self.subject_of(obj)
            known[key] = level_of(request.user, subject) if subject else self.level_without_subject(request)
        return known[key]

    def level_without_subject(self, request: HttpRequest) -> Level:
        """What anyone may do with a row that belongs to no subject (any more): superusers only."""
        return Level.CONFIGURE if _is_superuser(request) else Level.NONE

    def subject_of(self, obj: Model) -> Subject | None:
        """The subject that decides about this row."""
        found: Any = obj
        for name in filter(None, self.subject_field.split("__")):
            found = getattr(found, name, None)
        return found if isinstance(found, Subject) else None

    def scope(self, request: HttpRequest, queryset: QuerySet[Any], least: Level) -> QuerySet[Any]:
        """The rows on which this person holds at least that level."""
        if _is_superuser(request):
            return queryset
        subjects = subjects_visible(request.user, least=least)
        return queryset.filter(**{f"{self.subject_field or 'pk'}__in": subjects.values("pk")})

    def may_add(self, request: HttpRequest) -> bool:
        """Whether this person may make new rows."""
        return _is_superuser(request)

    # --- what Django asks -------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.scope(request, super().get_queryset(request), self.view_level)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) or self.has_add_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._holds(request, obj, self.view_level)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._holds(request, obj, self.change_level)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._holds(request, obj, self.delete_level)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may_add(request)

    def _holds(self, request: HttpRequest, obj: Model | None, least: Level) -> bool:
        if _is_superuser(request):
            return True
        if obj is not None:
            return self.level(request, obj) >= least
        known: dict[tuple[str, Level], bool] = request.__dict__.setdefault("_holds_any", {})
        key = (self.opts.label, least)
        if key not in known:
            known[key] = self.scope(request, self.model._default_manager.all(), least).exists()
        return known[key]

    # --- actions ----------------------------------------------------------------------------

    def get_actions(self, request: HttpRequest) -> Any:
        """Each action asks for every chosen row; its own `least` attribute says which level it needs."""
        return {
            name: (self._checked(function), name, description)
            for name, (function, name, description) in super().get_actions(request).items()
        }

    def _checked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        least = getattr(function, "least", self.change_level)

        @functools.wraps(function)
        def checked(admin_: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
            refused = [str(obj) for obj in queryset if self.level(request, obj) < least]
            if refused:
                text = f"Nothing was done: you may not do this to {get_text_list(refused[:5], 'or')}."
                messages.error(request, text)
                return None
            result: HttpResponse | None = function(admin_, request, queryset)
            return result

        return checked

    # --- what may be chosen -----------------------------------------------------------------

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._scope_choices(db_field, request, kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._scope_choices(db_field, request, kwargs)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def _scope_choices(self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        related = self.admin_site._registry.get(db_field.remote_field.model)
        if "queryset" not in kwargs and related is not None:
            kwargs["queryset"] = related.get_queryset(request)


def _is_superuser(request: HttpRequest) -> bool:
    user = request.user
    return bool(user.is_active and getattr(user, "is_superuser", False))


admin.site.site_header = "Deploypanel"
admin.site.site_title = "Deploypanel"
admin.site.index_title = "Overview"
