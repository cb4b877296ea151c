"""A node's configuration as values: entities by id, variables, names of secrets. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# What JSON can say. `Any` because a recursive type would be cast at each step.
Json = Any


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong with what Git holds. `line` and `column` count from 1; 0: the file as a whole."""

    file: str
    text: str
    line: int = 0
    column: int = 0
    is_error: bool = True  # else a warning: told, and nothing stops

    def __str__(self) -> str:
        place = self.file + (f":{self.line}" if self.line else "") + (f":{self.column}" if self.column else "")
        return f"{place}: {self.text}" if place else self.text

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file, "line": self.line, "column": self.column, "text": self.text, "error": self.is_error,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A pipe, a system, or the node's metadata. `file` is where Git has it, from the top of the repository."""

    id: str
    value: Mapping[str, Json]
    file: str = ""

    @property
    def kind(self) -> str:
        """`pipe`, `system`, `metadata`, or `unknown`, by its type."""
        head = str(self.value.get("type", "")).partition(":")[0]
        return head if head in {"pipe", "system", "metadata"} else "unknown"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One side of a comparison: what Git wants, or what a node has.

    `variables` and `secrets` (names only) are None where that side was not asked or has no say.
    `unknown` names the files that a node keeps without understanding them.
    """

    entities: Mapping[str, Entity] = field(default_factory=dict)
    variables: Mapping[str, Json] | None = None
    secrets: frozenset[str] | None = None
    unknown: tuple[str, ...] = ()
