"""The admin's base classes: the only module that knows which theme is used."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import NotRelationField, get_fields_from_path, quote, unquote
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth.models import User
from django.core.exceptions import FieldDoesNotExist
from django.db import DataError
from django.db.models import Q
from django.http import Http404, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.text import get_text_list
from unfold.admin import ModelAdmin as ThemeModelAdmin
from unfold.admin import StackedInline, TabularInline
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, AuthenticationForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from apps.access import audit
from apps.access.actor import Actor, Door
from apps.access.address import address_of
from apps.access.asked import nul_refused, numbers_refused
from apps.access.errors import PanelError, Refused
from apps.access.grants_page import grants_view
from apps.access.levels import Level
from apps.access.models import Subject
from apps.access.permissions import level_of, subjects_visible
from apps.access.sign_in_form import SignInsCounted

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

__all__ = [
    "AdminPasswordChangeForm",
    "ModelAdmin",
    "ScopedModelAdmin",
    "StackedInline",
    "TabularInline",
    "UserChangeForm",
    "UserCreationForm",
    "action",
    "actor_of",
    "checkbox_list",
    "display",
    "select_box",
    "switch",
]


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person, as the gate and the audit want to know them."""
    user = request.user if isinstance(request.user, User) else None
    return Actor(user=user, door=Door.ADMIN, address=address_of(request))


def switch() -> Any:
    """A widget for yes or no, as forms of models have it."""
    return UnfoldBooleanSwitchWidget()


def checkbox_list() -> Any:
    """A widget for a few choices: all of them with a box each."""
    return UnfoldAdminCheckboxSelectMultipleWidget()


def select_box() -> Any:
    """A widget for one of a few choices."""
    return UnfoldAdminSelectWidget()


class ModelAdmin(ThemeModelAdmin):
    """The theme's, with every change in the audit trail: what was changed, never to what."""

    nothing_yet = ""  # what an empty list tells: what comes into it, and how
    empty_template = ""  # the same where one sentence is not enough
    list_filter_sheet = False
    compressed_fields = True
    warn_unsaved_form = True
    list_per_page = 50

    class Media:
        css: ClassVar = {"all": ("access/access.css",)}

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        nul_refused(request)  # filters hand the address's words to the database
        numbers_refused(request.GET, but=SEARCH_VAR)
        response: HttpResponse = super().changelist_view(request, *args, **kwargs)
        return response

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What a service refuses while saving is a sentence on the form's page; Django has rolled back by then."""
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except (OverflowError, DataError):  # a choice among rows, of one that none can be
            numbers_refused(request.POST)
            raise
        except PanelError as error:
            if request.method != "POST":  # sent back to itself, it would go round for ever
                raise
            if isinstance(error, Refused):
                self._audit_refusal(request, error)
            messages.error(request, str(error))
            return HttpResponseRedirect(request.get_full_path())
        return response

    def _audit_refusal(self, request: HttpRequest, error: Refused) -> None:
        """What the gate wrote down was rolled back with the form's transaction."""
        audit.record(
            actor=actor_of(request),
            action=f"{self.opts.model_name}.save",
            allowed=False,
            reasons=error.decision.reasons,
            detail={"page": request.path[:200]},
        )

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


class VisibleRelatedFilter(admin.RelatedFieldListFilter):
    """Offers the related rows that this person may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        related = model_admin.admin_site._registry.get(field.remote_field.model)
        if related is None or not related.has_view_permission(request):
            return []
        rows = related.get_queryset(request).order_by().values("pk")
        choices: list[Any] = field.get_choices(
            include_blank=False,
            ordering=self.field_admin_ordering(field, request, model_admin),
            limit_choices_to={"pk__in": rows},
        )
        return choices


class ScopedModelAdmin(ModelAdmin):
    """The admin of a model of which people see and change only what they were granted.

    For a kind of Subject nothing more is needed. Another model names in `subject_field` the foreign
    key that leads to its subject (`environment`, `run__subject`). Levels say what each act needs.
    New rows are made by superusers, unless `may_add` says otherwise.
    """

    subject_field: str = ""
    # Whether Django's model permissions count besides (they do in an admin that asks for them).
    model_permissions: bool = False
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

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        if isinstance(obj, Subject):
            obj.save_settings()
        else:
            super().save_model(request, obj, form, change)

    # --- the permissions page ---------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        if not issubclass(self.model, Subject):
            return list(super().get_urls())
        name = f"{self.opts.app_label}_{self.opts.model_name}_grants"
        page = path("<path:object_id>/grants/", self.admin_site.admin_view(self.grants_page), name=name)
        return [page, *super().get_urls()]

    def grants_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """People and groups × rights on this subject."""
        obj = self.get_object(request, unquote(object_id))
        subject = self.subject_of(obj) if obj is not None else None
        if subject is None:
            raise Http404(f"No {self.opts.verbose_name} of that number.")
        return grants_view(self, request, subject)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = context.get("original")
        if isinstance(obj, Subject) and self.level(request, obj) >= Level.CONFIGURE:
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_grants"
            context["grants_url"] = reverse(name, args=(quote(obj.pk),))
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

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

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Filters by something related offer what may be seen, not all there is."""
        return [self._scoped_filter(item) for item in super().get_list_filter(request)]

    def _scoped_filter(self, item: Any) -> Any:
        if not isinstance(item, str):
            return item
        try:
            field: Any = get_fields_from_path(self.model, item)[-1]
        except (FieldDoesNotExist, NotRelationField):
            return item
        return (item, VisibleRelatedFilter) if field.is_relation else item

    # --- what may be chosen -----------------------------------------------------------------

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._scope_choices(db_field, request, kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._scope_choices(db_field, request, kwargs)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        request.__dict__["_edited"] = obj  # what is chosen already may stay, visible or not
        return super().get_form(request, obj, change, **kwargs)

    def _scope_choices(self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        model = db_field.remote_field.model
        if "queryset" in kwargs or _is_superuser(request):
            return
        edited, related = request.__dict__.get("_edited"), self.admin_site._registry.get(model)
        visible = model._default_manager.none()
        if related is not None and related.has_view_permission(request):
            visible = related.get_queryset(request)
        chosen = Q(pk=request.user.pk) if model is User else Q()
        if isinstance(edited, self.model):
            held = getattr(edited, db_field.name)
            chosen |= Q(pk__in=held.all().values("pk") if db_field.many_to_many else [held.pk] if held else [])
        kwargs["queryset"] = model._default_manager.filter(Q(pk__in=visible.order_by().values("pk")) | chosen)


def _is_superuser(request: HttpRequest) -> bool:
    user = request.user
    return bool(user.is_active and getattr(user, "is_superuser", False))


class SignInForm(SignInsCounted, AuthenticationForm):
    """The theme's, which stops those who guess."""


admin.site.site_header = "Deploypanel"
admin.site.site_title = "Deploypanel"
admin.site.index_title = "Overview"
admin.site.login_form = SignInForm
