"""What agents say, read: whatever comes, it is a message or BadMessage."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents import protocol
from apps.agents.book import RunBook
from apps.agents.errors import BadMessage
from apps.agents.hand_over import Open, Told, plan
from apps.agents.models import Agent, Order
from apps.runs.models import Run
from tests.agents.client import ended, event, log

NOW = timezone.now()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=10), part, max_size=4),
    max_leaves=12,
)
NAMES = ("protocol", "runs", "events", "run", "first", "version", "kind", "state", "text", "stage", "exit", "at")
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["hello", "events", "beat"]) | JSON}, optional=dict.fromkeys(NAMES, JSON)
)


@given(MESSAGES | JSON)
@settings(max_examples=150, deadline=None)
def test_anything_is_a_message_or_bad(data: Any) -> None:
    with suppress(BadMessage):
        protocol.read(json.dumps(data))


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON) | {
    "kind": st.sampled_from(["started", "log", "step", "ended"]), "state": st.sampled_from(["running", "failed"]),
    "stream": st.sampled_from(["out", "err", "note"]) | JSON, "message": JSON, "position": JSON,
}), min_size=1, max_size=5))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_events_become_rows_or_bad(events: list[Any]) -> None:
    try:
        message = protocol.understood({"type": "events", "run": 1, "first": 1, "events": events})
    except BadMessage:
        return
    assert isinstance(message, protocol.Events)
    book = book_make()
    book.take(message)
    assert book.order.events == len(events)
    assert "".join(chunk.text for chunk in book.chunks).count("\n") == book.run.log_lines
    assert all(chunk.text.endswith("\n") and "\0" not in chunk.text for chunk in book.chunks)


def book_make(limit: int = 1_000_000, **values: Any) -> RunBook:
    run = Run(pk=1, state="running", started_at=NOW - timedelta(minutes=1), requested_name="ann", **values)
    return RunBook(run, Order(run=run, agent=Agent(name="box"), name="web", number=7, fired_at=NOW, max_age=9), limit)


def told(*events: dict[str, Any], first: int = 1) -> protocol.Events:
    message = protocol.understood({"type": "events", "run": 1, "first": first, "events": list(events)})
    assert isinstance(message, protocol.Events)
    return message


def test_the_log_is_cut_at_its_limit_and_notes_are_kept() -> None:
    book = book_make(limit=20)
    book.take(told(log("12345678\n12345678\n12345678\n"), log("more\n"), ended()))
    texts = [chunk.text for chunk in book.chunks]
    assert texts[0] == "12345678\n12345678\n"
    assert "limit of 20 bytes" in texts[1]
    assert "succeeded after" in texts[-1]
    assert book.run.log_cut
    assert [chunk.seq for chunk in book.chunks] == list(range(1, len(texts) + 1))


def test_an_agents_clock_may_be_wrong() -> None:
    book = book_make()
    early = {**event("step", stage="1 shell", state="running"), "at": "1999-01-01T00:00:00+00:00"}
    late = {**event("step", stage="1 shell", state="succeeded"), "at": "2199-01-01T00:00:00+00:00"}
    book.take(told(early, late, {**log("x\n"), "at": "nonsense"}))
    step = book.steps["1 shell"]
    assert step.started_at == book.run.started_at
    assert step.ended_at is not None
    assert step.ended_at <= timezone.now()


def test_what_still_runs_at_the_end_has_ended_with_it() -> None:
    book = book_make()
    book.take(told(event("step", stage="1 shell", state="running"), ended("stopped"), log("too late\n")))
    assert book.steps["1 shell"].state == "stopped"
    assert "too late" not in "".join(chunk.text for chunk in book.chunks)


def test_an_agent_cannot_fill_the_database_with_steps() -> None:
    book = book_make()
    for first in (1, 1001):
        steps = [event("step", stage=f"{number} shell", state="running") for number in range(first, first + 1000)]
        book.take(told(*steps, first=first))
    assert (len(book.steps), len(book.changed), book.order.events) == (500, 500, 2000)
    book.take(told(event("step", stage="7 shell", state="succeeded"), first=2001))
    assert book.steps["7 shell"].state == "succeeded"


def test_a_gap_is_not_stored() -> None:
    book = book_make()
    book.take(told(log("2\n"), first=2))
    assert (book.order.events, book.chunks) == (0, [])


@pytest.mark.parametrize("text", ["no end", "a\r\nb\rc\n", "\0\n", "\ud800\n", "x" * 200_000])
def test_every_text_becomes_whole_storable_lines(text: str) -> None:
    book = book_make()
    book.take(told(log(text)))
    for chunk in book.chunks:
        chunk.text.encode()
        assert chunk.text.endswith("\n")
        assert max(map(len, chunk.text.split("\n"))) <= 64 * 1024


def opened(run: int, state: str = "queued", subject: int | None = 1, **values: Any) -> Open:
    given = {"agent": 1, "name": "web", "fired_at": NOW, "max_age": 60, "stop_by": "ann"} | values
    return Open(run=run, subject=subject, state=state, **given)


OLD = NOW - timedelta(seconds=61)


@pytest.mark.parametrize(
    ("orders", "told_before", "busy", "expected"),
    [
        ([], Told(), set(), ([], [], [], [])),
        ([opened(1), opened(2)], Told(), set(), ([1], [], [], [])),
        ([opened(1), opened(2, subject=2)], Told(), set(), ([1, 2], [], [], [])),
        ([opened(1, subject=None), opened(2, subject=None)], Told(), set(), ([1], [], [], [])),
        ([opened(1, "running"), opened(2)], Told({1}), set(), ([], [], [], [])),
        ([opened(1, "running"), opened(2)], Told(), set(), ([], [1], [], [])),
        ([opened(1), opened(2, "running")], Told({2}), set(), ([], [], [], [])),  # a later id that was seen first
        ([opened(1, "stopping")], Told({1}), set(), ([], [], [1], [])),
        ([opened(1, "stopping")], Told({1}, {1}), set(), ([], [], [], [])),
        ([opened(1)], Told(), {1}, ([], [], [], [])),
        ([opened(1, fired_at=OLD), opened(2)], Told(), set(), ([2], [], [], [1])),
        ([opened(1, fired_at=OLD), opened(2, "running")], Told({2}), set(), ([], [], [], [1])),
        ([opened(1, enabled=False), opened(2, "stopping", enabled=False)], Told(), set(), ([], [], [2], [])),
    ],
)
def test_what_is_handed_over(orders: list[Open], told_before: Told, busy: set[int], expected: tuple[Any, ...]) -> None:
    found = plan(orders, told_before, busy, NOW)
    assert (found.begin, found.again, [run for run, _ in found.stop], found.expire) == expected
