"""What a run tells: its events, masked and timed, into the journal; whoever sends them is woken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from deploypanel_agent.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deploypanel_agent.clock import Clock
    from deploypanel_agent.journal import Event, Journal
    from deploypanel_agent.masking import Mask

WORDS_LIMIT = 480  # characters of a message; the panel cuts at 500


class Story:
    """The writing side of one run's journal."""

    def __init__(self, journal: Journal, *, clock: Clock, mask: Mask, log_limit: int, wake: Callable[[], None]) -> None:
        self._journal = journal
        self._clock = clock
        self._mask = mask
        self._log_limit = log_limit
        self._wake = wake

    def at(self) -> str:
        return self._clock.text(time.time())

    def told(self, key: str) -> Event | None:
        """What was told under this key before, perhaps by an earlier process."""
        return self._journal.has(key)

    def started(self) -> None:
        self._tell({"kind": "started"}, key="started")

    def step(self, position: int, stage: str, state: str, *, exit_status: int | None = None, message: str = "") -> None:
        event: dict[str, Any] = {"kind": "step", "position": position, "stage": stage, "state": state}
        if exit_status is not None:
            event["exit"] = exit_status
        event["message"] = self._mask(message)[:WORDS_LIMIT]
        key = f"step {position} {'begin' if state == 'running' else 'end'}"
        self._tell(event, key=key)

    def note(self, text: str, *, key: str = "") -> None:
        """A line of the agent's own in the log; with a key it is told once."""
        self._tell({"kind": "log", "stream": "note", "text": self._mask(text)[: 32 * 1024]}, key=key)

    def ended(self, state: str, summary: str) -> None:
        self._tell({"kind": "ended", "state": state, "summary": self._mask(summary)[:WORDS_LIMIT]}, key="ended")

    def output(self, path: Path, stream: str, name: str) -> Output:
        return _Woken(
            self._wake,
            path,
            stream=stream,
            key=f"{name} {stream}",
            journal=self._journal,
            mask=self._mask,
            limit=self._log_limit,
        )

    def _tell(self, event: Event, *, key: str = "") -> None:
        if self._journal.append({"at": self.at(), **event}, key=key):
            self._wake()


class _Woken(Output):
    """An output whose reader wakes the sender."""

    def __init__(self, wake: Callable[[], None], path: Path, **more: Any) -> None:
        super().__init__(path, **more)
        self._wake = wake

    def take(self, at: Callable[[], str], *, final: bool = False) -> bool:
        fresh = super().take(at, final=final)
        if fresh or final:
            self._wake()
        return fresh
