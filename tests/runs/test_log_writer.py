"""What a run writes, as it is stored: in order, whole, numbered, hidden, limited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import OperationalError, transaction

from apps.runs.log import CHUNK_SIZE, LogWriter
from apps.runs.models import LogChunk, Run, Step
from apps.runs.recorder import Recorder, note_append
from apps.runs.states import RunState
from tests.runs.conftest import Requester
from tests.support.runner import log_text, wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

Opener = Callable[..., Recorder]


@pytest.fixture
def open_log(request_run: Requester) -> Iterator[Opener]:
    opened: list[Recorder] = []

    def make(limit: int = 1 << 26, on_taken: Callable[[], None] = lambda: None) -> Recorder:
        run = request_run()
        Run.objects.filter(pk=run.pk).update(state=RunState.RUNNING, token="t", heartbeat_at=run.requested_at)
        run.refresh_from_db()
        recorder = Recorder(run, LogWriter(limit=limit), on_taken)
        recorder.run = run  # type: ignore[attr-defined]
        recorder.start()
        opened.append(recorder)
        return recorder

    yield make
    for recorder in opened:
        recorder.close(30)


def chunks_of(recorder: Recorder) -> list[LogChunk]:
    assert recorder.close(60)
    return list(LogChunk.objects.order_by("seq"))


def test_log_order_within_a_host_is_kept(open_log: Opener) -> None:
    recorder = open_log()
    log = recorder.log
    log.note("$ make")
    log.out(b"one\ntwo\n")
    log.err("oh\n")
    log.out("three\n")
    log.note("ended")
    chunks = chunks_of(recorder)
    assert [(chunk.stream, chunk.text) for chunk in chunks] == [
        ("note", "$ make\n"),
        ("out", "one\ntwo\n"),
        ("err", "oh\n"),
        ("out", "three\n"),
        ("note", "ended\n"),
    ]
    assert [chunk.seq for chunk in chunks] == [1, 2, 3, 4, 5]
    assert [chunk.first_line for chunk in chunks] == [1, 2, 4, 5, 6]
    run = Run.objects.get()
    assert (run.last_seq, run.log_lines) == (5, 6)
    assert run.log_bytes == sum(len(chunk.text) for chunk in chunks)


def test_log_lines_of_many_hosts_and_threads_are_all_there(open_log: Opener) -> None:
    recorder = open_log()

    def talk(host: str) -> None:
        for number in range(500):
            recorder.log.out(f"{host} says ", host)
            recorder.log.out(f"{number}\n", host)

    threads = [threading.Thread(target=talk, args=(f"web{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chunks = chunks_of(recorder)
    assert [chunk.seq for chunk in chunks] == list(range(1, len(chunks) + 1))
    line = 1
    for chunk in chunks:
        assert chunk.first_line == line
        assert chunk.text.endswith("\n")
        line += chunk.text.count("\n")
    run = Run.objects.get()
    for n in range(8):
        text = log_text(run, host=f"web{n}")
        assert text == "".join(f"web{n} says {number}\n" for number in range(500))


def test_log_is_stored_within_a_moment(open_log: Opener) -> None:
    recorder = open_log()
    took: list[float] = []
    for number in range(5):
        began = time.monotonic()
        recorder.log.out(f"line {number}\n")
        while LogChunk.objects.count() == number:
            time.sleep(0.005)
            assert time.monotonic() - began < 30
        took.append(time.monotonic() - began)
    assert min(took) < 1  # some 60 ms, whenever the machine does not stand still just then


def test_log_chunks_are_about_64_kib(open_log: Opener) -> None:
    recorder = open_log()
    for _ in range(20):
        recorder.log.out("x" * 99 + "\n" * 1 + ("y" * 99 + "\n") * 500)
    chunks = chunks_of(recorder)
    assert all(len(chunk.text) <= CHUNK_SIZE for chunk in chunks)
    assert sum(chunk.text.count("\n") for chunk in chunks) == 20 * 501


def test_log_secret_in_two_pieces_is_hidden(open_log: Opener) -> None:
    recorder = open_log()
    recorder.log.masks.add("hunter2hunter2")
    recorder.log.out(b"password: hunter2")
    time.sleep(0.15)
    recorder.log.out(b"hunter2 ok\n")
    recorder.log.err("hunter2")
    recorder.log.err("hunter2")
    recorder.log.note("with hunter2hunter2")
    chunks_of(recorder)
    text = log_text(Run.objects.get())
    assert "hunter2" not in text
    assert text.count("********") == 3


def test_log_takes_what_a_database_would_refuse(open_log: Opener) -> None:
    recorder = open_log()
    recorder.log.out(b"nul \0 and \xff\xfe and \xed\xa0\x80\n")
    recorder.log.note("note \0 \udc80")
    recorder.log.out("x", "h" * 200)
    chunks_of(recorder)
    text = log_text(Run.objects.get())
    assert "\0" not in text
    assert "nul  and \ufffd" in text


def test_log_cap_stops_storing_says_so_once_and_lets_the_work_go_on(open_log: Opener) -> None:
    recorder = open_log(limit=10_000)
    for number in range(1_000):
        recorder.log.out(f"line {number} {'x' * 50}\n")
        recorder.log.err(f"line {number} {'x' * 50}\n", "web1")
    recorder.log.note("the end")
    chunks_of(recorder)
    run = Run.objects.get()
    text = log_text(run)
    assert run.log_cut
    assert text.count("has reached its limit of 10000 bytes") == 1
    assert text.endswith("the end\n")
    assert 9_000 < len(text) < 10_400
    assert len(log_text(run, stream="out") + log_text(run, stream="err")) <= 10_000


def test_log_of_a_run_that_is_another_s_is_not_written(open_log: Opener) -> None:
    taken = threading.Event()
    recorder = open_log(on_taken=taken.set)
    Run.objects.update(state=RunState.LOST)
    recorder.log.out("too late\n")
    assert taken.wait(30)
    assert not LogChunk.objects.exists()


def test_log_survives_a_database_that_is_away(open_log: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = open_log()
    real, failures = LogChunk.objects.bulk_create, iter(range(3))

    def flaky(*args: object, **options: object) -> object:
        for _ in failures:
            raise OperationalError("database is locked")
        return real(*args, **options)

    monkeypatch.setattr(LogChunk.objects, "bulk_create", flaky)
    recorder.log.out("one\n")
    recorder.step_changed(Step(run_id=Run.objects.get().pk, stage="one", host="", position=0))
    chunks_of(recorder)
    assert log_text(Run.objects.get()) == "one\n"
    assert Step.objects.count() == 1


def test_log_stored_twice_by_a_lost_answer_is_there_once(open_log: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = open_log()
    real, failures = Recorder._write, iter(range(1))

    def answer_lost(self: Recorder, *args: object) -> None:
        before = (self._seq, self._lines, self._bytes)
        real(self, *args)  # type: ignore[arg-type]
        for _ in failures:
            self._seq, self._lines, self._bytes = before
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(Recorder, "_write", answer_lost)
    recorder.log.out("one\n")
    wait_until(LogChunk.objects.exists)
    recorder.log.out("two\n")
    chunks = chunks_of(recorder)
    assert [(chunk.seq, chunk.first_line, chunk.text) for chunk in chunks] == [(1, 1, "one\n"), (2, 2, "two\n")]


def test_note_append_continues_the_numbers(request_run: Requester) -> None:
    run = request_run()
    with transaction.atomic():
        note_append(run, "one\ntwo")
        note_append(run, "three")
    assert [(chunk.seq, chunk.first_line) for chunk in LogChunk.objects.all()] == [(1, 1), (2, 3)]
    run.refresh_from_db()
    assert (run.last_seq, run.log_lines, run.log_bytes) == (2, 3, 14)


def test_log_of_a_hundred_thousand_lines_is_cheap(open_log: Opener) -> None:
    recorder = open_log()
    recorder.log.masks.add("a-secret-value")
    line = b"2026-11-20 12:00:00 INFO some.module: copied file number 0000001 of many, all is well\n"
    block = line * 200  # as a program's output is read, in blocks
    began = time.process_time()
    for _ in range(500):
        recorder.log.out(block, "web1")
    assert recorder.close(60)
    spent = time.process_time() - began
    print(f"CPU for 100,000 lines: {spent:.2f} s")
    assert Run.objects.get().log_lines == 100_000
    assert spent < 6


def test_log_written_line_by_line_is_cheap_too(open_log: Opener) -> None:
    recorder = open_log()
    began = time.process_time()
    for number in range(50_000):
        recorder.log.out(f"line {number}: some words that a program says\n", "web1")
    assert recorder.close(60)
    spent = time.process_time() - began
    print(f"CPU for 50,000 lines one by one: {spent:.2f} s")
    assert Run.objects.get().log_lines == 50_000
    assert spent < 8
