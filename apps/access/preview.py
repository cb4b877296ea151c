"""The coming days of a calendar, ready to be drawn."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from apps.access.hours import Hours, date_words, day_of, windows_of
from apps.access.windows import DAY_NAMES

DAY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Bar:
    """One window on a line of a day: place and width in per cent of it."""

    left: float
    width: float
    text: str  # 08:00–18:30, or “until 02:00” for the end of a night


@dataclass(frozen=True)
class PreviewDay:
    weekday: str
    date: str
    today: bool
    bars: tuple[Bar, ...]
    reason: str  # why it differs from its weekday, or why it is closed
    closed: bool


def days_ahead(calendar: Hours, first: dt.date, count: int) -> list[PreviewDay]:
    """`count` days from `first` on, each with the windows that lie in it (a night's end included)."""
    return [_day(calendar, first, first + dt.timedelta(days=offset)) for offset in range(count)]


def _day(calendar: Hours, today: dt.date, date: dt.date) -> PreviewDay:
    day = day_of(calendar, date)
    bars = tuple(_bars(calendar, date))
    return PreviewDay(
        weekday=DAY_NAMES[date.weekday()],
        date=date_words(date),
        today=date == today,
        bars=bars,
        reason=day.reason or ("" if bars else "closed"),
        closed=not bars,
    )


def _bars(calendar: Hours, date: dt.date) -> list[Bar]:
    midnight = dt.datetime.combine(date, dt.time())
    found = []
    for begin in (date - dt.timedelta(days=1), date):
        for window in windows_of(calendar, begin):
            # Drawn in wall time, as a clock on the wall shows it; a day of 23 or 25 hours is one line too.
            start, end = (
                moment.astimezone(calendar.zone).replace(tzinfo=None) for moment in (window.start, window.end)
            )
            start_at = max(0.0, (start - midnight).total_seconds())
            end_at = min(float(DAY_SECONDS), (end - midnight).total_seconds())
            if start_at < end_at:
                left, width = start_at / DAY_SECONDS * 100, (end_at - start_at) / DAY_SECONDS * 100
                text = f"{start:%H:%M}–{end:%H:%M}" if start >= midnight else f"until {end:%H:%M}"
                found.append(Bar(round(left, 2), round(width, 2), text))
    return found
