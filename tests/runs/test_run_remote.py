"""Kinds that something else than a runner carries out, and who hears of each end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from apps.runs import kinds
from apps.runs.models import Run
from apps.runs.services import run_move, run_settle, runs_reap, runs_ring_queued
from apps.runs.states import RunState
from tests.runs.conftest import Requester
from tests.runs.test_run_reap import long_watch
from tests.support.kinds import Trial

pytestmark = pytest.mark.django_db


class Remote(Trial):
    name = "remote"
    is_remote = True

    def lost_after(self, run: Run) -> float:
        return 120.0


@pytest.fixture(autouse=True)
def remote_kind() -> Iterator[None]:
    kinds.register(Remote())
    yield
    kinds._kinds.pop("remote")


@pytest.fixture
def claimed(request_run: Requester) -> Run:
    run = request_run(kind="remote")
    moved = run_move(run_id=run.pk, to=RunState.RUNNING, token="t", machine="agent one", started_at=timezone.now())
    assert moved is not None
    return moved


def test_no_runner_is_asked_for(request_run: Requester) -> None:
    run = request_run(kind="remote", exclusive=False)
    later = timezone.now() + timedelta(minutes=5)
    assert (runs_ring_queued(later), OrmQ.objects.count()) == (0, 0)
    other = request_run(subject=None, exclusive=False)
    assert runs_ring_queued(later) == 1
    run_move(run_id=other.pk, to=RunState.STOPPED)  # a place is free: it must not go to the remote one
    run.refresh_from_db()
    assert (run.state, run.rung_at) == ("queued", None)


def test_its_silence_is_measured_by_its_kind(claimed: Run) -> None:
    now = timezone.now()
    Run.objects.filter(pk=claimed.pk).update(heartbeat_at=now - timedelta(seconds=100))
    assert runs_reap(now, long_watch()) == 0
    Run.objects.filter(pk=claimed.pk).update(heartbeat_at=now - timedelta(seconds=130))
    assert runs_reap(now, long_watch()) == 1
    claimed.refresh_from_db()
    assert "not heard of for 120 seconds" in claimed.summary


def test_lost_run_moves_only_when_that_is_meant(claimed: Run) -> None:
    run_move(run_id=claimed.pk, to=RunState.LOST)
    assert run_move(run_id=claimed.pk, to=RunState.SUCCEEDED, held_by="t") is None
    assert run_move(run_id=claimed.pk, to=RunState.SUCCEEDED, held_by="other", before=[RunState.LOST]) is None
    assert run_move(run_id=claimed.pk, to=RunState.RUNNING, held_by="t", before=[RunState.LOST]) is None
    assert run_move(run_id=claimed.pk, to=RunState.SUCCEEDED, held_by="t", before=[RunState.LOST]) is not None


def test_followers_hear_of_each_end_once(request_run: Requester, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, str]] = []

    def broken(run: Run) -> None:
        raise RuntimeError("cannot hear")

    monkeypatch.setattr(kinds, "_followers", [])
    kinds.follow_settled(broken)
    kinds.follow_settled(lambda run: heard.append((run.pk, run.state)))
    run = request_run()
    run_move(run_id=run.pk, to=RunState.STOPPED)
    for _ in range(2):
        run_settle(run_id=run.pk)
    assert heard == [(run.pk, "stopped")]
    run.refresh_from_db()
    assert run.settled_at is not None
