"""What a declaration changed, in words and as data. Secrets are never part of either."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any


class Move(enum.StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True)
class FieldChange:
    """One field; `secret` ones say only that they changed."""

    key: str
    old: str
    new: str
    secret: bool = False

    def __str__(self) -> str:
        return f"{self.key}: changed" if self.secret else f"{self.key}: {self.old} → {self.new}"

    def as_json(self) -> dict[str, str]:
        return {"field": self.key} if self.secret else {"field": self.key, "old": self.old, "new": self.new}


@dataclass
class Change:
    """One object that was created, changed or removed."""

    section: str
    noun: str
    name: str
    move: Move
    fields: list[FieldChange] = field(default_factory=list)

    def lines(self) -> list[str]:
        head = f"{self.move} {self.noun} {self.name}"
        # What a new object is made of is in the file; only what was there before is worth a line.
        return [head] if self.move is not Move.CHANGED else [head, *(f"    {one}" for one in self.fields)]

    def as_json(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "name": self.name,
            "change": str(self.move),
            "fields": [one.as_json() for one in self.fields],
        }


@dataclass
class Outcome:
    """All changes of one declaration; `kept` says what pruning deliberately left."""

    changes: list[Change] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    dry_run: bool = False

    def lines(self) -> list[str]:
        lines = [line for change in self.changes for line in change.lines()]
        return [*lines, *self.kept, self.summary()]

    def summary(self) -> str:
        if not self.changes:
            return "nothing to change"
        counts = [f"{count} {move}" for move in Move if (count := sum(change.move is move for change in self.changes))]
        return f"{'dry run, nothing was changed: ' if self.dry_run else ''}{', '.join(counts)}"

    def as_json(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "changes": [change.as_json() for change in self.changes],
            "kept": self.kept,
        }
