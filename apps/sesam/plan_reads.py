"""What the plan page reads and shows: a comparison, what of it was asked for, and cards for its entities."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.paginator import Page, Paginator
from django.utils.http import urlencode

from apps.runs.notices import Badge
from apps.sesam.difference import Difference, difference
from apps.sesam.difference_html import difference_html
from apps.sesam.plan import MOVES, WRITTEN, Plan, plan_made
from apps.sesam.recently import Recently
from apps.sesam.rules import Rules
from apps.sesam.storage import configuration_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.utils.safestring import SafeString

    from apps.sesam.models import StoredConfiguration, Sync
    from apps.sesam.plan import Change

PER_PAGE = 20
SMALL = 40_000  # characters of an entity's JSON, both sides together, that a page of many shows at once
ROWS_AT_ONCE = 1500  # of all cards of a page; what follows is fetched when it is opened
ROWS_OPEN = 120  # a longer card is closed at first
ROWS_OPEN_ALONE = 60  # of an entity that only one side has
TEXT_MOST = 200

TONES = {"new": "good", "changed": "info", "removed": "bad", "refused": "bad"}
LABELS = {
    "new": "New",
    "changed": "Changed",
    "removed": "Removed",
    "unchanged": "Unchanged",
    "ignored": "Ignored",
    "protected": "Protected",
}
HINTS = {
    "new": "Git has it, the node does not: it would be added.",
    "changed": "Both have it, and they differ: the node's would be replaced.",
    "removed": "The node has it, Git does not: it would be removed.",
    "unchanged": "Both have the same.",
    "ignored": "It differs on purpose: the node's version stays.",
    "protected": "A sync leaves it alone: the node's version stays.",
}
# The same where two sides are compared, neither of which goes anywhere.
HINTS_BETWEEN = {
    "new": "Only the right side has it.",
    "changed": "Both have it, and they differ.",
    "removed": "Only the left side has it.",
}
ALL, REFUSED = "all", "refused"

_plans: Recently[Plan] = Recently(32 * 1024 * 1024)  # by the bytes of what was compared


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sides and what lies between them. `missing`, `problems` and `refused` are as a sync keeps them."""

    plan: Plan
    left: str  # what the sides are called
    right: str
    missing: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    problems: Sequence[Mapping[str, Any]] = ()
    refused: Sequence[Mapping[str, Any]] = ()
    unknown: Sequence[str] = ()  # files of the node that it does not understand itself
    is_plan: bool = True  # the right side is meant to go to the node

    def hint(self, move: str) -> str:
        """What a move means here."""
        between = "" if self.is_plan else HINTS_BETWEEN.get(move, "")
        return between or HINTS.get(move, "The node's own validation says no.")

    @cached_property
    def refusals(self) -> dict[str, list[Mapping[str, Any]]]:
        """The node's validation errors by entity; those of no entity that is shown under the empty name."""
        ids = {change.id for change in self.plan.changes}
        found: dict[str, list[Mapping[str, Any]]] = {}
        for error in self.refused:
            name = str(error.get("entity", ""))
            found.setdefault(name if name in ids else "", []).append(error)
        return found

    def change(self, name: str) -> Change | None:
        return next((change for change in self.plan.changes if change.id == name), None)


def plan_kept(before: StoredConfiguration, wanted: StoredConfiguration, rules: Rules) -> Plan:
    """The plan between two kept configurations. Remembered: people turn pages and filters.

    Raises PanelError when one can no longer be read.
    """
    key = f"{before.digest}:{wanted.digest}:{json.dumps(rules.as_json(), sort_keys=True)}"
    found = _plans.get(key)
    if found is None:
        found = plan_made(configuration_of(before), configuration_of(wanted), rules)
        _plans.put(key, found, before.size + wanted.size)
    return found


def sync_comparison(sync: Sync) -> Comparison | None:
    """What a sync compared; None when it did not come so far. Raises PanelError when it can no longer be read."""
    if sync.before is None or sync.wanted is None:
        return None
    plan = plan_kept(sync.before, sync.wanted, Rules.from_json(sync.rules))
    return Comparison(
        plan=plan,
        left=f"{sync.node_name} has" if not sync.ended_at else f"{sync.node_name} had",
        right="Snapshot" if sync.action == "restore" else f"Git wants ({sync.commit[:8]})",
        missing=sync.missing,
        problems=sync.problems,
        refused=sync.refused,
        unknown=plan.result.unknown,
    )


def plan_json(sync: Sync, plan: Plan | None) -> dict[str, Any]:
    """For scripts: the plan, with the commit it is of and everything that stands in its way."""
    found = (plan or Plan()).as_json(sync.missing)
    return {
        "node": sync.node_name,
        "ref": sync.ref,
        "commit": sync.commit,
        "run": sync.run_number,
        "state": sync.state,
        "in_sync": plan is not None and plan.is_empty,
        **found,
        "questions": sync.questions,
        "problems": sync.problems,
    }


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which entities were asked for. `move`: one of MOVES, `all`, `refused`, or empty for what would change."""

    move: str = ""
    kind: str = ""
    text: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filter:
        move, kind = query.get("move", ""), query.get("kind", "")
        return cls(
            move=move if move in {*MOVES, ALL, REFUSED} else "",
            kind=kind if kind in {"pipe", "system", "metadata", "unknown"} else "",
            text=query.get("text", "").strip()[:TEXT_MOST],
        )

    def words(self, **other: str) -> str:
        """As the query of an address, without the page."""
        asked = {"move": self.move, "kind": self.kind, "text": self.text} | other
        return urlencode({name: value for name, value in asked.items() if value})

    def chosen(self, comparison: Comparison) -> list[Change]:
        """Those entities that the node refused come first, then as the plan has them."""
        refused = comparison.refusals
        found = [change for change in comparison.plan.changes if self._wants(change, refused)]
        return sorted(found, key=lambda change: change.id not in refused)

    def _wants(self, change: Change, refused: Mapping[str, Any]) -> bool:
        if self.kind and change.kind != self.kind:
            return False
        return self._wants_move(change, refused) and (not self.text or _mentions(change, self.text))

    def _wants_move(self, change: Change, refused: Mapping[str, Any]) -> bool:
        if self.move in {ALL, REFUSED}:
            return self.move == ALL or change.id in refused
        return change.move == self.move if self.move else change.move in WRITTEN or change.id in refused


def _mentions(change: Change, text: str) -> bool:
    """Whether its id, its file or its content holds the text, in any case."""
    sought = text.casefold()
    if sought in change.id.casefold() or sought in change.file.casefold():
        return True
    sides = (side for side in (change.before, change.after) if side is not None)
    return any(sought in json.dumps(side, ensure_ascii=False).casefold() for side in sides)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A count that filters when it is pressed."""

    move: str
    label: str
    number: int
    tone: str
    hint: str
    query: str
    chosen: bool


def tiles(comparison: Comparison, asked: Filter) -> list[Tile]:
    """How many entities by move; a chosen tile leads back to what would change."""
    counts = {move: comparison.plan.counts[move] for move in MOVES}
    if not comparison.is_plan:
        counts = {move: number for move, number in counts.items() if number or move not in {"ignored", "protected"}}
    refused = sum(name != "" for name in comparison.refusals)
    if refused:
        counts[REFUSED] = refused
    return [
        Tile(
            move=move,
            label=LABELS.get(move, "Refused by the node"),
            number=number,
            tone=TONES.get(move, "idle") if number else "idle",
            hint=comparison.hint(move),
            query=asked.words(move="" if asked.move == move else move),
            chosen=asked.move == move,
        )
        for move, number in counts.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Card:
    """One entity of the page. `html` is empty where its lines are fetched when someone opens it."""

    change: Change
    badge: Badge
    refused: Sequence[Mapping[str, Any]]
    query: str  # leads to its own page
    found: Difference | None = None
    html: SafeString | str = ""
    is_open: bool = False

    @property
    def is_written(self) -> bool:
        return self.change.move in WRITTEN

    @property
    def is_one_sided(self) -> bool:
        return self.change.before is None or self.change.after is None or self.change.move == "unchanged"


def card_of(comparison: Comparison, change: Change, *, whole: bool) -> Card:
    """One entity. Without `whole`, only when it is small."""
    found = difference(_plain(change.before), _plain(change.after)) if whole or _is_small(change) else None
    return Card(
        change=change,
        badge=Badge(text=LABELS[change.move], tone=TONES.get(change.move, "idle"), hint=comparison.hint(change.move)),
        refused=comparison.refusals.get(change.id, ()),
        query=urlencode({"id": change.id}),
        found=found,
        html=difference_html(found) if found is not None else "",
        is_open=whole or (found is not None and change.move in WRITTEN and _is_short(change, found)),
    )


def cards(comparison: Comparison, changes: Iterable[Change]) -> list[Card]:
    """The entities of a page; beyond so many rows they come without their lines."""
    left, made = ROWS_AT_ONCE, []
    for change in changes:
        card = card_of(comparison, change, whole=False)
        rows = len(card.found.rows) if card.found is not None else 0
        if rows > left:
            card = replace(card, html="", is_open=False)
        else:
            left -= rows
        made.append(card)
    return made


def entity_page(comparison: Comparison, asked: Filter, number: str) -> tuple[Page[Change], list[Card]]:
    """One page of the entities that were asked for; a page that does not exist is the nearest that does."""
    page = Paginator(asked.chosen(comparison), PER_PAGE).get_page(number)
    return page, cards(comparison, page.object_list)


def _plain(side: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if side is None else dict(side)


def _is_small(change: Change) -> bool:
    size = sum(len(json.dumps(side)) for side in (change.before, change.after) if side is not None)
    return size <= SMALL


def _is_short(change: Change, found: Difference) -> bool:
    if change.before is None or change.after is None:
        return len(found.rows) <= ROWS_OPEN_ALONE
    return sum(1 if section.folded else len(section.rows) for section in found.sections()) <= ROWS_OPEN
