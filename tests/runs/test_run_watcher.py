"""The runner's second thread: it beats, and sees what must end the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import OperationalError
from django.utils import timezone

from apps.runs import watcher as watcher_module
from apps.runs.errors import RunStopped
from apps.runs.log import LogWriter
from apps.runs.models import Run
from apps.runs.recorder import Recorder
from apps.runs.services import run_claim
from apps.runs.watcher import Watcher
from apps.runs.work import Work
from tests.runs.conftest import Requester
from tests.support.runner import wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


class Watched:
    """A run of this process's, its watcher, and what that has called."""

    def __init__(self, run: Run) -> None:
        self.taken, self.stuck = threading.Event(), threading.Event()
        self.work = Work(run, Path("/nonexistent"), Recorder(run, LogWriter(limit=1 << 20), self.taken.set))
        self.watcher = Watcher(self.work, self.taken.set, self.stuck.set)


@pytest.fixture
def watched(request_run: Requester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(watcher_module, "LOOK", 0.05)
    monkeypatch.setattr(watcher_module, "BEAT", 0.1)
    monkeypatch.setattr(watcher_module, "_is_shared", lambda: True)
    run = run_claim(run_id=request_run().pk)
    assert run is not None
    watched = Watched(run)
    watched.watcher.start()
    yield watched
    watched.watcher.stop()


def beats() -> Callable[[], bool]:
    before = timezone.now()
    return lambda: bool(Run.objects.get().heartbeat_at > before)  # type: ignore[operator]


def test_watcher_beats_also_while_the_run_ends(watched: Watched) -> None:
    wait_until(beats())
    watched.watcher.over()
    wait_until(beats())
    assert not watched.taken.is_set()


def test_watcher_sees_a_stop(watched: Watched) -> None:
    Run.objects.update(state="stopping", stop_requested_by="alice")
    assert watched.work.stopping.wait(30)
    with pytest.raises(RunStopped, match="Stopped by alice"):
        watched.work.check()


def test_watcher_sees_that_the_run_is_another_s(watched: Watched) -> None:
    Run.objects.update(token="another")
    assert watched.taken.wait(30)


def test_watcher_sees_that_the_run_was_ended(watched: Watched) -> None:
    Run.objects.update(state="lost")
    assert watched.taken.wait(30)


def test_watcher_outlives_a_database_that_is_away(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(beats())
    failed = threading.Event()

    def away(self: Watcher) -> None:
        failed.set()
        raise OperationalError("the database system is shutting down")

    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", away)
        assert failed.wait(30)
    wait_until(beats())
    assert not watched.work.stopping.is_set()
    assert not watched.taken.is_set()


class Clock:
    """The watcher's time: the true one, and as much beyond it as the test lets pass."""

    sleep = staticmethod(time.sleep)

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


@pytest.fixture
def clock(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Clock:
    wait_until(beats())
    clock = Clock()
    monkeypatch.setattr(watcher_module, "time", clock)
    return clock


def test_watcher_gives_up_work_that_is_cut_off(watched: Watched, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        clock.passed += watcher_module.CUT_OFF * 0.4
        wait_until(beats())
    assert not watched.taken.wait(0.3), "it beats"

    def away(self: Watcher) -> None:
        raise OperationalError("no route to host")

    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", away)
        assert not watched.taken.wait(0.3)
        clock.passed += watcher_module.CUT_OFF + 1
        assert watched.taken.wait(30)


def test_watcher_gives_up_work_when_the_database_answers_nothing(
    watched: Watched, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, asked = threading.Event(), threading.Event()

    def hang(self: Watcher) -> None:
        asked.set()
        answer.wait(120)

    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", hang)
        assert asked.wait(30)
        clock.passed += watcher_module.CUT_OFF + 1
        assert watched.taken.wait(30)
        answer.set()


def test_watcher_lets_a_run_that_is_cut_off_store_its_end(
    watched: Watched, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.watcher.over()
    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", lambda _: None)
        clock.passed += watcher_module.CUT_OFF + 1  # the end has longer than that
        assert not watched.taken.wait(0.5)


def test_watcher_outlives_a_fault_of_its_own(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def broken(self: Watcher) -> None:
        failed.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", broken)
        assert failed.wait(30)
    wait_until(beats())


def test_watcher_gives_up_on_work_that_does_not_come_back(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "PATIENCE", 0.1)
    watched.work.grace = 0.1
    watched.watcher.terminate("SIGTERM")
    assert watched.stuck.wait(30)
    run = Run.objects.get()
    assert (run.state, run.stop_requested_by) == ("stopping", "the system")


def test_watcher_gives_up_on_an_end_that_hangs(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "ENDING_LIMIT", 0.2)
    watched.watcher.over()
    assert watched.taken.wait(30)


def test_watcher_lets_nothing_end_work_that_has_come_back(watched: Watched) -> None:
    watched.watcher.over()
    Run.objects.update(state="stopping", stop_requested_by="alice")
    wait_until(beats())
    assert not watched.work.stopping.is_set()
