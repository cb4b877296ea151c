"""What a person must confirm before a plan reaches a node. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.sesam.soundness import same_place
from apps.sesam.words import some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apps.sesam.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Question:
    """`kind` is removals, everything, metadata or address; who confirms it confirms up to `number`."""

    kind: str
    number: int
    text: str

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "number": self.number, "text": self.text}


def questions(plan: Plan, *, removal_limit: int, removal_share: int) -> tuple[Question, ...]:
    """What must be asked about this plan. `removal_share` is in percent of the node's entities."""
    removed = plan.ids("removed")
    on_node = sum(change.before is not None for change in plan.changes)
    asked = []
    if _nothing_stays(plan):
        text = f"Everything that this node has would be removed: {len(removed)} of {on_node} ({some(removed)})."
        asked.append(Question(kind="everything", number=len(removed), text=text))
    elif len(removed) * 100 > max(removal_limit * 100, removal_share * on_node):
        text = f"{len(removed)} of the node's {on_node} pipes and systems would be removed: {some(removed)}."
        asked.append(Question(kind="removals", number=len(removed), text=text))
    if any(change.move == "removed" and change.kind == "metadata" for change in plan.changes):
        text = "The node has node metadata (node-metadata.conf.json), and Git has none: it would be removed."
        asked.append(Question(kind="metadata", number=1, text=text))
    return tuple(asked)


def address_asked(taken: str, now: str) -> tuple[Question, ...]:
    """What must be asked before something that was at the address `taken` goes to the address `now`."""
    if not taken or same_place(taken, now):
        return ()
    text = f"It was taken at {taken}, and would be put back at {now}: is that the same node, which has only moved?"
    return (Question(kind="address", number=1, text=text),)


def _nothing_stays(plan: Plan) -> bool:
    """Whether no pipe or system of the node stays, not counting what Git leaves out and a rule keeps."""
    there = [change for change in plan.changes if change.before is not None and change.kind != "metadata"]
    stays = any(change.after is not None for change in there)
    return not stays and any(change.move == "removed" for change in there)


def unanswered(asked: Sequence[Question], confirmed: Mapping[str, Any]) -> tuple[Question, ...]:
    """The questions that nobody confirmed, or only for a lower number."""
    return tuple(question for question in asked if _number(confirmed.get(question.kind)) < question.number)


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
