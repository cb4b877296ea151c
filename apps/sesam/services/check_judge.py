"""What a check's answers mean: the node's state, and whether there is something to apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.access.errors import NotFound, PanelError
from apps.repos.errors import NotMirrored
from apps.sesam.configuration import Configuration
from apps.sesam.desired import desired_read
from apps.sesam.guard import questions
from apps.sesam.models import ApplyMode
from apps.sesam.plan import plan_made
from apps.sesam.rules import Rules
from apps.sesam.services.check_look import source_of, wish_digest
from apps.sesam.services.feeding import unfed
from apps.sesam.states import NodeState
from apps.sesam.words import counts_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.sesam.desired import Desired
    from apps.sesam.models import Node
    from apps.sesam.plan import Plan
    from apps.sesam.services.check_look import Seen, Tip

# What a comparison leads to. Any other state was set for another reason, and says nothing about the two sides.
COMPARED = (NodeState.IN_SYNC, NodeState.BEHIND, NodeState.DRIFTED, NodeState.ASKS, NodeState.BROKEN)


WAITS = " It is applied again after "  # begins what a state's detail says while a node must wait for the next try


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be kept of a check."""

    state: NodeState
    detail: str = ""
    key: str = ""  # of the two sides that were compared; empty: they are compared next time
    failed: bool = False  # somebody did not answer: the pauses grow
    fetch: bool = False  # the mirror lacks the commit: have it fetched, and look again soon
    questions: tuple[dict[str, Any], ...] = ()  # what the guard would ask before applying
    in_sync: bool = False  # the node has all that the commit wants
    apply: bool = False  # something is there to be applied by itself


def judged(node: Node, tip: Tip, seen: Seen) -> Verdict:
    """The node's new state. Reads the mirror when the two sides must be compared; asks nobody else."""
    if seen.error:
        return Verdict(state=NodeState.UNREACHABLE, detail=seen.error, failed=True)
    if tip.error:
        return Verdict(state=NodeState.BROKEN, detail=tip.error, failed=True)
    if not tip.commit:
        return Verdict(state=NodeState.BROKEN, detail="The branch or tag that it follows is gone from its repository.")
    if seen.key == node.compared and node.state in COMPARED:
        return _unchanged(node, seen.key)
    try:
        return _compared(node, tip.commit, seen)
    except (NotMirrored, NotFound):
        repository = source_of(node).repository
        if repository is not None and repository.fetch_error:
            detail = f"{tip.commit[:8]} cannot be fetched. {repository.fetch_error}"
            return Verdict(state=NodeState.BROKEN, detail=detail, failed=True, fetch=True)
        return Verdict(state=NodeState(node.state), detail=node.state_detail, fetch=True)
    except PanelError as error:
        return Verdict(state=NodeState.BROKEN, detail=str(error))


def applies(node: Node, state: NodeState) -> bool:
    """Whether the node is one that applies by itself what a check finds in this state."""
    if not node.applies_by_itself:
        return False
    modes = {NodeState.BEHIND: (ApplyMode.SCHEDULE, ApplyMode.HEAL), NodeState.DRIFTED: (ApplyMode.HEAL,)}
    return node.apply_mode in modes.get(state, ())


def _unchanged(node: Node, key: str) -> Verdict:
    state, asked = NodeState(node.state), tuple(node.questions)
    return Verdict(
        state=state,
        detail=node.state_detail.partition(WAITS)[0],
        key=key,
        questions=asked,
        apply=not asked and applies(node, state),
    )


def _compared(node: Node, commit: str, seen: Seen) -> Verdict:
    desired = desired_read(node=node, commit=commit)
    if broken := _broken(node, desired):
        return Verdict(state=NodeState.BROKEN, detail=broken, key=seen.key)
    plan = plan_made(_node_has(seen), desired.configuration, Rules.of(node))
    if plan.is_empty:
        return _in_sync(node, desired, seen)
    state = NodeState.BEHIND if _moved(node, commit, desired) else NodeState.DRIFTED
    asked = tuple(
        question.as_json()
        for question in questions(plan, removal_limit=node.removal_limit, removal_share=node.removal_share)
    )
    would = applies(node, state) or (node.apply_mode == ApplyMode.PUSH and node.applies_by_itself)
    return Verdict(
        state=NodeState.ASKS if asked and would else state,
        detail=_detail(plan, commit, asked),
        key=seen.key,
        questions=asked,
        apply=not asked and applies(node, state),
    )


def _in_sync(node: Node, desired: Desired, seen: Seen) -> Verdict:
    """A master that has all itself is behind as long as those that it feeds have not."""
    if names := unfed(node=node, desired=desired):
        detail = f"It has {desired.commit[:8]} itself; what it feeds is behind: {', '.join(names)}."
        return Verdict(state=NodeState.BEHIND, detail=detail, key=seen.key, apply=applies(node, NodeState.BEHIND))
    return Verdict(state=NodeState.IN_SYNC, key=seen.key, in_sync=True)


def _node_has(seen: Seen) -> Configuration:
    assert seen.download is not None
    found = seen.download.configuration
    return Configuration(entities=found.entities, unknown=found.unknown, variables=seen.variables, secrets=seen.secrets)


def _moved(node: Node, commit: str, desired: Desired) -> bool:
    """Whether Git, or who set up the node, wants something else than what was applied last: else the node changed."""
    if node.applied_settings and node.applied_settings != wish_digest(node):
        return True
    if commit == node.applied_commit:
        return False
    if not node.applied_commit:
        return True
    try:
        applied = desired_read(node=node, commit=node.applied_commit)
    except PanelError:
        return True  # that commit is gone
    return not plan_made(applied.configuration, desired.configuration, Rules.of(node)).is_empty


def _broken(node: Node, desired: Desired) -> str:
    """Why what Git holds cannot be applied; empty when it can. Secret stores are a sync's business."""
    wrong = [str(problem) for problem in desired.problems if problem.is_error]
    if "variables" in node.verify:
        missing = desired.missing(None).get("variables", {})
        wrong += [f"The variable {name} is missing; {files[0]} uses it." for name, files in sorted(missing.items())]
    return f"{wrong[0]}{_more(wrong)}" if wrong else ""


def _detail(plan: Plan, commit: str, asked: Sequence[dict[str, Any]]) -> str:
    words = f"{counts_words(plan.counts, none='Something')} to apply, from {commit[:8]}."
    return " ".join([words, *(str(question["text"]) for question in asked)])


def _more(wrong: Sequence[str]) -> str:
    return f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
