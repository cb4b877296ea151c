"""When the writes fail: what was written is put back, and the error says what the node holds now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DatabaseError

from apps.access.errors import PanelError
from apps.runs.errors import RunEnded, RunFailed
from apps.sesam.errors import AnswerLost
from apps.sesam.journal import journal_open
from apps.sesam.pipeline import stages
from apps.sesam.pipeline.session import firm_client
from apps.sesam.services.owed import node_owes
from apps.sesam.services.undo import sync_undo
from apps.sesam.words import some

if TYPE_CHECKING:
    from apps.sesam.client import NodeClient
    from apps.sesam.pipeline.session import Session

LATE = " If the node carries it out late, the next check shows it."
LONGEST = 250  # characters of the error in the run's sentence: what the node holds must not be cut off


class NodeMoved(RunFailed):
    """Someone else changed the node between the comparison and the write."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Someone else has changed the node's {what} meanwhile.", "Try again when they are done.")


class Unapplied(RunFailed):
    """The writes failed; `cause` is why."""

    def __init__(self, message: str, hint: str, cause: BaseException) -> None:
        super().__init__(message, hint)
        self.cause = cause


def undone(session: Session, error: BaseException) -> BaseException:
    """Put back what was written; the error to raise. A NodeMoved that could be undone stays one."""
    if not journal_open(session.row):
        return _with(session, error, "Nothing was written to the node.")
    session.note(str(error) if isinstance(error, RunEnded) else f"Failed: {error}")
    session.note("What was written is put back.")
    with (
        session.work.step(stages.UNDO, stoppable=False) as handle,
        firm_client(session.work, session.node) as client,
    ):
        held = _put_back(session, client)
        if held:
            handle.fail(held)
            node_owes(sync=session.row, detail=held)
            return _with(session, error, f"It could not be undone yet: {held}", final=True)
        handle.message = "The node has what it had before"
    late = LATE if isinstance(error, AnswerLost) else ""
    return _with(session, error, f"It was undone: the node has what it had before{_overwritten(session)}.{late}")


def _put_back(session: Session, client: NodeClient) -> str:
    try:
        return sync_undo(client=client, sync=session.row, note=session.note)
    except DatabaseError as error:
        # What the kept journal has open is looked at again when the run has ended: then all of it is found put back.
        session.note(f"The journal could not be kept ({type(error).__name__}).")
        left = journal_open(session.row)
        return f"The node may hold new {' and '.join(one['what'] for one in left)}." if left else ""


def _overwritten(session: Session) -> str:
    names = [name for entry in session.row.journal for name in entry.get("overwritten", ())]
    return f", but for the values of {len(names)} secrets, which were sent anew ({some(names)})" if names else ""


def _with(session: Session, error: BaseException, told: str, *, final: bool = False) -> BaseException:
    session.note(told)
    session.work.add_to_reason(told)
    if isinstance(error, NodeMoved) and not final:
        return error  # and the comparison is made again
    if not isinstance(error, RunFailed | PanelError):
        return error
    hint = getattr(error, "hint", "") or getattr(error, "remedy", "")
    text = str(error)
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return Unapplied(f"{short} {told}", hint, error)
