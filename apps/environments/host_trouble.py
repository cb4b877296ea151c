"""What a failed connection says about a host, as checks: what was proved before it failed, and what remains unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.environments import errors
from apps.environments.host_report import Check, Result

if TYPE_CHECKING:
    from apps.environments.models import Host

# The order in which a connection is made; an error belongs to one of these, and proves those before it.
ENTRY = ("reachable", "host key", "log-in")
STAGE: dict[type[errors.HostError], str] = {
    errors.HostUnreachable: "reachable",
    errors.HostRefused: "reachable",
    errors.HostSilent: "reachable",
    errors.HostCutOff: "reachable",
    errors.HostKeyMissing: "host key",
    errors.HostKeyChanged: "host key",
    errors.HostLoginFailed: "log-in",
    errors.KeyUnusable: "log-in",
}
# Found before anything was sent: they say nothing about what comes before them.
BEFORE_THE_NETWORK = (errors.HostKeyMissing, errors.KeyUnusable)


def trouble_checks(host: Host, error: errors.HostError, *, reached: bool = False) -> list[Check]:
    """One failed check with its remedy, those before it as proved, those after it as not asked.

    `reached`: the host has answered, even if this error says nothing about that.
    """
    if host.jump_host is not None and error.host != host.name:
        failed = Check(name="jump host", result=Result.FAILED, detail=str(error), remedy=error.remedy)
        return [failed, *(_unasked(name) for name in ENTRY)]
    at = ENTRY.index(STAGE.get(type(error), "reachable"))
    proved = Result.SKIPPED if isinstance(error, BEFORE_THE_NETWORK) and not reached else Result.OK
    checks = [Check(name=name, result=proved, detail=_before(name, proved)) for name in ENTRY[:at]]
    failed = Check(name=ENTRY[at], result=Result.FAILED, detail=error.problem, remedy=error.remedy)
    return [*checks, failed, *(_unasked(name) for name in ENTRY[at + 1 :])]


def _before(name: str, proved: Result) -> str:
    if proved is Result.SKIPPED:
        return "Not asked."
    return {"reachable": "It answers.", "host key": "It is the pinned one."}[name]


def _unasked(name: str) -> Check:
    return Check(name=name, result=Result.SKIPPED, detail="Not asked.")
