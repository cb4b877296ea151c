"""What a node's page shows, as plain data: made from rows and answers already read, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.runs.notices import Badge, Banner, freeze_banner, hours_banners, paused_banner
from apps.runs.wording import duration, moment
from apps.sesam.models import ApplyMode, SyncAction
from apps.sesam.soundness import NONE
from apps.sesam.states import NodeState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from apps.access.decision import Decision
    from apps.access.models import Freeze
    from apps.sesam.models import ExtraNode, Node, Sync

# A word is never only a colour: the badge always carries the word too.
TONES = {
    NodeState.UNKNOWN: "idle",
    NodeState.IN_SYNC: "good",
    NodeState.BEHIND: "info",
    NodeState.DRIFTED: "warn",
    NodeState.ASKS: "warn",
    NodeState.BROKEN: "bad",
    NodeState.UNREACHABLE: "bad",
    NodeState.HALF: "bad",
    NodeState.OFF: "idle",
}
CI_WORDS = {NodeState.IN_SYNC: "Verified", NodeState.BROKEN: "Not sound", NodeState.BEHIND: "Not verified yet"}
WORKING = {"sync": "Syncing", "restore": "Restoring", "verify": "Verifying"}
PUT_BACK = {"done": "as wanted", "undone": "put back", "sent": "not known yet", "owed": "still to be put back"}
ITEMS = 8  # of a banner's list; the plan page has all of them


def state_badge(node: Node) -> Badge:
    """What is known of the node, in a word."""
    state = NodeState.OFF if not node.enabled else NodeState(node.state)
    word = CI_WORDS.get(state, state.label) if node.is_ci else state.label
    return Badge(text=word, tone=TONES[state], hint=node.state_detail)


def headline(node: Node, busy: str) -> Badge:
    """The one word on top of the page. `busy`: the kind of the run at work, if there is one."""
    if busy:
        return Badge(text=WORKING.get(busy, "At work"), tone="info dp-busy")
    return state_badge(node)


def banners(
    node: Node,
    *,
    freezes: Sequence[Freeze],
    decision: Decision,
    owed: Sync | None,
    troubled: Sync | None,
    master: ExtraNode | None,
    may_act: bool,
    may_configure: bool,
) -> list[Banner]:
    """Everything that stands in the way, or soon will; the gravest first."""
    found = _half_banners(node, owed)
    found += [freeze_banner(freeze) for freeze in freezes]
    found += _trouble_banners(node, troubled)
    found += _off_banners(node, may_configure) + hours_banners(decision)
    if node.auto_paused_at is not None and (node.apply_mode != ApplyMode.MANUAL or master is not None):
        found.append(paused_banner("Automatic applying is paused.", node.auto_paused_reason, may_act=may_act))
    return found + _source_banners(node, master)


def _off_banners(node: Node, may_configure: bool) -> list[Banner]:
    if node.enabled:
        return []
    text = "It is neither checked nor changed."
    return [
        Banner(
            tone="info", title="This node is off.", text=text, act="switch" if may_configure else "", label="Switch on"
        )
    ]


def _half_banners(node: Node, owed: Sync | None) -> list[Banner]:
    """A node that is neither as it was nor as it was meant to be: what it holds, and who puts it right."""
    if node.state != NodeState.HALF and owed is None:
        return []
    text = f"{node.state_detail} The panel tries again at each check until it has put this right.".strip()
    return [Banner(tone="bad", title="This node is half changed.", text=text, items=held(owed))]


def held(owed: Sync | None) -> tuple[str, ...]:
    """What each part of a node is, by the journal of the sync that could not end: `variables: still to be put back`."""
    if owed is None:
        return ()
    return tuple(_entry_words(entry) for entry in owed.journal)


def _entry_words(entry: Mapping[str, Any]) -> str:
    state = str(entry.get("state"))
    words = f"{str(entry.get('what', '')).capitalize()}: {PUT_BACK.get(state, 'not known')}"
    if names := entry.get("names"):
        words += f"; {'taken away again' if state == 'undone' else 'new on the node'}: {_some(names)}"
    if overwritten := entry.get("overwritten"):
        words += f"; overwritten, and nobody can read the former values: {_some(overwritten)}"
    return words + "."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - ITEMS} more" if len(names) > ITEMS else ""
    return ", ".join(names[:ITEMS]) + more


def _trouble_banners(node: Node, troubled: Sync | None) -> list[Banner]:
    """Why Git's side cannot be applied, or why the node does not answer."""
    if node.state == NodeState.UNREACHABLE:
        return [Banner(tone="bad", title="The node does not answer.", text=node.state_detail)]
    if troubled is None and node.state != NodeState.BROKEN:
        return []
    title = "What Git holds cannot be applied."
    if troubled is None:
        text = node.state_detail or "A plan lists everything that is wrong."
        return [Banner(tone="bad", title=title, text=text)]
    return [Banner(tone="bad", title=title, text=_commit_words(troubled), items=troubles(troubled, ITEMS))]


def _commit_words(row: Sync) -> str:
    return f"{row.commit[:8]} {row.commit_subject}".strip()


def troubles(row: Sync, most: int = 0) -> tuple[str, ...]:
    """What is wrong with what a sync took from Git: problems with file and line, then missing names.

    With `most`, no more than so many, and how many others there are.
    """
    lines = [problem_words(problem) for problem in row.problems if problem.get("error", True)]
    for kind, noun in (("variables", "variable"), ("secrets", "secret")):
        for name, files in sorted(row.missing.get(kind, {}).items()):
            lines.append(f"The {noun} {name} is missing; used by {_some(files)}.")
    if most and len(lines) > most:
        lines = [*lines[:most], f"… and {len(lines) - most} more; the plan lists them all."]
    return tuple(lines)


def problem_words(problem: Mapping[str, Any]) -> str:
    """`node/pipes/a.conf.json:3:7: …`."""
    place = ":".join(str(problem[part]) for part in ("file", "line", "column") if problem.get(part))
    return f"{place}: {problem.get('text', '')}" if place else str(problem.get("text", ""))


def is_troubled(row: Sync) -> bool:
    """Whether what that run took from Git cannot be applied."""
    return bool(troubles(row, 1))


def _source_banners(node: Node, master: ExtraNode | None) -> list[Banner]:
    if node.repository_id is None and master is None:
        text = "Choose a repository on the Configure page, or name this node as an extra node of a master."
        return [Banner(tone="warn", title="This node follows nothing.", text=text)]
    repository = master.master.repository if master is not None else node.repository
    if repository is not None and repository.fetch_error:
        return [Banner(tone="warn", title="The last fetch failed.", text=repository.fetch_error.split("\n")[0])]
    return []


def check_at(node: Node, now: datetime) -> datetime | None:
    """The moment of the next check, where it lies ahead."""
    ahead = node.enabled and node.interval is not None and node.check_claimed_at is None
    return node.check_after if ahead and node.check_after is not None and node.check_after > now else None


def next_check(node: Node, now: datetime) -> str:
    """When it is looked at again, in words."""
    if not node.enabled:
        return "not while it is off"
    if node.check_claimed_at is not None:
        return "looking now"
    if node.is_ci and node.apply_mode != ApplyMode.MANUAL:
        return "with the next push"
    if node.is_ci or node.interval is None:
        return "on request only"
    at = check_at(node, now)
    return f"in {duration(max(1.0, (at - now).total_seconds()))}" if at is not None else "at once"


def layout_words(node: Node) -> str:
    """Where in the repository, and how it is laid out: `conf/node, multi-node, test`."""
    words = [node.sync_root or "the top folder", node.get_layout_display().lower()]
    if node.layout == "multi":
        words.append(node.environment)
    if node.config_group:
        words.append(f"group {node.config_group}")
    return ", ".join(words)


def left_alone(node: Node) -> str:
    """What a sync leaves to the node, in words; empty when it is nothing."""
    words = []
    if node.protected:
        words.append(f"protected: {_some(node.protected)}")
    if node.ignore:
        words.append(f"differs on purpose: {_some(node.ignore)}")
    if node.orchestrator:
        words.append("what its orchestrator made of unchanged entities")
    return "; ".join(words)


def mode_words(node: Node, master: ExtraNode | None) -> str:
    if master is not None:
        return f"with {master.master.name}"
    looks = node.interval is not None and node.apply_mode in {ApplyMode.SCHEDULE, ApplyMode.HEAL}
    every = f", every {every_words(node.interval or 0)}" if looks else ""
    return f"{node.get_apply_mode_display().partition(':')[0].lower()}{every}"


def every_words(seconds: int) -> str:
    """An interval as people say it: `minute`, `5 min`, `90 s`, `2 h`."""
    for size, one, many in ((3600, "hour", "h"), (60, "minute", "min")):
        if seconds and seconds % size == 0:
            return one if seconds == size else f"{seconds // size} {many}"
    return f"{seconds} s"


def uploads(node: Node) -> str:
    """`configuration, variables, secrets from vault`."""
    words = ["configuration", *(name for name in ("variables", "secrets") if name in node.upload)]
    if "secrets" in node.upload and node.secret_store is not None:
        words[-1] += f" from {node.secret_store}"
    if node.whitelist_file == NONE:
        words.append("no whitelist")
    return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the guard asks before so much is changed. `value` is what its check box sends."""

    kind: str
    number: int
    text: str

    @property
    def value(self) -> str:
        return f"{self.kind}:{self.number}"


def questions(rows: Sequence[Mapping[str, Any]]) -> tuple[Question, ...]:
    return tuple(
        Question(kind=str(row["kind"]), number=int(row.get("number", 0)), text=str(row.get("text", ""))) for row in rows
    )


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a plan found, or a sync changed."""

    new: int
    changed: int
    removed: int
    variables: int
    secrets: int
    unchanged: int = 0

    @classmethod
    def of(cls, row: Sync) -> Counts:
        counted = row.counts
        return cls(
            new=_number(counted, "new"),
            changed=_number(counted, "changed"),
            removed=_number(counted, "removed"),
            variables=_number(counted, "variables"),
            secrets=_number(counted, "secrets"),
            unchanged=_number(counted, "unchanged"),
        )

    @property
    def is_empty(self) -> bool:
        return not (self.new or self.changed or self.removed or self.variables or self.secrets)

    @property
    def words(self) -> str:
        """`+2 ~1 −0, 3 variables`; `no change`."""
        if self.is_empty:
            return "no change"
        words = [f"+{self.new} ~{self.changed} −{self.removed}"]
        for number, noun in ((self.variables, "variable"), (self.secrets, "secret")):
            if number:
                words.append(f"{number} {noun}{'' if number == 1 else 's'}")
        return ", ".join(words)


def _number(counted: Mapping[str, Any], name: str) -> int:
    """Counts are numbers, or numbers by kind of move."""
    value = counted.get(name, 0)
    if isinstance(value, dict):
        return sum(int(number) for move, number in value.items() if move not in {"unchanged", "ignored", "protected"})
    return int(value or 0)


def plan_is_old(plan: Sync, node: Node, since: Sync | None) -> str:
    """Why a plan says nothing about now any more; empty while it does. `since`: the newest sync or restore."""
    if since is not None and since.pk > plan.pk:
        return f"{since.get_action_display()} #{since.run_number} has run since."
    if node.seen_commit and plan.commit and plan.commit != node.seen_commit and plan.ref == node.branch:
        return f"Git has moved on since: it is at {node.seen_commit[:8]}."
    return ""


def what(row: Sync) -> str:
    """The action of a row of the history, where it is not the usual one."""
    return "" if row.action == SyncAction.SYNC else row.get_action_display().lower()


def restored_words(taken_at: datetime, commit: str) -> str:
    """What a snapshot is called."""
    return f"as of {moment(taken_at)}" + (f" ({commit[:8]})" if commit else "")
