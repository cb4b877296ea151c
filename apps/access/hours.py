"""When work may start: the arithmetic of business hours, without I/O.

Windows are wall time in the calendar's zone. Each is turned into two moments of UTC, and only those
are compared, so that both clock changes come out right:

* a time that the clock jumps over becomes the moment of the jump;
* a time that the clock shows twice means the first of the two.

A window belongs to the day on which it begins and may run past midnight. A day that is closed (by
date or as a public holiday) is closed from midnight to midnight, so a night that runs into it ends
at midnight. An extra open date beats both.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from apps.access.public_holidays import HALF_DAY, holiday_name
from apps.access.windows import DAY_NAMES, MINUTES, Span, closed_read, open_read, weekly_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apps.access.models import BusinessHours

HORIZON = 366  # days that `opens_at` and `closes_at` look ahead
MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905 - reads better
)


@dataclass(frozen=True)
class Hours:
    """A calendar, read and checked: what the functions below work on."""

    name: str
    zone: ZoneInfo
    week: tuple[tuple[Span, ...], ...]
    country: str = ""
    subdivision: str = ""
    half_day_until: int | None = None  # minutes since midnight
    closed: frozenset[str] = frozenset()
    open: tuple[tuple[str, tuple[Span, ...]], ...] = ()

    @classmethod
    def of(cls, hours: BusinessHours | Hours) -> Hours:
        """The calendar of a row; raises ValueError (or KeyError for an unknown zone) when the row is wrong."""
        if isinstance(hours, Hours):
            return hours
        half = hours.half_day_until
        return cls(
            name=hours.name,
            zone=ZoneInfo(hours.timezone),
            week=weekly_read(hours.weekly),
            country=hours.country,
            subdivision=hours.subdivision,
            half_day_until=None if half is None else half.hour * 60 + half.minute,
            closed=closed_read(hours.closed),
            open=tuple(open_read(hours.open).items()),
        )


@dataclass(frozen=True)
class Day:
    """One day of a calendar: its windows and, where it differs from its weekday, why."""

    date: dt.date
    spans: tuple[Span, ...]
    reason: str = ""  # “Armistice Day (11 November)”
    limit: int = MINUTES  # nothing runs past this minute, not even a night that began the day before


@dataclass(frozen=True, order=True)
class Window:
    """One stretch of open time, in UTC: from `start` up to, not including, `end`."""

    start: dt.datetime
    end: dt.datetime


def day_of(hours: BusinessHours | Hours, date: dt.date) -> Day:
    """What the calendar says of one day."""
    calendar = Hours.of(hours)
    keys = (date.isoformat(), f"{date:%m-%d}")  # the one date beats the yearly one
    extra = dict(calendar.open)
    for key in keys:
        if key in extra:
            return Day(date, extra[key], "open by exception")
    if not calendar.closed.isdisjoint(keys):
        return Day(date, (), date_words(date), limit=0)
    if holiday := holiday_name(calendar.country, calendar.subdivision, date):
        return Day(date, (), f"{holiday} ({date_words(date)})", limit=0)
    spans = calendar.week[date.weekday()]
    half, limit = holiday_name(calendar.country, calendar.subdivision, date, HALF_DAY), calendar.half_day_until
    if half and limit is not None:
        cut = tuple(Span(span.start, min(span.end, limit)) for span in spans if span.start < limit)
        return Day(date, cut, f"{half} ({date_words(date)}), a half day", limit=limit)
    return Day(date, spans)


def windows_of(hours: BusinessHours | Hours, day: dt.date) -> list[Window]:
    """The open stretches that begin on that day, in order."""
    calendar = Hours.of(hours)
    today, tomorrow = day_of(calendar, day), day_of(calendar, day + dt.timedelta(days=1))
    windows = []
    for span in today.spans:
        end = min(span.end, MINUTES + tomorrow.limit)
        window = Window(_moment(calendar.zone, day, span.start), _moment(calendar.zone, day, end))
        if window.start < window.end:  # one that lies wholly in a jump of the clock is none
            windows.append(window)
    return windows


def is_open(hours: BusinessHours | Hours, at: dt.datetime) -> tuple[bool, str]:
    """Whether it is open at that moment, and why: “Open until 18:30”, “Closed: Christmas Day (25 December)”."""
    calendar = Hours.of(hours)
    if any(window.start <= at < window.end for window in _windows_from(calendar, at, days=1)):
        end = closes_at(calendar, at)
        return True, f"Open until {moment_words(end, calendar.zone, at)}" if end else "Open at all times"
    return False, _closed_reason(calendar, at)


def opens_at(hours: BusinessHours | Hours, at: dt.datetime) -> dt.datetime | None:
    """The first moment from `at` on (`at` itself when open) that is open; None when there is none within a year."""
    for window in _windows_from(Hours.of(hours), at, days=HORIZON):
        if window.end > at:
            return max(window.start, at)
    return None


def closes_at(hours: BusinessHours | Hours, at: dt.datetime) -> dt.datetime | None:
    """The end of the open time in which `at` lies; None when it is closed, or does not close within a year."""
    end = None
    for window in _windows_from(Hours.of(hours), at, days=HORIZON):
        if end is None:
            end = window.end if window.start <= at < window.end else None
        elif window.start > end:
            return end
        else:
            end = max(end, window.end)
    return end if end and end < at + dt.timedelta(days=HORIZON - 1) else None


def date_words(date: dt.date) -> str:
    return f"{date.day} {MONTHS[date.month - 1]}"


def moment_words(moment: dt.datetime, zone: dt.tzinfo, now: dt.datetime) -> str:
    """The moment as people there say it: `18:30` on the same day, `Monday 08:00`, `Monday 16 November 08:00`."""
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    days = (local.date() - today).days
    words = f"{local:%H:%M}"
    if days == 0:
        return words
    if 0 < days < 7:
        return f"{DAY_NAMES[local.weekday()]} {words}"
    year = f" {local.year}" if local.year != today.year else ""
    return f"{DAY_NAMES[local.weekday()]} {date_words(local.date())}{year} {words}"


def _closed_reason(calendar: Hours, at: dt.datetime) -> str:
    day = day_of(calendar, at.astimezone(calendar.zone).date())
    if day.reason and not day.spans:
        return f"Closed: {day.reason}"
    if not day.spans:
        return f"Closed on {DAY_NAMES[day.date.weekday()]}s"
    spans = ", ".join(map(str, day.spans))
    if day.reason:
        return f"Closed: open {spans} only on {date_words(day.date)}, {day.reason}"
    return f"Closed: open {spans} on {DAY_NAMES[day.date.weekday()]}s"


def _windows_from(calendar: Hours, at: dt.datetime, *, days: int) -> Iterator[Window]:
    """All windows of the day before, of today and of `days` more: a night may have begun yesterday."""
    today = at.astimezone(calendar.zone).date()
    for offset in range(-1, days + 1):
        try:
            day = today + dt.timedelta(days=offset)
            yield from windows_of(calendar, day)
        except OverflowError:  # the calendar of Python ends with the year 9999
            return


def _moment(zone: ZoneInfo, day: dt.date, minutes: int) -> dt.datetime:
    """The first moment, in UTC, at which the clock shows that time or one after it."""
    wall = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=minutes)
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    return _jump(zone, wall)


@lru_cache(maxsize=256)
def _jump(zone: ZoneInfo, wall: dt.datetime) -> dt.datetime:
    """The moment at which the clock jumps over `wall`, found to the second by halving."""
    # PEP 495: in a gap, fold=0 reads with the offset before the jump, which lands after it; fold=1 the reverse.
    late = wall.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)
    early = wall.replace(tzinfo=zone, fold=1).astimezone(dt.UTC)
    before = early.astimezone(zone).utcoffset()
    while late - early > dt.timedelta(seconds=1):
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
