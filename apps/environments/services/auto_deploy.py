"""Automatic deployment: a push becomes a deployment, ten pushes become one more.

A push while a run works is remembered as the environment's wanted commit. When the run ends and has
not attempted that very commit, one more run starts, with the newest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from apps.access import audit, gate
from apps.access.actor import Actor, Door
from apps.access.errors import Conflict, PanelError, Refused
from apps.environments.models import Deployment, Environment
from apps.environments.services.deploy import deploy_request
from apps.runs.models import Cause, Run
from apps.runs.services import run_active_on
from apps.runs.states import RunState

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


def paused_now(reason: str) -> dict[str, Any]:
    return {"auto_paused_at": timezone.now(), "auto_paused_reason": reason[:300]}


def environment_held(number: int | None) -> None:
    """Wait for who changes the environment's row now, and keep others from it until the transaction ends."""
    list(Environment.objects.select_for_update(no_key=True, of=("self",)).filter(pk=number or 0))


def _pushed(environment: Environment, commit: str, address: str, pusher: str) -> PushOutcome:
    if environment.auto_paused_at is not None:
        return _nothing(environment, f"automatic deployment is paused: {environment.auto_paused_reason}")
    if environment.deploy_as is None:
        return _nothing(environment, "nobody is named to deploy as: choose a user on the environment")
    return _start(environment, commit, address, pusher)


def _start(environment: Environment, commit: str, address: str, pusher: str) -> PushOutcome:
    """A run for `commit`, or the memory that it is wanted."""
    Environment.objects.filter(pk=environment.pk).update(wanted_commit=commit, wanted_at=timezone.now())
    active = run_active_on(environment.pk)
    if active is not None:
        return _remembered(environment, active, commit)
    waiting = _waiting_replaced(environment, commit)
    if waiting is not None:
        return PushOutcome(environment=environment, run=waiting, text=f"run #{waiting.pk} waits, now with {commit[:8]}")
    actor = Actor(user=environment.deploy_as, door=Door.WEBHOOK, address=address, behind=pusher)
    try:
        deployment = deploy_request(
            environment=environment,
            actor=actor,
            cause=Cause.PUSH,
            ref=environment.branch,
            commit=commit,
            when_open=True,
        )
    except Conflict:
        # Another run took the place between the look and the insert: its end will look at the memory.
        active = run_active_on(environment.pk)
        return _remembered(environment, active, commit) if active else _nothing(environment, "another run is ending")
    except Refused as refused:
        Environment.objects.filter(pk=environment.pk, wanted_commit=commit).update(wanted_commit="")
        return _nothing(environment, "refused: " + " ".join(refused.decision.reasons))
    except PanelError as error:
        return _nothing(environment, str(error))
    run = deployment.run
    assert run is not None
    waits = run.state == RunState.WAITING
    return PushOutcome(
        environment=environment,
        run=run,
        text=f"run #{run.pk} " + (run.summary[:1].lower() + run.summary[1:] if waits else "started"),
    )


def _waiting_replaced(environment: Environment, commit: str) -> Run | None:
    """A push's run that still waits for the window takes the newer commit."""
    waiting = Deployment.objects.filter(
        environment=environment, run__state=RunState.WAITING, run__cause=Cause.PUSH, ref=environment.branch
    )
    with transaction.atomic():
        deployment = waiting.select_related("run").order_by("-id").first()
        if deployment is None:
            return None
        waiting.filter(pk=deployment.pk).update(commit=commit)
    return deployment.run


def _remembered(environment: Environment, active: Run, commit: str) -> PushOutcome:
    audit.record(
        actor=Actor(user=environment.deploy_as, door=Door.WEBHOOK),
        action="remember push",
        subject=environment,
        detail={"commit": commit, "run": active.pk},
    )
    return PushOutcome(environment=environment, run=None, text=f"follows run #{active.pk}, which is not finished")


def _nothing(environment: Environment, text: str) -> PushOutcome:
    return PushOutcome(environment=environment, run=None, text=text)
