"""Looking at hosts: their keys, and whether they are fit to be deployed to."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from apps.access import audit
from apps.access.decision import Decision, RuleResult
from apps.access.errors import InputError, Refused
from apps.access.levels import Level
from apps.environments import ssh
from apps.environments.errors import HostError, HostKeyMissing
from apps.environments.host_answers import SCRIPT, answers, folders_of, judge
from apps.environments.host_key import fingerprint_or_nothing, host_key_parse
from apps.environments.host_reads import CONNECTABLE, environments_on
from apps.environments.host_report import Check, HostReport, Result, Target
from apps.environments.host_trouble import trouble_checks
from apps.environments.models import Host, Method
from apps.environments.release import releases_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.access.actor import Actor
    from apps.environments.models import Environment
    from apps.repos.host_keys import HostKey

SCRIPT_TIMEOUT = 20  # seconds: df waits for ever where a file server is gone
LOOKS_AT_ONCE = 10
WALLS = frozenset({"jump host", "reachable", "host key"})


def host_scan(*, host: Host) -> list[HostKey]:
    """The public keys that the host shows now, best first, for a person to compare. Logs in nowhere, stores nothing.

    Raises HostError.
    """
    return [host_key_parse(line) for line in ssh.host_keys_shown(host)]


def host_key_pin(*, host: Host, actor: Actor, key: str) -> HostKey:
    """From now on only this key is accepted of that host: a person has confirmed it.

    Raises InputError for what is no key, Refused for who may not change hosts.
    """
    _require_manager(actor, host, "host.pin")
    pinned = host_key_parse(key)
    before = host.host_key
    if before.split()[:2] == pinned.line.split():
        return pinned
    with transaction.atomic():
        Host.objects.filter(pk=host.pk).update(host_key=pinned.line)
        audit.record(
            actor=actor,
            action="host.pin",
            detail={
                "object": host.name,
                "fingerprint": pinned.fingerprint,
                "former": fingerprint_or_nothing(before),
            },
        )
    host.host_key = pinned.line
    return pinned


def host_check(*, host: Host, actor: Actor, environment: Environment | None = None) -> HostReport:
    """Look whether the host is fit for its environments (or for that one), and keep the report on its row.

    Who may act on one of its environments, or manage hosts, may ask; raises Refused. Never raises for
    what is wrong with the host: that is the report. Takes at most the connect time-out and
    SCRIPT_TIMEOUT for each user who logs in there.
    """
    return hosts_check(hosts=[host], actor=actor, environment=environment)[0]


def hosts_check(*, hosts: Sequence[Host], actor: Actor, environment: Environment | None = None) -> list[HostReport]:
    """The same for several at once, in their order."""
    for host in hosts:
        _require_checker(actor, host, environment)
    looks = [_Look.at(host, [environment] if environment else list(environments_on(host))) for host in hosts]
    with ThreadPoolExecutor(max_workers=LOOKS_AT_ONCE) as pool:
        reports = list(pool.map(_Look.report, looks))
    for host, report in zip(hosts, reports, strict=True):
        with transaction.atomic():
            now = timezone.now()
            Host.objects.filter(pk=host.pk).update(checked_at=now, check_report=report.as_json())
            audit.record(actor=actor, action="host.check", detail={"object": host.name, "summary": report.summary()})
    return reports


def host_can_be_checked(actor: Actor, host: Host) -> bool:
    """Whether this actor may log in there with the panel's key, to look."""
    if _is_manager(actor):
        return True
    return actor.user is not None and environments_on(host, actor.user, least=Level.IN_HOURS).exists()


@dataclass(frozen=True, kw_only=True)
class _Look:
    """All that a thread needs to look at one host, read before: it must not ask the database."""

    host: Host
    targets: dict[str, list[Target]]  # by the user who logs in

    @classmethod
    def at(cls, host: Host, environments: Sequence[Environment]) -> _Look:
        """One log-in for each user that the environments name; the host's own where there is none."""
        host = Host.objects.select_related(*CONNECTABLE).get(pk=host.pk)
        targets: dict[str, list[Target]] = {}
        for environment in environments:
            targets.setdefault(environment.remote_user or host.user, []).append(_target(environment))
        return cls(host=host, targets=targets or {host.user: []})

    def report(self) -> HostReport:
        started = time.monotonic()
        checks: list[Check] = []
        for user, targets in self.targets.items():
            checks += _look_as(self.host, user, targets)
            if any(check.result is Result.FAILED and check.name in WALLS for check in checks):
                break  # the next user would meet the same wall, and cost its time-out again
        seconds = time.monotonic() - started
        return HostReport(host=self.host.name, checks=list(dict.fromkeys(checks)), seconds=seconds)


def _look_as(host: Host, user: str, targets: list[Target]) -> list[Check]:
    try:
        with ssh.connect(host, user) as connection:
            checks = _entry_checks(host, user)
            outcome = connection.run(SCRIPT, folders_of(targets), timeout=SCRIPT_TIMEOUT, grace=1)
            now = time.time()
    except HostKeyMissing as error:
        return _unknown_checks(host, error)
    except HostError as error:
        return trouble_checks(host, error)
    said = answers(outcome.out)
    if "end" not in said:
        last = (outcome.err.strip() or outcome.out.strip() or "it said nothing").splitlines()[-1]
        return [
            *checks,
            Check(
                name="shell",
                result=Result.FAILED,
                detail=f"{user} logs in, but cannot run a script: {last}",
                remedy="Give that user a POSIX shell (chsh -s /bin/sh) and no forced command.",
            ),
        ]
    return [*checks, *judge(said, user=user, targets=targets, now=now)]


def _unknown_checks(host: Host, error: HostKeyMissing) -> list[Check]:
    """Nobody is logged in where no key is pinned; whether the host answers at all can be asked nevertheless."""
    try:
        ssh.host_keys_shown(host)
    except HostError as worse:
        return trouble_checks(host, worse)
    return trouble_checks(host, error, reached=True)


def _entry_checks(host: Host, user: str) -> list[Check]:
    """What a log-in has proved."""
    ok = Result.OK
    jump = host.jump_host
    checks = [Check(name="jump host", result=ok, detail=f"{jump.name} lets us through.")] if jump else []
    return [
        *checks,
        Check(name="reachable", result=ok, detail=f"{host.address} port {host.port} answers."),
        Check(name="host key", result=ok, detail=f"It is the pinned one: {fingerprint_or_nothing(host.host_key)}."),
        Check(name="log-in", result=ok, detail=f"{user} with the key “{host.ssh_key.name}”."),
    ]


def _target(environment: Environment) -> Target:
    symlink = environment.method == Method.SYMLINK
    return Target(
        environment=environment.path,
        path=environment.target_path,
        symlink=symlink,
        releases=releases_folder(environment.target_path, environment.repository.name) if symlink else "",
    )


def _is_manager(actor: Actor) -> bool:
    return actor.is_trusted or bool(actor.user and actor.user.has_perm("environments.change_host"))


def _require_manager(actor: Actor, host: Host, action: str) -> None:
    _require(_is_manager(actor), actor, host, action, "may not change hosts")


def _require_checker(actor: Actor, host: Host, environment: Environment | None) -> None:
    if environment is not None and not environments_on(host).filter(pk=environment.pk).exists():
        raise InputError(f"{environment.path} does not deploy to {host.name}.")
    _require(host_can_be_checked(actor, host), actor, host, "host.check", "may deploy to none of its environments")


def _require(allowed: bool, actor: Actor, host: Host, action: str, why: str) -> None:
    if allowed:
        return
    rule = RuleResult(name="permission", allowed=False, reason=f"{actor.name} {why} ({host.name}).")
    audit.record(actor=actor, action=action, allowed=False, reasons=[rule.reason], detail={"object": host.name})
    raise Refused(Decision(at=timezone.now(), rules=(rule,)))
