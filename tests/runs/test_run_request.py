"""Asking for runs: one active exclusive run per subject, limits, the bell in the same transaction."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from apps.access.errors import Conflict
from apps.access.models import Subject
from apps.runs.models import Cause, Run
from apps.runs.services import run_claim, run_move, run_request
from apps.runs.states import ACTIVE, ENDED, MOVES, RunState, may_move
from tests.runs.conftest import Requester
from tests.support.runner import OPERATOR

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def rings() -> list[tuple[str, tuple[int, ...]]]:
    return [(row.func(), row.args()) for row in OrmQ.objects.order_by("pk")]


def test_request_makes_a_row_and_rings_for_it(request_run: Requester, subject: Subject) -> None:
    run = request_run(params={"ref": "main"}, override="burning")
    assert (run.state, run.subject_id, run.subject_path) == ("queued", subject.pk, "shop/prod")
    assert (run.requested_name, run.cause, run.override_reason) == ("operator", "command", "burning")
    assert (run.time_limit, run.silence_limit) == (3600, 900)
    assert run.queued_at is not None
    assert rings() == [("apps.runs.tasks.start", (run.pk,))]


def test_request_that_is_rolled_back_leaves_no_ring(subject: Subject) -> None:
    with transaction.atomic():
        run_request(kind="trial", subject=subject, actor=OPERATOR, cause=Cause.COMMAND, params={})
        transaction.set_rollback(True)
    assert not Run.objects.exists()
    assert not OrmQ.objects.exists()


def test_request_silence_limit_is_not_longer_than_the_time_limit(request_run: Requester) -> None:
    run = request_run(time_limit=10)
    assert (run.time_limit, run.silence_limit) == (10, 10)


def test_request_of_an_unknown_kind_is_a_bug(request_run: Requester) -> None:
    with pytest.raises(KeyError):
        request_run(kind="nonesuch")


def test_request_while_another_is_active_is_a_conflict_that_names_it(request_run: Requester) -> None:
    run = request_run()
    with pytest.raises(Conflict, match=rf"Run #{run.pk} \(trial of shop/prod, asked for by operator\) is queued"):
        request_run()
    # The caller's own transaction is not broken by it.
    with transaction.atomic():
        with pytest.raises(Conflict):
            request_run()
        assert Run.objects.count() == 1


def test_request_that_is_shared_or_waits_or_is_elsewhere_is_no_conflict(request_run: Requester) -> None:
    request_run()
    request_run(exclusive=False)
    request_run(not_before=timezone.now() + timedelta(hours=1))
    request_run(subject=Subject.objects.create(kind="environment", path="shop/staging"))
    request_run(subject=None)
    request_run(subject=None)
    assert Run.objects.count() == 6


def test_request_at_the_same_time_has_one_winner(request_run: Requester) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        try:
            request_run()
            outcomes.append("won")
        except Conflict:
            outcomes.append("conflict")
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "conflict", "conflict", "won"]


def test_claim_at_the_same_time_has_one_winner(request_run: Requester) -> None:
    run = request_run()
    claimed: list[Run | None] = []
    start = threading.Barrier(4)

    def claim() -> None:
        start.wait()
        try:
            claimed.append(run_claim(run_id=run.pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [one for one in claimed if one is not None]
    assert len(claimed) == 4
    assert len(winners) == 1
    run.refresh_from_db()
    assert run.token == winners[0].token
    assert run.state == "running"


@pytest.mark.parametrize("before", list(RunState))
def test_move_follows_the_table(request_run: Requester, before: RunState) -> None:
    run = request_run()
    for after in RunState:
        Run.objects.filter(pk=run.pk).update(state=before)
        moved = run_move(run_id=run.pk, to=after, before=[before])
        assert (moved is not None) == may_move(before, after) == (after in MOVES[before])
        run.refresh_from_db()
        assert run.state == (after if moved else before)


def test_a_lost_run_moves_only_when_that_is_meant(request_run: Requester) -> None:
    run = request_run()
    Run.objects.filter(pk=run.pk).update(state=RunState.LOST)
    assert [after for after in RunState if run_move(run_id=run.pk, to=after)] == []


def test_states_groups_agree_with_the_table() -> None:
    assert [state for state in ENDED if MOVES[state]] == [RunState.LOST]
    assert set(MOVES[RunState.LOST]) < set(ENDED)
    assert not set(ACTIVE) & set(ENDED)
    assert set(MOVES) == set(RunState)


def test_move_held_by_another_does_nothing(request_run: Requester) -> None:
    run = request_run()
    run_claim(run_id=run.pk)
    assert run_move(run_id=run.pk, to=RunState.SUCCEEDED, held_by="someone else's") is None
    assert Run.objects.get().state == "running"


def test_move_to_an_end_frees_the_subject_and_rings_settle_and_the_next(request_run: Requester) -> None:
    run = request_run()
    other = request_run(subject=None)
    run_claim(run_id=run.pk)
    OrmQ.objects.all().delete()
    ended = run_move(run_id=run.pk, to=RunState.FAILED, summary="because")
    assert ended is not None
    assert ended.ended_at is not None
    assert rings() == [("apps.runs.tasks.settle", (run.pk,)), ("apps.runs.tasks.start", (other.pk,))]
    assert request_run().state == "queued"


def test_move_of_a_lost_run_rings_its_clean_up_first(request_run: Requester) -> None:
    run = request_run()
    run_claim(run_id=run.pk)
    OrmQ.objects.all().delete()
    run_move(run_id=run.pk, to=RunState.LOST)
    assert rings() == [("apps.runs.tasks.clean_up", (run.pk,))]
