"""What a node itself adds to the gate's rules, and the answer with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.access import gate
from apps.access.decision import RuleResult
from apps.access.errors import InputError, NotFound
from apps.runs.knock import actor_of
from apps.runs.models import Cause
from apps.sesam.models import Node
from apps.sesam.selectors import repository_of

if TYPE_CHECKING:
    from apps.access.decision import Decision
    from apps.runs.models import Run

BY_ITSELF = (Cause.PUSH, Cause.SCHEDULE)
QUESTIONS = ("removals", "everything", "metadata", "address")  # kinds of what the guard asks


def node_rule(node: Node) -> RuleResult:
    """Whether there is a node that may be changed, as a rule beside the gate's own."""
    wrong = ""
    if not node.enabled:
        wrong = f"{node.name} is off: switch it on first."
    elif node.is_ci:
        wrong = f"{node.name} verifies a repository; there is no node behind it to change."
    elif repository_of(node) is None:
        wrong = f"{node.name} follows no repository, and no master feeds it."
    return RuleResult(name="node", allowed=not wrong, reason=wrong or f"{node.name} is on.")


def pause_rule(node: Node, cause: str) -> RuleResult:
    """A push that waited for its window must not undo the restore that paused all of them meanwhile."""
    paused = cause in BY_ITSELF and node.auto_paused_at is not None
    reason = f"Automatic applying is paused: {node.auto_paused_reason}" if paused else "It is not paused."
    return RuleResult(name="pause", allowed=not paused, reason=reason)


def confirmed_checked(confirmed: dict[str, int] | None) -> dict[str, int]:
    """What a person confirmed: a number for each kind of question. Raises InputError."""
    for kind, number in (confirmed or {}).items():
        if kind not in QUESTIONS:
            raise InputError(f"There is no question {kind!r} to confirm; there are {', '.join(QUESTIONS)}.", "confirm")
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InputError(f"{kind} is confirmed by a number, such as 12.", "confirm")
    return dict(confirmed or {})


def run_admitted(run: Run) -> Decision:
    """The gate's answer now for a run that writes: asked by its runner, and again before the first write.

    Raises NotFound when its node is gone.
    """
    node = Node.objects.select_related("repository", "hours").filter(pk=run.subject_id or 0).first()
    if node is None:
        raise NotFound(f"The node {run.subject_path} is gone.")
    extra = [node_rule(node), pause_rule(node, run.cause)]
    return gate.decide(actor=actor_of(run), act=gate.Act.ACT, subject=node, extra=extra, override=run.override_reason)
