"""Asking for a build script on hosts, over SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from apps.access.errors import InputError
from apps.environments.build_script import script_checked
from apps.environments.models import ScriptOrder
from apps.environments.selectors import script_hosts
from apps.runs.knock import knock
from apps.runs.services import run_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.access.actor import Actor
    from apps.access.models import Subject
    from apps.environments.models import Cluster, Host
    from apps.runs.models import Cause, Run

NAME_LIMIT = 200


def script_request(
    *,
    subject: Subject,
    name: str,
    script: str,
    hosts: Sequence[Host],
    cluster: Cluster | None,
    actor: Actor,
    cause: Cause,
    payload: Any = None,
    number: int | None = None,
    override: str = "",
    time_limit: int | None = None,
    silence_limit: int | None = None,
) -> Run:
    """A run that carries out the build script on these hosts and on those that the cluster has when it begins.

    The script is told `name` (of the trigger), `number` (which firing it is) and the payload. Not exclusive: who asks
    decides what may run beside what, and has asked the gate; the runner asks it again. Limits in seconds.
    Raises InputError for a script that cannot be read, and where no host is active.
    """
    script_checked(script)
    with transaction.atomic():
        run = run_request(
            kind="script",
            subject=subject,
            actor=actor,
            cause=cause,
            params=knock(actor),
            exclusive=False,
            override=override,
            time_limit=time_limit,
            silence_limit=silence_limit,
        )
        order = ScriptOrder.objects.create(
            run=run, name=name[:NAME_LIMIT], number=number, script=script, payload=payload, cluster=cluster
        )
        order.hosts.set(hosts)
        if not any(host.active for host in script_hosts(order)):
            where = ", ".join([*(host.name for host in hosts), *([f"cluster {cluster.name}"] if cluster else [])])
            raise InputError(f"no host is active here ({where or 'none is named'}): activate one, or name another.")
    return run
