"""The WebSocket of an agent, `/agent/socket`. It is plain ASGI: an agent has no session, no cookie and no groups,
and a thousand of them sit here idle.

Closes with 4401 (key unknown or revoked), 4409 (a newer line of the same agent), 4400 (not understood) or
1013 (the database is away, or nothing was heard for long: try again).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from django.db import Error as DatabaseError

from apps.agents import protocol
from apps.agents.door import address_of, bearer, clerk, heed
from apps.agents.errors import BadMessage
from apps.agents.hub import hub
from apps.agents.line import SocketLine

if TYPE_CHECKING:
    from apps.agents.door import Receive, Scope, Send

logger = logging.getLogger(__name__)
HELLO_WITHIN = 20.0  # seconds


class _Gone(Exception):
    """The other end has closed, or is to be closed with `code`."""

    def __init__(self, code: int = 0) -> None:
        super().__init__(code)
        self.code = code


async def agent_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI: one agent, from its handshake to its end."""
    await _Socket(scope, receive, send).serve()


class _Socket:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._asgi_send = scope, receive, send
        self._line: SocketLine | None = None

    async def serve(self) -> None:
        code = 0
        try:
            await self._receive()  # websocket.connect
            await self._asgi_send({"type": "websocket.accept"})  # a code can only be sent on an open line
            await self._begin()
            await self._go_on()
        except _Gone as gone:
            code = gone.code
        except BadMessage as error:
            logger.info("An agent is not understood: %s", error)
            code = protocol.BAD
        except DatabaseError:
            code = protocol.TRY_AGAIN
        except Exception:
            logger.exception("The line of an agent failed.")
            code = protocol.BROKEN
        finally:
            self._leave()
        if code:
            await self._close(code)

    async def _begin(self) -> None:
        try:
            async with asyncio.timeout(HELLO_WITHIN):
                hello = await self._message()
        except TimeoutError:
            raise BadMessage("no hello came") from None
        if not isinstance(hello, protocol.Hello):
            raise BadMessage("a line begins with hello")
        digest = bearer(self._scope)
        try:
            arrival, session, number = await clerk.arrive(
                key_digest=digest, transport=SocketLine.transport, address=address_of(self._scope), hello=hello
            )
        except LookupError:
            raise _Gone(protocol.UNKNOWN_KEY) from None
        self._line = SocketLine(
            number=number, session=session, key_digest=digest, arrival=arrival, send=self._send, close=self._close
        )
        self._line.deliver(arrival.messages)
        hub.join(self._line)

    async def _go_on(self) -> None:
        assert self._line is not None
        while True:
            message = await self._message()
            if self._line.code:
                return
            self._line.deliver(await heed(self._line, message))

    async def _message(self) -> protocol.Hello | protocol.Events | protocol.Beat:
        event = await self._receive()
        if event["type"] != "websocket.receive":
            raise _Gone
        text = event.get("text")
        if text is None:
            raise BadMessage("a message is not text")
        return protocol.read(text)

    async def _send(self, text: str) -> None:
        await self._asgi_send({"type": "websocket.send", "text": text})

    async def _close(self, code: int) -> None:
        try:
            await self._asgi_send({"type": "websocket.close", "code": code})
        except (OSError, RuntimeError):  # it was closed from the other end meanwhile
            return

    def _leave(self) -> None:
        if self._line is not None:
            self._line.code = self._line.code or protocol.TRY_AGAIN
            hub.leave(self._line)
            clerk.depart(self._line.session)
