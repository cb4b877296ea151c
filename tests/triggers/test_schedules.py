"""Triggers that fire at set times: when that is, once for each time, and once for all that was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from apps.access.errors import InputError
from apps.triggers.models import Firing, Trigger
from apps.triggers.schedules import schedule_checked, schedule_next
from apps.triggers.services.schedule import schedules_check, triggers_fire_due
from tests.triggers.firing import trigger_with

PARIS = ZoneInfo("Europe/Paris")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        ("0 3 * * *", "2026-05-04T12:00", "2026-05-05T03:00+02:00"),
        ("*/15 8-18 * * mon-fri", "2026-05-01T18:50", "2026-05-04T08:00+02:00"),
        ("@daily", "2026-05-04T12:00", "2026-05-05T00:00+02:00"),
        ("0 0 29 2 *", "2026-05-04T12:00", "2028-02-29T00:00+01:00"),
        ("0 12 l * *", "2026-05-04T12:00", "2026-05-31T12:00+02:00"),
        ("30 2 * * *", "2026-03-28T12:00", "2026-03-29T03:00+02:00"),  # there is no 02:30 on that day
        ("30 2 * * *", "2026-10-24T12:00", "2026-10-25T02:30+02:00"),
        ("30 2 * * *", "2026-10-25T02:30", "2026-10-26T02:30+01:00"),  # there are two, the second is no news
        ("30 * * * *", "2026-10-25T02:30", "2026-10-25T02:30+01:00"),  # every hour is every hour
    ],
)
def test_the_next_time(schedule: str, after: str, due: str) -> None:
    found = schedule_next(schedule_checked(schedule), datetime.fromisoformat(after).replace(tzinfo=PARIS))
    assert found is not None
    assert found.isoformat(timespec="minutes") == due


@pytest.mark.parametrize(
    "text",
    [
        *("x", "0 3 * *", "0 3 * * * *", "60 * * * *", "* 24 * * *", "H * * * *", "R * * * *", "@reboot", "@every 5m"),
        *("0 0 31 2 *", "0 0 30 feb *", "a b c d e", "* * * * mon#6", "*/0 * * * *", "1-0-2 * * * *", "0 R(1-3) * * *"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"schedule: .*(is no schedule|never comes)"):
        schedule_checked(text)


def test_no_schedule_is_fine() -> None:
    assert schedule_checked("  ") == ""
    assert schedule_checked(" 0  3 * * * ") == "0 3 * * *"


@pytest.mark.django_db
class TestClock:
    @pytest.fixture
    def hourly(self) -> Trigger:
        trigger = trigger_with("web1", schedule="0 * * * *", concurrency="each")
        assert triggers_fire_due(NOON) == 0
        return trigger

    def test_each_time_fires_once(self, hourly: Trigger) -> None:
        for minutes in range(0, 130, 10):
            triggers_fire_due(NOON + timedelta(minutes=minutes))
        firings = Firing.objects.order_by("count")
        assert [firing.payload for firing in firings] == [
            {"scheduled_for": "2026-05-04T13:00:00+00:00"},
            {"scheduled_for": "2026-05-04T14:00:00+00:00"},
        ]
        assert {(firing.source, firing.cause, firing.by, firing.door) for firing in firings} == {
            ("schedule", "schedule", "panel", "schedule")
        }

    def test_what_was_missed_is_made_up_for_once(self, hourly: Trigger) -> None:
        later = NOON + timedelta(days=3, minutes=5)
        assert [triggers_fire_due(later), triggers_fire_due(later)] == [1, 0]
        hourly.refresh_from_db()
        assert (hourly.count, hourly.next_at) == (1, NOON + timedelta(days=3, hours=1))

    def test_a_clock_that_is_killed_between_firing_and_moving_on_fires_once(
        self, hourly: Trigger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        due = NOON + timedelta(hours=1)
        with monkeypatch.context() as patch:
            patch.setattr("apps.triggers.services.schedule._next", _killed)
            with pytest.raises(KeyboardInterrupt):
                triggers_fire_due(due)
        triggers_fire_due(due)
        hourly.refresh_from_db()
        assert (hourly.count, hourly.next_at) == (1, NOON + timedelta(hours=2))

    def test_a_clock_that_was_wrong_for_a_while_keeps_nothing_from_firing(self, hourly: Trigger) -> None:
        """It ran a year ahead, and was set right."""
        wrong = NOON + timedelta(days=365)
        triggers_fire_due(NOON)
        assert triggers_fire_due(wrong) == 1
        assert schedules_check(NOON + timedelta(minutes=1)) == 1
        assert schedules_check(NOON + timedelta(minutes=2)) == 0
        assert triggers_fire_due(NOON + timedelta(minutes=59)) == 0
        assert triggers_fire_due(NOON + timedelta(minutes=61)) == 1

    def test_a_changed_schedule_counts_from_now_on(self, hourly: Trigger) -> None:
        Trigger.objects.update(schedule="30 * * * *")
        assert triggers_fire_due(NOON + timedelta(hours=5)) == 0
        hourly.refresh_from_db()
        assert hourly.next_at == NOON + timedelta(hours=5, minutes=30)
        Trigger.objects.update(schedule="")
        assert triggers_fire_due(NOON + timedelta(hours=9)) == 0
        hourly.refresh_from_db()
        assert hourly.next_at is None

    def test_a_trigger_that_is_off_misses_its_times_for_good(self, hourly: Trigger) -> None:
        Trigger.objects.update(enabled=False)
        assert triggers_fire_due(NOON + timedelta(hours=2)) == 0
        Trigger.objects.update(enabled=True)
        assert triggers_fire_due(NOON + timedelta(hours=2, minutes=1)) == 0
        assert Firing.objects.count() == 0

    def test_a_schedule_that_cannot_be_read_is_told_and_keeps_no_other_from_firing(
        self, hourly: Trigger, caplog: pytest.LogCaptureFixture
    ) -> None:
        trigger_with(name="broken", schedule="nonsense")
        assert triggers_fire_due(NOON + timedelta(hours=1)) == 1
        assert "The trigger broken fires by no schedule" in caplog.text

    def test_the_panels_own_time_zone_counts(self, hourly: Trigger) -> None:
        Trigger.objects.update(schedule="0 3 * * *")
        with timezone.override(PARIS):
            triggers_fire_due(NOON)
        hourly.refresh_from_db()
        assert hourly.next_at == datetime(2026, 5, 5, 1, tzinfo=UTC)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
