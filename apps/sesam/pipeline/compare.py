"""What the node has, what would change, and whether a person must confirm it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from apps.runs.errors import RunFailed
from apps.sesam.errors import NodeRefused
from apps.sesam.guard import address_asked, questions, unanswered
from apps.sesam.json_text import same
from apps.sesam.pipeline import stages
from apps.sesam.plan import plan_made
from apps.sesam.storage import configuration_keep
from apps.sesam.words import counts_words, some

if TYPE_CHECKING:
    from apps.sesam.configuration import Configuration, Entity
    from apps.sesam.guard import Question
    from apps.sesam.pipeline.session import Session
    from apps.sesam.plan import Plan

REFORMATS = 200  # calls in one run to have the node say how it would write an entity


class QuestionsAsked(RunFailed):
    """A person must confirm first. `asked` is what is kept on the node."""

    def __init__(self, message: str, hint: str, asked: list[dict[str, object]]) -> None:
        super().__init__(message, hint)
        self.asked = asked


def compared(session: Session) -> None:
    """Read the node and make the plan; both sides are kept on the row."""
    with session.work.step(stages.COMPARE) as handle:
        session.before = node_read(session)
        plan = plan_made(session.before, session.wanted, session.rules)
        session.wanted, session.plan = _same_to_the_node(session, plan)
        session.keep(
            before=configuration_keep(session.before),
            wanted=configuration_keep(session.wanted),
            rules=session.rules.as_json(),
            counts=session.plan.counts,
        )
        session.work.remember(counts=session.plan.counts)
        handle.message = counts_words(session.plan.counts)
        _plan_told(session)


def node_read(session: Session) -> Configuration:
    """The node's side, as far as it is compared. Raises NodeError."""
    client, group = session.client, session.rules.config_group
    download = client.configuration(group=group)
    session.etag, session.digest = download.etag, download.digest
    found = download.configuration
    for name in found.unknown:
        session.note(f"Warning: the node has {name}, which is no pipe or system of Sesam's, under unknown/.")
    session.note(f"The node has {len(found.entities)} entities ({download.size:,} bytes downloaded).")
    return replace(
        found,
        variables=client.variables() if session.uploads_variables else None,
        secrets=client.secrets() if session.wanted.secrets else None,
    )


def guarded(session: Session) -> list[str]:
    """The guard's questions, kept on the row; the texts of those that nobody has answered."""
    with session.work.step(stages.GUARD) as handle:
        node = session.node
        asked = questions(session.plan, removal_limit=node.removal_limit, removal_share=node.removal_share)
        asked += _address_asked(session)
        left = unanswered(asked, session.row.confirmed)
        session.keep(questions=[one.as_json() | {"confirmed": one not in left} for one in asked])
        for one in asked:
            session.note(f"{'Asked' if one in left else 'Confirmed'}: {one.text}")
        handle.message = f"{len(left)} questions wait for a person" if left else "Nothing to ask"
        if asked and not left:
            handle.message = f"{len(asked)} questions, confirmed by {session.row.requested_name}"
        return [one.text for one in left]


def _address_asked(session: Session) -> tuple[Question, ...]:
    snapshot = session.row.restored
    taken = snapshot.sync.node_url if snapshot is not None and snapshot.sync is not None else ""
    return address_asked(taken, session.node.url)


def guard_passed(session: Session) -> None:
    """Raises QuestionsAsked when a person must confirm first."""
    if left := guarded(session):
        kept = [dict(one) for one in session.row.questions if not one["confirmed"]]
        text = "Nothing was written: a person must confirm first. " + " ".join(left)
        raise QuestionsAsked(text, "Look at the plan, and apply it with a confirmation.", kept)


def _plan_told(session: Session) -> None:
    plan = session.plan
    for move in ("new", "changed", "removed", "ignored", "protected"):
        if names := plan.ids(move):
            session.note(f"{move.capitalize()}: {len(names)} ({some(names, 10)})")
    if plan.variables:
        told = [f"{one.name} ({one.move})" for one in plan.variables]
        session.note(f"Variables: {len(told)} differ ({some(told, 10)})")
    if plan.secrets_missing:
        lacking = plan.secrets_missing
        session.note(f"Secrets: {len(lacking)} are not on the node ({some(lacking, 10)})")
    session.note(f"Unchanged: {plan.counts['unchanged']}.")


def _same_to_the_node(session: Session, plan: Plan) -> tuple[Configuration, Plan]:
    """Without the changes that are only the node's own way of writing the same."""
    changed = [change for change in plan.changes if change.move == "changed"]
    alike: dict[str, Entity] = {}
    for change in changed[:REFORMATS]:
        try:
            formatted = session.client.reformat(change.after)
        except NodeRefused as error:
            session.note(f"The node does not say how it writes things ({error}); they are compared as they are.")
            break
        if same(formatted, change.before):
            entity = session.before.entities[change.id]
            alike[change.id] = replace(entity, file=change.file)
    if not alike:
        return session.wanted, plan
    session.note(f"{len(alike)} are the same in the node's own form ({some(alike, 10)}).")
    wanted = replace(session.wanted, entities={**session.wanted.entities, **alike})
    return wanted, plan_made(session.before, wanted, session.rules)
