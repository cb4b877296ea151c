"""The gate as tables: right × act × hours × freeze × override, and when it opens."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User

from apps.access.actor import Actor, Door
from apps.access.decision import RuleResult
from apps.access.errors import InputError, Refused
from apps.access.gate import Act, decide, require
from apps.access.levels import Level
from apps.access.models import AuditEntry, BusinessHours, Freeze, Subject
from apps.environments.models import Environment
from tests.support.cast import grant

pytestmark = pytest.mark.database

MONDAY_10 = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)  # 10:00 in Paris
MONDAY_20 = dt.datetime(2026, 3, 2, 19, 0, tzinfo=dt.UTC)
TUESDAY_08 = dt.datetime(2026, 3, 3, 7, 0, tzinfo=dt.UTC)


@pytest.fixture
def office(prod: Environment) -> BusinessHours:
    hours = BusinessHours.objects.create(
        name="office",
        timezone="Europe/Paris",
        country="FR",
        weekly=dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), "08:00-18:30"),
    )
    prod.hours = hours
    prod.save()
    return hours


def freeze(subject: Subject | None, *, start: dt.datetime, hours: float | None, reason: str = "audit") -> Freeze:
    end = start + dt.timedelta(hours=hours) if hours else None
    return Freeze.objects.create(
        subject_id=subject.pk if subject else None, reason=reason, starts_at=start, ends_at=end, author_name="owner"
    )


def by(user: User | None, door: Door = Door.ADMIN) -> Actor:
    return Actor(user=user, door=door)


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("act", list(Act))
def test_level_and_act(teammate: User, prod: Environment, level: Level, act: Act) -> None:
    grant(teammate, prod, level)
    least = {Act.VIEW: 1, Act.ACT: 2, Act.STOP: 2, Act.CONFIGURE: 4}[act]
    assert decide(actor=by(teammate), act=act, subject=prod).allowed is (level >= least)


# who, open?, frozen?, override? → allowed?
TABLE = [
    ("in_hours", True, False, False, True),
    ("in_hours", False, False, False, False),
    ("in_hours", True, True, False, False),
    ("in_hours", False, True, False, False),
    ("in_hours", False, False, True, False),
    ("in_hours", True, True, True, False),
    ("in_hours", True, False, True, True),
    ("act", True, False, False, True),
    ("act", False, False, False, True),
    ("act", True, True, False, False),
    ("act", False, True, True, False),
    ("configure", False, False, False, True),
    ("configure", False, True, False, False),
    ("configure", False, True, True, False),
    ("view", True, False, False, False),
    ("view", True, False, True, False),
    ("superuser", True, False, False, True),
    ("superuser", False, False, False, False),
    ("superuser", True, True, False, False),
    ("superuser", False, False, True, True),
    ("superuser", True, True, True, True),
    ("superuser", False, True, True, True),
    ("superuser+act", False, False, False, True),
    ("superuser+act", False, True, False, False),
    ("superuser+act", False, True, True, True),
    ("operator", True, False, False, True),
    ("operator", False, False, False, False),
    ("operator", False, True, False, False),
    ("operator", False, True, True, True),
    ("panel", True, False, False, True),
    ("panel", False, False, False, False),
    ("panel", True, True, True, False),
    ("switched off", True, False, False, False),
    ("switched off superuser", False, True, True, False),
    ("nobody", True, False, False, False),
]


def somebody(who: str, prod: Environment) -> Actor:
    if who in {"operator", "panel", "nobody"}:
        return by(None, {"operator": Door.COMMAND, "panel": Door.SYSTEM, "nobody": Door.ADMIN}[who])
    user = User.objects.create_user("someone", is_superuser="superuser" in who, is_active="switched off" not in who)
    right = who.removeprefix("superuser+")
    levels = {"view": 1, "in_hours": 2, "act": 3, "configure": 4, "switched off": 4}
    grant(user, prod, Level(levels.get(right, 0)))
    return by(user)


@pytest.mark.parametrize(("who", "is_open", "frozen", "override", "allowed"), TABLE)
def test_right_hours_freeze_and_override(
    prod: Environment, office: BusinessHours, who: str, is_open: bool, frozen: bool, override: bool, allowed: bool
) -> None:
    at = MONDAY_10 if is_open else MONDAY_20
    if frozen:
        freeze(prod, start=at - dt.timedelta(hours=1), hours=None)
    decision = decide(
        actor=somebody(who, prod), act=Act.ACT, subject=prod, at=at, override="the site is down" if override else ""
    )
    assert decision.allowed is allowed
    assert bool(decision.reasons) is not allowed
    assert {"permission", "freeze", "hours"} <= {rule.name for rule in decision.rules}  # every rule is told


@pytest.mark.parametrize("act", [Act.VIEW, Act.STOP, Act.CONFIGURE])
def test_hours_and_freezes_stop_only_what_starts_work(
    teammate: User, prod: Environment, office: BusinessHours, act: Act
) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    freeze(None, start=MONDAY_20, hours=None)
    assert decide(actor=by(teammate), act=act, subject=prod, at=MONDAY_20).allowed


def test_freeze_reaches_down_but_not_sideways_or_up(
    teammate: User, shop: Subject, prod: Environment, staging: Environment
) -> None:
    for subject in (shop, prod, staging):
        grant(teammate, subject, Level.ACT)

    def frozen() -> list[str]:
        subjects = (shop, prod, staging)
        return [
            s.path for s in subjects if not decide(actor=by(teammate), act=Act.ACT, subject=s, at=MONDAY_10).allowed
        ]

    row = freeze(prod, start=MONDAY_10, hours=1)
    assert frozen() == ["shop/prod"]
    Freeze.objects.filter(pk=row.pk).update(subject=shop.pk)
    assert frozen() == ["shop", "shop/prod", "shop/staging"]
    Freeze.objects.filter(pk=row.pk).update(subject=None)
    assert frozen() == ["shop", "shop/prod", "shop/staging"]


@pytest.mark.parametrize(("offset", "allowed"), [(-1, True), (0, False), (59, False), (60, True)])
def test_freeze_holds_from_its_start_up_to_its_end(
    teammate: User, prod: Environment, offset: int, allowed: bool
) -> None:
    grant(teammate, prod, Level.ACT)
    freeze(prod, start=MONDAY_10, hours=1)
    at = MONDAY_10 + dt.timedelta(minutes=offset)
    assert decide(actor=by(teammate), act=Act.ACT, subject=prod, at=at).allowed is allowed


def opens(actor: Actor, prod: Environment, at: dt.datetime, **more: object) -> dt.datetime | None:
    decision = decide(actor=actor, act=Act.ACT, subject=prod, at=at, **more)  # type: ignore[arg-type]
    if decision.opens_at:
        assert decide(actor=actor, act=Act.ACT, subject=prod, at=decision.opens_at).allowed
    return decision.opens_at


def test_opens_at_the_next_window(teammate: User, prod: Environment, office: BusinessHours) -> None:
    grant(teammate, prod, Level.IN_HOURS)
    assert opens(by(teammate), prod, MONDAY_20) == TUESDAY_08


def test_opens_at_nothing_when_allowed(teammate: User, prod: Environment, office: BusinessHours) -> None:
    grant(teammate, prod, Level.IN_HOURS)
    assert opens(by(teammate), prod, MONDAY_10) is None


def test_opens_at_the_end_of_a_freeze(teammate: User, prod: Environment) -> None:
    grant(teammate, prod, Level.ACT)
    freeze(prod, start=MONDAY_10, hours=3)
    assert opens(by(teammate), prod, MONDAY_10) == MONDAY_10 + dt.timedelta(hours=3)


def test_opens_at_after_freeze_and_then_hours_and_then_another_freeze(
    teammate: User, shop: Subject, prod: Environment, office: BusinessHours
) -> None:
    grant(teammate, prod, Level.IN_HOURS)
    freeze(prod, start=MONDAY_10, hours=10)  # to 20:00, when it is closed
    freeze(None, start=TUESDAY_08 - dt.timedelta(hours=1), hours=2)  # to 09:00
    freeze(shop, start=TUESDAY_08, hours=1.5)  # to 09:30
    assert opens(by(teammate), prod, MONDAY_10) == TUESDAY_08 + dt.timedelta(hours=1.5)


def test_opens_at_never_without_the_right(teammate: User, prod: Environment, office: BusinessHours) -> None:
    grant(teammate, prod, Level.VIEW)
    assert opens(by(teammate), prod, MONDAY_20) is None


def test_opens_at_never_while_a_freeze_has_no_end(teammate: User, prod: Environment, office: BusinessHours) -> None:
    grant(teammate, prod, Level.IN_HOURS)
    freeze(prod, start=TUESDAY_08 - dt.timedelta(hours=1), hours=None)
    assert opens(by(teammate), prod, MONDAY_20) is None


def test_opens_at_never_with_hours_that_never_open(teammate: User, prod: Environment, office: BusinessHours) -> None:
    grant(teammate, prod, Level.IN_HOURS)
    BusinessHours.objects.update(weekly={})
    assert opens(by(teammate), Environment.objects.get(pk=prod.pk), MONDAY_20) is None


def test_hours_that_cannot_be_read_are_closed(teammate: User, prod: Environment, office: BusinessHours) -> None:
    grant(teammate, prod, Level.IN_HOURS)
    BusinessHours.objects.update(timezone="Mars/Olympus")
    decision = decide(actor=by(teammate), act=Act.ACT, subject=Environment.objects.get(pk=prod.pk), at=MONDAY_10)
    assert not decision.allowed
    assert "Mars/Olympus" in decision.reasons[0]


def test_extra_rules_count_and_are_not_overridden(owner: User, prod: Environment) -> None:
    green = RuleResult(name="status", allowed=False, reason="CI is red.")
    decision = decide(actor=by(owner), act=Act.ACT, subject=prod, extra=[green], override="hurry")
    assert not decision.allowed
    assert decision.reasons == ["CI is red."]
    assert decision.opens_at is None


def test_extra_rule_that_opens_later(teammate: User, prod: Environment, office: BusinessHours) -> None:
    grant(teammate, prod, Level.IN_HOURS)
    later = RuleResult(name="soak", allowed=False, reason="Too fresh.", opens_at=MONDAY_20)
    assert opens(by(teammate), prod, MONDAY_10, extra=[later]) == TUESDAY_08


def test_override_of_blanks_is_no_reason(owner: User, prod: Environment) -> None:
    with pytest.raises(InputError, match="reason"):
        decide(actor=by(owner), act=Act.ACT, subject=prod, override="   ")


def test_require_records_what_was_allowed(teammate: User, prod: Environment) -> None:
    grant(teammate, prod, Level.ACT)
    actor = Actor(user=teammate, door=Door.WEBHOOK, address="192.0.2.1", behind="pusher")
    require(actor=actor, act=Act.ACT, subject=prod, action="deploy", detail={"ref": "main"})
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.actor_id, entry.behind, entry.door) == ("teammate", teammate.pk, "pusher", "webhook")
    assert (entry.address, entry.action, entry.subject, entry.subject_id) == (
        "192.0.2.1",
        "deploy",
        "shop/prod",
        prod.pk,
    )
    assert entry.allowed
    assert entry.detail == {"ref": "main"}


def test_require_records_and_raises_what_was_refused(outsider: User, prod: Environment) -> None:
    freeze(prod, start=MONDAY_10, hours=None, reason="Black Friday")
    with pytest.raises(Refused) as raised:
        require(actor=by(outsider), act=Act.ACT, subject=prod, action="deploy", at=MONDAY_10)
    entry = AuditEntry.objects.get()
    assert not entry.allowed
    assert len(entry.reasons) == 2  # all of them, not the first
    assert "Black Friday" in str(raised.value)
    assert "deploy_in_hours" in str(raised.value)


def test_require_records_what_was_overridden(owner: User, prod: Environment, office: BusinessHours) -> None:
    freeze(prod, start=MONDAY_20, hours=None)
    require(actor=by(owner), act=Act.ACT, subject=prod, action="deploy", at=MONDAY_20, override=" site down ")
    entry = AuditEntry.objects.get()
    assert entry.allowed
    assert entry.detail["override"] == "site down"
    assert len(entry.detail["overridden"]) == 2


def test_decision_as_json_lists_every_rule(outsider: User, prod: Environment, office: BusinessHours) -> None:
    data = decide(actor=by(outsider), act=Act.ACT, subject=prod, at=MONDAY_20).as_json()
    assert data["allowed"] is False
    assert [rule["name"] for rule in data["rules"]] == ["permission", "freeze", "hours"]
    assert data["rules"][2]["opens_at"] == TUESDAY_08.isoformat()
