"""How a deployment came out: said on the run, kept per host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from apps.environments.models import Deployment, HostRelease
from apps.runs.errors import RunFailed

if TYPE_CHECKING:
    from apps.environments.pipeline.fleet import Fleet, HostFailure
    from apps.environments.pipeline.plan import Plan
    from apps.runs.work import Work

NAMED = 6  # hosts that a sentence names


def outcome_reported(work: Work, deployment: Deployment, plan: Plan, fleet: Fleet) -> None:
    """Keep the result. Raises RunFailed unless every host succeeded, or the failed ones are tolerated."""
    failures = fleet.failures
    Deployment.objects.filter(pk=deployment.pk).update(hosts_failed=len(failures))
    work.remember(
        commit=plan.commit,
        release=plan.release,
        hosts={job.name: _host(job.failure, switched=job.switched) for job in fleet.jobs},
        failures=[failure.as_json() for failure in failures],
        skipped=plan.skipped,
    )
    if not failures:
        hosts = f"{len(fleet.jobs)} host" + ("" if len(fleet.jobs) == 1 else "s")
        work.summary = f"{plan.branch} {plan.commit[:8]} on {hosts}."
        return
    for failure in failures:
        _told(work, failure)
    sentence = failure_sentence(plan, fleet)
    copied = [job for job in fleet.jobs if job.switched]
    tolerated = len(failures) <= plan.environment.tolerated_failures and copied and not _broken(fleet)
    if tolerated:
        work.summary = f"{plan.branch} {plan.commit[:8]} on {len(copied)} hosts. Tolerated: {sentence}"
        return
    raise RunFailed(sentence, failures[0].remedy)


def _broken(fleet: Fleet) -> bool:
    """A host fell out after it was switched: it runs the new release, but its scripts failed."""
    return any(job.switched and job.failure is not None for job in fleet.jobs)


def failure_sentence(plan: Plan, fleet: Fleet) -> str:
    """The first host, why and what to do; then the others; then which hosts run what."""
    first, *others = fleet.failures
    parts = [f"{first.host}: {first.problem} {first.remedy}".rstrip()]
    if others:
        parts.append(f"Also failed: {_names([failure.host for failure in others])}.")
    new = [job.name for job in fleet.jobs if job.switched]
    old = [job.name for job in fleet.jobs if not job.switched]
    if not new:
        parts.append("Nothing was switched: every host runs what it ran before." if plan.symlink else "")
    elif old:
        parts.append(f"{plan.commit[:8]} is live on {_names(new)}; not on {_names(old)}.")
    else:
        parts.append(f"{plan.commit[:8]} is live on all {len(new)} hosts.")
    return " ".join(part for part in parts if part)


def releases_stored(plan: Plan, fleet: Fleet) -> None:
    """What each host said it runs now."""
    for job in fleet.jobs:
        if job.state is None or not job.switched:
            continue
        fields = {**job.state.as_fields(), "read_at": timezone.now(), "error": ""}
        HostRelease.objects.update_or_create(environment=plan.environment, host=job.host, defaults=fields)


def _told(work: Work, failure: HostFailure) -> None:
    lines = "".join(f"\n    {line}" for line in failure.lines)
    work.log.note(f"{failure.host} ({failure.stage}): {failure.problem} {failure.remedy}".rstrip() + lines)


def _host(failure: HostFailure | None, *, switched: bool) -> dict[str, object]:
    state = "failed" if failure is not None else "done" if switched else "untouched"
    return {"state": state, "live": switched, "problem": failure.problem if failure is not None else ""}


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
