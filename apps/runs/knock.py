"""What a run keeps of the one who asked for it, so that the gate can be asked again in the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.actor import Actor, Door

if TYPE_CHECKING:
    from apps.runs.models import Run


def knock(actor: Actor) -> dict[str, Any]:
    """For `Run.params`: merge it with what the kind itself needs."""
    is_person = actor.user is not None
    told = {"door": str(actor.door), "address": actor.address, "behind": actor.behind, "is_person": is_person}
    return told | ({"by_secret": True} if actor.by_secret else {})


def actor_of(run: Run) -> Actor:
    """Who asked for it. A person whose account is gone by now is nobody, and holds no rights."""
    door = Door(run.params["door"])
    if run.requested_by is None and run.params.get("is_person"):
        door = Door.ADMIN  # at the shell's door, nobody would be the operator
    return Actor(
        user=run.requested_by,
        door=door,
        address=run.params.get("address", ""),
        behind=run.params.get("behind", ""),
        by_secret=bool(run.params.get("by_secret")),
    )
