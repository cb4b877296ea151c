"""A client of the old protocol: asks any Prostagma server for a trigger's count, and runs the script when it rose.

Unlike the seed's it keeps the count on its disk, so a restart of either side neither misses nor repeats anything.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from deploypanel_agent.clock import Clock
from deploypanel_agent.desk import Desk
from deploypanel_agent.disk import read_json, write_json
from deploypanel_agent.downloads import OldFiles
from deploypanel_agent.errors import AgentError, LineLost
from deploypanel_agent.held import Held, Holdings
from deploypanel_agent.masking import Mask
from deploypanel_agent.say import say
from deploypanel_agent.scripts import script_file
from deploypanel_agent.web import Web
from deploypanel_agent.work import Surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploypanel_agent.config import Config, OldServer
    from deploypanel_agent.figures import Figures
    from deploypanel_agent.journal import Event

TALK = 0.2  # seconds between two looks at what a run has printed


class OldScripts:
    def __init__(self, path: str) -> None:
        self._path = path

    def script_for(self, order: Mapping[str, Any]) -> str:
        return script_file(self._path)


class OldAgent:
    """One trigger of one server."""

    def __init__(self, config: Config, server: OldServer, figures: Figures) -> None:
        self._server = server
        self._figures = figures
        self._poll = config.poll
        self._book = config.state / "old.json"
        self._web = Web(server.url, ca=config.ca)
        self._left = threading.Event()
        self._clock = Clock()
        self._printed: dict[int, int] = {}
        self._desk = Desk(
            Holdings(config.state),
            Surroundings(config.shell, OldFiles(self._web, server.secret), OldScripts(server.script)),
            clock=self._clock,
            mask=Mask([server.secret]),
            log_limit=config.log_limit,
            figures=figures,
            changed=lambda: None,
        )

    def leave(self) -> None:
        self._left.set()

    def run(self) -> None:
        self._desk.resume()
        seen, number = self._read_book()
        said = ""
        while not self._left.is_set():
            try:
                count = self._count()
                self._figures.connected(True)
                said = _said(self._asking(), said)
                seen, number = self._compare(seen, number, count)
            except AgentError as error:
                self._figures.connected(False)
                said = _said(str(error), said)
            self._talk_until_idle()
            self._left.wait(self._poll)
        self._desk.leave()

    def _count(self) -> int:
        body = {"secret": self._server.secret, "trigger": self._server.trigger}
        answer = self._web.ask("/trigger", body, method="GET")
        count = answer.data.get("count") if isinstance(answer.data, dict) else None
        if answer.status != 200 or not isinstance(count, int) or isinstance(count, bool):
            raise LineLost(f"{self._server.url} does not answer as a Prostagma server.")
        return count

    def _asking(self) -> str:
        return f"{self._server.url} answers; it is asked for {self._server.trigger} every {self._poll:g} s."

    def _compare(self, seen: int | None, number: int, count: int) -> tuple[int, int]:
        """Higher than before: one run. Lower: the server began anew. The first time: nothing."""
        if seen is not None and count > seen:
            fired_at = self._clock.text(time.time())
            order = {"run": number, "trigger": self._server.trigger, "count": count, "fired_at": fired_at}
            self._desk.take(order)
            number += 1
        if count != seen:
            write_json(self._book, {"trigger": self._key(), "seen": count, "next": number})
        return count, number

    def _read_book(self) -> tuple[int | None, int]:
        """The last count seen, and the number of the next run; a run that was taken just before a crash counts."""
        told = read_json(self._book)
        known = isinstance(told, dict) and told.get("trigger") == self._key()
        seen: int | None = int(told["seen"]) if known else None
        number = int(told.get("next") or 1) if isinstance(told, dict) else 1
        for held in self._desk.all():
            if held.number >= number:
                seen, number = held.count, held.number + 1
        return seen, number

    def _key(self) -> str:
        return f"{self._server.url} {self._server.trigger}"

    def _talk_until_idle(self) -> None:
        """Print what runs print, until none is at work; then they may be forgotten: their count is in the book."""
        while self._desk.all() and not self._left.is_set():
            working = self._desk.open()
            for held in self._desk.all():
                self._talk(held)
                if held.number not in working:
                    self._desk.drop(held.number)
                    self._printed.pop(held.number, None)
            if working:
                self._left.wait(TALK)

    def _talk(self, held: Held) -> None:
        while True:
            events = held.journal.read(self._printed.get(held.number, 0) + 1, 256 * 1024)
            if not events:
                return
            self._printed[held.number] = self._printed.get(held.number, 0) + len(events)
            for event in events:
                _print(event)


def _print(event: Event) -> None:
    if event["kind"] == "log":
        for line in str(event["text"]).splitlines():
            say(f"  {line}")
    elif event["kind"] == "step" and event.get("message"):
        say(f"  {event['stage']}: {event['state']}. {event['message']}")


def _said(text: str, before: str) -> str:
    """Say how it stands once, not every few seconds."""
    if text != before:
        say(text)
    return text
