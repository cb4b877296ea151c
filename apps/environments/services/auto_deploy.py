"""Automatic deployment: a push becomes a deployment, ten pushes become one more.

A push while a run works is remembered as the environment's wanted commit. When the run ends and has
not attempted that very commit, one more run starts, with the newest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.access import gate
from apps.access.actor import Actor, Door
from apps.environments.models import Deployment, Environment
from apps.environments.services.deploy import deploy_request
from apps.runs.models import Cause, Run
from apps.runs.services import paused_now, run_coalesced

if TYPE_CHECKING:
    from apps.repos.models import Repository


@dataclass(frozen=True, kw_only=True)
class PushOutcome:
    """What one push led to on one environment. `run` is None when nothing started."""

    environment: Environment
    run: Run | None
    text: str


def auto_deploy_push(
    *, repository: Repository, branch: str, commit: str, actor_address: str = "", pusher: str = ""
) -> list[PushOutcome]:
    """Start, or remember, a deployment on each environment that deploys this branch by itself. Database only."""
    environments = Environment.objects.filter(repository=repository, branch=branch, auto_deploy=True)
    rows = environments.select_related("repository", "deploy_as", "hours").order_by("order", "name")
    return [_pushed(environment, commit, actor_address, pusher) for environment in rows]


def auto_deploy_wanted(*, environment: Environment, attempted: str) -> Deployment | None:
    """After a run: deploy the newest pushed commit, unless it is the one just attempted."""
    fresh = Environment.objects.select_related("repository", "deploy_as", "hours").get(pk=environment.pk)
    wanted = fresh.wanted_commit
    if not wanted:
        return None
    if wanted == attempted or not fresh.auto_deploy or fresh.auto_paused_at is not None:
        Environment.objects.filter(pk=fresh.pk, wanted_commit=wanted).update(wanted_commit="")
        return None
    outcome = _start(fresh, wanted, "", "")
    return outcome.run.deployment if outcome.run is not None else None


def auto_pause(*, environment: Environment, actor: Actor, reason: str) -> None:
    """No push deploys until someone resumes. For those who may deploy."""
    gate.require(
        actor=actor, act=gate.Act.STOP, subject=environment, action="pause auto-deploy", detail={"reason": reason}
    )
    Environment.objects.filter(pk=environment.pk).update(wanted_commit="", **paused_now(reason))


def auto_resume(*, environment: Environment, actor: Actor) -> None:
    """The next push deploys again. For those who may deploy."""
    gate.require(actor=actor, act=gate.Act.STOP, subject=environment, action="resume auto-deploy")
    Environment.objects.filter(pk=environment.pk).update(auto_paused_at=None, auto_paused_reason="")


def _pushed(environment: Environment, commit: str, address: str, pusher: str) -> PushOutcome:
    if environment.auto_paused_at is not None:
        return _nothing(environment, f"automatic deployment is paused: {environment.auto_paused_reason}")
    if environment.deploy_as is None:
        return _nothing(environment, "nobody is named to deploy as: choose a user on the environment")
    return _start(environment, commit, address, pusher)


def _start(environment: Environment, commit: str, address: str, pusher: str) -> PushOutcome:
    """A run for `commit`, or the memory that it is wanted."""

    def request() -> Run:
        deployment = deploy_request(
            environment=environment,
            actor=Actor(user=environment.deploy_as, door=Door.WEBHOOK, address=address, behind=pusher),
            cause=Cause.PUSH,
            ref=environment.branch,
            commit=commit,
            when_open=True,
        )
        assert deployment.run is not None
        return deployment.run

    found = run_coalesced(
        subject=environment,
        commit=commit,
        asker=Actor(user=environment.deploy_as, door=Door.WEBHOOK),
        waiting=Deployment.objects.filter(environment=environment, run__cause=Cause.PUSH, ref=environment.branch),
        request=request,
    )
    return PushOutcome(environment=environment, run=found.run, text=found.text)


def _nothing(environment: Environment, text: str) -> PushOutcome:
    return PushOutcome(environment=environment, run=None, text=text)
