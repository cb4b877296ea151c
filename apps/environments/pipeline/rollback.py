"""Going back: where every host still has the release, the links are switched and nothing is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.environments.models import Deployment
from apps.environments.pipeline import hosts
from apps.environments.pipeline.deploy import deploy, plan_prepared, switch_all
from apps.environments.pipeline.fleet import Fleet
from apps.environments.pipeline.hosts import HostSteps
from apps.environments.pipeline.report import outcome_reported

if TYPE_CHECKING:
    from apps.environments.pipeline.plan import Plan
    from apps.runs.work import Work

SWITCHED = (hosts.CONNECT, hosts.SWITCH, hosts.DEPLOY_SCRIPT, hosts.TESTS, hosts.CLEAN_UP)


def rollback(work: Work, deployment: Deployment) -> None:
    """Switch back, or deploy the commit again where that is not possible."""
    plan = plan_prepared(work, deployment)
    if plan.symlink and _switched_back(work, deployment, plan):
        return
    work.log.note(f"Not every host has a release of {deployment.commit[:8]}: it is deployed again.")
    deploy(work, deployment)


def _switched_back(work: Work, deployment: Deployment, plan: Plan) -> bool:
    """False when some host does not have it."""
    with Fleet(work, plan.hosts, parallel=plan.environment.parallel) as fleet:
        steps = HostSteps(work=work, plan=plan)
        fleet.each(hosts.CONNECT, steps.connect)
        folder = _release_everywhere(plan, deployment.commit, fleet)
        if fleet.failures and len(fleet.failures) > plan.environment.tolerated_failures:
            plan.commit = deployment.commit
            outcome_reported(work, deployment, plan, fleet)
        if not folder:
            return False
        work.plan_steps(SWITCHED, [host.name for host in plan.hosts])
        plan.release = folder
        Deployment.objects.filter(pk=deployment.pk).update(
            commit=plan.commit, branch=plan.branch[:255], release=folder[:500]
        )
        work.log.note(f"Every host still has {folder}: back without copying.")
        switch_all(work, deployment, fleet, steps, kept=True)
    return True


def _release_everywhere(plan: Plan, commit: str, fleet: Fleet) -> str:
    """The newest folder with a complete release of `commit` that all hosts have; sets the plan's commit and branch."""
    common: set[str] | None = None
    for job in fleet.well:
        assert job.state is not None
        here = set()
        for found in job.state.found:
            if found.complete and found.release is not None and found.release.commit.startswith(commit):
                here.add(found.folder)
                plan.commit, plan.branch = found.release.commit, found.release.branch
        common = here if common is None else common & here
    return max(common or {""})
