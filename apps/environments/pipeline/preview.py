"""What a deployment would do. Nothing is written on any host, and no script is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access import gate
from apps.environments.models import Cluster, Environment, Host
from apps.environments.pipeline import build, hosts
from apps.environments.pipeline.channel import rsync_channel
from apps.environments.pipeline.fleet import Fleet, HostJob
from apps.environments.pipeline.hosts import HostSteps
from apps.environments.pipeline.plan import plan_made
from apps.repos.selectors import comparison
from apps.repos.tree import safe_file
from apps.runs.errors import RunFailed

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.environments.pipeline.plan import Plan
    from apps.environments.rsync import Changes
    from apps.repos.git import Commit
    from apps.runs.work import StepHandle, Work

COMPARE = "compare"
EXPORT = "export"
COMMITS, FILES = 50, 300


def preview(work: Work, actor: Actor) -> None:
    """Fill the run's result: commit, commits, files, gate, hosts. Raises RunFailed when no host could be asked."""
    params = work.run.params
    environments = Environment.objects.select_related("repository__ssh_key", "hours")
    environment = environments.filter(pk=work.run.subject_id or 0).first()
    if environment is None:
        raise RunFailed(f"{work.run.subject_path} is gone.")
    cluster = Cluster.objects.filter(pk=params["cluster"]).first()
    host = Host.objects.filter(pk=params["host"]).first()
    decision = gate.decide(actor=actor, act=gate.Act.ACT, subject=environment)
    work.remember(gate=decision.as_json(), hosts={})
    plan = plan_made(work.run.pk, environment, cluster, host)
    work.plan_steps([build.FETCH, EXPORT], [""])
    work.plan_steps([hosts.CONNECT, COMPARE], [one.name for one in plan.hosts])
    commit = build.commit_found(work, plan, params["ref"], "")
    work.remember(**_difference(plan, commit, environment.deployed_commit))
    with work.step(EXPORT):
        tree = build.tree_exported(work, plan)
        built = safe_file(tree, build.PREDEPLOY) is not None
        for name in (build.PREDEPLOY, build.DEPLOY):  # neither is there after a deployment
            (tree / name).unlink(missing_ok=True)
    work.remember(predeploy=built, skipped=plan.skipped)
    with (
        Fleet(work, plan.hosts, parallel=environment.parallel) as fleet,
        rsync_channel(plan.hosts, plan.user, folder=work.folder / "ssh", lifetime=work.run.time_limit + 60) as config,
    ):
        _compare(work, fleet, HostSteps(work=work, plan=plan, tree=tree, rsync_config=config))


def _compare(work: Work, fleet: Fleet, steps: HostSteps) -> None:
    counts: dict[str, Changes] = {}

    def compare(job: HostJob, handle: StepHandle) -> None:
        found = counts[job.name] = steps.preview(job, handle)
        handle.message = f"{found.added} new, {found.changed} changed, {found.deleted} deleted"

    fleet.each(hosts.CONNECT, steps.connect)
    fleet.each(COMPARE, compare)
    work.remember(hosts={job.name: _host(job, counts.get(job.name)) for job in fleet.jobs})
    if not fleet.well:
        raise RunFailed(str(fleet.failures[0].problem), fleet.failures[0].remedy)
    work.summary = f"{steps.plan.commit[:8]}: " + "; ".join(
        f"{name} +{found.added} ~{found.changed} -{found.deleted}" for name, found in sorted(counts.items())
    )


def _host(job: HostJob, found: Changes | None) -> dict[str, Any]:
    current = job.state.current if job.state is not None else None
    told: dict[str, Any] = {"commit": current.commit if current else ""}
    if job.failure is not None:
        return told | {"error": f"{job.failure.problem} {job.failure.remedy}".rstrip()}
    if found is not None:
        told |= {"added": found.added, "changed": found.changed, "deleted": found.deleted}
    return told


def _difference(plan: Plan, commit: Commit, deployed: str) -> dict[str, Any]:
    """The commits and files between what is deployed and what would be."""
    told: dict[str, Any] = {
        "ref": plan.branch,
        "commit": commit.sha,
        "subject": commit.subject,
        "author": commit.author,
        "deployed": deployed,
    }
    try:
        found = comparison(plan.repository, deployed, commit.sha, commits=COMMITS, files=FILES)
    except LookupError:
        raise
    except Exception as error:  # noqa: BLE001 - a deployed commit that the repository lost must not end the preview
        return told | {"difference_error": str(error)}
    return told | {
        "commits": [
            {"sha": one.sha, "subject": one.subject, "author": one.author, "at": one.at.isoformat()}
            for one in found.commits
        ],
        "commits_total": found.commits_total,
        "behind_total": found.behind_total,
        "files": [
            {"status": one.status, "path": one.path, "added": one.added, "deleted": one.deleted} for one in found.files
        ],
        "files_total": found.files_total,
    }
