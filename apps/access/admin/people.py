"""People and groups: the business of superusers alone, or membership would be a way around every grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Count, Q

from apps.access.admin_site import (
    AdminPasswordChangeForm,
    ModelAdmin,
    UserChangeForm,
    UserCreationForm,
    checkbox_list,
    display,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

admin.site.unregister(User)
admin.site.unregister(Group)

LAST = "This is the last active administrator: make someone else one first."


def is_last_superuser(user: User) -> bool:
    """Whether nobody could administer the panel without this person."""
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    return bool(user.pk and not others.exists())


class PersonForm(UserChangeForm):
    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        stays = data.get("is_superuser") and data.get("is_active") and data.get("is_staff")
        before = User.objects.filter(pk=self.instance.pk, is_superuser=True, is_active=True).exists()
        if before and not stays and is_last_superuser(self.instance):
            raise forms.ValidationError(LAST)
        return data


class SuperusersOnly(ModelAdmin):
    """Model permissions on people and groups would be a way to every right, so they count for nothing here."""

    model_permissions = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["widget"] = checkbox_list()
        if db_field.name in {"permissions", "user_permissions"}:
            kwargs["queryset"] = self._effective_permissions()
        # Past Django's own method for users and groups, which fetches the permissions' types once more.
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def _effective_permissions(self) -> QuerySet[Permission]:
        """The model permissions that do anything: on models without grants of their own (hosts, keys, hours …)."""
        wanted = Q(pk__in=[])
        for model, its_admin in self.admin_site._registry.items():
            if getattr(its_admin, "model_permissions", True):
                names = [f"{act}_{model._meta.model_name}" for act in ("add", "change", "delete", "view")]
                wanted |= Q(content_type__app_label=model._meta.app_label, codename__in=names)
        skipped = ("admin", "contenttypes", "sessions", "guardian", "django_q")
        permissions = Permission.objects.filter(wanted).exclude(content_type__app_label__in=skipped)
        return permissions.exclude(codename__endswith="auditentry").select_related("content_type")


@admin.register(User)
class UserAdmin(SuperusersOnly, BaseUserAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    form = PersonForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "email", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    search_fields = ("username", "first_name", "last_name", "email")
    filter_horizontal = ()
    # Named here again: the theme's empty one comes first in the order of inheritance.
    add_fieldsets = ((None, {"fields": ("username", "usable_password", "password1", "password2", "is_staff")}),)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        (
            "Rights",
            {
                "fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions"),
                "description": "What someone may do with one environment, node, trigger or repository is set on "
                "its permissions page.",
            },
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj is not None and obj.is_superuser and is_last_superuser(obj):
            return False
        return bool(super().has_delete_permission(request, obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        left = User.objects.filter(is_superuser=True, is_active=True).exclude(pk__in=queryset.values("pk"))
        if not left.exists():
            messages.error(request, f"Nobody was deleted. {LAST}")
            return
        super().delete_queryset(request, queryset)

    @display(description="name", ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"


@admin.register(Group)
class GroupAdmin(SuperusersOnly, BaseGroupAdmin):  # type: ignore[misc]  # the same method, typed otherwise
    list_display = ("name", "people")
    search_fields = ("name",)
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(_people=Count("user"))

    @display(description="people", ordering="_people")
    def people(self, group: Any) -> int:
        return int(group._people)
