"""What people set on a trigger: switched on and off, and which actions they may give it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.access import gate
from apps.access.levels import Level, level_label
from apps.access.permissions import is_person, level_of
from apps.triggers.models import Action, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import User

    from apps.access.actor import Actor
    from apps.environments.models import Cluster, Host


def trigger_switch(*, trigger: Trigger, actor: Actor, on: bool) -> None:
    """Let it be fired, or refuse every firing. What runs goes on. Raises Refused."""
    action = "trigger.on" if on else "trigger.off"
    gate.require(actor=actor, act=gate.Act.CONFIGURE, subject=trigger, action=action)
    Trigger.objects.filter(pk=trigger.pk).update(enabled=on)
    trigger.enabled = on


def action_lacks(
    *,
    person: User,
    action: Action,
    act_as: User | None,
    hosts: Iterable[Host] = (),
    cluster: Cluster | None = None,
) -> str:
    """Why this person may not give a trigger this action; empty when they may.

    Nobody gains rights by a trigger: who adds a deployment or a sync could have started it. Where the trigger acts
    as somebody else, the adder needs what that person has, as far as acting goes: hours may bind one and not the other.
    """
    if person.is_superuser and person.is_active:
        return ""
    target = action.environment if action.kind == Action.Kind.DEPLOY else action.node
    if action.kind in {Action.Kind.DEPLOY, Action.Kind.SYNC} and target is not None:
        needed = Level.IN_HOURS
        if act_as is not None and act_as.pk != person.pk and is_person(act_as):
            needed = max(needed, min(level_of(act_as, target), Level.ACT))
        if level_of(person, target) < needed:
            return f"You lack the right “{level_label(target.kind, needed)}” on it, so you cannot give it to a trigger."
    if action.kind == Action.Kind.SCRIPT:
        return _script_lacks(person, hosts, cluster)
    return ""


def _script_lacks(person: User, hosts: Iterable[Host], cluster: Cluster | None) -> str:
    """A script runs any command on its hosts: only who may change those, or who already deploys to that cluster."""
    if any(hosts) and not person.has_perm("environments.change_host"):
        return "Only who may change hosts runs scripts on them; choose a cluster of an environment that you configure."
    if cluster is not None and not person.has_perm("environments.change_cluster"):
        configured = (level_of(person, one) >= Level.CONFIGURE for one in cluster.environments.all())
        if not any(configured):
            return "Only who configures an environment of this cluster runs scripts on it."
    return ""
