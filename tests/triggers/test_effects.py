"""What firings lead to: for agents and for the panel's own actions, under each way of concurrency."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.models import AuditEntry, Freeze
from apps.agents.models import Agent, Order
from apps.agents.services.give_up import orders_expire
from apps.agents.services.orders import News, orders_replace
from apps.environments.models import Deployment, Environment, Host
from apps.runs.models import Cause, Run
from apps.runs.services import run_settle
from apps.runs.states import RunState
from apps.triggers import tasks
from apps.triggers.models import Action, Effect, Firing, Trigger
from apps.triggers.services.advance import effects_start_due
from tests.triggers.firing import SECRET, begun, ended, fire, told, trigger_with

pytestmark = pytest.mark.django_db

SCRIPT = "steps:\n  - shell: uptime\n"


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for where in ("begin", "advance"):
        monkeypatch.setattr(f"apps.triggers.services.{where}.ring", lambda *given, **_: found.append(given))
    return found


def run_of(firing: Firing, target: str = "web1") -> Run:
    run = firing.effects.get(target=target).run
    assert run is not None
    return run


def settled(run: Run, state: RunState = RunState.SUCCEEDED) -> None:
    """Its end, and what follows it, as a worker does it."""
    if run.state == RunState.QUEUED:
        begun(run)
    ended(run, state)
    run_settle(run_id=run.pk)


def advance(*firings: Firing) -> None:
    for firing in firings:
        tasks.firing_advance(firing.pk)


def states(trigger: Trigger) -> list[str]:
    return list(Effect.objects.filter(trigger=trigger).order_by("pk").values_list("state", flat=True))


# Agents


@pytest.mark.database
def test_each_makes_a_run_for_every_firing_in_their_order() -> None:
    trigger = trigger_with("web1", concurrency="each")
    runs = [run_of(fire(trigger, payload=number)) for number in range(4)]
    begun(runs[0])
    runs.append(run_of(fire(trigger, payload=4)))
    orders = Order.objects.order_by("run_id")
    assert [(order.run_id, order.number, order.payload) for order in orders] == [
        (run.pk, number + 1, number) for number, run in enumerate(runs)
    ]


@pytest.mark.database
def test_latest_makes_one_more_run_than_is_at_work_with_the_newest_news() -> None:
    trigger = trigger_with("web1")
    firings = [fire(trigger, payload=1)]
    begun(run_of(firings[0]))
    firings += [fire(trigger, payload=number) for number in (2, 3, 4)]
    assert [told(firing)[0][1] for firing in firings] == ["started", "merged", "merged", "started"]
    assert Run.objects.count() == 2
    assert run_of(firings[1]) == run_of(firings[3])
    order = run_of(firings[3]).order
    assert (order.number, order.payload, order.fired_at) == (4, 4, firings[3].fired_at)
    ended(run_of(firings[0]))
    begun(run_of(firings[3]))
    assert told(fire(trigger)) == [("web1", "started")]
    assert Run.objects.count() == 3


def test_the_run_that_took_newer_news_names_who_brought_it(owner: User) -> None:
    from apps.access.actor import Actor, Door

    trigger = trigger_with("web1")
    fire(trigger)
    run = run_of(fire(trigger, actor=Actor(user=owner, door=Door.ADMIN), cause=Cause.PERSON))
    assert (run.requested_name, run.requested_by, run.cause, run.params["door"]) == ("owner", owner, "person", "admin")


@pytest.mark.database
def test_a_run_that_its_agent_has_begun_is_not_given_other_news() -> None:
    trigger = trigger_with("web1")
    firing = fire(trigger, payload="old")
    run = begun(run_of(firing))
    news = News(name="web", number=9, fired_at=timezone.now(), max_age=1, payload="new")
    assert orders_replace(run_ids=[run.pk], news=news, actor=SECRET, cause=Cause.TRIGGER) == set()
    assert Order.objects.get().payload == "old"


def test_skip_starts_nothing_while_a_run_is_not_finished() -> None:
    trigger = trigger_with("web1", concurrency="skip")
    first = fire(trigger)
    assert told(fire(trigger)) == [("web1", "skipped")]
    begun(run_of(first))
    assert told(fire(trigger)) == [("web1", "skipped")]
    ended(run_of(first), RunState.FAILED)
    assert told(fire(trigger)) == [("web1", "started")]
    assert Trigger.objects.get().count == 4


def test_agents_are_judged_one_by_one() -> None:
    trigger = trigger_with("quick", "slow")
    first = fire(trigger)
    begun(run_of(first, "quick"))
    ended(run_of(first, "quick"))
    begun(run_of(first, "slow"))
    fire(trigger)
    third = fire(trigger)
    assert Order.objects.filter(agent__name="slow", open=True).count() == 2
    assert Order.objects.filter(agent__name="quick", open=True).count() == 1
    assert told(third) == [("quick", "started"), ("slow", "started")]


def test_an_agent_that_is_off_is_given_nothing() -> None:
    trigger = trigger_with("web1", "web2")
    Agent.objects.filter(name="web1").update(enabled=False)
    assert told(fire(trigger)) == [("web1", "refused"), ("web2", "started")]


def test_a_rule_decides_whether_the_agents_run() -> None:
    trigger = trigger_with("web1")
    Action.objects.create(trigger=trigger, kind="agents", when={"equals": {"/ref": "main"}})
    assert told(fire(trigger, payload={"ref": "other"})) == [("web1", "unmet")]
    assert told(fire(trigger, payload={"ref": "main"})) == [("web1", "started")]
    Action.objects.create(trigger=trigger, kind="agents", when={"present": "/force"})
    assert told(fire(trigger, payload={"force": 1})) == [("web1", "started")]
    Action.objects.update(when={"nonsense": 1})
    firing = fire(trigger)
    assert told(firing) == [("web1", "failed")]
    assert "no rule is called 'nonsense'" in firing.effects.get().text


def test_many_agents_cost_no_more_statements_than_few(django_assert_max_num_queries: Any) -> None:
    trigger = trigger_with(*(f"agent{number}" for number in range(300)))
    with django_assert_max_num_queries(40):
        fire(trigger)
    with django_assert_max_num_queries(40):
        fire(trigger)
    assert set(Order.objects.values_list("number", flat=True)) == {2}


def test_what_waits_for_an_agent_longer_than_allowed_fails() -> None:
    trigger = trigger_with("web1", "web2", max_age=60, concurrency="each")
    firing = fire(trigger)
    begun(run_of(firing, "web2"))
    assert orders_expire(timezone.now() + timedelta(seconds=50)) == 0
    assert orders_expire(timezone.now() + timedelta(seconds=70)) == 1
    run = run_of(firing)
    assert run.state == "failed"
    assert run.summary.startswith("Not run: web1 could not take it within 60 seconds of the firing on ")
    assert run_of(firing, "web2").state == "running"


# The panel's own actions


@pytest.fixture
def deploys(staging: Environment) -> Trigger:
    trigger = trigger_with(concurrency="each")
    Action.objects.create(trigger=trigger, kind="deploy", environment=staging, commit_from="/after")
    return trigger


@pytest.mark.database
def test_deployments_are_started_one_after_the_other(deploys: Trigger, rung: list[Any]) -> None:
    firings = [fire(deploys, payload={"after": f"{number:040x}"}) for number in (1, 2)]
    assert rung == [("apps.triggers.tasks.firing_advance", firing.pk) for firing in firings]
    assert Run.objects.count() == 0
    advance(*firings, *firings)
    assert states(deploys) == ["started", "pending"]
    deployment = Deployment.objects.get()
    assert (deployment.commit, deployment.run.cause, deployment.run.requested_name) == (f"{1:040x}", "trigger", "panel")
    assert deployment.run.params["behind"] == "secret"
    settled(deployment.run, RunState.FAILED)
    assert states(deploys) == ["started", "started"]
    assert Deployment.objects.count() == 2
    newest = Deployment.objects.order_by("-pk")[0]
    assert newest.commit == f"{2:040x}"
    settled(newest.run)
    run_settle(run_id=newest.run.pk)
    assert Deployment.objects.count() == 2


def test_latest_keeps_one_deployment_waiting(deploys: Trigger) -> None:
    Trigger.objects.update(concurrency="latest")
    firings = [fire(deploys, payload={"after": f"v{number}"}) for number in range(4)]
    assert states(deploys) == ["merged", "merged", "merged", "pending"]
    advance(*firings)
    more = [fire(deploys, payload={"after": f"v{number}"}) for number in range(4, 7)]
    advance(*more)
    assert states(deploys) == ["merged", "merged", "merged", "started", "merged", "merged", "pending"]
    settled(Deployment.objects.get().run)
    assert list(Deployment.objects.order_by("pk").values_list("ref", flat=True)) == ["v3", "v6"]


def test_skip_looks_at_deployments_too(deploys: Trigger) -> None:
    Trigger.objects.update(concurrency="skip")
    first = fire(deploys, payload={"after": "v1"})
    fire(deploys, payload={"after": "v2"})
    advance(first)
    fire(deploys, payload={"after": "v3"})
    assert states(deploys) == ["pending", "skipped", "skipped"] or states(deploys)[0] == "started"
    settled(Deployment.objects.get().run)
    fire(deploys, payload={"after": "v4"})
    assert states(deploys) == ["started", "skipped", "skipped", "pending"]


def test_a_deployment_waits_for_somebody_elses_run(deploys: Trigger, staging: Environment) -> None:
    from apps.environments.services import deploy_request
    from tests.support.runner import OPERATOR

    other = deploy_request(environment=staging, actor=OPERATOR, cause=Cause.COMMAND).run
    assert other is not None
    firing = fire(deploys, payload={"after": "v1"})
    advance(firing)
    effect = firing.effects.get()
    assert (effect.state, effect.text) == ("pending", f"Waits for the end of run #{other.pk}.")
    settled(other)
    effect.refresh_from_db()
    assert effect.state == "started"
    assert effect.run is not None
    assert effect.run.deployment.ref == "v1"


def test_one_that_was_merged_while_a_worker_looked_at_it_stays_merged(
    deploys: Trigger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trigger.objects.update(concurrency="latest")
    first = fire(deploys)

    def slowly(_: int) -> Run:
        fire(deploys)  # whose transaction ends before the worker writes down that the first one waits
        return Run(pk=7)

    monkeypatch.setattr("apps.triggers.services.advance.run_active_on", slowly)
    advance(first)
    assert states(deploys) == ["merged", "pending"]


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, "The payload has no commit or ref at /after."),
        ({"after": 3}, "The payload has no commit or ref at /after."),
        ({"after": "a b"}, "ref: 'a b' cannot be a branch"),
    ],
)
def test_what_names_no_commit_fails_and_the_next_takes_its_turn(deploys: Trigger, payload: Any, text: str) -> None:
    first, second = fire(deploys, payload=payload), fire(deploys, payload={"after": "v2"})
    advance(first)
    assert states(deploys) == ["failed", "started"]
    assert text in first.effects.get().text
    assert second.effects.get().run is not None


@pytest.mark.database
def test_a_refusal_is_told_and_stays_in_the_audit(deploys: Trigger, staging: Environment, outsider: User) -> None:
    Trigger.objects.update(act_as=outsider)
    firing = fire(deploys, payload={"after": "v1"})
    advance(firing)
    effect = firing.effects.get()
    assert (effect.state, effect.run) == ("refused", None)
    assert "outsider lacks the right “deploy_in_hours”" in effect.text
    entry = AuditEntry.objects.get(action="deploy")
    assert (entry.allowed, entry.actor, entry.behind, entry.subject) == (False, "outsider", "secret", "shop/staging")


def test_a_frozen_environment_makes_the_run_wait_where_firings_are_held(deploys: Trigger, staging: Environment) -> None:
    now = timezone.now()
    Freeze.objects.create(subject=staging, reason="x", starts_at=now, ends_at=now + timedelta(hours=1))
    refused = fire(deploys, payload={"after": "v1"})
    advance(refused)
    Trigger.objects.update(when_closed="hold")
    waits = fire(deploys, payload={"after": "v2"})
    advance(waits)
    assert states(deploys) == ["refused", "started"]
    effect = waits.effects.get()
    assert effect.run is not None
    assert effect.run.state == "waiting"
    assert effect.text.startswith("Waits until")


def test_an_unforeseen_fault_fails_its_effect_only(
    deploys: Trigger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: Any) -> None:
        raise ZeroDivisionError

    firing = fire(deploys, payload={"after": "v1"})
    with monkeypatch.context() as patch:
        patch.setattr("apps.triggers.services.start.deploy_request", broken)
        advance(firing)
    assert (states(deploys), Run.objects.count()) == (["failed"], 0)
    assert "could not be started" in caplog.text


def test_the_clock_wakes_what_nobody_else_does(deploys: Trigger, rung: list[Any]) -> None:
    firing = fire(deploys, payload={"after": "v1"})
    rung.clear()
    assert firing.fired_at is not None
    now = firing.fired_at
    assert effects_start_due(now) == 0
    assert effects_start_due(now + timedelta(seconds=6)) == 1
    assert effects_start_due(now + timedelta(seconds=6)) == 0
    assert rung == [("apps.triggers.tasks.actions_advance", Action.objects.get().pk)]
    tasks.actions_advance(*rung[0][1:])
    assert states(deploys) == ["started"]


def test_what_waits_for_an_action_that_is_gone_fails(deploys: Trigger) -> None:
    firing = fire(deploys, payload={"after": "v1"})
    Action.objects.all().delete()
    advance(firing)
    effects_start_due(timezone.now())
    assert states(deploys) == ["failed"]


def test_a_script_gets_the_payload_and_the_number(staging: Environment) -> None:
    trigger = trigger_with(time_limit=30)
    action = Action.objects.create(trigger=trigger, kind="script", script=SCRIPT)
    action.hosts.set(Host.objects.all())
    firing = fire(trigger, payload={"a": 1})
    assert told(firing) == [("script on web1", "pending")]
    advance(firing)
    run = run_of(firing, "script on web1")
    assert (run.kind, run.subject_id, run.time_limit, run.cause) == ("script", trigger.pk, 30, "trigger")
    order = run.script_order
    assert (order.name, order.number, order.payload, order.script) == ("web", 1, {"a": 1}, SCRIPT)


def test_actions_whose_rule_does_not_hold_are_told(deploys: Trigger) -> None:
    Action.objects.update(when={"matches": {"/after": "v*"}})
    assert told(fire(deploys, payload={"after": "main"})) == [("shop/staging", "unmet")]
    assert told(fire(deploys, payload={"after": "v1"})) == [("shop/staging", "pending")]
