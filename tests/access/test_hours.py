"""Business hours as tables: zones, both clock changes, nights, holidays, half days, exceptions."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.access.examples import OFFICE
from apps.access.hours import Hours, closes_at, is_open, opens_at, windows_of
from apps.access.models import BusinessHours
from apps.access.windows import DAYS, closed_read, open_read, weekly_read

UTC = dt.UTC


def calendar(zone: str, weekly: dict[str, str], **more: Any) -> Hours:
    return Hours.of(BusinessHours(name="test", timezone=zone, weekly=weekly, **more))


def local(zone: str, text: str, fold: int = 0) -> dt.datetime:
    """The moment at which the clock there shows this; fold=1: the second time."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


EVERY_DAY = dict.fromkeys(DAYS, "08:00-18:30")

# zone, local time, fold, open?
OPENING = [
    ("Europe/Paris", "2026-03-02T07:59:59", 0, False),
    ("Europe/Paris", "2026-03-02T08:00:00", 0, True),
    ("Europe/Paris", "2026-03-02T18:29:59", 0, True),
    ("Europe/Paris", "2026-03-02T18:30:00", 0, False),
    # The days around each change of the clock open and close at the same time of that clock.
    ("Europe/Paris", "2026-03-29T07:59:59", 0, False),
    ("Europe/Paris", "2026-03-29T08:00:00", 0, True),
    ("Europe/Paris", "2026-03-29T18:30:00", 0, False),
    ("Europe/Paris", "2026-10-25T08:00:00", 0, True),
    ("Europe/Paris", "2026-10-25T18:30:00", 0, False),
    ("America/New_York", "2026-03-08T08:00:00", 0, True),
    ("America/New_York", "2026-03-08T07:59:00", 0, False),
    ("America/New_York", "2026-11-01T18:29:00", 0, True),
    ("America/New_York", "2026-11-01T18:30:00", 0, False),
    ("Australia/Lord_Howe", "2026-10-04T08:00:00", 0, True),
    ("Australia/Lord_Howe", "2026-10-04T07:59:00", 0, False),
    ("Australia/Lord_Howe", "2026-04-05T18:29:00", 0, True),
    ("Australia/Lord_Howe", "2026-04-05T18:30:00", 0, False),
    ("UTC", "2026-03-29T08:00:00", 0, True),
    ("UTC", "2026-03-29T18:30:00", 0, False),
]


@pytest.mark.parametrize(("zone", "at", "fold", "expected"), OPENING)
def test_is_open_by_the_clock_of_the_zone(zone: str, at: str, fold: int, expected: bool) -> None:
    assert is_open(calendar(zone, EVERY_DAY), local(zone, at, fold))[0] is expected


# zone, weekly, day, its windows in UTC
CHANGES = [
    # Paris jumps from 02:00 to 03:00: a window that begins in the hour that is not there begins at its end.
    ("Europe/Paris", {"sun": "02:30-05:00"}, "2026-03-29", [("2026-03-29T01:00", "2026-03-29T03:00")]),
    ("Europe/Paris", {"sun": "01:00-02:30"}, "2026-03-29", [("2026-03-29T00:00", "2026-03-29T01:00")]),
    ("Europe/Paris", {"sun": "02:10-02:50"}, "2026-03-29", []),
    ("Europe/Paris", {"sat": "22:00-06:00"}, "2026-03-28", [("2026-03-28T21:00", "2026-03-29T04:00")]),
    # Paris shows 02:00–03:00 twice: the first one counts.
    ("Europe/Paris", {"sun": "02:30-05:00"}, "2026-10-25", [("2026-10-25T00:30", "2026-10-25T04:00")]),
    ("Europe/Paris", {"sun": "01:00-02:30"}, "2026-10-25", [("2026-10-24T23:00", "2026-10-25T00:30")]),
    ("Europe/Paris", {"sat": "22:00-06:00"}, "2026-10-24", [("2026-10-24T20:00", "2026-10-25T05:00")]),
    ("America/New_York", {"sun": "01:30-02:30"}, "2026-03-08", [("2026-03-08T06:30", "2026-03-08T07:00")]),
    ("America/New_York", {"sun": "01:30-03:00"}, "2026-11-01", [("2026-11-01T05:30", "2026-11-01T08:00")]),
    # Lord Howe changes by half an hour: 02:00 to 02:30, and 02:00 back to 01:30.
    ("Australia/Lord_Howe", {"sun": "02:15-05:00"}, "2026-10-04", [("2026-10-03T15:30", "2026-10-03T18:00")]),
    ("Australia/Lord_Howe", {"sun": "01:45-03:00"}, "2026-04-05", [("2026-04-04T14:45", "2026-04-04T16:30")]),
    # Apia had no 30 December 2011 at all.
    ("Pacific/Apia", {"fri": "08:00-18:00"}, "2011-12-30", []),
    ("UTC", {"sun": "01:00-03:00"}, "2026-03-29", [("2026-03-29T01:00", "2026-03-29T03:00")]),
]


@pytest.mark.parametrize(("zone", "weekly", "day", "expected"), CHANGES)
def test_windows_of_the_day_of_a_clock_change(
    zone: str, weekly: dict[str, str], day: str, expected: list[tuple[str, str]]
) -> None:
    windows = windows_of(calendar(zone, weekly), dt.date.fromisoformat(day))
    assert [(f"{w.start:%Y-%m-%dT%H:%M}", f"{w.end:%Y-%m-%dT%H:%M}") for w in windows] == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-06T21:59", False),
        ("2026-03-06T22:00", True),
        ("2026-03-06T23:59", True),
        ("2026-03-07T00:00", True),
        ("2026-03-07T01:59", True),
        ("2026-03-07T02:00", False),
        ("2026-03-06T01:00", False),
    ],
)
def test_night_runs_past_midnight(at: str, expected: bool) -> None:
    assert is_open(calendar("Europe/Paris", {"fri": "22:00-02:00"}), local("Europe/Paris", at))[0] is expected


def test_night_ends_at_midnight_before_a_closed_day() -> None:
    hours = calendar("UTC", dict.fromkeys(DAYS, "22:00-02:00"), closed=["12-24"])
    assert is_open(hours, dt.datetime(2026, 12, 23, 23, 59, tzinfo=UTC))[0]
    assert not is_open(hours, dt.datetime(2026, 12, 24, 0, 0, tzinfo=UTC))[0]
    assert opens_at(hours, dt.datetime(2026, 12, 24, 0, 0, tzinfo=UTC)) == dt.datetime(2026, 12, 25, 22, tzinfo=UTC)


FRANCE = {"country": "FR"}
NEW_YORK = {"country": "NYSE", "half_day_until": dt.time(13)}
REASONS = [
    ("Europe/Paris", FRANCE, "2026-11-11T12:00", False, "Closed: Armistice Day (11 November)"),
    ("Europe/Paris", FRANCE, "2026-11-12T12:00", True, "Open until 18:30"),
    ("Europe/Paris", FRANCE, "2026-11-14T12:00", False, "Closed on Saturdays"),
    ("Europe/Paris", FRANCE, "2026-11-12T19:00", False, "Closed: open 08:00–18:30 on Thursdays"),
    ("Europe/Paris", FRANCE | {"closed": ["12-24"]}, "2026-12-24T12:00", False, "Closed: 24 December"),
    ("Europe/Paris", FRANCE | {"closed": ["2026-05-15"]}, "2026-05-15T12:00", False, "Closed: 15 May"),
    ("Europe/Paris", FRANCE | {"closed": ["2026-05-15"]}, "2028-05-15T12:00", True, "Open until 18:30"),
    ("Europe/Paris", FRANCE | {"closed": ["05-15"]}, "2028-05-15T12:00", False, "Closed: 15 May"),
    # Open by exception beats a holiday, a closed date and the weekday.
    ("Europe/Paris", FRANCE | {"open": {"11-11": "09:00-12:00"}}, "2026-11-11T11:00", True, "Open until 12:00"),
    (
        "Europe/Paris",
        FRANCE | {"open": {"11-11": "09:00-12:00"}},
        "2026-11-11T12:00",
        False,
        "Closed: open 09:00–12:00 only on 11 November, open by exception",
    ),
    (
        "Europe/Paris",
        {"closed": ["12-24"], "open": {"2026-12-24": "08:00-10:00"}},
        "2026-12-24T09:00",
        True,
        "Open until 10:00",
    ),
    ("Europe/Paris", {"open": {"2026-11-14": "08:00-10:00"}}, "2026-11-14T09:00", True, "Open until 10:00"),
    # The one date beats the yearly one.
    (
        "Europe/Paris",
        {"open": {"11-14": "08:00-10:00", "2026-11-14": "08:00-09:30"}},
        "2026-11-14T09:00",
        True,
        "Open until 09:30",
    ),
    # Bavaria has its own, Berlin not.
    (
        "Europe/Berlin",
        {"country": "DE", "subdivision": "BY"},
        "2026-01-06T12:00",
        False,
        "Closed: Epiphany (6 January)",
    ),
    ("Europe/Berlin", {"country": "DE", "subdivision": "BE"}, "2026-01-06T12:00", True, "Open until 18:30"),
    # Half days, where the calendar knows them and an hour is set.
    ("America/New_York", NEW_YORK, "2026-11-27T12:59", True, "Open until 13:00"),
    ("America/New_York", NEW_YORK, "2026-11-27T13:00", False, "a half day"),
    ("America/New_York", {"country": "NYSE"}, "2026-11-27T13:00", True, "Open until 18:30"),
    ("America/New_York", NEW_YORK, "2026-11-26T12:00", False, "Thanksgiving"),
    ("America/New_York", {"country": "US"}, "2026-07-03T12:00", False, "Independence Day (observed)"),
    # A country without that category has no half days.
    ("Europe/Paris", FRANCE | {"half_day_until": dt.time(12)}, "2026-12-24T15:00", True, "Open until 18:30"),
]
WORKDAYS = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), "08:00-18:30")


@pytest.mark.parametrize(("zone", "more", "at", "expected", "reason"), REASONS)
def test_is_open_says_why(zone: str, more: dict[str, Any], at: str, expected: bool, reason: str) -> None:
    allowed, said = is_open(calendar(zone, WORKDAYS, **more), local(zone, at))
    assert allowed is expected
    assert reason in said
    if not reason.startswith(("a half", "Thanks", "Indep")):
        assert said == reason


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-02T12:00", True),
        ("2026-03-06T13:59", True),
        ("2026-03-06T14:00", False),
        ("2026-03-07T12:00", False),
        ("2026-12-24T12:00", False),
        ("2026-12-31T12:00", False),
        ("2026-05-25T12:00", True),  # Whit Monday is not in the list: holidays are exactly those given
    ],
)
def test_office_example(at: str, expected: bool) -> None:
    assert is_open(BusinessHours(**OFFICE), local("Europe/Paris", at))[0] is expected


def test_office_example_is_valid() -> None:
    BusinessHours(**OFFICE).clean()


@pytest.mark.parametrize(
    ("weekly", "at", "expected"),
    [
        ({"mon": "08:00-12:00, 13:00-17:00"}, "2026-03-02T12:30", "2026-03-02T13:00"),
        ({"mon": "08:00-12:00"}, "2026-03-02T12:00", "2026-03-09T08:00"),
        ({"mon": "08:00-12:00"}, "2026-03-02T09:17", "2026-03-02T09:17"),
        ({}, "2026-03-02T12:00", None),
    ],
)
def test_opens_at(weekly: dict[str, str], at: str, expected: str | None) -> None:
    moment = dt.datetime.fromisoformat(at).replace(tzinfo=UTC)
    wanted = dt.datetime.fromisoformat(expected).replace(tzinfo=UTC) if expected else None
    assert opens_at(calendar("UTC", weekly), moment) == wanted


def test_opens_at_within_a_year_only() -> None:
    hours = calendar("UTC", {}, open={"2027-06-01": "08:00-09:00"})
    assert opens_at(hours, dt.datetime(2026, 5, 1, tzinfo=UTC)) is None
    assert opens_at(hours, dt.datetime(2026, 7, 1, tzinfo=UTC)) == dt.datetime(2027, 6, 1, 8, tzinfo=UTC)


def test_closes_at_joins_windows_that_touch() -> None:
    hours = calendar("UTC", {"mon": "20:00-24:00", "tue": "00:00-03:00, 04:00-05:00"})
    assert closes_at(hours, dt.datetime(2026, 3, 2, 21, tzinfo=UTC)) == dt.datetime(2026, 3, 3, 3, tzinfo=UTC)
    assert is_open(hours, dt.datetime(2026, 3, 2, 21, tzinfo=UTC)) == (True, "Open until Tuesday 03:00")


def test_always_open() -> None:
    hours = calendar("Europe/Paris", dict.fromkeys(DAYS, "00:00-24:00"))
    at = dt.datetime(2026, 3, 2, 21, tzinfo=UTC)
    assert is_open(hours, at) == (True, "Open at all times")
    assert closes_at(hours, at) is None
    assert opens_at(hours, at) == at


ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata")
TIMES = st.integers(0, 47).map(lambda half: f"{half // 2:02}:{half % 2 * 30:02}")
DAY_WINDOWS = st.tuples(TIMES, TIMES).filter(lambda pair: pair[0] != pair[1]).map("-".join)
WEEKS = st.dictionaries(st.sampled_from(DAYS), DAY_WINDOWS, max_size=4)
# Half of the moments lie within days of a clock change.
MOMENTS = st.one_of(
    st.datetimes(*map(dt.datetime.fromisoformat, ("2025-01-01", "2028-01-01"))),
    st.datetimes(*map(dt.datetime.fromisoformat, ("2026-03-27", "2026-03-31"))),
    st.datetimes(*map(dt.datetime.fromisoformat, ("2026-10-03", "2026-11-03"))),
).map(lambda moment: moment.replace(tzinfo=UTC, second=0, microsecond=0))


@settings(max_examples=150, deadline=None)
@given(zone=st.sampled_from(ZONES), weekly=WEEKS, at=MOMENTS, holidays=st.sampled_from(["", "FR", "US"]))
def test_opens_at_is_open_and_nothing_before_is(
    zone: str, weekly: dict[str, str], at: dt.datetime, holidays: str
) -> None:
    hours = calendar(zone, weekly, country=holidays, closed=["07-14"], open={"12-25": "03:00-04:00"})
    moment = opens_at(hours, at)
    assert moment is not None  # Christmas morning comes every year
    assert moment >= at
    assert is_open(hours, moment)[0]
    step = max((moment - at) / 40, dt.timedelta(minutes=1))
    before = at
    while before < moment:
        assert not is_open(hours, before)[0]
        before += step
    if moment > at:
        assert not is_open(hours, moment - dt.timedelta(seconds=1))[0]


@settings(max_examples=100, deadline=None)
@given(zone=st.sampled_from(ZONES), weekly=WEEKS, at=MOMENTS)
def test_closes_at_is_closed_and_everything_before_is_open(zone: str, weekly: dict[str, str], at: dt.datetime) -> None:
    hours = calendar(zone, weekly)
    end = closes_at(hours, at)
    if end is None:
        assert not is_open(hours, at)[0]
        return
    assert not is_open(hours, end)[0]
    for part in range(20):
        assert is_open(hours, at + (end - at) * part / 20)[0]


WRONG = [
    (weekly_read, {"mon": "8-18"}, "mon: “8-18”"),
    (weekly_read, {"tue": "08:00-25:00"}, "tue: “08:00-25:00”"),
    (weekly_read, {"tue": "08:60-09:00"}, "no clock shows"),
    (weekly_read, {"wed": "08:00-08:00"}, "wed: “08:00-08:00” begins and ends"),
    (weekly_read, {"wed": "08:00-12:00, 11:00-13:00"}, "08:00–12:00 and 11:00–13:00 overlap"),
    (weekly_read, {"monday": "08:00-12:00"}, "monday: no such day"),
    (weekly_read, {"mon": 8}, "mon: 8 is not text"),
    (weekly_read, ["mon"], "days and their windows"),
    (closed_read, ["24-12"], "24-12: the calendar has no such day"),
    (closed_read, ["2026-02-29"], "2026-02-29"),
    (closed_read, ["Christmas"], "'Christmas' is not a date"),
    (closed_read, [1224], "1224 is not a date"),
    (closed_read, "12-24", "a list of dates"),
    (open_read, {"12-24": ""}, "12-24: no window"),
    (open_read, {"12-24": "nine"}, "12-24: “nine”"),
    (open_read, {"12-32": "08:00-09:00"}, "12-32: the calendar"),
    (open_read, [], "dates and their windows"),
]


@pytest.mark.parametrize(("read", "value", "message"), WRONG)
def test_what_is_wrong_is_named(read: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        read(value)
    assert message in str(raised.value)


def test_leap_day_and_odd_spelling_are_read() -> None:
    assert closed_read(["02-29", "2028-02-29"]) == {"02-29", "2028-02-29"}
    assert [str(span) for span in weekly_read({"mon": " 8:00 – 9:30 ,10:00-11:00 "})[0]] == [
        "08:00–09:30",
        "10:00–11:00",
    ]
