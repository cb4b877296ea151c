"""Firing a trigger: what is counted, stored, refused, limited, and known again by its key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import Conflict, InputError, Refused
from apps.access.levels import Level
from apps.access.models import AuditEntry, BusinessHours, Freeze
from apps.runs.models import Cause, Run
from apps.triggers.errors import RateLimited
from apps.triggers.models import Firing, Trigger
from tests.support.cast import grant
from tests.triggers.firing import SECRET, fire, told, trigger_with

pytestmark = pytest.mark.django_db


KEPT = [None, 0, False, "", [], {}, "x" * 65534, "\\u0000", {"ü": [1, 2.5, None, "😀\\"]}]


def repr_short(payload: Any) -> str:
    return ascii(payload)[:30]


def count_of(trigger: Trigger) -> int:
    return Trigger.objects.get(pk=trigger.pk).count


def freeze(trigger: Trigger, **fields: Any) -> Freeze:
    values = {"subject": trigger, "reason": "audit", "starts_at": timezone.now() - timedelta(hours=1)}
    return Freeze.objects.create(**(values | fields))


def test_a_firing_counts_one_and_tells_who_fired_what() -> None:
    trigger = trigger_with("web1", "web2", script="steps: []", max_age=60, time_limit=40)
    firing = fire(trigger, payload={"ref": "v1"}, actor=Actor(user=None, door=Door.API, by_secret=True, behind="ci"))
    firing.refresh_from_db()
    assert (firing.count, firing.state, firing.by, firing.behind, firing.door) == (1, "fired", "secret", "ci", "api")
    assert count_of(trigger) == 1
    assert firing.fired_at == Trigger.objects.get().fired_at
    assert told(firing) == [("web1", "started"), ("web2", "started")]
    order = firing.effects.get(target="web1").run.order
    assert (order.agent.name, order.name, order.number, order.payload) == ("web1", "web", 1, {"ref": "v1"})
    assert (order.script, order.max_age, order.fired_at) == ("steps: []", 60, firing.fired_at)
    assert (order.run.kind, order.run.state, order.run.time_limit, order.run.silence_limit) == (
        "agent",
        "queued",
        40,
        40,
    )
    entry = AuditEntry.objects.get(action="fire")
    assert (entry.allowed, entry.behind, entry.detail["count"], entry.detail["firing"]) == (True, "ci", 1, firing.pk)


def test_a_trigger_that_does_nothing_counts_all_the_same() -> None:
    trigger = trigger_with(name="")
    assert [fire(trigger).count for _ in range(3)] == [1, 2, 3]
    assert Run.objects.count() == 0


def test_a_trigger_that_is_off_refuses_and_counts_nothing() -> None:
    trigger = trigger_with("web1", enabled=False)
    with pytest.raises(Refused, match="The trigger web is off: switch it on"):
        fire(trigger)
    assert (count_of(trigger), Firing.objects.count(), Run.objects.count()) == (0, 0, 0)
    assert AuditEntry.objects.get(action="fire").allowed is False


def test_one_that_was_switched_off_since_it_was_read_refuses_too() -> None:
    trigger = trigger_with("web1")
    Trigger.objects.update(enabled=False)
    with pytest.raises(Conflict, match="switched off or deleted a moment ago"):
        fire(trigger)
    assert (count_of(trigger), Firing.objects.count()) == (0, 0)


def test_a_person_needs_the_right_to_fire(teammate: User) -> None:
    trigger = trigger_with()
    actor = Actor(user=teammate, door=Door.ADMIN)
    grant(teammate, trigger, Level.VIEW)
    with pytest.raises(Refused, match="lacks the right “fire_in_hours” on web"):
        fire(trigger, actor=actor)
    grant(teammate, trigger, Level.IN_HOURS)
    firing = fire(trigger, actor=actor, cause=Cause.PERSON)
    assert (firing.by, firing.user) == ("teammate", teammate)


def test_closed_hours_refuse_whoever_knows_the_secret() -> None:
    trigger = trigger_with(hours=BusinessHours.objects.create(name="never", timezone="UTC", weekly={}))
    with pytest.raises(Refused):
        fire(trigger)
    assert count_of(trigger) == 0


def test_a_freeze_refuses_and_an_administrator_overrides_it(owner: User) -> None:
    trigger = trigger_with()
    freeze(trigger)
    actor = Actor(user=owner, door=Door.ADMIN)
    with pytest.raises(Refused, match="Frozen: web"):
        fire(trigger, actor=actor)
    with pytest.raises(Refused, match="Only an administrator may override"):
        fire(trigger, override="incident 42")
    firing = fire(trigger, actor=actor, override="incident 42")
    assert (firing.state, firing.override) == ("fired", "incident 42")
    assert AuditEntry.objects.filter(allowed=True).get().detail["override"] == "incident 42"


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ("x" * 65535, "has 65537 bytes as JSON"),
        (float("nan"), "cannot be written as JSON"),
        (float("inf"), "cannot be written as JSON"),
        ({"a": {1}}, "cannot be written as JSON"),
        ("\ud800", "cannot be written as JSON"),
        ({"a": ["x\0y"]}, "NUL"),
        ({"x\0y": 1}, "NUL"),
        (10**5000, "cannot be written as JSON"),
    ],
    ids=["long", "nan", "inf", "set", "surrogate", "nul", "nul in a name", "huge"],
)
def test_a_payload_that_cannot_be_kept_is_refused(payload: Any, problem: str) -> None:
    trigger = trigger_with()
    with pytest.raises(InputError, match=problem):
        fire(trigger, payload=payload)
    assert count_of(trigger) == 0


def test_a_payload_of_great_depth_is_refused() -> None:
    deep: Any = []
    for _ in range(20000):
        deep = [deep]
    with pytest.raises(InputError, match="more than 100 deep"):
        fire(trigger_with(), payload=deep)


@pytest.mark.database
@pytest.mark.parametrize(
    "payload", [None, 0, False, "", [], {}, "x" * 65534, "\\u0000", {"ü": [1, 2.5, None, "😀\\"]}], ids=repr_short
)
def test_any_other_payload_is_kept_as_it_is(payload: Any) -> None:
    firing = fire(trigger_with("web1"), payload=payload)
    firing.refresh_from_db()
    assert firing.payload == payload
    assert firing.effects.get().run.order.payload == payload


def test_the_same_request_with_the_same_key_fires_once() -> None:
    trigger = trigger_with("web1")
    first = fire(trigger, payload={"a": 1, "b": 2}, idempotency_key="k1")
    again = fire(trigger, payload={"b": 2, "a": 1}, idempotency_key="k1")
    assert (first.pk, count_of(trigger)) == (again.pk, 1)
    assert fire(trigger, payload={"a": 1, "b": 2}, idempotency_key="k2").count == 2
    with pytest.raises(Conflict, match="came with another request"):
        fire(trigger, payload={"a": 2}, idempotency_key="k1")
    other = trigger_with(name="other")
    assert fire(other, payload={"a": 2}, idempotency_key="k1").count == 1


def test_a_key_is_answered_although_hours_have_closed_since_but_not_to_everyone(teammate: User) -> None:
    trigger = trigger_with()
    first = fire(trigger, idempotency_key="k1")
    freeze(trigger)
    assert fire(trigger, idempotency_key="k1").pk == first.pk
    with pytest.raises(Refused):
        fire(trigger, idempotency_key="k1", actor=Actor(user=teammate, door=Door.ADMIN))


def test_a_digest_of_the_whole_request_goes_before_that_of_the_payload() -> None:
    trigger = trigger_with()
    fire(trigger, idempotency_key="k1", request_digest="a" * 64, payload=1)
    assert fire(trigger, idempotency_key="k1", request_digest="a" * 64, payload=2).count == 1
    with pytest.raises(Conflict):
        fire(trigger, idempotency_key="k1", request_digest="b" * 64, payload=1)


@pytest.mark.parametrize("key", ["x" * 201, "a\nb", "a\0b", "panel:schedule:1"])
def test_keys_that_cannot_be_are_refused(key: str) -> None:
    with pytest.raises(InputError, match="Idempotency-Key"):
        fire(trigger_with(), idempotency_key=key)


def test_the_rate_limit_counts_what_was_received_in_its_seconds() -> None:
    trigger = trigger_with("web1", rate_limit=2, rate_seconds=60, concurrency="each")
    for _ in range(2):
        fire(trigger)
    for _ in range(5):
        with pytest.raises(RateLimited, match="The trigger web was fired 2 times in 60 s") as caught:
            fire(trigger)
        assert 30 <= caught.value.retry_after <= 60
    assert (count_of(trigger), Firing.objects.count(), Run.objects.count()) == (2, 2, 2)
    assert AuditEntry.objects.filter(allowed=False).count() == 1
    Firing.objects.filter(count=1).update(received_at=timezone.now() - timedelta(seconds=61))
    assert fire(trigger).count == 3


def test_programs_that_call_again_and_again_do_not_fill_the_trail(teammate: User) -> None:
    """Its rows are never deleted: the same refusal of the same caller stands there once a minute."""
    trigger = trigger_with(enabled=False)
    grant(teammate, trigger, Level.VIEW)
    person = Actor(user=teammate, door=Door.API, address="192.0.2.1")
    elsewhere = Actor(user=None, door=Door.API, by_secret=True, address="192.0.2.2")
    for actor in (SECRET, person, elsewhere):
        for _ in range(5):
            with pytest.raises(Refused):
                fire(trigger, actor=actor)
    assert AuditEntry.objects.filter(allowed=False).count() == 3
    freeze(trigger)
    with pytest.raises(Refused, match="Frozen"):
        fire(trigger)
    assert AuditEntry.objects.filter(allowed=False).count() == 4  # for another reason
    for _ in range(2):  # what people do with their hands is all told
        with pytest.raises(Refused):
            fire(trigger, actor=Actor(user=teammate, door=Door.ADMIN))
    assert AuditEntry.objects.filter(allowed=False).count() == 6


def test_a_rate_limit_of_none_refuses_all() -> None:
    with pytest.raises(RateLimited):
        fire(trigger_with(rate_limit=0))


def test_a_firing_outside_the_window_is_held_when_the_trigger_says_so() -> None:
    trigger = trigger_with("web1", when_closed="hold")
    until = timezone.now() + timedelta(hours=1)
    freeze(trigger, ends_at=until)
    firing = fire(trigger)
    assert (firing.state, firing.count, firing.opens_at) == ("held", None, until)
    assert firing.text.startswith("Frozen: web")
    assert (count_of(trigger), Run.objects.count()) == (0, 0)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.allowed, entry.detail["waits_until"]) == ("fire when open", True, until.isoformat())


def test_one_that_no_waiting_helps_is_refused_even_then() -> None:
    trigger = trigger_with(when_closed="hold")
    freeze(trigger)
    with pytest.raises(Refused):
        fire(trigger)
    Trigger.objects.update(enabled=False)
    with pytest.raises(Refused):
        fire(Trigger.objects.get())


def test_no_circle_of_triggers_goes_on_for_ever() -> None:
    with pytest.raises(Refused, match="in a circle"):
        fire(trigger_with(), actor=SECRET, depth=9)
