"""Freezes: made, changed and ended through the same services as everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.http import Http404, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html

from apps.access.admin_site import ScopedModelAdmin, actor_of, display
from apps.access.errors import PanelError
from apps.access.levels import Level
from apps.access.models import Freeze
from apps.access.permissions import subjects_visible
from apps.access.selectors import freezes_visible
from apps.access.services import freeze_change, freeze_create, freeze_end

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "In force"), ("later", "To come"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Freeze]) -> QuerySet[Freeze]:
        now = timezone.now()
        open_end = Q(ends_at=None) | Q(ends_at__gt=now)
        conditions = {
            "now": Q(starts_at__lte=now) & open_end,
            "later": Q(starts_at__gt=now),
            "over": Q(ends_at__lte=now),
        }
        return queryset.filter(conditions.get(self.value() or "", Q()))


class FreezeForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    class Meta:
        model = Freeze
        fields = ("subject", "reason", "starts_at", "ends_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "starts_at" in self.fields:
            self.fields["starts_at"].required = False
            self.fields["starts_at"].help_text = "Empty: now."

    def clean_starts_at(self) -> Any:
        return self.cleaned_data["starts_at"] or timezone.now()


@admin.register(Freeze)
class FreezeAdmin(ScopedModelAdmin):
    nothing_yet = "While a freeze is in force, nothing that it covers is deployed, synced or fired."
    subject_field = "subject"
    form = FreezeForm
    list_display = ("state", "what", "reason", "starts_at", "until", "author", "end_button")
    list_display_links = ("what",)
    list_filter = (StateFilter,)
    search_fields = ("reason", "subject__path", "author_name")
    readonly_fields = ("author",)
    list_select_related = ("subject",)
    actions = None
    list_fullwidth = True

    # --- who may -------------------------------------------------------------------------------

    def scope(self, request: HttpRequest, queryset: QuerySet[Any], least: Level) -> QuerySet[Any]:
        if least <= Level.VIEW:
            return queryset.filter(pk__in=freezes_visible(request.user).values("pk"))  # type: ignore[arg-type]
        return super().scope(request, queryset, least)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        may_end = Q(subject__in=subjects_visible(request.user, least=Level.CONFIGURE).values("pk"))
        if request.user.is_superuser:
            may_end = Q(pk__isnull=False)
        marked = ExpressionWrapper(may_end, output_field=BooleanField())
        return self.scope(request, Freeze.objects.annotate(_may_end=marked), self.view_level)

    def level(self, request: HttpRequest, obj: Model) -> Level:
        if getattr(obj, "subject_id", None) is None and not request.user.is_superuser:
            seen = super().scope(request, Freeze.objects.all(), Level.VIEW).exists()
            visible = seen or subjects_visible(request.user).exists()
            return Level.VIEW if visible else Level.NONE
        return super().level(request, obj)

    def may_add(self, request: HttpRequest) -> bool:
        return subjects_visible(request.user, least=Level.CONFIGURE).exists() or bool(request.user.is_superuser)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "subject":
            kwargs["queryset"] = subjects_visible(request.user, least=Level.CONFIGURE).order_by("path")
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "subject":
            field.label = "What"
            field.required = not request.user.is_superuser
            field.empty_label = "Everything" if request.user.is_superuser else field.empty_label
            field.help_text = "A repository's freeze holds for all its environments."
        return field

    def get_fields(self, request: HttpRequest, obj: Freeze | None = None) -> list[str]:
        return ["subject", "reason", "starts_at", "ends_at", *(["author"] if obj else [])]

    # --- acts ----------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Freeze, form: Any, change: Any) -> None:
        values = {name: form.cleaned_data[name] for name in ("subject", "reason", "starts_at", "ends_at")}
        if change:
            freeze_change(actor=actor_of(request), freeze=Freeze.objects.get(pk=obj.pk), **values)
        else:
            made = freeze_create(actor=actor_of(request), **values)
            obj.__dict__.update(made.__dict__)

    def _audit(self, request: HttpRequest, obj: Model, verb: str, message: Any) -> None:
        if verb == "delete":  # the others are told by the services
            super()._audit(request, obj, verb, message)

    def get_urls(self) -> list[URLPattern]:
        end = path("<int:freeze_id>/end/", self.admin_site.admin_view(self.end_view), name="access_freeze_end")
        return [end, *super().get_urls()]

    def end_view(self, request: HttpRequest, freeze_id: int) -> HttpResponse:
        """POST: ends it now."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        freeze = self.get_queryset(request).filter(pk=freeze_id).first()
        if freeze is None:
            raise Http404("No such freeze.")
        try:
            freeze_end(actor=actor_of(request), freeze=freeze)
        except PanelError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"Ended: {freeze}")
        return HttpResponseRedirect(reverse("admin:access_freeze_changelist"))

    # --- columns -------------------------------------------------------------------------------

    @display(description="state")
    def state(self, freeze: Freeze) -> SafeString:
        now = timezone.now()
        if freeze.ends_at and freeze.ends_at <= now:
            kind, word = "idle", "Over"
        elif freeze.starts_at > now:
            kind, word = "info", "To come"
        else:
            kind, word = "warn", "In force"
        return format_html('<span class="dp-badge dp-{}">{}</span>', kind, word)

    @display(description="frozen", ordering="subject__path")
    def what(self, freeze: Freeze) -> str:
        return freeze.subject.path if freeze.subject else "Everything"

    @display(description="author", ordering="author_name")
    def author(self, freeze: Freeze) -> str:
        return freeze.author_name

    @display(description="until", ordering="ends_at")
    def until(self, freeze: Freeze) -> Any:
        return freeze.ends_at or "someone ends it"

    @display(description="")
    def end_button(self, freeze: Any) -> SafeString | str:
        """Sends the list's own form (with its token) to another address: forms do not nest."""
        over = freeze.ends_at and freeze.ends_at <= timezone.now()
        if over or not freeze._may_end:
            return ""
        url = reverse("admin:access_freeze_end", args=(freeze.pk,))
        word = "End now" if freeze.starts_at <= timezone.now() else "Call off"
        button = '<button class="dp-button dp-button-small" type="submit" formmethod="post" formaction="{}">{}</button>'
        return format_html(button, url, word)
