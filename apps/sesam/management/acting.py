"""What the acts of `manage.py sesam` share: naming a node, and answering the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError, NotFound
from apps.access.spelling import closest
from apps.sesam.selectors import node_named, nodes_visible, snapshots_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.contrib.auth.models import User

    from apps.sesam.models import Node, Snapshot

ALL = "all"


def node_meant(name: str, user: User | None) -> Node:
    """The node that `user` may see; raises NotFound with the nearest name."""
    try:
        return node_named(name, user)
    except NotFound as error:
        near = closest(name, nodes_visible(user).values_list("name", flat=True))
        raise NotFound(f"{error}{near.removesuffix('.').replace('; did', ' Did')}") from None


def snapshot_meant(node: Node, number: int | None) -> Snapshot:
    """The snapshot of that number, else the newest; raises NotFound with those there are."""
    found = snapshots_of(node)
    chosen = found.first() if number is None else found.filter(pk=number).first()
    if chosen is None:
        there = ", ".join(f"{one.pk}" for one in found[:10]) or "none"
        which = "a snapshot" if number is None else f"the snapshot {number}"
        raise NotFound(f"{node.name} does not have {which}; there are: {there}.", "--snapshot")
    return chosen


def answers_read(words: Sequence[str]) -> dict[str, int]:
    """`removals=12` as numbers by kind of question, which the act then looks at; raises InputError."""
    found: dict[str, int] = {}
    for word in words:
        kind, _, number = word.partition("=")
        if not number.isascii() or not number.isdecimal() or len(number) > 9:
            raise InputError(f"{word!r} is neither {ALL!r} nor KIND=NUMBER, such as removals=12.", "--confirm")
        found[kind] = int(number)
    return found


def answers_to(questions: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Yes to exactly these: should it be more by then, it will be asked again."""
    return {str(one["kind"]): int(one["number"]) for one in questions}


def question_lines(questions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each question, and how to answer it from a shell."""
    if not questions:
        return []
    answers = " ".join(f"--confirm {one['kind']}={one['number']}" for one in questions)
    return ["To be confirmed:", *(f"  {one['text']}" for one in questions), f"  → {answers}"]
