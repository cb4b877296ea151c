"""What the panel still has to hear of each run, by the numbers of its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploypanel_agent.held import Held

BATCH = 100 * 1024  # bytes of events in one message; a single event may be longer, below the panel's 256 KiB
MOST_EVENTS = 500  # of one message
WINDOW = 8  # messages of one run that are not answered yet


@dataclass
class _Told:
    held: Held
    sent: int | None  # up to this event; None: the panel has not said yet what it has
    stored: int = 0  # up to this event the panel has it for good
    open_messages: int = 0


class Delivery:
    """For the session's thread only."""

    def __init__(self) -> None:
        self._runs: dict[int, _Told] = {}

    def begin(self, helds: list[Held]) -> None:
        """A new session: of runs named in its hello the panel tells first what it has."""
        self._runs = {held.number: _Told(held, sent=None) for held in helds}

    def add(self, held: Held) -> None:
        """A run that the panel gave in this session."""
        if held.number not in self._runs:
            stored = int(held.order.get("stored") or 0)
            self._runs[held.number] = _Told(held, sent=stored, stored=stored)

    def drop(self, number: int) -> None:
        self._runs.pop(number, None)

    def stored(self, number: int, count: int) -> None:
        """The panel has so many events of the run. Fewer than were sent, and no message open: the rest goes again."""
        run = self._runs.get(number)
        if run is None:
            return
        run.open_messages = max(0, run.open_messages - 1)
        again = run.sent is None or count < run.stored or (run.open_messages == 0 and count < run.sent)
        run.stored = count
        if again:
            run.sent = min(count, run.held.journal.count)

    def due(self) -> list[dict[str, Any]]:
        """The messages to send now; they count as sent."""
        found = []
        for run in self._runs.values():
            while run.sent is not None and run.open_messages < WINDOW and run.sent < run.held.journal.count:
                events = run.held.journal.read(run.sent + 1, BATCH)[:MOST_EVENTS]
                if not events:
                    break
                found.append({"type": "events", "run": run.held.number, "first": run.sent + 1, "events": events})
                run.sent += len(events)
                run.open_messages += 1
        return found
