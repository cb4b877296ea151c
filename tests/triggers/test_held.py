"""Firings that wait for the window: let go by the gate, or by a person; refused when its time has come; cancelled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import Conflict, Refused
from apps.access.levels import Level
from apps.access.models import AuditEntry, BusinessHours, Freeze
from apps.runs.models import Run
from apps.triggers.models import Firing, Trigger
from apps.triggers.services import release
from apps.triggers.services.release import firing_cancel, firing_release, firings_release_due
from tests.support.cast import grant
from tests.triggers.firing import SECRET, fire, told, trigger_with

pytestmark = pytest.mark.django_db


@pytest.fixture
def closed() -> Trigger:
    """Frozen for an hour, and it holds."""
    trigger = trigger_with("web1", when_closed="hold", concurrency="each")
    now = timezone.now()
    Freeze.objects.create(subject=trigger, reason="audit", starts_at=now, ends_at=now + timedelta(hours=1))
    return trigger


def thaw(**changes: Any) -> None:
    Freeze.objects.update(starts_at=timezone.now() - timedelta(hours=2), ends_at=timezone.now(), **changes)


def due() -> int:
    return firings_release_due(timezone.now() + timedelta(hours=1, seconds=1))


@pytest.mark.database
def test_held_firings_fire_in_their_order_when_it_opens(closed: Trigger) -> None:
    firings = [fire(closed, payload=number) for number in range(3)]
    assert firings_release_due(timezone.now()) == 0
    assert [due(), due()] == [3, 0]
    rows = Firing.objects.order_by("pk")
    assert [(row.pk, row.state, row.count, row.payload) for row in rows] == [
        (firing.pk, "fired", number + 1, number) for number, firing in enumerate(firings)
    ]
    assert all(row.opens_at is None and row.fired_at and not row.text for row in rows)
    assert [run.order.number for run in Run.objects.order_by("pk")] == [1, 2, 3]
    assert AuditEntry.objects.filter(action="fire", allowed=True).count() == 3


def test_two_clocks_let_one_firing_go_once(closed: Trigger) -> None:
    firing = fire(closed)
    rows = [Firing.objects.select_related("trigger").get(pk=firing.pk) for _ in range(2)]
    later = timezone.now() + timedelta(hours=2)
    assert [release.firing_let_go(row, later) for row in rows] == [True, False]
    assert (Trigger.objects.get().count, Run.objects.count()) == (1, 1)


def test_one_that_is_still_closed_waits_on(closed: Trigger) -> None:
    firing = fire(closed)
    until = timezone.now() + timedelta(hours=3)
    Freeze.objects.update(ends_at=until)
    assert due() == 0
    firing.refresh_from_db()
    assert (firing.state, firing.opens_at) == ("held", until)


def test_one_that_no_waiting_helps_any_more_is_refused(closed: Trigger) -> None:
    firing = fire(closed)
    Freeze.objects.update(ends_at=None)
    assert due() == 0
    firing.refresh_from_db()
    assert (firing.state, firing.opens_at) == ("refused", None)
    assert "until someone ends it" in firing.text
    assert AuditEntry.objects.get(action="fire").allowed is False


def test_a_trigger_that_was_switched_off_refuses_what_it_held(closed: Trigger) -> None:
    firing = fire(closed)
    Trigger.objects.update(enabled=False)
    assert due() == 0
    firing.refresh_from_db()
    assert firing.state == "refused"
    assert "is off" in firing.text


def test_a_person_who_lost_the_right_meanwhile_is_refused(closed: Trigger, teammate: User) -> None:
    grant(teammate, closed, Level.IN_HOURS)
    firing = fire(closed, actor=Actor(user=teammate, door=Door.API))
    kept = fire(closed)
    grant(teammate, closed, Level.NONE)
    assert due() == 1
    firing.refresh_from_db()
    kept.refresh_from_db()
    assert (firing.state, kept.state) == ("refused", "fired")


@pytest.mark.parametrize("door", [Door.API, Door.COMMAND])
def test_a_person_whose_account_is_gone_is_nobody(closed: Trigger, teammate: User, door: Door) -> None:
    teammate.username = "secret"
    teammate.save()
    grant(teammate, closed, Level.IN_HOURS)
    firing = fire(closed, actor=Actor(user=teammate, door=door))
    teammate.delete()
    assert due() == 0
    firing.refresh_from_db()
    assert firing.state == "refused"


def test_hours_that_are_changed_are_asked_at_once() -> None:
    never = BusinessHours.objects.create(
        name="office", timezone="UTC", weekly=dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), "00:00-00:01")
    )
    trigger = trigger_with(when_closed="hold", hours=never)
    firing = fire(trigger)
    assert firing.state in {"held", "fired"}
    if firing.state == "held":
        never.weekly = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "00:00-24:00")
        never.save()
        assert firings_release_due(timezone.now()) == 1


def test_settings_that_are_saved_are_asked_at_once(closed: Trigger) -> None:
    fire(closed)
    thaw()
    assert firings_release_due(timezone.now()) == 0
    Trigger.objects.get().save_settings()
    assert firings_release_due(timezone.now()) == 1


def test_a_person_lets_it_go_before_its_time(closed: Trigger, owner: User, teammate: User) -> None:
    firing = fire(closed)
    grant(teammate, closed, Level.ACT)
    with pytest.raises(Refused, match="Frozen"):
        firing_release(firing=firing, actor=Actor(user=teammate, door=Door.ADMIN))
    released = firing_release(firing=firing, actor=Actor(user=owner, door=Door.ADMIN), override="incident 42")
    assert (released.state, released.count) == ("fired", 1)
    assert told(released) == [("web1", "started")]
    with pytest.raises(Conflict, match="does not wait any more"):
        firing_release(firing=firing, actor=Actor(user=owner, door=Door.ADMIN), override="incident 42")
    assert (Trigger.objects.get().count, due()) == (1, 0)


def test_whoever_may_fire_cancels_what_is_held(closed: Trigger, teammate: User) -> None:
    firing = fire(closed)
    actor = Actor(user=teammate, door=Door.ADMIN)
    with pytest.raises(Refused):
        firing_cancel(firing=firing, actor=actor)
    grant(teammate, closed, Level.IN_HOURS)
    assert (firing_cancel(firing=firing, actor=actor).state, firing.text) == ("refused", "Cancelled by teammate.")
    assert due() == 0
    with pytest.raises(Conflict):
        firing_cancel(firing=firing, actor=actor)


def test_not_more_than_so_many_are_held(closed: Trigger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.triggers.services.admit.MOST_HELD", 2)
    fire(closed)
    fire(closed)
    with pytest.raises(Refused, match="2 firings wait for the window already"):
        fire(closed, actor=SECRET)
    assert Firing.objects.count() == 2
