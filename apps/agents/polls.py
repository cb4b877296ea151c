"""Long polling, `POST /agent/poll`, for networks that let no WebSocket through.

Answered on the event loop, past Django's handling of requests: there, each agent that waits would hold a thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseError

from apps.agents import protocol
from apps.agents.door import address_of, bearer, clerk, heed
from apps.agents.errors import BadMessage
from apps.agents.hub import hub
from apps.agents.line import PollLine

if TYPE_CHECKING:
    from apps.agents.door import Application, Receive, Scope, Send

logger = logging.getLogger(__name__)
PATH = "/agent/poll"
BODY_LIMIT = 1024 * 1024  # bytes
READ_TIMEOUT = 30.0  # seconds for a body to arrive
WAIT_MOST = 25.0  # seconds: proxies give up at thirty
SESSION = re.compile(r"[A-Za-z0-9_-]{8,40}\Z")


class _Answer(Exception):
    """What to answer other than messages."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _GoneAway(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class _Poll:
    session: str
    messages: list[protocol.Hello | protocol.Events | protocol.Beat]
    wait: float


class AgentPolls:
    """ASGI: answers polls, and hands everything else to `application`."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lines: dict[str, PollLine] = {}  # by what the agent calls its session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._application(scope, receive, send)
            return
        try:
            messages = await self._answered(scope, receive)
        except _GoneAway:
            return
        except _Answer as answer:
            await _write(send, answer.status, {"error": str(answer)})
        except BadMessage as error:
            await _write(send, 400, {"error": f"Not understood: {error}."})
        except DatabaseError:
            await _write(send, 503, {"error": "The panel's database is away. Try again."})
        except Exception:
            logger.exception("A poll failed.")
            await _write(send, 500, {"error": "The panel failed; its log says why. Try again."})
        else:
            await _write(send, 200, '{"messages":[' + ",".join(messages) + "]}")

    async def _answered(self, scope: Scope, receive: Receive) -> list[str]:
        poll = _poll(await _body(receive))
        digest = bearer(scope)
        messages = list(poll.messages)
        if messages and isinstance(messages[0], protocol.Hello):
            line = await self._arrived(poll.session, digest, address_of(scope), messages.pop(0))
        else:
            line = self._known(poll.session, digest)
        for message in messages:
            _check_open(line)
            line.deliver(await heed(line, message))
        return await self._taken(line, poll.wait, receive)

    async def _arrived(self, name: str, digest: str, address: str, hello: Any) -> PollLine:
        try:
            arrival, session, number = await clerk.arrive(
                key_digest=digest, transport=PollLine.transport, address=address, hello=hello
            )
        except LookupError:
            raise _Answer(401, "No agent has this key.") from None
        line = PollLine(number=number, session=session, key_digest=digest, arrival=arrival)
        line.deliver(arrival.messages)
        self._forget_old()
        self._lines[name] = line
        hub.join(line)
        return line

    def _known(self, name: str, digest: str) -> PollLine:
        line = self._lines.get(name)
        if line is None or line.key_digest != digest:
            raise _Answer(409, "This session is not known here: begin a new one with hello.")
        line.hear()
        return line

    async def _taken(self, line: PollLine, wait: float, receive: Receive) -> list[str]:
        """What the agent is to be told; while it waits, whether it is still there."""
        taking = asyncio.ensure_future(line.take(wait))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({taking, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                # What comes from now on would be lost with its answer: the agent begins a new session.
                hub.leave(line)
                clerk.depart(line.session)
                line.shut(protocol.TRY_AGAIN)
                raise _GoneAway
            messages = taking.result()
        finally:
            taking.cancel()
            gone.cancel()
        line.hear()
        _check_open(line)
        return messages

    def _forget_old(self) -> None:
        alive = set(hub.lines())
        self._lines = {name: line for name, line in self._lines.items() if line in alive and not line.code}


def _check_open(line: PollLine) -> None:
    """Raises _Answer on a line that is over: nothing that comes on it counts any more."""
    if line.code == protocol.UNKNOWN_KEY:
        raise _Answer(401, "This key was revoked.")
    if line.code:
        raise _Answer(409, "Another connection of this agent is newer, or this one was given up.")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _GoneAway
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > BODY_LIMIT:
                    raise _Answer(413, f"A poll is longer than {BODY_LIMIT} bytes.")
                more = message.get("more_body", False)
    except TimeoutError:
        raise _Answer(408, "The body did not arrive.") from None
    return b"".join(parts)


def _poll(body: bytes) -> _Poll:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise BadMessage("the body is not JSON") from None
    messages = data.get("messages", []) if isinstance(data, dict) else None
    if not isinstance(messages, list):
        raise BadMessage("the body is no object with messages")
    session, wait = data.get("session"), data.get("wait", 0)
    if not isinstance(session, str) or not SESSION.match(session):
        raise BadMessage("session is not 8 to 40 of letters, digits, _ and -")
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= 3600:
        raise BadMessage("wait is no number of seconds")
    return _Poll(session, [protocol.understood(one) for one in messages], min(wait, WAIT_MOST))


async def _write(send: Send, status: int, data: dict[str, str] | str) -> None:
    body = (data if isinstance(data, str) else json.dumps(data)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
