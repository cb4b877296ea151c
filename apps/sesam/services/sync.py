"""Asking for a sync: the same for every door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from apps.access import gate
from apps.repos.refs import commit_checked, ref_checked
from apps.runs.knock import knock
from apps.runs.services import run_request
from apps.sesam.models import Sync, SyncAction
from apps.sesam.selectors import branch_of
from apps.sesam.services.rules import confirmed_checked, node_rule

if TYPE_CHECKING:
    from apps.access.actor import Actor
    from apps.runs.models import Cause, Run
    from apps.sesam.models import Node


def sync_request(
    *,
    node: Node,
    actor: Actor,
    cause: Cause,
    ref: str = "",
    commit: str = "",
    override: str = "",
    when_open: bool = False,
    confirmed: dict[str, int] | None = None,
    resend_secrets: bool = False,
) -> Sync:
    """Make the node equal to `commit`, else to `ref` (resolved by the run), else to the branch it follows.

    `confirmed` answers the guard's questions: up to so many, by kind. `resend_secrets` sends them although nothing
    else has changed. With `when_open`, a refusal that time will lift becomes a run that waits and asks again then.
    Raises Refused, Conflict (another run of the node is not finished), InputError.
    """
    ref, commit = ref_checked(ref or commit or branch_of(node)), commit_checked(commit)
    confirmed = confirmed_checked(confirmed)
    detail: dict[str, Any] = {"ref": commit or ref} | ({"confirmed": confirmed} if confirmed else {})
    opens_at = gate.require_or_wait(
        actor=actor,
        subject=node,
        action="sync",
        extra=[node_rule(node)],
        override=override,
        when_open=when_open,
        detail=detail,
    )
    with transaction.atomic():
        run = run_request(
            kind=SyncAction.SYNC,
            subject=node,
            actor=actor,
            cause=cause,
            params={**knock(actor), "resend_secrets": bool(resend_secrets)},
            not_before=opens_at,
            override=override,
            time_limit=node.time_limit,
        )
        return sync_create(run, node, SyncAction.SYNC, ref=ref, commit=commit, confirmed=confirmed)


def sync_create(run: Run, node: Node, action: SyncAction, *, ref: str, **fields: Any) -> Sync:
    """The row beside the run; call it in the run's transaction."""
    return Sync.objects.create(
        run=run,
        run_number=run.pk,
        node=node,
        node_name=node.name,
        action=action,
        ref=ref,
        state=run.state,
        requested_name=run.requested_name,
        previous_commit=node.applied_commit,
        **fields,
    )
