"""Which variables and secrets a configuration uses, and in which files. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.sesam.words import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from apps.sesam.configuration import Entity, Json

# What has no closing bracket is taken as a whole, or a text full of those would be read to its end from each of them.
_REFERENCE = re.compile(r"\$(ENV|SECRET)\(([^\s)]*+)(\)?)")


@dataclass(frozen=True, kw_only=True)
class References:
    """Names and the files that use them, both in order. An entity without a file counts by its id."""

    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def references(entities: Iterable[Entity]) -> References:
    """Every `$ENV(name)` and `$SECRET(name)` in any string or key at any depth."""
    found: dict[str, dict[str, set[str]]] = {"ENV": {}, "SECRET": {}}
    for entity in entities:
        for text in _texts(entity.value):
            for what, name, closed in _REFERENCE.findall(text):
                if closed:
                    found[what].setdefault(shown(name), set()).add(entity.file or entity.id)
    return References(variables=_ordered(found["ENV"]), secrets=_ordered(found["SECRET"]))


def missing(wanted: Mapping[str, tuple[str, ...]], known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The names that are used and not known, with the files that use them."""
    return {name: files for name, files in wanted.items() if name not in known}


def _texts(value: Json) -> Iterator[str]:
    """Every string and key with a `$`. Not recursive."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if "$" in one:
                yield one
        elif isinstance(one, dict):
            waiting.extend(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _ordered(found: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sorted(found[name])) for name in sorted(found)}
