"""One effect becomes a run: of an environment, a node, or of a script on hosts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

from apps.access.actor import Actor, Door
from apps.access.errors import InputError
from apps.environments.services import deploy_request
from apps.environments.services.script import script_request
from apps.runs.models import Cause, Run
from apps.sesam.services import sync_request
from apps.triggers.models import Action, WhenClosed
from apps.triggers.rules import pointer_value
from apps.triggers.services.admit import actor_behind

if TYPE_CHECKING:
    from apps.triggers.models import Effect

_FULL_COMMIT = re.compile(r"\A[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?\Z")


def effect_start(effect: Effect, action: Action) -> Run:
    """The run of this effect. Raises what the services below raise, and InputError for a target that is gone."""
    if action.kind == Action.Kind.DEPLOY:
        return _deploy(effect, action)
    if action.kind == Action.Kind.SYNC:
        return _sync(effect, action)
    return _script(effect, action)


def _deploy(effect: Effect, action: Action) -> Run:
    if action.environment is None:
        raise InputError("The environment is gone.")
    deployment = deploy_request(environment=action.environment, **_asked(effect, action))
    assert deployment.run is not None
    return deployment.run


def _sync(effect: Effect, action: Action) -> Run:
    if action.node is None:
        raise InputError("The node is gone.")
    sync = sync_request(node=action.node, **_asked(effect, action))
    assert sync.run is not None
    return sync.run


class _Asked(TypedDict):
    actor: Actor
    cause: Cause
    ref: str
    commit: str
    when_open: bool


def _asked(effect: Effect, action: Action) -> _Asked:
    """What is said of a deployment and of a sync alike.

    In the name of the person whom the trigger names, else of the panel, which hours bind.
    """
    firing = effect.firing
    ref, commit = _ref(effect, action)
    return {
        "actor": Actor(
            user=firing.trigger.act_as, door=Door.SCHEDULE, address=firing.address, behind=firing.behind or firing.by
        ),
        "cause": Cause.TRIGGER,
        "ref": ref,
        "commit": commit,
        "when_open": firing.trigger.when_closed == WhenClosed.HOLD,
    }


def _ref(effect: Effect, action: Action) -> tuple[str, str]:
    """What to deploy: ref and commit, as far as the action takes them from the payload."""
    if not action.commit_from:
        return "", ""
    value = pointer_value(effect.firing.payload, action.commit_from)
    if not isinstance(value, str) or not value:
        raise InputError(f"The payload has no commit or ref at {action.commit_from}.")
    return ("", value) if _FULL_COMMIT.match(value) else (value, "")


def _script(effect: Effect, action: Action) -> Run:
    firing, trigger = effect.firing, effect.firing.trigger
    return script_request(
        subject=trigger,
        name=trigger.name,
        script=action.script,
        hosts=list(action.hosts.all()),
        cluster=action.cluster,
        actor=actor_behind(firing),
        cause=Cause(firing.cause),
        payload=firing.payload,
        number=firing.count,
        override=firing.override,
        time_limit=trigger.time_limit,
        silence_limit=trigger.silence_limit,
    )
