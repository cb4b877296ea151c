"""The words of business hours: weekly windows and dates as people write them, read and checked."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from dataclasses import dataclass
from typing import Any

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MINUTES = 24 * 60
_WINDOW = re.compile(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})")
_YEARLY = re.compile(r"(\d{2})-(\d{2})")
_ONCE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, order=True)
class Span:
    """Minutes of wall time since the midnight at which the day begins; above 1440 on the day after."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{clock(self.start)}–{clock(self.end)}"


def clock(minutes: int) -> str:
    """`08:30` for 510, `24:00` for the end of the day, `02:00` for two hours later."""
    if minutes > MINUTES:
        minutes -= MINUTES
    return f"{minutes // 60:02}:{minutes % 60:02}"


def spans_read(text: Any) -> tuple[Span, ...]:
    """The windows in `08:00-12:00, 13:00-18:30`; raises ValueError that says what is wrong with them."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not text such as “08:00-18:30”")
    spans = sorted(_span_read(part.strip()) for part in text.split(",") if part.strip())
    for before, after in itertools.pairwise(spans):
        if after.start < before.end:
            raise ValueError(f"{before} and {after} overlap")
    return tuple(spans)


def _span_read(part: str) -> Span:
    match = _WINDOW.fullmatch(part)
    if not match:
        raise ValueError(f"“{part}” is not a window such as “08:00-18:30”")
    start_hour, start_minute, end_hour, end_minute = map(int, match.groups())
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    if max(start_minute, end_minute) > 59 or start >= MINUTES or end > MINUTES:
        raise ValueError(f"“{part}” has a time that no clock shows")
    if start == end:
        raise ValueError(f"“{part}” begins and ends at the same time; the whole day is “00:00-24:00”")
    return Span(start, end if end > start else end + MINUTES)


def weekly_read(value: Any) -> tuple[tuple[Span, ...], ...]:
    """The windows of each weekday, Monday first; raises ValueError that names the day and the value."""
    if not isinstance(value, dict):
        raise ValueError('days and their windows are needed, such as {"mon": "08:00-18:30"}')
    unknown = [key for key in value if key not in DAYS]
    if unknown:
        raise ValueError(f"{unknown[0]}: no such day; the days are {', '.join(DAYS)}")
    week = []
    for day in DAYS:
        try:
            week.append(spans_read(value.get(day, "")))
        except ValueError as error:
            raise ValueError(f"{day}: {error}") from None
    return tuple(week)


def date_read(text: Any) -> str:
    """A date as `12-24` (each year) or `2026-05-15` (once), checked; raises ValueError that names it."""
    given = text if isinstance(text, str) else ""
    try:
        if _YEARLY.fullmatch(given):
            dt.date.fromisoformat(f"2024-{given}")  # a leap year: 02-29 is a date
            return given
        if _ONCE.fullmatch(given):
            return dt.date.fromisoformat(given).isoformat()
    except ValueError:
        raise ValueError(f"{text}: the calendar has no such day") from None
    raise ValueError(f"{text!r} is not a date such as “12-24” (each year) or “2026-05-15” (once)")


def closed_read(value: Any) -> frozenset[str]:
    """The extra closed dates; raises ValueError."""
    if not isinstance(value, list):
        raise ValueError('a list of dates is needed, such as ["12-24", "2026-05-15"]')
    return frozenset(date_read(item) for item in value)


def open_read(value: Any) -> dict[str, tuple[Span, ...]]:
    """The extra open dates with their windows; raises ValueError that names the date."""
    if not isinstance(value, dict):
        raise ValueError('dates and their windows are needed, such as {"05-08": "09:00-12:00"}')
    days = {}
    for key, text in value.items():
        try:
            days[date_read(key)] = spans_read(text)
        except ValueError as error:
            raise ValueError(f"{key}: {error}" if not str(error).startswith(key) else str(error)) from None
        if not days[key]:
            raise ValueError(f"{key}: no window; a day without any belongs to the closed ones")
    return days
