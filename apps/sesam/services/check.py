"""A check: what do Git and the node have, and what does that make of the node? Carried out by a worker.

At most one question to each repository and one download from each node. Asking goes on in threads; judging,
and keeping, is done for one node after the other, so that only few configurations are in memory.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from apps.access.errors import NotFound, PanelError
from apps.repos.errors import NotMirrored
from apps.repos.selectors import commit_resolve
from apps.repos.services import repository_fetch_ring
from apps.sesam.models import Node
from apps.sesam.services.check_apply import verdict_apply
from apps.sesam.services.check_due import claims_release, nodes_checked, unclaimed
from apps.sesam.services.check_judge import Verdict, judged
from apps.sesam.services.check_keep import fetch_awaited, verdict_keep
from apps.sesam.services.check_look import (
    Seen,
    Tip,
    node_look,
    place_of,
    repositories_of,
    settings_digest,
    source_of,
    tips_asked,
    tips_known,
)
from apps.sesam.services.owed import owed_pay
from apps.sesam.states import NodeState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from apps.sesam.services.check_look import Place

logger = logging.getLogger(__name__)
AT_ONCE = 8  # nodes that were silent last time, or Git servers, asked at the same time
ANSWERING_AT_ONCE = 4  # nodes that bring something: what they have waits in memory until it is dealt with
TIME_FOR_ALL = 25.0  # seconds; what was not begun by then waits for the next task
Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
NO_SOURCE = "It follows no repository, and no master feeds it."


def nodes_check(*, ids: Sequence[int]) -> int:
    """Look at these nodes and keep what was found; how many. Safe to call twice with the same.

    What goes wrong with one is kept on its row, and holds up no other.
    """
    deadline = time.monotonic() + TIME_FOR_ALL
    nodes = _claimed(ids)
    left = {node.pk: node for node in nodes}
    owing = [node for node in nodes if node.owed_id is not None]
    others = [node for node in nodes if node.owed_id is None]
    tips = _tips(others, deadline)
    ready = [(node, tip, settings_digest(node)) for node in others if (tip := _tip(node, tips)) is not None]
    ready = [one for one in ready if not (_fetching(one[0], one[1]) and left.pop(one[0].pk))]
    few = ANSWERING_AT_ONCE if any(not node.check_failures for node in nodes) else AT_ONCE
    for (node, tip, _), seen in _answers(ready, lambda one: node_look(one[0], one[1].commit, one[2]), deadline, few):
        _concluded(left.pop(node.pk), tip, seen)
    for node, paid in _answers(owing, lambda one: owed_pay(node=one), deadline):  # last: it may take long
        _paid(left.pop(node.pk), paid=paid)
    for node in left.values():
        claims_release(ids=[node.pk], claimed_at=_claim(node), again_at=timezone.now())
    return len(nodes) - len(left)


def _claimed(ids: Sequence[int]) -> list[Node]:
    """The rows, with all that the questions need: threads must not ask the database for it."""
    now = timezone.now()
    Node.objects.filter(unclaimed(now), pk__in=list(ids)).update(check_claimed_at=now)
    rows = nodes_checked().filter(pk__in=list(ids), check_claimed_at__isnull=False)
    masters = "fed_by__master__repository__ssh_key"
    rows = rows.select_related("repository__ssh_key", "sync_as", "hours", masters)
    return list(rows.prefetch_related("extras", "fed_by__master__extras").order_by("check_after", "pk"))


def _claim(node: Node) -> datetime:
    assert node.check_claimed_at is not None
    return node.check_claimed_at


def _tips(nodes: Sequence[Node], deadline: float) -> dict[Place, Tip]:
    """Where every branch is that one of these nodes follows; those that nobody got to ask for are not in it."""
    tips = tips_known(nodes, timezone.now())
    asked = repositories_of({place for node in nodes if (place := place_of(node))} - tips.keys(), nodes)
    for _, found in _answers(asked, lambda one: tips_asked(*one), deadline):
        tips |= found
    return tips


def _tip(node: Node, tips: Mapping[Place, Tip]) -> Tip | None:
    place = place_of(node)
    return tips.get(place) if place is not None else Tip(error=NO_SOURCE)


def _fetching(node: Node, tip: Tip) -> bool:
    """Whether the commit must be fetched first: then the node is not asked yet."""
    repository = source_of(node).repository
    if repository is None or not tip.commit or tip.commit == node.seen_commit or repository.fetch_error:
        return False
    try:
        commit_resolve(repository, tip.commit)
    except (NotFound, NotMirrored):
        fetch_awaited(node=node, claimed_at=_claim(node))
        return True
    except PanelError:
        return False  # judging will say what is wrong
    return False


def _paid(node: Node, *, paid: bool) -> None:
    """What is owed goes before all: what the node has in the meantime, is not worth a comparison."""
    if paid:
        claims_release(ids=[node.pk], claimed_at=_claim(node), again_at=timezone.now())
        return
    node.refresh_from_db(fields=["state_detail"])  # who tried has said why it could not be done
    verdict = Verdict(state=NodeState.HALF, detail=node.state_detail, failed=True)
    seen = Seen(error="What is owed could not be put back.")
    verdict_keep(node=node, claimed_at=_claim(node), tip=Tip(commit=node.seen_commit), seen=seen, verdict=verdict)


def _concluded(node: Node, tip: Tip, seen: Seen) -> None:
    """Judge, keep, and start what is to be started."""
    try:
        _conclude(node, tip, seen)
    except (OperationalError, InterfaceError):  # the database's trouble is no node's
        raise
    except Exception:  # whatever it is, the other nodes must be looked at
        logger.exception("The check of %s failed.", node.name)
        verdict = Verdict(
            state=NodeState.BROKEN, detail="The panel failed to compare it; its log says why.", failed=True
        )
        failed = Seen(error=verdict.detail)
        verdict_keep(node=node, claimed_at=_claim(node), tip=Tip(commit=tip.commit), seen=failed, verdict=verdict)


def _conclude(node: Node, tip: Tip, seen: Seen) -> None:
    verdict = judged(node, tip, seen)
    if verdict.fetch and not verdict.failed:
        fetch_awaited(node=node, claimed_at=_claim(node))
        return
    if verdict.fetch and (repository := source_of(node).repository) is not None:
        repository_fetch_ring(repository=repository)
    if verdict_keep(node=node, claimed_at=_claim(node), tip=tip, seen=seen, verdict=verdict):
        verdict_apply(node=node, commit=tip.commit, verdict=verdict, now=timezone.now())


def _answers(
    work: Sequence[Ask], ask: Callable[[Ask], Answer], deadline: float, at_once: int = AT_ONCE
) -> Iterator[tuple[Ask, Answer]]:
    """Each with its answer, as they come; some at a time, and none is asked any more after the deadline.

    A few are asked ahead of the one that is dealt with: what they answered is all that waits in memory.
    """
    waiting = list(reversed(work))
    if len(work) == 1:
        yield work[0], ask(waiting.pop())
    asked: dict[Future[Answer], Ask] = {}
    with ThreadPoolExecutor(at_once) as pool:
        while True:
            while waiting and len(asked) < at_once and time.monotonic() < deadline:
                one = waiting.pop()
                asked[pool.submit(_in_thread, ask, one)] = one
            if not asked:
                return
            for done in wait(asked, return_when=FIRST_COMPLETED).done:
                yield asked.pop(done), done.result()


def _in_thread(ask: Callable[[Ask], Answer], one: Ask) -> Answer:
    try:
        return ask(one)
    finally:
        connection.close()  # each thread has its own
