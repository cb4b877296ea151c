"""What a comparison leaves alone: protected and ignored ids, places within entities, orchestrators' work. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from apps.sesam.errors import PatternError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from apps.sesam.models import Node

Tokens = tuple[re.Pattern[str], ...]
_DEEPEST = 50  # parts of a pointer
_BAD_ESCAPE = re.compile(r"~(?![01])")


@dataclass(frozen=True)
class Pattern:
    """One ignore rule: which ids, and which place in them; without a place, the whole entity."""

    text: str
    ids: re.Pattern[str]
    tokens: Tokens = ()


def pattern_read(text: str) -> Pattern:
    """Parse `ID` or `ID#/json/pointer`; `*` stands for any letters, `~1` for a slash, `~0` for a tilde.

    Raises PatternError.
    """
    ids, hash_sign, pointer = text.partition("#")
    if not ids.strip():
        raise PatternError(f"The rule “{text}” names no id. Write ID or ID#/json/pointer.")
    if not hash_sign:
        return Pattern(text, _glob(ids))
    if not pointer.startswith("/") or pointer == "/":
        raise PatternError(f"The rule “{text}” names no place: after # comes a pointer such as /source/url.")
    if _BAD_ESCAPE.search(pointer):
        raise PatternError(
            f"In the rule “{text}” a tilde is not followed by 0 or 1: write ~0 for a tilde, ~1 for a slash."
        )
    parts = pointer[1:].split("/")
    if len(parts) > _DEEPEST:
        raise PatternError(f"The rule “{text[:80]}…” is more than {_DEEPEST} levels deep.")
    return Pattern(text, _glob(ids), tuple(_glob(part.replace("~1", "/").replace("~0", "~")) for part in parts))


def pattern_fault(texts: Iterable[str]) -> str:
    """What is wrong with the first ignore rule that cannot be read; empty: nothing."""
    try:
        for text in texts:
            pattern_read(text)
    except PatternError as error:
        return str(error)
    return ""


def _glob(text: str) -> re.Pattern[str]:
    """Each part between two stars is taken where it comes first and not looked for again: many stars cost no more."""
    first, *others = map(re.escape, re.split(r"\*+", text))
    if not others:
        return re.compile(first)
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(f"{first}{middle}.*{others[-1]}", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What `plan_made` leaves as the node has it."""

    protected: frozenset[str] = frozenset()
    ignore: tuple[str, ...] = ()
    orchestrator: bool = False
    config_group: str = ""

    @classmethod
    def of(cls, node: Node) -> Rules:
        return cls(
            protected=frozenset(node.protected),
            ignore=tuple(node.ignore),
            orchestrator=node.orchestrator,
            config_group=node.config_group,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "protected": sorted(self.protected),
            "ignore": list(self.ignore),
            "orchestrator": self.orchestrator,
            "config_group": self.config_group,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Rules:
        """What `as_json` gave; what is not in it is empty."""
        return cls(
            protected=frozenset(kept.get("protected", ())),
            ignore=tuple(kept.get("ignore", ())),
            orchestrator=bool(kept.get("orchestrator", False)),
            config_group=str(kept.get("config_group", "")),
        )

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """The ignore rules, parsed. Raises PatternError at the first that cannot be."""
        return tuple(pattern_read(text) for text in self.ignore)

    def ignores(self, name: str) -> bool:
        """Whether the whole entity of this id is ignored."""
        return any(not pattern.tokens and pattern.ids.fullmatch(name) for pattern in self.patterns)

    def places(self, name: str) -> tuple[Pattern, ...]:
        """The rules for places within the entity of this id."""
        return tuple(pattern for pattern in self.patterns if pattern.tokens and pattern.ids.fullmatch(name))
