"""A push that the panel has heard of, by whichever way: what it leads to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import transaction

from apps.environments.services import auto_deploy_push
from apps.repos.models import Repository
from apps.repos.services import repository_fetch_ring
from apps.sesam.models import Node
from apps.sesam.services import sync_push
from apps.sesam.services.check_due import checks_hasten
from apps.triggers.burst import once
from apps.triggers.models import Delivery
from apps.triggers.order import is_late
from apps.triggers.services.pushed import push_is_heard, pushes_fire
from apps.triggers.webhooks import PushEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOKED_BACK = 50  # deliveries of the repository, for one that should have come before them


@dataclass(kw_only=True)
class Handled:
    """What pushes led to. `lines` is what people and machines are told, one for each environment, node and trigger."""

    runs: list[int] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)

    checks: bool = False  # a trigger must see which files were changed: a fetch is needed

    def tell(
        self, text: str, *, environment: str = "", node: str = "", trigger: str = "", run: int | None = None
    ) -> None:
        about = {"environment": environment} | ({"node": node} if node else {})
        about |= {"trigger": trigger} if trigger else {}
        self.lines.append({**about, "run": run, "text": text})


def pushes_handle(
    *, repository: Repository, pushes: Iterable[PushEvent], address: str = "", may_be_late: bool = False
) -> Handled:
    """Deploy, sync and fire what does so by itself, and have a worker fetch the rest. Quick: the database only.

    `may_be_late`: a push that a later one has overtaken on its way deploys nothing.
    """
    handled, pushes = Handled(), list(pushes)
    alive = [push for push in pushes if push.kind in {"branch", "tag"} and not push.deleted]
    followed = _followed(repository, alive)
    matters = bool(followed) or push_is_heard(repository, alive) or repository.poll_interval is not None
    late = _late(repository, alive) if may_be_late and matters else []
    _remember(repository, [push for push in pushes if push.kind == "branch" and push not in late])
    for push in late:
        handled.tell(f"{push.name}: a later push was handled before this one; {push.after[:8]} is not deployed.")
    for push in alive:
        if push.name in followed and push not in late:
            _deploy(repository, push, address, handled)
            _sync(repository, push, address, handled)
    _fire(repository, [push for push in alive if push not in late], address, handled)
    if handled.checks or not handled.runs:  # a run fetches by itself
        repository_fetch_ring(repository=repository)
    if not handled.lines:
        handled.tell(_idle(pushes))
    return handled


def _followed(repository: Repository, alive: list[PushEvent]) -> set[str]:
    """The branches and tags that something deploys, syncs or watches: two cheap questions for the many pushes of
    which nothing comes.
    """
    names = sorted({push.name for push in alive})
    return once(("followed", repository.pk, *names), lambda: _followed_of(repository, names)) if names else set()


def _followed_of(repository: Repository, names: list[str]) -> set[str]:
    deployed = repository.environments.filter(auto_deploy=True, branch__in=names).values_list("branch", flat=True)
    synced = Node.objects.filter(repository=repository, enabled=True, branch__in=names).order_by()
    return {*deployed, *synced.values_list("branch", flat=True)}


def _late(repository: Repository, pushes: list[PushEvent]) -> list[PushEvent]:
    rows = Delivery.objects.filter(repository=repository).order_by("-id").values_list("pushes", flat=True)
    handled = [PushEvent(**push) for row in rows[:LOOKED_BACK] for push in row]
    return [push for push in pushes if is_late(push, handled)]


def _deploy(repository: Repository, push: PushEvent, address: str, handled: Handled) -> None:
    if push.kind != "branch":
        return
    outcomes = auto_deploy_push(
        repository=repository, branch=push.name, commit=push.after, actor_address=address, pusher=push.pusher
    )
    for outcome in outcomes:
        run = outcome.run.pk if outcome.run else None
        if run is not None:
            handled.runs.append(run)
        handled.tell(outcome.text, environment=outcome.environment.path, run=run)


def _sync(repository: Repository, push: PushEvent, address: str, handled: Handled) -> None:
    outcomes = sync_push(
        repository=repository, branch=push.name, commit=push.after, actor_address=address, pusher=push.pusher
    )
    for outcome in outcomes:
        run = outcome.run.pk if outcome.run else None
        if run is not None:
            handled.runs.append(run)
        handled.tell(outcome.text, node=outcome.node.path, run=run)
    checks_hasten(repository=repository, branch=push.name)


def _fire(repository: Repository, pushes: list[PushEvent], address: str, handled: Handled) -> None:
    for fired in pushes_fire(repository=repository, pushes=pushes, address=address):
        handled.checks |= fired.checks
        handled.tell(f"trigger {fired.trigger} {fired.text}", trigger=fired.trigger.path)


def _idle(pushes: list[PushEvent]) -> str:
    names = ", ".join(
        f"{push.kind if push.kind != 'other' else 'ref'} {push.name}{' deleted' if push.deleted else ''}"
        for push in pushes[:5]
    )
    return f"{names}: nothing deploys it by itself; it is fetched." if names else "Nothing to do."


def _remember(repository: Repository, branches: list[PushEvent]) -> None:
    """So that the next look at a polled repository does not take the same push for news."""
    if repository.poll_interval is None or not branches:
        return
    with transaction.atomic():
        row = Repository.objects.select_for_update().only("polled_refs").get(pk=repository.pk)
        if row.polled_refs is not None:
            known = row.polled_refs | {push.ref: push.after for push in branches}
            Repository.objects.filter(pk=repository.pk).update(
                polled_refs={ref: commit for ref, commit in known.items() if commit}
            )
