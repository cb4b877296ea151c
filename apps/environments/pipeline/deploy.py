"""A deployment, from the ref to the last host.

1. The configuration and conflicts are checked (the runner has asked the gate already).
2. The commit is fetched, exported and built on the panel's machine; meanwhile the hosts are asked what they have.
3. Every host is copied to. Nothing is live yet, with symlinked releases.
4. When no more hosts failed than are tolerated, all are switched, and then their scripts run.
5. Old releases go; what each host runs is kept.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from apps.environments.models import Deployment, Environment
from apps.environments.pipeline import build, hosts
from apps.environments.pipeline.channel import rsync_channel
from apps.environments.pipeline.fleet import Fleet
from apps.environments.pipeline.hosts import HostSteps
from apps.environments.pipeline.plan import conflicts_refused, plan_made
from apps.environments.pipeline.report import outcome_reported, releases_stored
from apps.environments.release import folder_name, may_be_written
from apps.repos.services import tree_borrowed
from apps.runs.errors import RunFailed
from apps.runs.states import ALIVE

if TYPE_CHECKING:
    from apps.environments.pipeline.plan import Plan
    from apps.repos.git import Commit
    from apps.runs.work import Work

ATTEMPTS = 100


def deploy(work: Work, deployment: Deployment) -> None:
    """Carry it out; raises RunFailed and what else ends runs."""
    plan = plan_prepared(work, deployment)
    work.plan_steps(build.STAGES, [""])
    work.plan_steps(hosts.STAGES, [host.name for host in plan.hosts])
    with (
        # Held until the last host is copied to: nobody else may touch the files meanwhile.
        tree_borrowed(repository=plan.repository, purpose=f"environment-{plan.environment.pk}") as kept,
        Fleet(work, plan.hosts, parallel=plan.environment.parallel) as fleet,
        rsync_channel(plan.hosts, plan.user, folder=work.folder / "ssh", lifetime=work.run.time_limit + 60) as config,
    ):
        steps = HostSteps(work=work, plan=plan, rsync_config=config)
        # Logging in and looking changes nothing, so it need not wait for the build.
        with fleet.meanwhile(hosts.CONNECT, steps.connect):
            commit = build.commit_found(work, plan, deployment.ref, deployment.commit)
            commit_kept(deployment, plan, commit)
            steps.tree = build.tree_built(work, plan, kept)
        bring(work, deployment, fleet, steps)


def plan_prepared(work: Work, deployment: Deployment) -> Plan:
    environment = deployment.environment
    if environment is None:
        raise RunFailed(f"{deployment.environment_path} is gone.")
    plan = plan_made(work.run.pk, environment, deployment.cluster, deployment.host)
    work.grace = float(environment.stop_grace)
    conflicts_refused(deployment)
    for name in plan.skipped:
        work.log.note(f"Warning: {name} is inactive and left out.")
    Deployment.objects.filter(pk=deployment.pk).update(hosts_total=len(plan.hosts))
    return plan


def commit_kept(deployment: Deployment, plan: Plan, commit: Commit) -> None:
    """From now on everyone sees what this deployment is about."""
    deployment.commit = commit.sha
    Deployment.objects.filter(pk=deployment.pk).update(
        commit=commit.sha,
        branch=plan.branch[:255],
        commit_subject=commit.subject[:300],
        commit_author=commit.author[:200],
    )
    Environment.objects.filter(pk=plan.environment.pk).update(attempted_commit=commit.sha)


def bring(work: Work, deployment: Deployment, fleet: Fleet, steps: HostSteps) -> None:
    """Phase 1 on all hosts, then phase 2 on all that are well."""
    plan = steps.plan
    release_chosen(deployment, plan, fleet)
    fleet.each(hosts.COPY, steps.copy)
    failed = len(fleet.failures)
    if failed > plan.environment.tolerated_failures or not fleet.well:
        for stage in hosts.STAGES[2:]:
            fleet.skip(stage, "Not reached.")
        outcome_reported(work, deployment, plan, fleet)
    switch_all(work, deployment, fleet, steps)


def switch_all(work: Work, deployment: Deployment, fleet: Fleet, steps: HostSteps, *, kept: bool = False) -> None:
    """Every link in one go, so that old and new overlap for a moment only; then the scripts."""
    fleet.each(hosts.SWITCH, steps.switch)
    fleet.each(hosts.DEPLOY_SCRIPT, partial(steps.deploy_script, kept=kept))
    fleet.each(hosts.TESTS, steps.tests)
    fleet.each(hosts.CLEAN_UP, partial(steps.clean_up, busy=_busy(steps.plan)))
    releases_stored(steps.plan, fleet)
    outcome_reported(work, deployment, steps.plan, fleet)


def release_chosen(deployment: Deployment, plan: Plan, fleet: Fleet) -> None:
    """The folder to copy into: free on every host, and no other run's."""
    if not plan.symlink:
        plan.release = plan.target_path
    else:
        today = timezone.now().date()
        for attempt in range(1, ATTEMPTS):
            folder = f"{plan.releases}/{folder_name(today, plan.branch, plan.commit, attempt)}"
            states = [job.state for job in fleet.well if job.state is not None]
            if all(may_be_written(state.found, folder, plan.commit) for state in states) and _claimed(
                deployment, plan, folder
            ):
                plan.release = folder
                break
        else:
            raise RunFailed(f"{ATTEMPTS} releases of this commit today are enough.")
    Deployment.objects.filter(pk=deployment.pk).update(release=plan.release[:500])


def _claimed(deployment: Deployment, plan: Plan, folder: str) -> bool:
    """Whether no other run works in this folder; another environment may share it with us."""
    with transaction.atomic():
        Environment.objects.select_for_update().filter(repository=plan.repository).order_by("pk").first()
        if folder in _busy(plan):
            return False
        Deployment.objects.filter(pk=deployment.pk).update(release=folder[:500])
    return True


def _busy(plan: Plan) -> set[str]:
    """Release folders that other runs work in."""
    others = Deployment.objects.filter(run__state__in=ALIVE).exclude(run_id=plan.run_id).exclude(release="")
    return set(others.values_list("release", flat=True))
