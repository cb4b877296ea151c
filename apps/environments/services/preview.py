"""Asking what a deployment would do, without doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from apps.access import gate
from apps.access.errors import Conflict
from apps.environments.models import Environment
from apps.environments.selectors import hosts_of
from apps.repos.refs import ref_checked
from apps.runs.knock import knock
from apps.runs.models import Run
from apps.runs.services import run_request, subject_held
from apps.runs.states import ENDED

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.environments.models import Cluster, Host
    from apps.runs.models import Cause


def preview_request(
    *,
    environment: Environment,
    actor: Actor,
    cause: Cause,
    ref: str = "",
    cluster: Cluster | None = None,
    host: Host | None = None,
) -> Run:
    """A run of kind `preview`; what it found is its `result`. At any hour, for those who may deploy in hours.

    One at a time for each person and environment. Raises Refused, InputError, Conflict.
    """
    ref = ref_checked(ref or environment.branch)
    hosts_of(environment, cluster, host)
    # It changes nothing, so hours and freezes do not count: the permission alone, as for a stop.
    gate.require(actor=actor, act=gate.Act.STOP, subject=environment, action="preview", detail={"ref": ref})
    target = {"cluster": cluster.pk if cluster else None, "host": host.pk if host else None}
    with transaction.atomic():
        subject_held(Environment, environment.pk)  # of two requests at once the second sees the first
        _only_one(environment, actor)
        return run_request(
            kind="preview",
            subject=environment,
            actor=actor,
            cause=cause,
            params={**knock(actor), "ref": ref, **target},
            exclusive=False,
        )


def _only_one(environment: Environment, actor: Actor) -> None:
    mine = Run.objects.filter(subject_id=environment.pk, kind="preview", requested_by=actor.user)
    mine = mine.filter(requested_name=actor.name[:150]).exclude(state__in=ENDED)
    if (other := mine.first()) is not None:
        raise Conflict(
            f"Run #{other.pk} (your preview of {environment.path}) is {other.get_state_display().lower()}: "
            "wait for its end, or stop it."
        )
