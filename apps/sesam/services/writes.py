"""One write whose answer may be lost: read back before deciding."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from apps.runs.errors import RunEnded
from apps.sesam.errors import AnswerLost, NodeError

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPTS = 3


class Found(enum.Enum):
    """What reading back shows after a write whose answer was lost."""

    ARRIVED = "arrived"
    AS_BEFORE = "as before"
    OTHER = "other"


def written(
    write: Callable[[], None],
    look: Callable[[], Found],
    note: Callable[[str], None],
    unsent: Callable[[], None] = lambda: None,
    attempts: int = ATTEMPTS,
) -> None:
    """Carry out `write`; where its answer is lost, `look`, and send again only when nothing has changed.

    `unsent` is called when it certainly did nothing: it was refused, or never got there. Raises AnswerLost when
    nothing helped, and what `write` and `look` raise.
    """
    for attempt in range(1, attempts + 1):
        try:
            write()
        except AnswerLost as error:
            note(f"{error} Reading back what the node has now.")
            found = look()
            if found is Found.ARRIVED:
                note("It has what was sent: only the answer was lost.")
                return
            if found is Found.OTHER or attempt == attempts:
                raise
            note("It has what it had before: it is sent again.")
        except (NodeError, RunEnded):
            if attempt == 1:
                unsent()
            raise
        else:
            return
