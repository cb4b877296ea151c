"""What a node's answer means: done, or which error with which remedy, and whether asking again can help. No I/O."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from apps.sesam.errors import (
    AnswerLost,
    ConfigurationRefused,
    NodeBusy,
    NodeError,
    NodeFault,
    NodeForbidden,
    NodeRefused,
    NodeUnauthorized,
    NodeUnreachable,
)
from apps.sesam.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_ERRORS = 200  # of a refused configuration that are told
LONGEST_QUOTE = 300  # characters of a node's own words in a sentence of ours
READ_BACK = "Nothing is certain but what the node itself says now: it is read back."


@dataclass(frozen=True, kw_only=True)
class Call:
    """One thing asked of a node. `what` continues “while”: “sending variables”."""

    method: str
    path: str
    what: str
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    changes: bool = False  # a write: done twice is not done once
    secret: bool = False  # the node's words could repeat what was sent: they are not quoted
    expected: tuple[int, ...] = (200, 201, 202, 204)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def is_html(self) -> bool:
        return "html" in self.headers.get("content-type", "") or self.body[:64].lstrip()[:1] == b"<"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt failed, and whether another may be made; `asked` is what `Retry-After` said."""

    error: NodeError
    again: bool = False
    asked: str = ""


def failure_of(call: Call, answer: Answer, address: str) -> Failure | None:
    """None when the answer is the one that was hoped for."""
    status = answer.status
    if status in call.expected and not (answer.is_html and status != 304):
        return None
    if status == 429:
        error: NodeError = NodeBusy(
            f"{address} is too busy (429) while {call.what}.", "Try again later, or make the interval longer."
        )
        return Failure(error=error, again=True, asked=answer.headers.get("retry-after", ""))
    if status >= 500 or status == 408 or status in call.expected:
        return _fault(call, answer, address)
    return Failure(error=_refusal(call, answer, address))


def _fault(call: Call, answer: Answer, address: str) -> Failure:
    """The node's or a proxy's own failure. Whether a write was carried out before it, nobody can tell."""
    how = f"{address} answered {answer.status}{_said(call, answer)} while {call.what}."
    if call.changes:
        return Failure(error=AnswerLost(f"{how} Whether it was done is not known.", READ_BACK))
    remedy = "Look at the node, and at the proxy before it." if answer.is_html else "Look at the node's own log."
    return Failure(error=NodeFault(how, remedy), again=True, asked=answer.headers.get("retry-after", ""))


def _refusal(call: Call, answer: Answer, address: str) -> NodeError:
    status = answer.status
    if status == 401:
        return NodeUnauthorized(
            f"{address} does not accept the token (401) while {call.what}.",
            "The token is wrong or has expired: enter a new JWT.",
        )
    if status == 403:
        remedy = "It may only read: enter a JWT that may change the node." if call.changes else "Enter another JWT."
        return NodeForbidden(f"The token is not allowed to do this at {address} (403): {call.what}.", remedy)
    if 300 <= status < 400:
        where = _host(answer.headers.get("location", "")) or "another address"
        return NodeRefused(
            f"{address} sends on to {where} ({status}), which is not followed.", "Correct the node's URL."
        )
    if status == 400 and "/config" in call.path and (errors := validation_errors(answer.body)):
        return ConfigurationRefused(
            f"{address} refused the configuration: {errors[0][0] or 'an entity'}: {errors[0][2]}"
            + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""),
            errors,
        )
    remedy = "Is the URL the node's API? It ends in /api." if status in {404, 405} else "See what the node said."
    return NodeRefused(f"{address} refused (status {status}{_said(call, answer)}) while {call.what}.", remedy)


def validation_errors(body: bytes) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """(entity id, level, message, elements) as the node said it, in bounds; empty where nothing had that shape."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return []
    found = []
    for one in _dicts(said.get("validation_errors") if isinstance(said, dict) else None):
        posted = one.get("posted-config")
        name = _short(posted.get("_id") or "") if isinstance(posted, dict) else ""
        for error in _dicts(one.get("config-errors")):
            elements = error.get("elements")
            named = tuple(map(_short, elements[:20])) if isinstance(elements, list) else ()
            told = _short(error.get("level") or "error", 40), _short(error.get("msg") or "no reason given", 1000)
            found.append((name, *told, named))
            if len(found) >= MOST_ERRORS:
                return found
    return found


def _short(value: Any, most: int = LONGEST_QUOTE) -> str:
    text = shown(value[: most + 1]) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "")[:LONGEST_QUOTE]
    except ValueError:
        return ""


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _said(call: Call, answer: Answer) -> str:
    """The node's own words, short and on one line, where they are words."""
    if answer.is_html:
        return " with an HTML page, as proxies do"
    if call.secret or not answer.body:
        return ""
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = answer.body.decode("utf-8", "replace")
    if isinstance(said, dict):
        said = said.get("detail") or said.get("message") or said.get("msg") or said
    text = re.sub(r"[\x00-\x1f\x7f\s]+", " ", said if isinstance(said, str) else json.dumps(said)).strip()
    return f": “{_short(text)}”" if text else ""


def broken_off(call: Call, address: str, why: str, *, sent: bool, began: bool) -> Failure:
    """The connection failed. `sent`: something may have reached the node; `began`: an answer had begun to come."""
    if not sent:
        remedy = "Check the node's address, and that it runs and can be reached from here."
        return Failure(error=NodeUnreachable(f"{address} cannot be reached: {why}.", remedy), again=True)
    if call.changes:
        text = f"The answer of {address} was lost while {call.what}: {why}. Whether it was done is not known."
        return Failure(error=AnswerLost(text, READ_BACK))
    if began:
        error: NodeError = NodeFault(f"{address} sent half an answer while {call.what}: {why}.", "Look at the node.")
    else:
        error = NodeUnreachable(f"{address} did not answer while {call.what}: {why}.", "Look at the node.")
    return Failure(error=error, again=True)


def untrusted(address: str, why: str) -> Failure:
    """TLS failed: there was no connection, and trying again changes nothing."""
    remedy = "Enter the CA bundle that signed the node's certificate, or correct the node's URL."
    return Failure(error=NodeUnreachable(f"{address} cannot be trusted: {why}.", remedy))
