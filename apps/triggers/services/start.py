"""One effect becomes a run: of an environment, a node, or of a script on hosts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apps.access.actor import Actor, Door
from apps.access.errors import InputError
from apps.environments.services import deploy_request
from apps.environments.services.script import script_request
from apps.runs.models import Cause, Run
from apps.sesam.services import sync_request
from apps.triggers.models import Action, WhenClosed
from apps.triggers.rules import pointer_value
from apps.triggers.services.admit import actor_behind
from deploypanel_agent.pointers import MISSING

if TYPE_CHECKING:
    from apps.triggers.models import Effect, Firing

_FULL_COMMIT = re.compile(r"\A[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?\Z")


def effect_start(effect: Effect, action: Action) -> Run:
    """The run of this effect. Raises what the services below raise, and InputError for a target that is gone."""
    if action.kind == Action.Kind.DEPLOY:
        return _deploy(effect, action)
    if action.kind == Action.Kind.SYNC:
        return _sync(effect, action)
    return _script(effect, action)


def _actor(firing: Firing) -> Actor:
    """As whom it deploys and syncs: the person whom the trigger names, else the panel, which hours bind."""
    behind = firing.behind or firing.by
    return Actor(user=firing.trigger.act_as, door=Door.SCHEDULE, address=firing.address, behind=behind)


def _ref(effect: Effect, action: Action) -> tuple[str, str]:
    """What to deploy: ref and commit, as far as the action takes them from the payload."""
    if not action.commit_from:
        return "", ""
    value = pointer_value(effect.firing.payload, action.commit_from)
    if value is MISSING or not isinstance(value, str) or not value:
        raise InputError(f"The payload has no commit or ref at {action.commit_from}.")
    return ("", value) if _FULL_COMMIT.match(value) else (value, "")


def _deploy(effect: Effect, action: Action) -> Run:
    if action.environment is None:
        raise InputError("The environment is gone.")
    ref, commit = _ref(effect, action)
    deployment = deploy_request(
        environment=action.environment,
        actor=_actor(effect.firing),
        cause=Cause.TRIGGER,
        ref=ref,
        commit=commit,
        when_open=effect.firing.trigger.when_closed == WhenClosed.HOLD,
    )
    assert deployment.run is not None
    return deployment.run


def _sync(effect: Effect, action: Action) -> Run:
    if action.node is None:
        raise InputError("The node is gone.")
    ref, commit = _ref(effect, action)
    sync = sync_request(
        node=action.node,
        actor=_actor(effect.firing),
        cause=Cause.TRIGGER,
        ref=ref,
        commit=commit,
        when_open=effect.firing.trigger.when_closed == WhenClosed.HOLD,
    )
    assert sync.run is not None
    return sync.run


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
