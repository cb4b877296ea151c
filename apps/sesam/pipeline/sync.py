"""A sync, from the commit to what the node has, and on to those that it feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.runs.errors import RunFailed
from apps.sesam.pipeline import stages
from apps.sesam.pipeline.apply import applied
from apps.sesam.pipeline.compare import compared, guard_passed
from apps.sesam.pipeline.extras import extras_fed
from apps.sesam.pipeline.gitside import commit_found, desired_found, names_verified
from apps.sesam.pipeline.outcome import failure_kept, success_kept
from apps.sesam.pipeline.session import node_of, session_opened, time_to_put_right
from apps.sesam.pipeline.undone import NodeMoved
from apps.sesam.services.owed import debt_paid, payer_at_work
from apps.sesam.words import counts_words

if TYPE_CHECKING:
    from apps.runs.work import Work
    from apps.sesam.models import Sync
    from apps.sesam.pipeline.session import Session


def sync(work: Work, row: Sync) -> None:
    """Carry it out; raises RunFailed and what else ends runs."""
    node = node_of(row)
    work.plan_steps(stages.SYNCING[:-1], [""])
    with failure_kept(row, node), session_opened(work, row) as session:
        debts_first(session)
        commit_found(work, row, node)
        work.remember(sync=row.pk, node=node.name, commit=row.commit)
        desired = desired_found(work, row, node)
        names_verified(work, row, node, desired, client=session.client)
        session.desired, session.wanted = desired, desired.configuration
        brought(session)
        success_kept(row, node, row.commit)
        late = _stopped_too_late(session)
    if not late:
        extras_fed(session)


def brought(session: Session) -> None:
    """Compare, ask, write. Where someone else changes the node meanwhile, once more from the comparison on."""
    for again in (True, False):
        compared(session)
        if session.has_nothing_to_do:
            return _nothing_done(session)
        guard_passed(session)
        try:
            applied(session)
        except NodeMoved as error:
            if not again:
                raise
            session.note(f"{error} It is compared again.")
        else:
            session.work.summary = f"{_what(session)} on {session.node.name}: {counts_words(session.plan.counts)}."
            return None
    return None


def debts_first(session: Session) -> None:
    """What an earlier run left half done is put right, so that this one begins with a whole node."""
    if payer_at_work(session.node):
        session.note("What an earlier run left is being put right; this one waits for it.")
    while payer_at_work(session.node):
        if session.work.stopping.wait(0.5):
            session.work.check()
    session.node.refresh_from_db(fields=["owed"])
    if session.node.owed is None:
        return
    with time_to_put_right(session.work):
        if not debt_paid(session.node, session.client, session.note):
            session.note(f"It stays as it is for now: {session.node.state_detail}")


def _nothing_done(session: Session) -> None:
    session.keep(no_change=True)
    for stage in (stages.GUARD, *stages.WRITES):
        with session.work.step(stage) as handle:
            handle.skip("No change.")
    session.work.summary = f"No change: {session.node.name} has {_what(session)}."
    session.note(session.work.summary)


def _what(session: Session) -> str:
    if session.row.restored is not None:
        return f"what it had at {session.row.restored.taken_at:%Y-%m-%d %H:%M} UTC"
    return f"{session.row.ref} {session.row.commit[:8]}" if session.row.ref != session.row.commit else session.row.ref


def _stopped_too_late(session: Session) -> bool:
    """Whether the run was told to end when the node had everything already. It is not asked to lose that again."""
    work, node = session.work, session.node
    if work.reason is None:
        return False
    told = f"It came too late: {node.name} has {_what(session)}, read back."
    session.note(told)
    if not node.extras.exists():
        work.summary = f"{work.summary} {work.reason} {told}".strip()
        return True
    work.add_to_reason(f"{told} Its extra nodes were not fed.")
    work.check()
    raise RunFailed(told)
