"""The agent of a panel: holds its runs, keeps a line to the panel, comes back whenever it breaks."""

from __future__ import annotations

import queue
import random
import time
from typing import TYPE_CHECKING, Any

from deploypanel_agent.clock import Clock
from deploypanel_agent.desk import Desk
from deploypanel_agent.disk import write_json
from deploypanel_agent.downloads import PanelFiles
from deploypanel_agent.errors import AgentError, NoWebSocket, PanelRefused
from deploypanel_agent.held import Holdings
from deploypanel_agent.lines import KEY_UNKNOWN, NEWER_LINE, REFUSALS, Line, PollLine, SocketLine
from deploypanel_agent.masking import Mask
from deploypanel_agent.say import say
from deploypanel_agent.scripts import PanelScripts
from deploypanel_agent.session import LEAVE, Session
from deploypanel_agent.web import Web
from deploypanel_agent.work import Surroundings

if TYPE_CHECKING:
    from deploypanel_agent.config import Config
    from deploypanel_agent.figures import Figures
    from deploypanel_agent.identity import Identity

SHORTEST_PAUSE = 0.5  # seconds before the line is tried again, at first
LONGEST_PAUSE = 30.0
REFUSED_PAUSE = 20.0  # at least, after a refusal: nothing changes there by itself
POLL_TIME = 600.0  # seconds for which polling is kept before a WebSocket is tried again
SHORT_LIFE = 10.0  # seconds; sockets that break sooner, so often in a row, are not let through
SHORT_LIVES = 3
_jitter = random.Random()  # noqa: S311 - for pauses, nothing secret


class Agent:
    """One process's agent. `run` works until `leave` is called, perhaps by a signal."""

    def __init__(self, config: Config, identity: Identity, figures: Figures) -> None:
        self._config = config
        self._identity = identity
        self._figures = figures
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._clock = Clock()
        self._web = Web(identity.url, ca=config.ca, headers={"Authorization": f"Bearer {identity.key}"})
        self._left = False
        self._choice = _Choice(config.transport)
        self._desk = Desk(
            Holdings(config.state),
            Surroundings(config.shell, PanelFiles(self._web), PanelScripts(config, identity)),
            clock=self._clock,
            mask=Mask([identity.key]),
            log_limit=config.log_limit,
            figures=figures,
            changed=lambda: self._inbox.put((None, [])),
        )

    def leave(self) -> None:
        self._left = True
        self._inbox.put(LEAVE)

    def run(self) -> None:
        self._desk.resume()
        misses = 0
        while not self._left:
            line = self._line()
            session = Session(line, self._inbox, self._desk, self._clock, self._welcomed)
            began = time.monotonic()
            try:
                session.run()
                break
            except AgentError as error:
                misses = 0 if session.welcome else misses + 1
                self._lost(line, error, session.welcome, time.monotonic() - began)
                self._pause(_pause(error, misses))
        self._state(False, "It was stopped.")
        self._desk.leave()

    def _line(self) -> Line:
        if self._choice.is_socket():
            return SocketLine(self._web, self._identity.key)
        return PollLine(self._web)

    def _welcomed(self, name: str) -> None:
        say(f"Connected to {self._identity.url} as {name}.")
        self._figures.connected(True)
        self._state(True, "")

    def _lost(self, line: Line, error: AgentError, welcome: bool, lasted: float) -> None:
        self._choice.failed(line, error, lasted, welcome)
        say(_told(error))
        self._figures.connected(False)
        self._state(False, _told(error))

    def _pause(self, seconds: float) -> None:
        """Wait, but leave at once when asked to."""
        until = time.monotonic() + seconds
        while not self._left and time.monotonic() < until:
            try:
                item = self._inbox.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return
            if item is LEAVE:
                self._inbox.put(LEAVE)
                return

    def _state(self, connected: bool, why: str) -> None:
        """For `status`, which reads it from another process."""
        told = {"connected": connected, "why": why, "since": self._clock.text(time.time()), "transport": ""}
        if connected:
            told["transport"] = "websocket" if self._choice.is_socket() else "poll"
        try:
            write_json(self._config.state / "status.json", told, folder=False)
        except OSError as error:
            say(f"{self._config.state}: {error.strerror}.")


class _Choice:
    """Whether the next line is a WebSocket or polls."""

    def __init__(self, transport: str) -> None:
        self._transport = transport
        self._poll_until = 0.0
        self._short_lives = 0

    def is_socket(self) -> bool:
        if self._transport == "auto":
            return time.monotonic() >= self._poll_until
        return self._transport == "websocket"

    def failed(self, line: Line, error: AgentError, lasted: float, welcome: bool) -> None:
        if line.transport != "websocket":
            return
        self._short_lives = self._short_lives + 1 if welcome and lasted < SHORT_LIFE else 0
        if isinstance(error, NoWebSocket) or self._short_lives >= SHORT_LIVES:
            self._short_lives = 0
            self._poll_until = time.monotonic() + POLL_TIME


def _pause(error: AgentError, misses: int) -> float:
    """Seconds until the next try: growing, and never the same for two agents."""
    if isinstance(error, NoWebSocket):
        return _jitter.uniform(0, 0.2)
    longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(misses, 10))
    pause = _jitter.uniform(longest * 0.3, longest)
    if isinstance(error, PanelRefused):
        least = REFUSED_PAUSE if error.status in REFUSALS else min(error.retry_after, LONGEST_PAUSE)
        pause = max(pause, _jitter.uniform(least, max(least, LONGEST_PAUSE if error.status in REFUSALS else least)))
    return pause


def _told(error: AgentError) -> str:
    status = REFUSALS.get(error.status) if isinstance(error, PanelRefused) else None
    if status == KEY_UNKNOWN:
        return f"The panel does not know this agent's key (any more): {error}. If it should, enrol with a new code."
    if status == NEWER_LINE:
        return f"Another line of this agent is newer: {error}. Does a copy of this machine use the same key?"
    return str(error)
