"""Viewers who catch up with a busy run: what was just sent to others serves them too, without gap or repeat."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from apps.runs import live
from apps.runs.consumers import RunConsumer
from apps.runs.live import Event, Tailer
from apps.runs.live import _Followed as Followed
from apps.runs.live import _log_event as log_event
from apps.runs.transcript import Chunk, ChunkReader


def chunk(seq: int, text: str = "line\n") -> Chunk:
    return Chunk(seq=seq, host="", stream="out", at=timezone.now(), first_line=seq, text=text)


def batch(first: int, last: int, text: str = "line\n") -> Event:
    return log_event([chunk(seq, text) for seq in range(first, last + 1)])


def followed(tailer: Tailer, *events: Event) -> None:
    tailer._runs[7] = Followed(ChunkReader(7))
    tailer._keep(tailer._runs[7], list(events))


class Viewer(RunConsumer):
    """A consumer whose line is a list."""

    def __init__(self, sent: int) -> None:
        self.sent, self.checked, self.told = sent, float("inf"), list[dict[str, Any]]()

    async def _tell(self, text: str) -> None:
        self.told.append(json.loads(text))

    def seqs(self) -> list[int]:
        return [one["seq"] for message in self.told for one in message["chunks"]]


async def test_a_replay_that_ended_inside_a_batch_goes_on_with_the_rest_of_it() -> None:
    viewer = Viewer(sent=2)
    assert await viewer._pass_on(batch(1, 4))
    assert await viewer._pass_on(batch(5, 6))
    assert (viewer.seqs(), viewer.sent) == ([3, 4, 5, 6], 6)


async def test_a_gap_asks_for_a_replay_and_old_news_for_nothing() -> None:
    viewer = Viewer(sent=2)
    assert not await viewer._pass_on(batch(4, 5))
    assert await viewer._pass_on(batch(1, 2))
    assert viewer.told == []


def test_recent_events_are_handed_out_from_where_a_viewer_stands() -> None:
    tailer = Tailer()
    followed(tailer, batch(3, 5), batch(6, 6), batch(7, 9))
    assert tailer.recent(7, after=1) is None, "only the database has chunk 2"
    assert [(one.first, one.last) for one in tailer.recent(7, after=2) or ()] == [(3, 5), (6, 6), (7, 9)]
    assert [(one.first, one.last) for one in tailer.recent(7, after=5) or ()] == [(6, 6), (7, 9)]
    assert tailer.recent(7, after=9) == []
    assert tailer.recent(8, after=0) is None


def test_recent_events_are_bounded() -> None:
    tailer = Tailer()
    each = live.RECENT_LIMIT // 10
    followed(tailer, *(batch(seq, seq, "x" * each) for seq in range(1, 31)))
    kept = tailer._runs[7].recent
    assert kept[-1].last == 30
    assert sum(len(event.text) for event in kept) <= live.RECENT_LIMIT
