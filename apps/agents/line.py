"""One agent's line, as the web process that holds it has it in memory."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from apps.agents.hand_over import Told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

    from apps.agents.services.arrive import Arrival

OUTBOX_LIMIT = 4 * 1024 * 1024  # characters that wait for an agent that does not read


class Line:
    """Belongs to its event loop; what is marked so belongs to the hub's thread. `number`: of two, the newer is higher.

    How messages travel is the subclasses' business.
    """

    transport = ""
    patience = 75.0  # seconds without a word after which the other end is gone

    def __init__(self, *, number: int, session: str, key_digest: str, arrival: Arrival) -> None:
        self.number, self.session, self.key_digest = number, session, key_digest
        self.agent, self.name = arrival.agent, arrival.name
        self.loop = asyncio.get_running_loop()
        self.lingering: dict[int, Hashable] = dict(arrival.lingering)
        self.told = Told()  # the hub's
        self.heard = time.monotonic()
        self.code = 0  # why it was closed

    def hear(self) -> None:
        self.heard = time.monotonic()

    def deliver(self, messages: Sequence[str]) -> None:
        """On the loop: send these, in order, after those before. Never waits."""
        raise NotImplementedError

    def shut(self, code: int) -> None:
        """On the loop: close it, with a reason."""
        raise NotImplementedError


class SocketLine(Line):
    """A WebSocket. A task exists only while something is to be sent: a thousand lines are idle most of the time."""

    transport = "websocket"

    def __init__(
        self,
        *,
        number: int,
        session: str,
        key_digest: str,
        arrival: Arrival,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
    ) -> None:
        super().__init__(number=number, session=session, key_digest=key_digest, arrival=arrival)
        self._send, self._close = send, close
        self._outbox: list[str] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    def deliver(self, messages: Sequence[str]) -> None:
        if self.code:
            return
        self._outbox.extend(messages)
        self._size += sum(map(len, messages))
        if self._size > OUTBOX_LIMIT:
            self.shut(1013)
        elif self._task is None:
            self._task = self.loop.create_task(self._flush())

    def shut(self, code: int) -> None:
        if not self.code:
            self.code = code
            self._outbox.clear()
            if self._task is None:
                self._task = self.loop.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._outbox and not self.code:
                messages, self._outbox, self._size = self._outbox, [], 0
                for message in messages:
                    await self._send(message)
            if self.code:
                await self._close(self.code)
        except (OSError, RuntimeError):  # it is closed already: whoever reads from it is told
            pass
        finally:
            self._task = None


class PollLine(Line):
    """Long polling: what is to be said waits for the next request, or for the one that waits now."""

    transport = "poll"

    def __init__(self, *, number: int, session: str, key_digest: str, arrival: Arrival) -> None:
        super().__init__(number=number, session=session, key_digest=key_digest, arrival=arrival)
        self._outbox: list[str] = []
        self._ready = asyncio.Event()
        self._turn = 0  # of the newest request

    def deliver(self, messages: Sequence[str]) -> None:
        self._outbox.extend(messages)
        if sum(map(len, self._outbox)) > OUTBOX_LIMIT:
            self.shut(1013)
        self._ready.set()

    def shut(self, code: int) -> None:
        self.code = self.code or code
        self._outbox.clear()
        self._ready.set()

    async def take(self, wait: float) -> list[str]:
        """What there is, as soon as there is something; nothing after `wait` seconds, or when a newer request came."""
        self._turn += 1
        turn = self._turn
        self._ready.set()  # the request before this one goes
        await asyncio.sleep(0)
        if not self._outbox and not self.code:
            self._ready.clear()
            try:
                await asyncio.wait_for(self._ready.wait(), wait)
            except TimeoutError:
                return []
        if turn != self._turn:
            return []
        taken, self._outbox = self._outbox, []
        return taken
