"""What the clock asks of runs: waiting ones, lost rings, settling once, pruning."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone
from django_q.models import OrmQ

from apps.runs import tasks
from apps.runs.models import LogChunk, Run, Step, Stream
from apps.runs.services import (
    run_advance_waiting,
    run_claim,
    run_clean_up,
    run_move,
    run_settle,
    runs_prune,
    runs_ring_queued,
    runs_settle_due,
)
from apps.runs.states import RunState
from tests.runs.conftest import Requester
from tests.support.kinds import Trial
from tests.support.runner import log_text

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

NOW = timezone.now


def ended_run(request_run: Requester, tell: Path, state: RunState = RunState.SUCCEEDED, **params: object) -> Run:
    run = request_run(params={"tell": str(tell), **params})
    run_claim(run_id=run.pk)
    run_move(run_id=run.pk, to=state)
    run.refresh_from_db()
    return run


def test_waiting_run_is_queued_when_its_time_has_come(request_run: Requester) -> None:
    run = request_run(not_before=NOW() + timedelta(seconds=30))
    assert run.summary.startswith("Waits until ")
    assert run_advance_waiting(NOW()) == 0
    assert not OrmQ.objects.exists()
    assert run_advance_waiting(NOW() + timedelta(seconds=31)) == 1
    run.refresh_from_db()
    assert (run.state, run.summary, run.not_before) == ("queued", "", None)
    assert run.queued_at is not None
    assert OrmQ.objects.count() == 1


def test_waiting_run_whose_window_is_still_closed_waits_for_the_next(request_run: Requester) -> None:
    opens = NOW() + timedelta(hours=3)
    run = request_run(not_before=NOW(), params={"closed": "Frozen.", "opens_at": opens.isoformat()})
    assert run_advance_waiting(NOW()) == 0
    run.refresh_from_db()
    assert (run.state, run.not_before, run.summary) == ("waiting", opens, "Frozen. Another reason.")


def test_waiting_run_that_no_waiting_helps_is_failed_with_every_reason(request_run: Requester) -> None:
    run = request_run(not_before=NOW(), params={"closed": "No right."})
    run_advance_waiting(NOW())
    run.refresh_from_db()
    assert (run.state, run.summary) == ("failed", "Refused: No right. Another reason.")
    assert "No right." in log_text(run)


def test_waiting_run_whose_gate_breaks_does_not_stop_the_others(request_run: Requester) -> None:
    broken = request_run(not_before=NOW() - timedelta(seconds=1), params={"broken_gate": True})
    good = request_run(not_before=NOW())
    assert run_advance_waiting(NOW()) == 1
    broken.refresh_from_db()
    good.refresh_from_db()
    assert (broken.state, good.state) == ("failed", "queued")
    assert "no gate" in broken.summary


def test_waiting_run_whose_subject_is_busy_goes_on_waiting(request_run: Requester) -> None:
    waiting = request_run(not_before=NOW())
    active = request_run()
    assert run_advance_waiting(NOW()) == 0
    waiting.refresh_from_db()
    assert (waiting.state, waiting.summary) == ("waiting", f"Waits for the end of run #{active.pk}.")
    run_claim(run_id=active.pk)
    run_move(run_id=active.pk, to=RunState.SUCCEEDED)
    assert run_advance_waiting(NOW() + timedelta(seconds=10)) == 1


def test_queued_run_whose_ring_was_lost_is_rung_for_again(request_run: Requester) -> None:
    before = NOW()
    run = request_run()
    OrmQ.objects.all().delete()
    assert runs_ring_queued(before) == 0  # patience: it was rung for just now
    assert runs_ring_queued(NOW() + timedelta(seconds=6)) == 1
    assert OrmQ.objects.get().args() == (run.pk,)
    run_claim(run_id=run.pk)
    assert runs_ring_queued(NOW() + timedelta(seconds=60)) == 0


def test_queued_runs_are_not_rung_for_into_a_full_queue(request_run: Requester) -> None:
    request_run()
    OrmQ.objects.bulk_create(OrmQ(key="deploypanel", payload="", lock=NOW()) for _ in range(60))
    assert runs_ring_queued(NOW() + timedelta(seconds=60)) == 0


def test_settle_is_done_once(request_run: Requester, tmp_path: Path) -> None:
    run = ended_run(request_run, tmp_path / "told")
    tasks.settle(run.pk)
    tasks.settle(run.pk)
    assert (tmp_path / "told").read_text() == "settle succeeded\n"
    run.refresh_from_db()
    assert run.settled_at is not None


def test_settle_delivered_twice_at_once_is_done_once(request_run: Requester, tmp_path: Path) -> None:
    run = ended_run(request_run, tmp_path / "told", settle_seconds=0.3)

    def settle() -> None:
        try:
            run_settle(run_id=run.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=settle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "told").read_text() == "settle succeeded\n"


def test_settle_of_a_run_that_has_not_ended_does_nothing(request_run: Requester, tmp_path: Path) -> None:
    run = request_run(params={"tell": str(tmp_path / "told")})
    run_settle(run_id=run.pk)
    run_settle(run_id=999_999)
    assert not (tmp_path / "told").exists()


def test_settle_that_raises_is_not_repeated(request_run: Requester, tmp_path: Path) -> None:
    run = ended_run(request_run, tmp_path / "told", broken_settle=True)
    run_settle(run_id=run.pk)
    run.refresh_from_db()
    assert run.settled_at is not None
    assert runs_settle_due(NOW() + timedelta(hours=1)) == 0


def test_settle_whose_worker_died_is_claimed_again_but_not_for_ever(request_run: Requester, tmp_path: Path) -> None:
    run = ended_run(request_run, tmp_path / "told")
    Run.objects.filter(pk=run.pk).update(settling_at=NOW() - timedelta(seconds=30), settle_attempts=1)
    run_settle(run_id=run.pk)
    assert not (tmp_path / "told").exists()  # it may still be at work
    Run.objects.filter(pk=run.pk).update(
        settling_at=NOW() - timedelta(seconds=61), ended_at=NOW() - timedelta(seconds=90)
    )
    OrmQ.objects.all().delete()
    assert runs_settle_due(NOW()) == 1
    assert OrmQ.objects.get().func() == "apps.runs.tasks.settle"
    run_settle(run_id=run.pk)
    assert (tmp_path / "told").read_text() == "settle succeeded\n"
    Run.objects.filter(pk=run.pk).update(settled_at=None, settling_at=NOW() - timedelta(minutes=59), settle_attempts=5)
    assert runs_settle_due(NOW()) == 0
    run_settle(run_id=run.pk)
    assert (tmp_path / "told").read_text() == "settle succeeded\n"


def test_settle_that_has_failed_often_is_tried_each_hour_of_a_day(request_run: Requester, tmp_path: Path) -> None:
    run = ended_run(request_run, tmp_path / "told")
    long_ago = {"ended_at": NOW() - timedelta(hours=23), "settling_at": NOW() - timedelta(minutes=61)}
    Run.objects.update(settle_attempts=5, **long_ago)
    assert runs_settle_due(NOW()) == 1
    assert runs_settle_due(NOW() + timedelta(hours=2)) == 0
    run_settle(run_id=run.pk)
    run.refresh_from_db()
    assert (tmp_path / "told").read_text() == "settle succeeded\n"
    assert (run.settle_attempts, run.settled_at is None) == (6, False)


def test_clean_up_comes_before_settle(request_run: Requester, tmp_path: Path) -> None:
    run = ended_run(request_run, tmp_path / "told", RunState.LOST)
    OrmQ.objects.all().delete()
    run_clean_up(run_id=run.pk)
    assert OrmQ.objects.get().func() == "apps.runs.tasks.settle"
    tasks.settle(run.pk)
    assert (tmp_path / "told").read_text() == "clean_up lost\nsettle lost\n"


def test_clean_up_of_a_run_that_is_not_lost_does_nothing(request_run: Requester, tmp_path: Path) -> None:
    run = ended_run(request_run, tmp_path / "told")
    tasks.clean_up(run.pk)
    assert not (tmp_path / "told").exists()


def test_prune_removes_old_runs_with_their_logs_only(request_run: Requester, tmp_path: Path) -> None:
    old = [ended_run(request_run, tmp_path / "told") for _ in range(3)]
    new = ended_run(request_run, tmp_path / "told")
    waiting = request_run(not_before=NOW())
    long_ago = NOW() - timedelta(days=settings.RUN_KEEP_DAYS, seconds=1)
    Run.objects.filter(pk__in=[run.pk for run in old]).update(ended_at=long_ago)
    Run.objects.filter(pk=waiting.pk).update(requested_at=long_ago)
    for run in [*old, new]:
        Step.objects.create(run=run, stage="one", position=0)
        LogChunk.objects.bulk_create(
            LogChunk(run=run, seq=seq, stream=Stream.OUT, at=NOW(), first_line=seq, text="x\n") for seq in range(600)
        )
    assert runs_prune(NOW()) == 3
    assert set(Run.objects.values_list("pk", flat=True)) == {new.pk, waiting.pk}
    assert LogChunk.objects.count() == 600
    assert Step.objects.count() == 1


def test_prune_removes_folders_that_nobody_works_in(request_run: Requester) -> None:
    run = request_run()
    run_claim(run_id=run.pk)
    root: Path = settings.WORK_DIR
    for name in (f"run-{run.pk}", "run-99999", "run-99998", "other"):
        (root / name).mkdir(parents=True)
    day_ago = time.time() - 2 * 86400
    for name in (f"run-{run.pk}", "run-99999", "other"):
        os.utime(root / name, (day_ago, day_ago))
    runs_prune(NOW())
    assert {folder.name for folder in root.iterdir()} == {f"run-{run.pk}", "run-99998", "other"}


def test_waiting_run_goes_on_waiting_when_the_database_is_away(
    request_run: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: Trial, run: Run) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(Trial, "admit", away)
    run = request_run(not_before=NOW())
    with pytest.raises(OperationalError):
        run_advance_waiting(NOW())
    run.refresh_from_db()
    assert run.state == "waiting"
