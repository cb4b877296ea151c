"""Asking for a deployment: the same for every door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from apps.access import gate
from apps.access.decision import RuleResult
from apps.environments.models import Action, Deployment
from apps.environments.selectors import hosts_of
from apps.repos.refs import commit_checked, ref_checked
from apps.runs.knock import knock
from apps.runs.services import run_request

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.environments.models import Cluster, Environment, Host
    from apps.runs.models import Cause, Run


def deploy_request(
    *,
    environment: Environment,
    actor: Actor,
    cause: Cause,
    ref: str = "",
    commit: str = "",
    cluster: Cluster | None = None,
    host: Host | None = None,
    override: str = "",
    when_open: bool = False,
) -> Deployment:
    """A deployment of `commit`, else of `ref` (a branch, a tag, a commit; resolved by the run), else of the branch.

    Asks the gate; with `when_open`, a refusal that time will lift becomes a run that waits and asks again then.
    Raises Refused, Conflict (another run of the environment is not finished), InputError.
    """
    ref, commit = ref_checked(ref or commit or environment.branch), commit_checked(commit)
    opens_at = gate.require_or_wait(
        actor=actor,
        subject=environment,
        action="deploy",
        extra=[targets_rule(environment, cluster, host)],
        override=override,
        when_open=when_open,
        detail={"ref": ref, "target": target_name(cluster, host)},
    )
    with transaction.atomic():
        run = run_request(
            kind=Action.DEPLOY,
            subject=environment,
            actor=actor,
            cause=cause,
            params=knock(actor),
            not_before=opens_at,
            override=override,
            time_limit=environment.time_limit,
            silence_limit=environment.silence_limit,
        )
        return deployment_create(run, environment, Action.DEPLOY, ref=ref, commit=commit, cluster=cluster, host=host)


def deployment_create(
    run: Run,
    environment: Environment,
    action: Action,
    *,
    ref: str,
    commit: str,
    cluster: Cluster | None = None,
    host: Host | None = None,
) -> Deployment:
    """The row beside the run; call it in the run's transaction."""
    return Deployment.objects.create(
        run=run,
        run_number=run.pk,
        environment=environment,
        environment_path=environment.path,
        action=action,
        ref=ref,
        commit=commit,
        cluster=cluster,
        host=host,
        target=target_name(cluster, host),
        state=run.state,
        requested_name=run.requested_name,
        previous_commit=environment.deployed_commit,
    )


def targets_rule(environment: Environment, cluster: Cluster | None, host: Host | None) -> RuleResult:
    """Whether there is an active host to deploy to, as a rule beside the gate's own."""
    hosts = hosts_of(environment, cluster, host)
    active = [one for one in hosts if one.active]
    where = target_name(cluster, host) or environment.path
    if active:
        return RuleResult(name="hosts", allowed=True, reason=f"{where} has {len(active)} active hosts.")
    if hosts:
        reason = f"All hosts of {where} are inactive: activate one."
    else:
        reason = f"{where} has no hosts: give the environment a cluster with hosts."
    return RuleResult(name="hosts", allowed=False, reason=reason)


def target_name(cluster: Cluster | None, host: Host | None) -> str:
    return host.name if host is not None else cluster.name if cluster is not None else ""
