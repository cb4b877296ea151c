"""Ending a command before it is done: asked politely, then less so, each told in the log."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from deploypanel_agent.command import Command, Found

if TYPE_CHECKING:
    from deploypanel_agent.output import Output
    from deploypanel_agent.story import Story

GRACE = 5.0  # seconds from one signal to the next
TICK = 0.02
LADDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


class Ending:
    def __init__(self, command: Command, story: Story) -> None:
        self._command = command
        self._story = story

    def run(self, outputs: list[Output]) -> None:
        """INT, TERM, KILL to all of the command's session, until it is gone; what it still printed is taken."""
        for number in LADDER:
            if not self._command.signal(number):
                break
            self._story.note(f"Sent {number.name} to it and all that it started.\n")
            if self._gone(outputs):
                break
        self._command.signal(signal.SIGKILL)  # what the command left behind in its session
        for output in outputs:
            output.take(self._story.at, final=True)

    def _gone(self, outputs: list[Output]) -> bool:
        until = time.monotonic() + GRACE
        while time.monotonic() < until:
            if self._command.look() is not Found.WORKING:
                return True
            for output in outputs:
                output.take(self._story.at)
            time.sleep(TICK)
        return False
