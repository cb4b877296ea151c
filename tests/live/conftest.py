"""Rows written directly, as the runner's log writer leaves them, and a tailer that ends with its test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from apps.access.models import Subject
from apps.runs import live
from apps.runs.bell import ring_viewers
from apps.runs.models import LogChunk, Run, Step


class Log:
    """Stands in for the runner: each call is one transaction, as the writer's batches are."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.seq = 0
        self.lines = 0

    def write(self, *lines: str, host: str = "", stream: str = "out") -> int:
        text = "".join(f"{line}\n" for line in lines)
        with transaction.atomic():
            LogChunk.objects.create(
                run=self.run,
                seq=self.seq + 1,
                host=host,
                stream=stream,
                at=timezone.now(),
                first_line=self.lines + 1,
                text=text,
            )
            Run.objects.filter(pk=self.run.pk).update(
                last_seq=self.seq + 1, log_lines=self.lines + len(lines), log_bytes=F("log_bytes") + len(text)
            )
            ring_viewers(self.run.pk)
        self.seq += 1
        self.lines += len(lines)
        return self.seq

    def many(self, chunks: int, lines: int = 100, host: str = "", text: str = "line {number}") -> None:
        """A long past in one go."""
        rows = []
        for _ in range(chunks):
            self.seq += 1
            body = "".join(text.format(number=self.lines + number) + "\n" for number in range(1, lines + 1))
            rows.append(
                LogChunk(
                    run=self.run,
                    seq=self.seq,
                    host=host,
                    stream="out",
                    at=timezone.now(),
                    first_line=self.lines + 1,
                    text=body,
                )
            )
            self.lines += lines
        LogChunk.objects.bulk_create(rows, batch_size=200)
        Run.objects.filter(pk=self.run.pk).update(last_seq=self.seq, log_lines=self.lines)

    def state(self, state: str, **values: Any) -> None:
        with transaction.atomic():
            Run.objects.filter(pk=self.run.pk).update(state=state, **values)
            ring_viewers(self.run.pk)

    def step(self, host: str, stage: str, state: str, **values: Any) -> None:
        with transaction.atomic():
            Step.objects.update_or_create(
                run=self.run, host=host, stage=stage, defaults={"position": 0, "state": state, **values}
            )
            Run.objects.filter(pk=self.run.pk).update(steps_version=F("steps_version") + 1)
            ring_viewers(self.run.pk)


@pytest.fixture
def subject(transactional_db: None) -> Subject:
    return Subject.objects.create(kind="environment", path="shop/prod")


@pytest.fixture
def make_run(subject: Subject) -> Callable[..., Run]:
    def make(**values: Any) -> Run:
        given = {
            "kind": "deploy",
            "subject": subject,
            "subject_path": subject.path,
            "state": "running",
            "started_at": timezone.now(),
            "cause": "person",
            "requested_name": "ann",
            "time_limit": 3600,
            "silence_limit": 900,
            "exclusive": False,
        }
        return Run.objects.create(**(given | values))

    return make


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    return make_run()


@pytest.fixture
def log(run: Run) -> Log:
    return Log(run)


@pytest.fixture
def tailer(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[live.Tailer]:
    """A tailer of the test's own, in the consumers too. No thread and no connection of it stays."""
    own = live.Tailer()
    from apps.runs import consumers

    monkeypatch.setattr(consumers, "tailer", own)
    yield own
    own.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "run-tailer"]


@pytest.fixture
def in_thread(transactional_db: None) -> Callable[..., Any]:
    """Runs a function in a thread of its own with a connection of its own: another process, to the tailer."""
    from concurrent.futures import ThreadPoolExecutor

    def call(function: Callable[..., Any], *args: Any, **values: Any) -> Any:
        def work() -> Any:
            try:
                return function(*args, **values)
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result()

    return call
