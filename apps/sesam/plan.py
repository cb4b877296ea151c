"""What would change on a node: entity by entity, variable by variable. No I/O.

`plan_made(plan.result, wanted, rules)` is always empty: applying a plan leaves nothing to do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from apps.sesam.configuration import Configuration
from apps.sesam.group import grouped
from apps.sesam.json_text import same
from apps.sesam.kept_places import kept_places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apps.sesam.configuration import Entity, Json
    from apps.sesam.rules import Rules

MOVES = ("new", "changed", "removed", "unchanged", "ignored", "protected")
WRITTEN = ("new", "changed", "removed")  # the moves that write something


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One entity. `before` is the node's, None: it has none. `after` is what the node would have, None: nothing.

    Of what is protected or ignored as a whole, `after` is Git's, which does not go to the node.
    """

    id: str
    kind: str
    move: str
    before: Mapping[str, Json] | None
    after: Mapping[str, Json] | None
    file: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class VariableChange:
    """One variable. `before` and `after` mean nothing where the move says that there is none."""

    name: str
    move: str  # new, changed, removed
    before: Json = None
    after: Json = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole comparison. `result` is what the node shall have."""

    changes: tuple[Change, ...] = ()  # by kind and id
    variables: tuple[VariableChange, ...] = ()  # by name
    secrets_missing: tuple[str, ...] = ()  # needed, and not on the node
    result: Configuration = field(default_factory=Configuration)

    def ids(self, *moves: str) -> list[str]:
        """The ids of the entities with one of these moves."""
        return sorted(change.id for change in self.changes if change.move in moves)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many entities by move (each is there), `variables` that change, and `secrets` to send."""
        found = Counter(change.move for change in self.changes)
        counts = {move: found[move] for move in MOVES}
        return counts | {"variables": len(self.variables), "secrets": len(self.secrets_missing)}

    @property
    def writes_configuration(self) -> bool:
        return any(self.counts[move] for move in WRITTEN)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.writes_configuration or self.variables or self.secrets_missing)

    def as_json(self, missing: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
        """For machines: ids by move, variables' names by move, names missing on Git's side with their files.

        `missing` is `{"variables": {name: files}, "secrets": {name: files}}`, as a sync keeps it.
        """
        names = {
            move: [one.name for one in self.variables if one.move == move] for move in ("new", "changed", "removed")
        }
        lacking = missing or {}
        return {
            **{move: self.ids(move) for move in MOVES},
            "variables": names,
            "secrets_to_send": list(self.secrets_missing),
            "missing_variables": {name: list(files) for name, files in lacking.get("variables", {}).items()},
            "missing_secrets": {name: list(files) for name, files in lacking.get("secrets", {}).items()},
        }


def plan_made(before: Configuration, wanted: Configuration, rules: Rules) -> Plan:
    """Compare what a node has with what Git wants. Raises PatternError for an ignore rule that cannot be read."""
    theirs, ours = _side(before, rules), _side(wanted, rules)
    changes, result = [], {}
    for name in sorted(theirs.keys() | ours.keys()):
        change, kept = _change(name, theirs.get(name), ours.get(name), rules)
        changes.append(change)
        if kept is not None:
            result[name] = kept
    return Plan(
        changes=tuple(sorted(changes, key=lambda change: (change.kind, change.id))),
        variables=_variable_changes(before.variables, wanted.variables),
        secrets_missing=tuple(sorted((wanted.secrets or frozenset()) - before.secrets))
        if before.secrets is not None
        else (),
        result=_result(before, wanted, result),
    )


def _side(side: Configuration, rules: Rules) -> dict[str, Entity]:
    kept, _problems = grouped(side.entities.values(), rules.config_group)
    return {entity.id: entity for entity in kept}


def _result(before: Configuration, wanted: Configuration, entities: dict[str, Entity]) -> Configuration:
    variables, secrets = before.variables, before.secrets
    if variables is not None and wanted.variables is not None:
        variables = wanted.variables
    if secrets is not None and wanted.secrets is not None:
        secrets |= wanted.secrets
    return Configuration(entities=entities, variables=variables, secrets=secrets, unknown=before.unknown)


def _change(name: str, node: Entity | None, git: Entity | None, rules: Rules) -> tuple[Change, Entity | None]:
    """What happens to one entity, and what the node has of it afterwards."""
    for move, applies in (("protected", name in rules.protected), ("ignored", rules.ignores(name))):
        if applies:
            return _made(name, move, node, git, "The node's version stays."), node
    if node is None or git is None:
        return _made(name, "removed" if git is None else "new", node, git), git
    if same(node.value, git.value):
        return _made(name, "unchanged", node, git), git
    if rules.orchestrator and _orchestrated(node, git, rules):
        kept = replace(node, file=git.file)
        return _made(name, "unchanged", node, kept, "The orchestrator made it of what Git has."), kept
    return _compared(name, node, git, rules)


def _compared(name: str, node: Entity, git: Entity, rules: Rules) -> tuple[Change, Entity]:
    places = rules.places(name)
    after = kept_places(node.value, git.value, [pattern.tokens for pattern in places])
    kept = replace(git, value=after)
    if same(node.value, after):
        note = "It differs only where that is ignored: " + ", ".join(pattern.text for pattern in places) + "."
        return _made(name, "ignored", node, git, note), replace(node, file=git.file)
    return _made(name, "changed", node, kept), kept


def _orchestrated(node: Entity, git: Entity, rules: Rules) -> bool:
    """Whether the node's orchestrator says that it started from what Git has."""
    metadata = node.value.get("metadata")
    orchestrator = metadata.get("orchestrator") if isinstance(metadata, dict) else None
    original = orchestrator.get("original_configuration") if isinstance(orchestrator, dict) else None
    if not isinstance(original, dict):
        return False
    return any(
        same(entity.value, git.value) for entity in grouped([replace(git, value=original)], rules.config_group)[0]
    )


def _made(name: str, move: str, node: Entity | None, git: Entity | None, note: str = "") -> Change:
    either = git or node
    return Change(
        id=name,
        kind=either.kind if either else "unknown",
        move=move,
        before=node.value if node else None,
        after=git.value if git else None,
        file=git.file if git else "",
        note=note,
    )


def _secrets_missing(before: frozenset[str] | None, wanted: frozenset[str] | None) -> tuple[str, ...]:
    return () if before is None or wanted is None else tuple(sorted(wanted - before))


def _variable_changes(
    before: Mapping[str, Json] | None, wanted: Mapping[str, Json] | None
) -> tuple[VariableChange, ...]:
    if before is None or wanted is None:
        return ()
    changes = []
    for name in sorted(before.keys() | wanted.keys()):
        old, new = before.get(name), wanted.get(name)
        move = "new" if name not in before else "removed" if name not in wanted else "changed"
        if move != "changed" or not same(old, new):
            changes.append(VariableChange(name=name, move=move, before=old, after=new))
    return tuple(changes)
