"""One line's life: hello, then orders come, events go, beats both ways, until it breaks."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any, Callable

from deploypanel_agent.delivery import Delivery
from deploypanel_agent.errors import LineLost, NoWebSocket
from deploypanel_agent.identity import machine
from deploypanel_agent.say import say

if TYPE_CHECKING:
    from deploypanel_agent.clock import Clock
    from deploypanel_agent.desk import Desk
    from deploypanel_agent.lines import Line, Message

PROTOCOL = 1
WELCOME_TIME = 15.0  # seconds in which the panel answers the hello
DEAD_TIME = 60.0  # seconds without a sign of the panel
BUSY_BEAT = 5.0  # seconds between beats while a run works
IDLE_BEAT = 25.0
LEAVE = object()  # in the inbox: this process ends

Inbox = queue.SimpleQueue  # of (line or None, messages); None: something is to be told


class Session:
    """Made for one line. All of it runs in the thread that calls `run`."""

    def __init__(self, line: Line, inbox: Any, desk: Desk, clock: Clock, welcomed: Callable[[str], None]) -> None:
        self._line = line
        self._inbox = inbox
        self._desk = desk
        self._clock = clock
        self._delivery = Delivery()
        self._told_welcome = welcomed
        self.welcome = False
        self._heard_at = time.monotonic()
        self._beat_at = time.monotonic()
        self._acts: dict[str, Callable[[Message], None]] = {
            "welcome": self._on_welcome,
            "run": self._on_run,
            "stop": self._on_stop,
            "ack": self._on_ack,
            "forget": self._on_forget,
        }

    def run(self) -> bool:
        """Until the process leaves: True; raises AgentError when the line is lost before."""
        helds = self._desk.all()
        self._delivery.begin(helds)
        runs = {str(held.number): held.told() for held in helds}
        hello = {"type": "hello", "protocol": PROTOCOL, **machine(), "runs": runs, "finished": self._desk.finished()}
        self._line.open(hello, lambda messages: self._inbox.put((self._line, messages)))
        try:
            while True:
                if not self._wait():
                    return True
                self._check()
                self._tell()
        finally:
            self._line.close()

    def _wait(self) -> bool:
        """Until something happens or a beat is due; then all that has happened. False: the process leaves."""
        try:
            item = self._inbox.get(timeout=max(0.0, min(1.0, self._beat_at - time.monotonic())))
            while True:
                if item is LEAVE:
                    self._inbox.put(LEAVE)
                    return False
                line, messages = item
                if line is self._line:
                    self._heard_at = time.monotonic()
                    for message in messages:
                        self._act(message)
                item = self._inbox.get_nowait()
        except queue.Empty:
            return True

    def _act(self, message: Message) -> None:
        act = self._acts.get(str(message.get("type")))
        if act is None:
            return  # a beat, or a word of a newer panel
        try:
            act(message)
        except OSError as error:
            raise LineLost(f"Nothing can be written down: {error}. What the panel asks for has to wait.") from None
        except (KeyError, TypeError, ValueError) as error:
            raise LineLost(f"The panel said something odd ({message.get('type')}: {error}).") from None

    def _on_welcome(self, message: Message) -> None:
        offset = self._clock.set_by(str(message.get("time")), time.time())
        if offset:
            say(f"This machine's clock is {-offset:+,.0f} seconds off the panel's.")
        self.welcome = True
        self._beat_at = 0.0
        self._told_welcome(str(message.get("name") or ""))

    def _on_run(self, message: Message) -> None:
        held = self._desk.take({name: value for name, value in message.items() if name not in ("type", "again")})
        if held is not None:
            self._delivery.add(held)

    def _on_stop(self, message: Message) -> None:
        self._delivery.add(self._desk.stop(int(message["run"]), str(message.get("by") or "")))

    def _on_ack(self, message: Message) -> None:
        self._delivery.stored(int(message["run"]), int(message["events"]))

    def _on_forget(self, message: Message) -> None:
        number = int(message["run"])
        self._delivery.drop(number)
        self._desk.drop(number)

    def _check(self) -> None:
        if self._line.broken.is_set():
            raise self._line.error or LineLost("The line broke.")
        silent = time.monotonic() - self._heard_at
        if not self.welcome and silent > WELCOME_TIME:
            kind = NoWebSocket if self._line.transport == "websocket" else LineLost
            raise kind("The panel did not answer the hello.")
        if silent > DEAD_TIME:
            raise LineLost(f"Nothing was heard of the panel for {DEAD_TIME:g} seconds.")

    def _tell(self) -> None:
        if not self.welcome:
            self._beat_at = max(self._beat_at, time.monotonic() + 0.5)
            return
        messages = self._delivery.due()
        open_runs = self._desk.open()
        if time.monotonic() >= self._beat_at:
            messages.append({"type": "beat", "runs": open_runs})
            self._beat_at = time.monotonic() + (BUSY_BEAT if open_runs else IDLE_BEAT)
        elif open_runs:
            self._beat_at = min(self._beat_at, time.monotonic() + BUSY_BEAT)
        if messages:
            self._line.send(messages)
