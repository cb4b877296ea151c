"""The pages of triggers and agents in a browser: how they look, and that their buttons work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.models import BusinessHours
from apps.agents.models import Agent
from apps.runs.models import Run
from apps.runs.states import RunState
from apps.triggers.models import Action, EndSource, Firing, PushSource, Trigger
from tests.browser.conftest import Surfer
from tests.browser.test_pages import LOOKS, look_name
from tests.triggers import rows
from tests.ui.rows import environment_make, fleet_make, repository_make

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def signed(surf: Callable[..., Surfer], live_server: object, owner: User) -> Callable[..., Surfer]:
    def enter(**look: bool) -> Surfer:
        surfer = surf(live_server.url, **look)  # type: ignore[attr-defined]
        surfer.enter("owner")
        return surfer

    return enter


@pytest.fixture
def web(owner: User) -> Trigger:
    """A trigger with everything: agents, actions, sources, hours that are closed, held and past firings."""
    never = BusinessHours.objects.create(name="office", timezone="Europe/Paris", weekly={"mon": "08:00-08:01"})
    trigger = rows.trigger_make(
        "web", hours=never, when_closed="hold", schedule="0 3 * * *", script=rows.SCRIPT, secret_digest="kept"
    )
    trigger.next_at = timezone.now() + timedelta(hours=9)
    shop = repository_make("shop")
    prod = environment_make(shop, "prod", fleet_make(1))
    agents = [rows.agent_make("shop-1"), rows.agent_make("shop-2", online=False)]
    trigger.agents.set(agents)
    Action.objects.create(
        trigger=trigger, kind="deploy", environment=prod, when={"equals": {"/ref": "refs/heads/main"}}
    )
    script = Action.objects.create(trigger=trigger, kind="script", script=rows.SCRIPT, position=1)
    script.hosts.set(prod.clusters.get().hosts.all())
    PushSource.objects.create(trigger=trigger, repository=shop, branches=["main", "release/*"], paths=["web/**"])
    EndSource.objects.create(trigger=trigger, of=prod.subject, states=["succeeded", "failed"])
    for number in range(4):
        firing = rows.firing_make(trigger, payload={"ref": "refs/heads/main", "number": number})
        rows.agent_effect_make(firing, agents[0])
        rows.agent_effect_make(firing, agents[1], RunState.FAILED if number == 2 else RunState.SUCCEEDED)
        rows.effect_make(firing, "shop/prod", state="unmet", text="The payload is not as its rule asks.")
    firing = rows.firing_make(trigger, user=owner, source=Firing.Source.ADMIN)
    rows.agent_effect_make(firing, agents[0], RunState.RUNNING)
    rows.agent_effect_make(firing, agents[1], RunState.QUEUED)
    rows.firing_make(
        trigger,
        state=Firing.State.HELD,
        opens_at=timezone.now() + timedelta(days=1),
        text="Closed on Saturdays; opens Monday 08:00 (office, Europe/Paris).",
    )
    return trigger


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[3]], ids=look_name)  # each width and each colour once
def test_pages_hold_the_basics(web: Trigger, signed: Callable[..., Surfer], look: dict[str, bool]) -> None:
    surfer = signed(**look)
    agent = Agent.objects.get(name="shop-1")
    pages = {
        "trigger": f"/admin/triggers/trigger/{web.pk}/control/",
        "triggers": "/admin/triggers/trigger/",
        "trigger-form": f"/admin/triggers/trigger/{web.pk}/change/",
        "firings": "/admin/triggers/firing/",
        "firing": f"/admin/triggers/firing/{web.firings.filter(count=3).get().pk}/change/",
        "agents": "/admin/agents/agent/",
        "agent": f"/admin/agents/agent/{agent.pk}/page/",
        "old-clients": "/admin/triggers/oldprotocol/",
        "start-triggers": "/admin/",
    }
    wrong = surfer.look_at(pages, look_name(look))
    assert not wrong, "\n".join(wrong)


def test_fire_asks_and_the_page_follows(signed: Callable[..., Surfer], owner: User) -> None:
    """From an empty list to a firing, its payload and its run, with the keyboard alone where it matters."""
    surfer = signed()
    page = surfer.page
    surfer.go("/admin/triggers/trigger/")
    surfer.shoot("triggers-empty")
    page.click("text=Add a trigger")
    page.fill("#id_name", "web")
    page.click("text=Add another Action")
    surfer.shoot("trigger-add")
    page.select_option("#id_actions-0-kind", "agents")
    assert not page.is_visible("#id_actions-0-commit_from")
    page.fill("#id_actions-0-when", '{"present": "/ref"}')
    page.click("button[name=_save]")
    page.wait_for_url("**/control/")
    trigger = Trigger.objects.get()
    assert trigger.actions.get().when == {"present": "/ref"}

    agent = rows.agent_make()
    trigger.agents.add(agent)
    page.reload()
    page.fill("#payload", '{"ref": broken}')
    page.press("#payload", "Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#fire-dialog[open]")
    assert "1 agent runs the script on its disk" in page.inner_text("#fire-dialog")
    surfer.shoot("fire-dialog", full=False)
    page.click("#fire-dialog [data-yes]")
    page.wait_for_selector("#payload-trouble")
    surfer.shoot("fire-trouble", full=False)
    assert page.input_value("#payload") == '{"ref": broken}'
    page.fill("#payload", '{"ref": "main"}')
    page.click("#fire-form button")
    page.click("#fire-dialog [data-yes]")
    page.wait_for_selector("text=Fired: the count is 1.")
    firing = Firing.objects.get()
    assert firing.payload == {"ref": "main"}

    # The page follows what the agent does.
    run = firing.effects.get().run
    assert run is not None
    page.wait_for_selector("#control-firings :text('Queued')")
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED)
    page.wait_for_selector("#control-firings :text('Succeeded')")
    page.wait_for_selector("#control-agents :text('Succeeded')")
    Agent.objects.update(session="", disconnected_at=timezone.now())
    page.wait_for_selector("#control-agents :text('Offline')")


def test_a_question_outlives_the_page_s_refresh(signed: Callable[..., Surfer]) -> None:
    """The first refresh writes every part of the page anew, and the button that asks is in one of them."""
    surfer = signed()
    page = surfer.page
    trigger = rows.trigger_make("web")
    trigger.agents.add(rows.agent_make())
    surfer.go(f"/admin/triggers/trigger/{trigger.pk}/control/")
    page.click("#fire-form button")
    page.wait_for_selector("#fire-dialog[open]")
    page.wait_for_function("window.dpFetching.last > 0")
    surfer.settle()
    page.click("#fire-dialog [data-yes]")
    page.wait_for_selector("text=Fired: the count is 1.")


def test_secrets_and_codes_are_shown_once(signed: Callable[..., Surfer], web: Trigger) -> None:
    surfer = signed(phone=True)
    page = surfer.page
    surfer.go(f"/admin/triggers/trigger/{web.pk}/control/")
    page.click("text=Renew the secret")
    page.wait_for_selector("#fresh-secret")
    assert surfer.faults() == []
    surfer.shoot("trigger-secret-phone")
    fresh = page.inner_text("#fresh-secret")
    page.click("text=Done")
    page.wait_for_url("**/control/#sources")
    assert fresh not in page.content()

    surfer.go("/admin/agents/agent/")
    away = Agent.objects.get(name="shop-2")
    assert "Offline" in page.inner_text(f"#agent-state-{away.pk}")
    Agent.objects.update(session="process:2", seen_at=timezone.now())
    page.wait_for_selector(f"#agent-state-{away.pk} :text('Online')")  # without being loaded again
    page.click("text=shop-2")
    page.click("text=Enrol another machine")
    page.wait_for_selector("#enrol-code")
    assert surfer.faults() == []
    surfer.shoot("agent-code-phone")
    surfer.go(f"/admin/agents/agent/{away.pk}/page/")
    page.click("text=Revoke its key…")
    page.click("#revoke-dialog [data-yes]")
    page.wait_for_selector("#agent-head :text('Revoked')")
