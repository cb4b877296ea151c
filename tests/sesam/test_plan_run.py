"""Plans: what a sync would change, without changing anything."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import Conflict, InputError, Refused
from apps.access.levels import Level
from apps.access.models import Freeze
from apps.runs.models import Cause
from apps.runs.states import RunState
from apps.sesam.models import Node, Snapshot, Sync
from apps.sesam.plan import plan_made
from apps.sesam.rules import Rules
from apps.sesam.services import plan_request, sync_request, verify_request
from apps.sesam.states import NodeState
from apps.sesam.storage import configuration_of
from tests.sesam.engine import METADATA, OPERATOR, MakeSetting, Setting, carried_out, log_of, pipe
from tests.support.cast import grant
from tests.support.runner import run_now

pytestmark = pytest.mark.django_db


@pytest.fixture
def dev(make_dev: MakeSetting) -> Setting:
    dev = make_dev()
    dev.hold(pipe("a"), pipe("old"), METADATA)
    dev.commit(pipe("a", c="$ENV(x)"), pipe("b"), METADATA)
    return dev


def plan(dev: Setting, actor: Actor = OPERATOR, **more: str) -> Sync:
    return plan_request(node=dev.node, actor=actor, cause=Cause.PERSON, **more)


def test_plan_shows_all_and_writes_nothing(dev: Setting) -> None:
    before = dev.state()
    row = carried_out(plan(dev))
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert dev.fake.writes == []
    assert dev.state() == before
    assert not Snapshot.objects.exists()
    assert not row.no_change
    assert "1 new, 1 changed, 1 removed" in row.run.summary
    assert row.before is not None
    assert row.wanted is not None
    again = plan_made(configuration_of(row.before), configuration_of(row.wanted), Rules.from_json(row.rules))
    assert again.ids("new") == ["b"]
    assert again.counts == row.counts
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.UNKNOWN, "a plan says nothing about how the node stands"
    assert dev.node.attempted_commit == ""


def test_plan_tells_missing_names_and_questions_and_succeeds(dev: Setting) -> None:
    Node.objects.filter(pk=dev.node.pk).update(verify=["variables"])
    dev.hold(*(pipe(f"p{number}") for number in range(40)))
    dev.node.refresh_from_db()
    row = carried_out(plan(dev))
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert row.missing["variables"] == {"x": ["conf/pipes/a.conf.json"]}
    assert [one["kind"] for one in row.questions] == ["removals"] or row.questions[0]["kind"] == "everything"
    assert "1 missing names" in row.run.summary
    dev.node.refresh_from_db()
    assert dev.node.questions == []


def test_plan_of_another_ref(dev: Setting) -> None:
    dev.repo.branch("next")
    sha = dev.commit(pipe("a", c="$ENV(x)"), pipe("old"), METADATA)
    row = carried_out(plan(dev, ref="next"))
    assert row.commit == sha
    assert row.counts["removed"] == 0
    assert carried_out(plan(dev, ref="nowhere")).state == RunState.FAILED


def test_plan_at_any_hour_for_those_who_may_sync_in_hours(dev: Setting, teammate: User, outsider: User) -> None:
    now = timezone.now()
    Freeze.objects.create(starts_at=now, ends_at=now + timezone.timedelta(hours=1), reason="release", author_name="o")
    grant(teammate, dev.node, Level.IN_HOURS)
    assert carried_out(plan(dev, Actor(user=teammate, door=Door.ADMIN))).state == RunState.SUCCEEDED
    grant(outsider, dev.node, Level.VIEW)
    with pytest.raises(Refused):
        plan(dev, Actor(user=outsider, door=Door.ADMIN))


def test_plan_beside_a_sync_but_one_for_each_person(dev: Setting, owner: User) -> None:
    sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON)
    plan(dev)
    with pytest.raises(Conflict, match="your plan"):
        plan(dev)
    plan(dev, Actor(user=owner, door=Door.ADMIN))


def test_plan_of_a_node_that_is_off_is_refused(dev: Setting) -> None:
    dev.node.enabled = False
    with pytest.raises(InputError, match="is off"):
        plan(dev)


def test_plan_of_an_unreachable_node_tells_why(dev: Setting) -> None:
    dev.fake.close()
    row = carried_out(plan(dev))
    assert row.state == RunState.FAILED
    assert "cannot be reached" in row.run.summary
    dev.node.refresh_from_db()
    assert dev.node.state == NodeState.UNREACHABLE


def test_verification_asks_no_node(dev: Setting) -> None:
    row = carried_out(verify_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON))
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert dev.fake.requests == []
    assert "is sound" in row.run.summary


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_plan_and_sync_in_real_runners(dev: Setting) -> None:
    row = plan(dev)
    assert row.run is not None
    run = run_now(row.run)
    assert run.state == RunState.SUCCEEDED, run.summary
    assert dev.fake.writes == []
    row = sync_request(node=dev.node, actor=OPERATOR, cause=Cause.PERSON)
    assert row.run is not None
    run = run_now(row.run)
    assert run.state == RunState.SUCCEEDED, run.summary
    row.refresh_from_db()
    assert row.state == RunState.SUCCEEDED
    assert row.ended_at is not None
    assert set(dev.fake.entities) == {"a", "b", "node"}
    stages = list(run.steps.order_by("position").values_list("stage", "state"))
    assert stages[0] == ("fetch", "succeeded")
    assert ("read back", "succeeded") in stages
