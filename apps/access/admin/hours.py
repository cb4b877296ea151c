"""Business hours: written day by day, and shown as the next two weeks that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.db.models import Prefetch
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from apps.access.admin_site import ScopedModelAdmin, display
from apps.access.hours import Hours, closes_at, is_open, moment_words, opens_at
from apps.access.levels import Level
from apps.access.models import BusinessHours
from apps.access.permissions import subjects_visible
from apps.access.preview import days_ahead
from apps.access.selectors import hours_visible
from apps.access.windows import DAY_NAMES, DAYS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

PREVIEW_DAYS = 14


class HoursForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """The calendar's three JSON values as people write them: a line a day."""

    mon, tue, wed, thu, fri, sat, sun = (
        forms.CharField(required=False, label=name, widget=forms.TextInput(attrs={"class": "dp-input access-short"}))
        for name in DAY_NAMES
    )
    closed_days = forms.CharField(
        required=False,
        label="Also closed",
        widget=forms.Textarea(attrs={"rows": 5, "class": "dp-input dp-mono access-short"}),
        help_text="A date a line: 12-24 each year, 2026-05-15 once.",
    )
    open_days = forms.CharField(
        required=False,
        label="Open in spite of all",
        widget=forms.Textarea(attrs={"rows": 3, "class": "dp-input dp-mono access-short"}),
        help_text="A date and its windows a line: 05-08 09:00-12:00, or 2026-11-11 08:00-18:30. Beats holidays.",
    )

    class Meta:
        model = BusinessHours
        fields = ("name", "timezone", "country", "subdivision", "half_day_until")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hours = self.instance
        self.initial.update({day: hours.weekly.get(day, "") for day in DAYS})
        self.initial["closed_days"] = "\n".join(hours.closed)
        self.initial["open_days"] = "\n".join(f"{date} {windows}" for date, windows in hours.open.items())
        if "timezone" in self.fields:
            zones = sorted({*available_timezones(), hours.timezone or "UTC"})
            choices = [("", "Select a zone"), *((zone, zone) for zone in zones)]
            self.fields["timezone"].widget = forms.Select(choices=choices, attrs={"class": "dp-input access-short"})

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        # The model's clean() checks them; its messages are put to the fields below by `add_error`.
        self.instance.weekly = {day: data[day] for day in DAYS if data.get(day)}
        self.instance.closed = data.get("closed_days", "").split()
        lines = (line.split(None, 1) for line in data.get("open_days", "").splitlines() if line.strip())
        self.instance.open = {parts[0].rstrip(":"): parts[1] if len(parts) > 1 else "" for parts in lines}
        return data

    def add_error(self, field: str | None, error: Any) -> None:
        names = {"weekly": None, "closed": "closed_days", "open": "open_days"}
        for name, messages in getattr(error, "error_dict", {field: error}).items():
            super().add_error(self._field_of(name, messages) if name == "weekly" else names.get(name, name), messages)

    def _field_of(self, name: str, messages: Any) -> str | None:
        """The day that a message about the week begins with."""
        text = str(messages[0].messages[0]) if isinstance(messages, list) else str(messages)
        day = text.partition(":")[0]
        return day if day in self.fields else None


@admin.register(BusinessHours)
class BusinessHoursAdmin(ScopedModelAdmin):
    form = HoursForm
    model_permissions = True
    list_display = ("name", "now", "next_change", "timezone", "holidays", "used_by")
    search_fields = ("name", "timezone")
    change_form_outer_after_template = "access/hours_preview.html"
    fieldsets = (
        (None, {"fields": ("name", "timezone")}),
        (
            "Week",
            {
                "fields": DAYS,
                "description": "Windows such as 08:00-18:30, several with commas; 22:00-02:00 runs past midnight. "
                "Empty: closed.",
            },
        ),
        ("Holidays", {"fields": ("country", "subdivision", "half_day_until")}),
        ("Exceptions", {"fields": ("closed_days", "open_days")}),
    )

    # --- who may: model permissions change, subjects show -------------------------------------

    def scope(self, request: HttpRequest, queryset: QuerySet[Any], least: Level) -> QuerySet[Any]:
        if self._may(request, "change"):
            return queryset
        if least > Level.VIEW:
            return queryset.none()
        return queryset.filter(pk__in=hours_visible(request.user).values("pk"))  # type: ignore[arg-type]

    def level(self, request: HttpRequest, obj: Model) -> Level:
        if self._may(request, "change"):
            return Level.CONFIGURE
        visible = hours_visible(request.user).filter(pk=obj.pk).exists()  # type: ignore[arg-type]
        return Level.VIEW if visible else Level.NONE

    def may_add(self, request: HttpRequest) -> bool:
        return self._may(request, "add")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "delete")

    def _may(self, request: HttpRequest, act: str) -> bool:
        return bool(request.user.has_perm(f"access.{act}_businesshours"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        visible = Prefetch("subjects", queryset=subjects_visible(request.user).order_by("path"))
        return self.scope(request, BusinessHours.objects.prefetch_related(visible), self.view_level)

    def get_fieldsets(self, request: HttpRequest, obj: BusinessHours | None = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        return [(None, {"fields": self.get_readonly_fields(request, obj)})]

    def get_readonly_fields(self, request: HttpRequest, obj: BusinessHours | None = None) -> tuple[str, ...]:
        if obj is None or self.has_change_permission(request, obj):
            return ()
        return ("name", "timezone", "week", "holidays", "half_day_until", "also_closed", "also_open")

    # --- what is shown -------------------------------------------------------------------------

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        hours = context.get("original")
        if isinstance(hours, BusinessHours):
            context |= _preview(hours)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @display(description="now")
    def now(self, hours: BusinessHours) -> SafeString:
        try:
            allowed, reason = is_open(hours, timezone.now())
        except (ValueError, KeyError) as error:
            allowed, reason = False, f"Cannot be read: {error}"
        return format_html('<span class="dp-badge dp-{}">{}</span>', "good" if allowed else "idle", reason)

    @display(description="next change")
    def next_change(self, hours: BusinessHours) -> str:
        try:
            calendar, now = Hours.of(hours), timezone.now()
        except (ValueError, KeyError):
            return "–"
        if moment := closes_at(calendar, now):
            return f"closes {moment_words(moment, calendar.zone, now)}"
        moment = opens_at(calendar, now)
        return f"opens {moment_words(moment, calendar.zone, now)}" if moment and moment > now else "–"

    @display(description="holidays")
    def holidays(self, hours: BusinessHours) -> str:
        return f"{hours.country} {hours.subdivision}".strip() or "–"

    @display(description="week")
    def week(self, hours: BusinessHours) -> SafeString:
        names = dict(zip(DAYS, DAY_NAMES, strict=True))
        return _lines(f"{names.get(day, day)} {windows}" for day, windows in hours.weekly.items())

    @display(description="also closed")
    def also_closed(self, hours: BusinessHours) -> SafeString:
        return _lines(hours.closed)

    @display(description="open in spite of all")
    def also_open(self, hours: BusinessHours) -> SafeString:
        return _lines(f"{date} {windows}" for date, windows in hours.open.items())

    @display(description="used by")
    def used_by(self, hours: BusinessHours) -> str:
        return ", ".join(subject.path for subject in hours.subjects.all()[:5]) or "nothing"


def _lines(texts: Iterable[str]) -> SafeString:
    return format_html_join(mark_safe("<br>"), "{}", ((text,) for text in texts)) or mark_safe("–")


def _preview(hours: BusinessHours) -> dict[str, Any]:
    try:
        calendar = Hours.of(hours)
    except (ValueError, KeyError) as error:
        return {"hours_problem": str(error)}
    now = timezone.now()
    allowed, reason = is_open(calendar, now)
    today: dt.date = now.astimezone(calendar.zone).date()
    return {
        "hours_open": allowed,
        "hours_reason": reason,
        "hours_clock": now.astimezone(calendar.zone).strftime("%H:%M"),
        "hours_days": days_ahead(calendar, today, PREVIEW_DAYS),
        "hours_shown": hours,
    }
