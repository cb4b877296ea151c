"""Rows written directly, as the runner's log writer leaves them."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from apps.runs.bell import ring_viewers
from apps.runs.models import LogChunk, Run, Step


async def in_database(function: Any, *args: Any, **values: Any) -> Any:
    """Call it in another thread, which leaves no connection behind."""

    def work() -> Any:
        try:
            return function(*args, **values)
        finally:
            connection.close()

    return await sync_to_async(work, thread_sensitive=False)()


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
                run=self.run, host=host, stage=stage, defaults={"position": 0, "state": state} | values
            )
            Run.objects.filter(pk=self.run.pk).update(steps_version=F("steps_version") + 1)
            ring_viewers(self.run.pk)
