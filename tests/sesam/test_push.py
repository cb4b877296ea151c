"""Pushes and what checks find: which nodes follow, as whom, and how ten of them become one more."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.access.actor import Door
from apps.access.levels import Level
from apps.access.models import BusinessHours, Freeze
from apps.runs.knock import actor_of
from apps.runs.models import Cause, Run
from apps.runs.services import run_advance_waiting, run_move
from apps.runs.states import RunState
from apps.sesam.models import ApplyMode, ExtraNode, Layout, Node, Stage, SyncAction
from apps.sesam.services import SyncOutcome, sync_automatic, sync_push, sync_request, sync_wanted
from tests.sesam.engine import OPERATOR, MakeSetting, Setting, carried_out, log_of, pipe
from tests.support.cast import grant

pytestmark = pytest.mark.django_db
SHA = "a" * 40
NEXT = "b" * 40


@pytest.fixture
def dev(make_dev: MakeSetting) -> Setting:
    return make_dev(apply_mode=ApplyMode.PUSH)


def push(dev: Setting, commit: str = SHA, branch: str = "main") -> list[SyncOutcome]:
    assert dev.node.repository is not None
    return sync_push(
        repository=dev.node.repository, branch=branch, commit=commit, actor_address="192.0.2.1", pusher="alice"
    )


@pytest.mark.parametrize(
    ("fields", "starts"),
    [
        ({}, True),
        ({"apply_mode": ApplyMode.SCHEDULE}, True),
        ({"apply_mode": ApplyMode.HEAL}, True),
        ({"apply_mode": ApplyMode.MANUAL}, False),
        ({"enabled": False}, False),
        ({"branch": "other"}, False),
        ({"auto_paused_at": timezone.now(), "auto_paused_reason": "because"}, False),
    ],
)
def test_push_starts_what_follows_by_itself(dev: Setting, fields: dict[str, object], starts: bool) -> None:
    Node.objects.filter(pk=dev.node.pk).update(**fields)
    outcomes = push(dev)
    assert bool([one for one in outcomes if one.run]) == starts
    assert Run.objects.exists() == starts
    if "auto_paused_at" in fields:
        assert "because" in outcomes[0].text


def test_push_acts_as_the_panel_or_as_the_one_who_is_named(dev: Setting, teammate: User) -> None:
    run = push(dev)[0].run
    assert run is not None
    actor = actor_of(run)
    assert (actor.user, actor.door, actor.behind, actor.address) == (None, Door.SCHEDULE, "alice", "192.0.2.1")
    assert run.cause == Cause.PUSH
    assert run.sync.commit == SHA
    assert run.sync.ref == "main"
    run_move(run_id=run.pk, to=RunState.STOPPED)
    Node.objects.filter(pk=dev.node.pk).update(sync_as=teammate, wanted_commit="")
    assert "lacks the right" in push(dev)[0].text
    assert Node.objects.get(pk=dev.node.pk).wanted_commit == ""
    grant(teammate, dev.node, Level.IN_HOURS)
    run = push(dev)[0].run
    assert run is not None
    assert run.requested_by == teammate
    assert actor_of(run).door == Door.WEBHOOK


def test_push_costs_one_query_where_nothing_follows(
    dev: Setting, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        assert push(dev, branch="elsewhere") == []


@pytest.mark.database
def test_pushes_behind_a_run_become_one_more(dev: Setting) -> None:
    first = dev.commit(pipe("a"))
    row = push(dev, first)[0].run
    assert row is not None
    last = ""
    for number in range(5):
        last = dev.commit(pipe("a", number=number))
        outcome = push(dev, last)[0]
        assert outcome.run is None
        assert f"#{row.pk}" in outcome.text
    assert carried_out(row.sync).state == RunState.SUCCEEDED
    follow = Run.objects.get(state=RunState.QUEUED)
    assert follow.sync.commit == last
    assert carried_out(follow.sync).state == RunState.SUCCEEDED
    assert Run.objects.count() == 2
    dev.node.refresh_from_db()
    assert dev.node.wanted_commit == ""
    assert dev.node.applied_commit == last


def test_same_commit_pushed_again_meanwhile_starts_nothing(dev: Setting) -> None:
    sha = dev.commit(pipe("a"))
    run = push(dev, sha)[0].run
    assert run is not None
    push(dev, sha)
    carried_out(run.sync)
    assert Run.objects.count() == 1


def test_failed_run_is_not_started_again_for_the_same_commit(dev: Setting) -> None:
    sha = dev.commit({"_id": "odd", "type": "pipe"})
    run = push(dev, sha)[0].run
    assert run is not None
    assert carried_out(run.sync).state == RunState.FAILED
    assert Run.objects.count() == 1
    assert sync_wanted(node=dev.node, attempted="") is None


def test_push_behind_a_run_by_hand_follows_it(dev: Setting) -> None:
    dev.commit(pipe("a"))
    row = sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON)
    newer = dev.commit(pipe("b"))
    # The run by hand takes the branch's newest commit, which is the one that was pushed.
    push(dev, newer)
    assert carried_out(row).commit == newer
    assert Run.objects.count() == 1


@pytest.fixture
def closed(dev: Setting) -> BusinessHours:
    """Hours that open on one weekday that is not today."""
    day = (timezone.now() + dt.timedelta(days=3)).strftime("%a").lower()
    hours = BusinessHours.objects.create(name="rare", timezone="UTC", weekly={day: "10:00-11:00"})
    Node.objects.filter(pk=dev.node.pk).update(hours=hours)
    return hours


def test_push_out_of_hours_waits_and_takes_the_newest(dev: Setting, closed: BusinessHours) -> None:
    run = push(dev)[0].run
    assert run is not None
    assert run.state == RunState.WAITING
    outcome = push(dev, NEXT)[0]
    assert outcome.run == run
    assert "waits" in outcome.text
    run.sync.refresh_from_db()
    assert run.sync.commit == NEXT
    assert Run.objects.count() == 1


def test_waiting_push_goes_when_the_hours_are_changed(dev: Setting, closed: BusinessHours) -> None:
    run = push(dev)[0].run
    assert run is not None
    until = run.not_before
    closed.weekly |= {"mon": "10:00-10:01"}
    closed.closed = [f"{day:%m-%d}" for day in (timezone.now() + dt.timedelta(days) for days in range(9))]
    closed.save()
    assert run_advance_waiting(timezone.now()) == 0
    run.refresh_from_db()
    assert run.not_before > until  # asked again, and told so
    dev.node.refresh_from_db()
    dev.node.hours = None
    dev.node.save_settings()
    assert run_advance_waiting(timezone.now()) == 1
    run.refresh_from_db()
    assert run.state == RunState.QUEUED


def test_push_in_an_endless_freeze_is_refused_with_the_reason(dev: Setting) -> None:
    Freeze.objects.create(starts_at=timezone.now(), ends_at=None, reason="audit", author_name="owner")
    outcome = push(dev)[0]
    assert outcome.run is None
    assert "audit" in outcome.text


def test_waiting_push_does_not_undo_a_pause(dev: Setting, closed: BusinessHours) -> None:
    run = push(dev)[0].run
    assert run is not None
    Node.objects.filter(pk=dev.node.pk).update(auto_paused_at=timezone.now(), auto_paused_reason="Restored", hours=None)
    run_move(run_id=run.pk, to=RunState.QUEUED)
    dev.commit(pipe("a"))
    row = carried_out(run.sync)
    assert row.state == RunState.FAILED
    assert "paused: Restored" in row.run.summary


def test_push_verifies_a_ci_node(dev: Setting) -> None:
    assert dev.node.repository is not None
    Node.objects.filter(pk=dev.node.pk).update(layout=Layout.MULTI, environment=Stage.CI)
    run = push(dev)[0].run
    assert run is not None
    assert run.kind == SyncAction.VERIFY
    assert "follows" in push(dev, NEXT)[0].text, "pushes coalesce behind it"
    assert Run.objects.count() == 1


def test_push_leaves_fed_nodes_to_their_master(dev: Setting) -> None:
    fed = Node.objects.create(name="fed", url=dev.fake.url, jwt="x", apply_mode=ApplyMode.PUSH)
    Node.objects.filter(pk=dev.node.pk).update(layout=Layout.MULTI)
    ExtraNode.objects.create(master=dev.node, name="extra", template_path="extra_nodes/e/", node=fed)
    assert [one.node.name for one in push(dev)] == ["dev"]


def test_automatic_sync_by_a_check(dev: Setting) -> None:
    sha = dev.commit(pipe("a"))
    outcome = sync_automatic(node=dev.node, commit=sha, why="the node has drifted")
    assert outcome.run is not None
    assert outcome.run.cause == Cause.SCHEDULE
    assert actor_of(outcome.run).behind == "the node has drifted"
    row = carried_out(outcome.run.sync)
    assert row.state == RunState.SUCCEEDED, log_of(row)
