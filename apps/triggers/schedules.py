"""When a trigger fires by itself: five fields as cron has them, in the panel's time zone."""

from __future__ import annotations

from datetime import datetime

from croniter import CroniterBadDateError, CroniterError, croniter

from apps.access.errors import InputError

ALIASES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
FIELDS = 5
_WORDS = "minute, hour, day of the month, month, day of the week"
YEARS = 8  # looked ahead, so that a 29 February is found


def schedule_checked(text: str, place: str = "schedule") -> str:
    """The schedule without needless blanks, empty for none; raises InputError."""
    text = " ".join(text.split())
    if text:
        _parts_checked(text, place)
        if schedule_next(text, datetime.now().astimezone(), place) is None:
            raise InputError(f"{text!r} never comes: there is no such date.", place)
    return text


def schedule_next(text: str, after: datetime, place: str = "schedule") -> datetime | None:
    """The first moment after `after`, in its time zone, at which it is due; None when there is none in years.

    Where clocks are set back, an hour comes twice: a schedule that names its hours is due in the first only.
    Where they are set forward, what was due in the hour that is not there, is due at its end.
    """
    _parts_checked(text, place)
    try:
        moments = croniter(text, after, max_years_between_matches=YEARS)
        due: datetime = moments.get_next(datetime)
        while _comes_again(text, due):
            due = moments.get_next(datetime)
    except CroniterBadDateError:
        return None
    return due


def _comes_again(text: str, due: datetime) -> bool:
    is_second = due.replace(fold=0).utcoffset() != due.utcoffset() and due.fold == 1
    return is_second and not text.startswith("@hourly") and (text.startswith("@") or "*" not in text.split()[1])


def _parts_checked(text: str, place: str) -> None:
    parts = text.split()
    if text in ALIASES:
        return
    if len(parts) != FIELDS:
        raise InputError(f"{text[:80]!r} is no schedule: give {_WORDS}, as in 0 3 * * *.", place)
    if text.startswith(("H", "R")) or any("R(" in part or part in {"H", "R"} for part in parts):
        raise InputError(f"{text[:80]!r} is no schedule: name the times, none are drawn by lot.", place)
    try:
        croniter.expand(text)
    except (CroniterError, ValueError, AttributeError) as error:
        raise InputError(f"{text[:80]!r} is no schedule: {error}. Give {_WORDS}, as in 0 3 * * *.", place) from None
