"""A build script on hosts: all at once, each at its own pace; the steps of one host one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.environments.build_script import script_checked
from apps.environments.pipeline.fleet import Fleet
from apps.environments.pipeline.script_files import Files
from apps.environments.pipeline.script_steps import CONNECT, GRACE, ScriptSteps, stage_of
from apps.environments.selectors import script_hosts
from apps.runs.errors import RunFailed

if TYPE_CHECKING:
    from apps.environments.build_script import Script
    from apps.environments.models import ScriptOrder
    from apps.runs.work import Work

AT_ONCE = 50  # hosts
NAMED = 6  # hosts that a sentence names


def script_carried_out(work: Work, order: ScriptOrder) -> None:
    """Raises RunFailed unless every host came to the script's end, and what else ends runs."""
    script = script_checked(order.script)
    hosts = script_hosts(order)
    active = [host for host in hosts if host.active]
    if not active:
        raise RunFailed("None of its hosts is active.", "Activate one, or name others at the trigger.")
    for host in hosts:
        if not host.active:
            work.log.note(f"Warning: {host.name} is inactive and left out.")
    work.grace = GRACE
    steps = ScriptSteps(work=work, order=order, files=Files(work))
    stages = [(CONNECT, steps.connect), *((stage_of(step), steps.act(step)) for step in script.steps)]
    work.plan_steps([stage for stage, _ in stages], [host.name for host in active])
    with Fleet(work, active, parallel=AT_ONCE) as fleet:
        fleet.through(stages, steps.leave)
        _reported(work, script, fleet)


def _reported(work: Work, script: Script, fleet: Fleet) -> None:
    failures = fleet.failures
    states = {job.name: {"state": "failed" if job.failure else "done"} for job in fleet.jobs}
    work.remember(hosts=states, failures=[failure.as_json() for failure in failures])
    if not failures:
        steps, hosts = len(script.steps), len(fleet.jobs)
        work.summary = f"{_count(steps, 'step')} on {_count(hosts, 'host')}."
        return
    first, *others = failures
    parts = [f"{first.host}, {first.stage}: {first.problem} {first.remedy}".rstrip()]
    if others:
        parts.append(f"Also failed: {_names([failure.host for failure in others])}.")
    if fleet.well:
        parts.append(f"Done on {_names([job.name for job in fleet.well])}.")
    raise RunFailed(" ".join(parts))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
