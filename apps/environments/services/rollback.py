"""Going back: to a release that is still on the hosts, or by deploying its commit again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from apps.access import gate
from apps.access.errors import InputError
from apps.environments.models import Action, Environment
from apps.environments.selectors import commit_before
from apps.environments.services.deploy import deployment_create, targets_rule
from apps.repos.refs import commit_checked
from apps.runs.knock import knock
from apps.runs.services import paused_now, run_request, subject_held

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.environments.models import Deployment
    from apps.runs.models import Cause


def rollback_request(
    *, environment: Environment, actor: Actor, cause: Cause, commit: str = "", override: str = ""
) -> Deployment:
    """Bring `commit` back (the one before the live one when empty), and pause automatic deployment.

    Raises Refused, Conflict, InputError when there is nothing to go back to.
    """
    wanted = commit_checked(commit) or commit_before(environment)
    if not wanted:
        raise InputError(f"{environment.path} has no earlier deployment to go back to.", "commit")
    rule = targets_rule(environment, None, None)
    gate.require(
        actor=actor,
        act=gate.Act.ACT,
        subject=environment,
        action="rollback",
        extra=[rule],
        override=override,
        detail={"commit": wanted},
    )
    with transaction.atomic():
        subject_held(Environment, environment.pk)  # first, as a push does: or each might wait for the other
        run = run_request(
            kind=Action.ROLLBACK,
            subject=environment,
            actor=actor,
            cause=cause,
            params=knock(actor),
            override=override,
            time_limit=environment.time_limit,
            silence_limit=environment.silence_limit,
        )
        reason = f"Rolled back to {wanted[:8]} by {actor.name} (run #{run.pk})."
        rows = Environment.objects.filter(pk=environment.pk, auto_deploy=True)
        rows.update(wanted_commit="", **paused_now(reason))
        return deployment_create(run, environment, Action.ROLLBACK, ref=wanted, commit=wanted)
