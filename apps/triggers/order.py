"""Which of two pushes to a branch came first, when their deliveries came the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.triggers.webhooks import PushEvent


def is_late(push: PushEvent, handled: Iterable[PushEvent]) -> bool:
    """Whether a push that was handled before has moved the branch on from where this one moved it to.

    Only where that is certain. A branch that is set back also leads to a commit that it has left, but from one
    that it came to later: that is no late push. Nor is one to a new branch, or one that was forced.
    """
    if push.forced or push.first:
        return False
    moves = [(one.before, one.after) for one in handled if one.ref == push.ref]
    later, fresh = set[str](), {push.after}
    while fresh:
        fresh = {after for before, after in moves if before in fresh} - later
        later |= fresh
    return bool(later) and push.before not in later
