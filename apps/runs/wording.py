"""How pages write moments, durations, commits and states. The templates' filters (`{% load panel %}`) are these."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.html import format_html

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from apps.access.models import BusinessHours

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


def age(at: datetime | None) -> SafeString | str:
    """“3 h ago”, kept true by panel.js while the page is open; the full moment is its tooltip."""
    if not isinstance(at, datetime):
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


def moment(at: datetime | None) -> str:
    """A date and time in the panel's time zone: “Mon 23 Nov 2026 08:00 UTC”."""
    return _moment(at, None)


def moment_in(at: datetime | None, hours: BusinessHours | None) -> str:
    """The same in the time zone of a calendar, where there is one: it opens at eight o'clock *there*."""
    try:
        return _moment(at, ZoneInfo(hours.timezone) if hours else None)
    except (KeyError, ValueError, OSError):  # a zone that this machine does not know
        return _moment(at, None)


def _moment(at: datetime | None, zone: ZoneInfo | None) -> str:
    return timezone.localtime(at, zone).strftime("%a %-d %b %Y %H:%M %Z") if at else ""


def duration(value: timedelta | float | None) -> str:
    """“4.2 s”, “48 s”, “3 min 10 s”, “2 h 5 min”."""
    if value is None:
        return ""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def took(start: datetime, end: datetime) -> str:
    """The time between two moments, as `duration` writes it."""
    return duration(end - start)


def short(commit: str) -> SafeString | str:
    """The first eight characters of a commit, the whole of it as tooltip."""
    return format_html('<code title="{}">{}</code>', commit, commit[:8]) if commit else "–"


def badge(text: str, tone: str = "idle", hint: str = "") -> SafeString:
    """A word in a tone: good, bad, warn, info or idle."""
    return format_html('<span class="dp-badge dp-{}" title="{}">{}</span>', tone, hint, text)


def state_badge(state: str) -> SafeString | str:
    """The badge of a run's or a step's state; nothing for no state."""
    return badge(str(state).replace("_", " ").capitalize(), _TONES.get(str(state), "idle")) if state else ""
