"""The words that agents and the panel exchange: JSON objects, one to a message (docs/agents.md).

What comes from outside is read into the classes below; whatever is not the protocol raises BadMessage. Texts are made
storable and cut here, so that nothing behind this module can stumble over what an agent says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.agents.errors import BadMessage
from apps.runs.lines import storable
from apps.runs.models import Stream
from apps.runs.states import RunState, StepState

if TYPE_CHECKING:
    from datetime import datetime

PROTOCOL = 1
MESSAGE_LIMIT = 256 * 1024  # bytes
EVENTS_LIMIT = 1000  # in one message
RUNS_LIMIT = 2000  # of which one agent tells
NUMBER_LIMIT = 2**31 - 1  # as databases hold them
ENDS = {str(state): state for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED, RunState.TIMED_OUT)}
STEP_STATES = {str(state): state for state in StepState}
STREAMS = {str(stream): stream for stream in Stream}

# Close codes
BAD, UNKNOWN_KEY, NEWER_LINE, TRY_AGAIN, BROKEN = 4400, 4401, 4409, 1013, 1011


@dataclass(frozen=True, slots=True)
class Held:
    """What an agent has of a run on its disk."""

    events: int
    ended: bool
    fired_at: str = ""  # as the panel told it: a panel that was restored may have given the number to another run


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a line."""

    version: str
    system: str
    hostname: str
    runs: dict[int, Held]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a run. Of an unknown kind it is counted, and says nothing."""

    kind: str
    at: datetime
    stream: Stream = Stream.OUT
    text: str = ""  # of a log: whole lines; of an end: its summary; of a step: its message
    position: int = 0
    stage: str = ""
    step: StepState = StepState.RUNNING
    end: RunState = RunState.FAILED
    exit_status: int | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """Some events of a run, the first of which has the number `first`."""

    run: int
    first: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life, naming every run that the agent holds and that has not ended."""

    runs: tuple[int, ...]


def read(text: str) -> Hello | Events | Beat:
    """One message of an agent's. Raises BadMessage."""
    if len(text) > MESSAGE_LIMIT:
        raise BadMessage(f"a message is longer than {MESSAGE_LIMIT} bytes")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("a message is not JSON") from None
    return understood(data)


def understood(data: Any) -> Hello | Events | Beat:
    """The same of what was JSON already. Raises BadMessage."""
    kind = data.get("type") if isinstance(data, dict) else None
    if kind == "hello":
        return _hello(data)
    if kind == "events":
        return _events(data)
    if kind == "beat":
        return _beat(data)
    raise BadMessage("a message's type is none of hello, events, beat")


def line(kind: str, **values: Any) -> str:
    """A message to an agent."""
    return json.dumps({"type": kind, **values}, separators=(",", ":"), ensure_ascii=False)


def welcome(name: str) -> str:
    return line("welcome", name=name, time=timezone.now().isoformat())


BEAT = line("beat")


def _hello(data: dict[str, Any]) -> Hello:
    if data.get("protocol") != PROTOCOL:
        raise BadMessage(f"the protocol is not {PROTOCOL}: this panel speaks no other")
    runs = data.get("runs") or {}
    if not isinstance(runs, dict) or len(runs) > RUNS_LIMIT:
        raise BadMessage(f"hello's runs are not an object of at most {RUNS_LIMIT}")
    return Hello(
        version=_text(data.get("version"), 40),
        system=_text(data.get("system"), 200),
        hostname=_text(data.get("hostname"), 120),
        runs={_number(run, "hello's runs"): _held(held) for run, held in runs.items()},
    )


def _held(data: Any) -> Held:
    if not isinstance(data, dict):
        raise BadMessage("a run of hello's is no object")
    return Held(
        events=_number(data.get("events", 0), "a run's events"),
        ended=bool(data.get("ended")),
        fired_at=_text(data.get("fired_at"), 40),
    )


def _events(data: dict[str, Any]) -> Events:
    events, first = data.get("events"), _number(data.get("first"), "first")
    if not isinstance(events, list) or not 0 < len(events) <= EVENTS_LIMIT:
        raise BadMessage(f"events is not a list of 1 to {EVENTS_LIMIT}")
    if first < 1:
        raise BadMessage("first counts from 1")
    return Events(run=_number(data.get("run"), "run"), first=first, events=tuple(map(_event, events)))


def _beat(data: dict[str, Any]) -> Beat:
    runs = data.get("runs") or []
    if not isinstance(runs, list) or len(runs) > RUNS_LIMIT:
        raise BadMessage(f"a beat's runs are not a list of at most {RUNS_LIMIT}")
    return Beat(tuple(_number(run, "a beat's runs") for run in runs))


def _event(data: Any) -> Event:
    if not isinstance(data, dict):
        raise BadMessage("an event is no object")
    kind, at = data.get("kind"), _moment(data.get("at"))
    if kind == "log":
        stream = STREAMS.get(str(data.get("stream")), Stream.OUT)
        return Event("log", at, stream=stream, text=_text(data.get("text"), MESSAGE_LIMIT))
    if kind == "step":
        return _step(data, at)
    if kind == "ended":
        end = ENDS.get(str(data.get("state")))
        if end is None:
            raise BadMessage("a run ends as none of " + ", ".join(ENDS))
        return Event("ended", at, end=end, text=_text(data.get("summary"), 500))
    return Event("started" if kind == "started" else "", at)


def _step(data: dict[str, Any], at: datetime) -> Event:
    state = STEP_STATES.get(str(data.get("state")))
    if state is None:
        raise BadMessage("a step is none of " + ", ".join(STEP_STATES))
    status, position = data.get("exit"), data.get("position", 0)
    return Event(
        "step",
        at,
        position=min(_number(position, "a step's position"), 32767),
        stage=_text(data.get("stage"), 30) or f"{position}",
        step=state,
        exit_status=max(-(2**31), min(status, NUMBER_LIMIT)) if isinstance(status, int) else None,
        text=_text(data.get("message"), 500),
    )


def _moment(value: Any) -> datetime:
    try:
        at = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    return at if at is not None and at.tzinfo is not None else timezone.now()


def _number(value: Any, what: str) -> int:
    """A count of things, given as a number or, as a key of an object, in digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NUMBER_LIMIT:
        raise BadMessage(f"{what}: a whole number from 0 to {NUMBER_LIMIT} is needed")
    return value


def _text(value: Any, limit: int) -> str:
    return storable(value)[:limit] if isinstance(value, str) else ""
