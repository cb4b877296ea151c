"""What a master's templates make of the repository as the panel has it: replicas, and placeholders without a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from apps.access.errors import PanelError
from apps.repos import selectors as repos
from apps.sesam.desired import desired_read
from apps.sesam.expansion import MASTER
from apps.sesam.models import SyncAction
from apps.sesam.selectors import master_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apps.repos.git import Commit
    from apps.sesam.configuration import Problem
    from apps.sesam.expansion import Expansion, Replica, Unfound
    from apps.sesam.models import ExtraNode, Node, Sync

KINDS = ("pipe", "system", "metadata")
TONES = {"succeeded": "good", "asked": "info", "failed": "bad", "refused": "warn"}


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A replica, and the node that gets it."""

    replica: Replica
    on: str  # the extra node's name; empty: the master

    @property
    def template_name(self) -> str:
        return self.replica.template.rpartition("/")[2]

    def matches(self, text: str) -> bool:
        one = self.replica
        return any(text in word.lower() for word in (one.id, one.template, one.inbound, one.outbound))


@dataclass(frozen=True, kw_only=True)
class ExtraLine:
    """One extra node: what it gets, the way it goes there, and how that went last."""

    extra: ExtraNode
    entities: int
    replicas: int
    on_master: int  # replicas that the master gets for it
    unfound: int
    last: Mapping[str, Any] = field(default_factory=dict)  # of the newest run that fed it: `way`, `result`, …
    last_run: Sync | None = None

    @property
    def tone(self) -> str:
        return TONES.get(str(self.last.get("state")), "idle")

    @property
    def way(self) -> str:
        if self.extra.repository is not None:
            return f"{self.extra.repository.name}, {self.extra.branch or 'main'}"
        return f"straight to {self.extra.node}"


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """A master's repository, expanded at one commit."""

    commit: Commit
    lines: tuple[ExtraLine, ...]
    placed: tuple[Placed, ...]
    unfound: tuple[Unfound, ...]
    problems: tuple[Problem, ...]


def expanded_read(node: Node) -> Expanded:
    """At the newest commit that the panel has of the branch. For a fed node, only what concerns itself.

    Raises PanelError for a node that follows nothing or whose repository was not fetched yet.
    """
    master = master_of(node)
    if master.repository is None:
        raise PanelError(f"{node.name} follows no repository: choose one on its form.")
    commit = repos.commit_resolve(master.repository, master.branch)
    desired = desired_read(node=node, commit=commit.sha)
    if desired.expansion is None:
        return Expanded(commit=commit, lines=(), placed=(), unfound=(), problems=desired.problems)
    extras = [extra for extra in _extras(master) if node.pk in {master.pk, extra.node_id}]
    names = {extra.name for extra in extras}
    placed = _placed(desired.expansion, names)
    unfound = tuple(lost for lost in desired.expansion.unfound if lost.extra in names)
    return Expanded(
        commit=commit,
        lines=_lines(master, extras, desired.expansion, placed, unfound),
        placed=placed,
        unfound=unfound,
        problems=_other(desired.expansion.problems, unfound),
    )


def _other(problems: Sequence[Problem], unfound: Sequence[Unfound]) -> tuple[Problem, ...]:
    """Without those that the placeholders' own table tells."""
    told = tuple({f"{lost.placeholder} found nothing" for lost in unfound})
    return tuple(problem for problem in problems if not (told and problem.text.startswith(told)))


def placed_matching(
    rows: Sequence[Placed], *, extra: str = "", kind: str = "", side: str = "", text: str = ""
) -> list[Placed]:
    """The replicas for one extra node, of one kind, on one side (`master`, `extra`), with a word in them."""
    sought = text.strip().lower()
    return [
        row
        for row in rows
        if (not extra or row.replica.extra == extra)
        and (not kind or row.replica.kind == kind)
        and (not side or (side == "master") == (row.on == MASTER))
        and (not sought or row.matches(sought))
    ]


def _extras(master: Node) -> list[ExtraNode]:
    return list(master.extras.select_related("repository", "node", "master").order_by("name"))


def _placed(expansion: Expansion, names: set[str]) -> tuple[Placed, ...]:
    found = [
        Placed(replica=replica, on=owner)
        for owner, share in expansion.shares.items()
        for replica in share.replicas
        if replica.extra in names
    ]
    order = {kind: place for place, kind in enumerate(KINDS)}
    found.sort(key=lambda row: (row.replica.extra, order.get(row.replica.kind, 9), row.replica.id, row.on))
    return tuple(found)


def _lines(
    master: Node,
    extras: Sequence[ExtraNode],
    expansion: Expansion,
    placed: Sequence[Placed],
    unfound: Sequence[Unfound],
) -> tuple[ExtraLine, ...]:
    run = master.syncs.filter(action=SyncAction.SYNC).exclude(extras=[]).order_by("-id").first()
    told = {str(one.get("name")): one for one in run.extras} if run is not None else {}
    return tuple(
        ExtraLine(
            extra=extra,
            entities=len(expansion.shares[extra.name].entities) if extra.name in expansion.shares else 0,
            replicas=sum(row.on == extra.name for row in placed),
            on_master=sum(row.on == MASTER and row.replica.extra == extra.name for row in placed),
            unfound=sum(lost.extra == extra.name for lost in unfound),
            last=told.get(extra.name, {}),
            last_run=run if extra.name in told else None,
        )
        for extra in extras
    )
