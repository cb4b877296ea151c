"""The runner's second thread: it beats, and sees what must end the run."""

from __future__ import annotations

import threading
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
    assert watched.work.stopping.wait(5)
    with pytest.raises(RunStopped, match="Stopped by alice"):
        watched.work.check()


def test_watcher_sees_that_the_run_is_another_s(watched: Watched) -> None:
    Run.objects.update(token="another")
    assert watched.taken.wait(5)


def test_watcher_sees_that_the_run_was_ended(watched: Watched) -> None:
    Run.objects.update(state="lost")
    assert watched.taken.wait(5)


def test_watcher_outlives_a_database_that_is_away(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(beats())
    failed = threading.Event()

    def away(self: Watcher) -> None:
        failed.set()
        raise OperationalError("the database system is shutting down")

    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", away)
        assert failed.wait(5)
    wait_until(beats())
    assert not watched.work.stopping.is_set()
    assert not watched.taken.is_set()


@pytest.fixture
def short_leash(watched: Watched, settings: object, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(beats())
    settings.RUN_LOST_AFTER = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(watcher_module, "CUT_OFF", 1.0)


def test_watcher_gives_up_work_that_is_cut_off(
    watched: Watched, short_leash: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not watched.taken.wait(1.5), "it beats"

    def away(self: Watcher) -> None:
        raise OperationalError("no route to host")

    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", away)
        assert not watched.taken.wait(0.3)
        assert watched.taken.wait(5)


def test_watcher_gives_up_work_when_the_database_answers_nothing(
    watched: Watched, short_leash: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", lambda _: answer.wait(20) and None)
        assert watched.taken.wait(5)
        answer.set()


def test_watcher_lets_a_run_that_is_cut_off_store_its_end(
    watched: Watched, short_leash: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.watcher.over()
    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", lambda _: None)
        assert not watched.taken.wait(1.5)


def test_watcher_outlives_a_fault_of_its_own(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def broken(self: Watcher) -> None:
        failed.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Watcher, "_beat", broken)
        assert failed.wait(5)
    wait_until(beats())


def test_watcher_gives_up_on_work_that_does_not_come_back(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "PATIENCE", 0.1)
    watched.work.grace = 0.1
    watched.watcher.terminate("SIGTERM")
    assert watched.stuck.wait(5)
    run = Run.objects.get()
    assert (run.state, run.stop_requested_by) == ("stopping", "the system")


def test_watcher_gives_up_on_an_end_that_hangs(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "ENDING_LIMIT", 0.2)
    watched.watcher.over()
    assert watched.taken.wait(5)


def test_watcher_lets_nothing_end_work_that_has_come_back(watched: Watched) -> None:
    watched.watcher.over()
    Run.objects.update(state="stopping", stop_requested_by="alice")
    wait_until(beats())
    assert not watched.work.stopping.is_set()
