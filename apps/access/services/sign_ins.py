"""Failed sign-ins are counted in the database: so for all processes, across restarts, and for names that nobody has.

A try is counted before its password is looked at, and taken back when it succeeds. So of many at once no more get
through than the limit says, and one too many costs a read and no hash. (django-axes looks before the hash and counts
after it, which a burst gets past, and has one limit for names, addresses and both.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, When
from django.utils import timezone

from apps.access import audit
from apps.access.actor import Actor, Door
from apps.access.address import network_of
from apps.access.errors import InputError, NotFound, SignInBlocked
from apps.access.models import SignInCount
from apps.access.sign_in_bounds import NAME, NAME_FROM_NETWORK, NAME_LENGTH, NETWORK, WINDOW, Bound, bounds_of

if TYPE_CHECKING:
    from datetime import datetime

# The three kinds of rows, in the order in which they are locked.
PAIRS, NAMES, NETWORKS = ~Q(name="") & ~Q(network=""), Q(network=""), Q(name="")


def sign_in_try(*, name: str, address: str) -> None:
    """Counts one try, before its password is looked at. Raises SignInBlocked, and then counts nothing."""
    now = timezone.now()
    _check(name, address, now)
    while not _counted(bounds_of(name, address), now):  # others were faster, and took the last one
        _check(name, address, now)


def sign_in_succeed(*, name: str, address: str) -> None:
    """The password was right: that name starts afresh from there. Elsewhere only this try is taken back.

    So whoever has an account cannot clear with it what was guessed at others, nor a person what is guessed elsewhere.
    """
    own, *others = bounds_of(name, address)
    with transaction.atomic():
        _rows(own).delete()
        for bound in others:
            _rows(bound).filter(count__gt=0).update(count=F("count") - 1)


def sign_ins_blocked(now: datetime) -> list[SignInCount]:
    """The counts that stop somebody now, the last to end first."""
    full = (PAIRS & Q(count__gte=NAME_FROM_NETWORK)) | (NAMES & Q(count__gte=NAME)) | (NETWORKS & Q(count__gte=NETWORK))
    return list(SignInCount.objects.filter(full, ends_at__gt=now).order_by("-ends_at", "name", "network"))


def sign_ins_unblock(*, actor: Actor, name: str = "", address: str = "", everything: bool = False) -> int:
    """Forget what is counted for a name, from an address, or at all; how many counts. Raises InputError, NotFound."""
    if sum(map(bool, (name, address, everything))) != 1:
        raise InputError("Say for whom: a name, or --address ADDRESS, or --all.")
    which = Q(name=name[:NAME_LENGTH]) if name else Q(network=network_of(address)) if address else Q()
    with transaction.atomic():
        forgotten = _forget(which)
        if forgotten:
            detail = {"name": name[:NAME_LENGTH], "address": address[:64], "all": everything}
            audit.record(actor=actor, action="login unblock", detail=detail)
    if not forgotten and not everything:
        raise NotFound(f"No failed sign-ins are counted {f'for “{name}”' if name else f'from {address}'}.")
    return forgotten


def sign_ins_prune(now: datetime) -> int:
    """Forget the counts that are over; how many."""
    with transaction.atomic():
        return _forget(Q(ends_at__lte=now))


def _forget(which: Q) -> int:
    return sum(SignInCount.objects.filter(which, kind).delete()[0] for kind in (PAIRS, NAMES, NETWORKS))


def _rows(bound: Bound) -> QuerySet[SignInCount]:
    return SignInCount.objects.filter(name=bound.name, network=bound.network)


def _check(name: str, address: str, now: datetime) -> None:
    """Raises SignInBlocked where a count is full; the first to be refused leaves the one line in the audit trail."""
    pair, of_name, of_network = bounds = bounds_of(name, address)
    any_of = _rows(pair) | _rows(of_name) | _rows(of_network)
    rows = {(row.name, row.network): row for row in any_of.filter(ends_at__gt=now)}
    found = ((rows.get((bound.name, bound.network)), bound) for bound in bounds)
    full = [(row, bound) for row, bound in found if row and row.count >= bound.limit]
    if not full:
        return
    row, bound = max(full, key=lambda both: both[0].ends_at)
    sentence = bound.sentence(row.ends_at)
    if not row.told:
        _tell(row, Actor(user=None, door=Door.ADMIN, address=address), name, sentence)
    raise SignInBlocked(sentence, int((row.ends_at - now).total_seconds()) + 1)


def _tell(row: SignInCount, actor: Actor, name: str, sentence: str) -> None:
    with transaction.atomic():
        if SignInCount.objects.filter(pk=row.pk, told=False).update(told=True):
            detail = {"tried": name[:NAME_LENGTH], "until": row.ends_at.isoformat()}
            audit.record(actor=actor, action="login blocked", allowed=False, reasons=[sentence], detail=detail)


def _counted(bounds: tuple[Bound, ...], now: datetime) -> bool:
    """Adds one to all of them, or to none when one is full."""
    with transaction.atomic():
        done = all(_count(bound, now) for bound in bounds)
        transaction.set_rollback(not done)
    return done


def _count(bound: Bound, now: datetime) -> bool:
    if _add(bound, now):
        return True
    new = SignInCount(name=bound.name, network=bound.network, count=0, ends_at=now + WINDOW)
    SignInCount.objects.bulk_create([new], ignore_conflicts=True)
    return _add(bound, now)


def _add(bound: Bound, now: datetime) -> bool:
    """One conditional UPDATE, so that of many at once none goes past the limit."""
    over, last = Q(ends_at__lte=now), Q(count=bound.limit - 1)
    changed = (
        _rows(bound)
        .filter(over | Q(count__lt=bound.limit))
        .update(
            count=Case(When(over, then=1), default=F("count") + 1),
            ends_at=Case(When(over | last, then=now + WINDOW), default=F("ends_at")),
            told=False,
        )
    )
    return bool(changed)
