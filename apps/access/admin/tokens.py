"""Personal API tokens: each person's own, made here, shown once, and withdrawn by deleting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.template.response import TemplateResponse

from apps.access.admin_site import ModelAdmin, actor_of, display, select_box
from apps.access.models import ApiToken
from apps.access.permissions import is_person
from apps.access.services import api_token_create, api_token_revoke

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

LASTS = (("30", "30 days"), ("90", "90 days"), ("366", "a year"), ("", "until it is withdrawn"))


class ApiTokenForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    days = forms.ChoiceField(choices=LASTS, initial="90", required=False, label="It lasts", widget=select_box())

    class Meta:
        model = ApiToken
        fields = ("name",)


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):
    """Everyone sees and withdraws their own; administrators all, but make none for others."""

    nothing_yet = "With a token a program acts as you, with your rights and hours."
    form = ApiTokenForm
    model_permissions = False  # a right to others' tokens would be a way to their rights
    list_display = ("name", "shown_hint", "user", "created_at", "expires_at", "last_used_at", "last_address")
    search_fields = ("name", "hint", "user__username")
    list_select_related = ("user",)
    readonly: ClassVar = ("user", "shown_hint", "created_at", "expires_at", "last_used_at", "last_address")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        tokens: QuerySet[ApiToken] = super().get_queryset(request)
        return tokens if request.user.is_superuser else tokens.filter(user_id=request.user.pk or 0)

    def get_fieldsets(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return [(None, {"fields": ["name", "days"] if obj is None else ["name", *self.readonly]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly if obj is not None else ()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(is_person(request.user) and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        owned = obj is None or obj.user_id == request.user.pk or request.user.is_superuser
        return bool(owned and self.has_module_permission(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return self.has_view_permission(request, obj)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """With one way to save: the next page shows the token."""
        only_save = {"show_save_and_add_another": False, "show_save_and_continue": False}
        response: HttpResponse = super().add_view(request, form_url, {**(extra_context or {}), **only_save})
        return response

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: Any) -> None:
        days = form.cleaned_data["days"]
        made, plain = api_token_create(actor=actor_of(request), name=obj.name, days=int(days) if days else None)
        obj.pk, obj.user, obj.hint, obj.expires_at = made.pk, made.user, made.hint, made.expires_at
        obj._state.adding = False
        request.__dict__["_fresh_token"] = plain

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """The token, on the answer to this very POST and never again."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The new API token",
            "opts": self.opts,
            "token": obj,
            "fresh": request.__dict__["_fresh_token"],
        }
        return TemplateResponse(request, "access/token.html", context)

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        api_token_revoke(actor=actor_of(request), token=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset.select_related("user"):
            api_token_revoke(actor=actor_of(request), token=token)

    @display(description="begins with")
    def shown_hint(self, token: ApiToken) -> str:
        return f"{token.hint}…"
