"""How the panel's templates write moments, durations, commits and states."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# A word is never only a colour: the badge always carries the word too.
_TONES = {
    "waiting": "idle",
    "queued": "info dp-busy",
    "running": "info dp-busy",
    "stopping": "warn dp-busy",
    "pending": "idle",
    "succeeded": "good",
    "failed": "bad",
    "errored": "bad",
    "stopped": "warn",
    "timed_out": "bad",
    "lost": "bad",
    "skipped": "idle",
}
_AGES = ((86400 * 365, "y"), (86400 * 30, "mo"), (86400, "d"), (3600, "h"), (60, "min"))


@register.filter
def age(at: datetime | None) -> SafeString | str:
    """“3 h ago”, kept true by panel.js while the page is open; the full moment is its tooltip."""
    if at is None:
        return "never"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}" data-age>{}</time>',
        at.isoformat(),
        local.strftime("%Y-%m-%d %H:%M:%S %Z"),
        _ago((timezone.now() - at).total_seconds()),
    )


def _ago(seconds: float) -> str:
    for size, unit in _AGES:
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


@register.filter
def moment(at: datetime | None) -> str:
    """A date and time in the panel's time zone: “Mon 2026-11-23 08:00 UTC”."""
    return timezone.localtime(at).strftime("%a %Y-%m-%d %H:%M %Z") if at else ""


@register.filter
def duration(value: timedelta | float | None) -> str:
    """“48 s”, “3 min 10 s”, “2 h 5 min”."""
    if value is None:
        return ""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@register.filter
def short(commit: str) -> SafeString | str:
    """The first eight characters of a commit, the whole of it as tooltip."""
    return format_html('<code title="{}">{}</code>', commit, commit[:8]) if commit else "–"


@register.filter
def state_badge(state: Any) -> SafeString | str:
    """The badge of a run's or a step's state."""
    if not state:
        return ""
    name = str(state)
    return format_html(
        '<span class="dp-badge dp-{}">{}</span>', _TONES.get(name, "idle"), name.replace("_", " ").capitalize()
    )
