"""Asking what a deployment would do, without doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from apps.access import gate
from apps.environments.selectors import hosts_of
from apps.environments.services.deploy import knock, ref_checked
from apps.runs.services import run_request

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.environments.models import Cluster, Environment, Host
    from apps.runs.models import Cause, Run


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

    Raises Refused, InputError.
    """
    ref = ref_checked(ref or environment.branch)
    hosts_of(environment, cluster, host)
    # It changes nothing, so hours and freezes do not count: the permission alone, as for a stop.
    gate.require(actor=actor, act=gate.Act.STOP, subject=environment, action="preview", detail={"ref": ref})
    target = {"cluster": cluster.pk if cluster else None, "host": host.pk if host else None}
    with transaction.atomic():
        return run_request(
            kind="preview",
            subject=environment,
            actor=actor,
            cause=cause,
            params={**knock(actor), "ref": ref, **target},
            exclusive=False,
        )
