"""The gate: may this person do this, to this subject, at this moment?

Every door (admin, webhook, schedule, command, and the runner itself before its first change) asks
here, so that all refuse with the same words. All rules are asked, and all are told.

* permission: the person's level on the subject (permissions.py).
* freeze: stops everyone. Only asked for acts on the outside world (`Act.ACT`).
* hours: stop those whose right is "in hours". A superuser's own right counts as such; an explicit
  grant of acting at any time frees him, as it does anyone.
* what the subject adds.

A superuser, and the operator at the shell, pass freezes and hours by an override with a reason.
"""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from apps.access import audit, hours
from apps.access.actor import Actor, Door
from apps.access.decision import Decision, RuleResult
from apps.access.errors import InputError, Refused
from apps.access.levels import Level, level_label
from apps.access.permissions import granted_levels, is_person, level_of
from apps.access.selectors import freezes_to_come

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from apps.access.models import BusinessHours, Freeze, Subject

# How often a freeze may follow upon closed hours, and hours upon a freeze, before waiting is pointless.
PATIENCE = 100


class Act(enum.StrEnum):
    """What one may ask for. ACT starts work, and is all that hours and freezes apply to."""

    VIEW = "view"
    ACT = "act"
    STOP = "stop"
    CONFIGURE = "configure"


NEEDS = {Act.VIEW: Level.VIEW, Act.ACT: Level.IN_HOURS, Act.STOP: Level.IN_HOURS, Act.CONFIGURE: Level.CONFIGURE}


def decide(
    *,
    actor: Actor,
    act: Act,
    subject: Subject,
    at: dt.datetime | None = None,
    extra: Sequence[RuleResult] = (),
    override: str = "",
) -> Decision:
    """The answer with every rule; writes nothing. Raises InputError for an override of blanks only."""
    if override and not override.strip():
        raise InputError("An override needs a reason.", "override")
    at = at or timezone.now()
    may_override = _may_override(actor)
    rules = [_permission_rule(actor, act, subject)]
    freezes: list[Freeze] = []
    calendar = None
    if act is Act.ACT:
        freezes = list(freezes_to_come(subject, at))
        calendar = None if _at_any_time(actor, subject) else subject.hours
        timed = [_freeze_rule(freezes, at), _hours_rule(subject, calendar, at)]
        if override and may_override:
            timed = [rule if rule.allowed else replace(rule, overridden=True) for rule in timed]
        elif override and not all(rule.allowed for rule in timed):
            timed.append(_no_override_rule())
        rules += timed
    rules += extra
    decision = Decision(at=at, rules=tuple(rules))
    return decision if decision.allowed else replace(decision, opens_at=_opens_at(rules, freezes, calendar))


def require(
    *,
    actor: Actor,
    act: Act,
    subject: Subject,
    action: str,
    at: dt.datetime | None = None,
    extra: Sequence[RuleResult] = (),
    override: str = "",
    detail: dict[str, Any] | None = None,
) -> Decision:
    """Decides, writes the audit row of `action` (“deploy”), and raises Refused where the answer is no.

    Ask before opening a transaction: a refusal's audit row would be rolled back with it.
    """
    decision = decide(actor=actor, act=act, subject=subject, at=at, extra=extra, override=override)
    told = dict(detail or {})
    if overridden := [rule.reason for rule in decision.rules if rule.overridden]:
        told |= {"override": override.strip(), "overridden": overridden}
    audit.record(
        actor=actor, action=action, subject=subject, allowed=decision.allowed, reasons=decision.reasons, detail=told
    )
    if not decision.allowed:
        raise Refused(decision)
    return decision


def require_or_wait(
    *,
    actor: Actor,
    subject: Subject,
    action: str,
    extra: Sequence[RuleResult] = (),
    override: str = "",
    when_open: bool = False,
    detail: dict[str, Any] | None = None,
) -> dt.datetime | None:
    """Requires to ACT: None when it may begin now. With `when_open`, a refusal that time will lift is that moment.

    To wait is recorded as “deploy when open”. Raises Refused.
    """
    if when_open and not override:
        decision = decide(actor=actor, act=Act.ACT, subject=subject, extra=extra)
        if not decision.allowed and decision.opens_at is not None:
            told = {**(detail or {}), "waits_until": decision.opens_at.isoformat()}
            reasons = decision.reasons
            audit.record(actor=actor, action=f"{action} when open", subject=subject, reasons=reasons, detail=told)
            return decision.opens_at
    require(actor=actor, act=Act.ACT, subject=subject, action=action, extra=extra, override=override, detail=detail)
    return None


def _may_override(actor: Actor) -> bool:
    if actor.user is None:
        return actor.door is Door.COMMAND
    return bool(actor.user.is_superuser and actor.user.is_active)


def _at_any_time(actor: Actor, subject: Subject) -> bool:
    """Whether hours do not bind this actor: by an explicit grant only."""
    if actor.user is None or not is_person(actor.user):
        return False
    return granted_levels(actor.user, [subject.pk])[subject.pk] >= Level.ACT


def _permission_rule(actor: Actor, act: Act, subject: Subject) -> RuleResult:
    if actor.is_trusted:
        return RuleResult(name="permission", allowed=True, reason=f"The {actor.name} may everything.")
    if actor.user is None or not is_person(actor.user):
        return RuleResult(name="permission", allowed=False, reason=f"{actor.name} is switched off or not signed in.")
    held, needed = level_of(actor.user, subject), NEEDS[act]
    if held >= needed:
        right = "administrator" if actor.user.is_superuser else level_label(subject.kind, held)
        return RuleResult(name="permission", allowed=True, reason=f"{actor.name} has the right “{right}”.")
    reason = f"{actor.name} lacks the right “{level_label(subject.kind, needed)}” on {subject.path}."
    return RuleResult(name="permission", allowed=False, reason=reason)


def _freeze_rule(freezes: Sequence[Freeze], at: dt.datetime) -> RuleResult:
    now = [freeze for freeze in freezes if freeze.starts_at <= at]
    if not now:
        return RuleResult(name="freeze", allowed=True, reason="Nothing is frozen.")
    sentences = [
        f"Frozen: {freeze.subject.path if freeze.subject else 'everything'}, by {freeze.author_name}, "
        f"{'until ' + _utc_words(freeze.ends_at) if freeze.ends_at else 'until someone ends it'}: {freeze.reason}."
        for freeze in now
    ]
    return RuleResult(name="freeze", allowed=False, reason=" ".join(sentences), opens_at=_thaws_at(freezes, at))


def _hours_rule(subject: Subject, calendar: BusinessHours | None, at: dt.datetime) -> RuleResult:
    if subject.hours is None:
        return RuleResult(name="hours", allowed=True, reason="No business hours are set.")
    if calendar is None:
        return RuleResult(name="hours", allowed=True, reason="A right to act at any time was given.")
    try:
        read = hours.Hours.of(calendar)
    except (ValueError, KeyError, OSError) as error:
        # Fails closed: a calendar that cannot be read must not open production.
        reason = f"The business hours “{calendar.name}” cannot be read: {error}. Correct them in the admin."
        return RuleResult(name="hours", allowed=False, reason=reason)
    allowed, reason = hours.is_open(read, at)
    if allowed:
        return RuleResult(name="hours", allowed=True, reason=f"{reason} ({calendar.name}, {calendar.timezone}).")
    opens = hours.opens_at(read, at)
    when = f"opens {hours.moment_words(opens, read.zone, at)}" if opens else "does not open within a year"
    reason = f"{reason}; {when} ({calendar.name}, {calendar.timezone})."
    return RuleResult(name="hours", allowed=False, reason=reason, opens_at=opens)


def _no_override_rule() -> RuleResult:
    reason = "Only an administrator may override hours and freezes."
    return RuleResult(name="override", allowed=False, reason=reason)


def _opens_at(
    rules: Sequence[RuleResult], freezes: Sequence[Freeze], calendar: BusinessHours | None
) -> dt.datetime | None:
    """The first moment at which all rules would allow; None where a rule refuses that no waiting changes."""
    refusing = [rule for rule in rules if not rule.allowed and not rule.overridden and rule.name != "override"]
    moments = [rule.opens_at for rule in refusing]
    if None in moments or not moments:
        return None
    overridden = {rule.name for rule in rules if rule.overridden}
    moment = max(filter(None, moments))
    for _ in range(PATIENCE):
        later = moment if "freeze" in overridden else _thaws_at(freezes, moment)
        if later is not None and calendar is not None and "hours" not in overridden:
            later = hours.opens_at(calendar, later)
        if later is None or later == moment:
            return later
        moment = later
    return None


def _thaws_at(freezes: Sequence[Freeze], at: dt.datetime) -> dt.datetime | None:
    """The first moment from `at` on that lies in no freeze; None when one of them has no end."""
    for freeze in freezes:  # in order of their start, so that one that follows another is met after it
        if freeze.starts_at <= at and (freeze.ends_at is None or freeze.ends_at > at):
            if freeze.ends_at is None:
                return None
            at = freeze.ends_at
    return at


def _utc_words(moment: dt.datetime) -> str:
    local = timezone.localtime(moment)
    return f"{hours.date_words(local.date())} {local:%Y %H:%M %Z}"
