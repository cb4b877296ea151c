"""The pages of triggers and agents in a browser: how they look, and that their buttons work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.models import BusinessHours
from apps.agents.models import Agent
from apps.runs.states import RunState
from apps.triggers.models import Action, EndSource, Firing, PushSource, Trigger
from tests.browser.conftest import Surfer
from tests.browser.test_pages import LOOKS, look_name
from tests.support.cast import PASSWORD
from tests.triggers import rows
from tests.ui.rows import environment_make, fleet_make, repository_make

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def signed(surf: Callable[..., Surfer], live_server: object, owner: User) -> Callable[..., Surfer]:
    def enter(**look: bool) -> Surfer:
        surfer = surf(live_server.url, **look)  # type: ignore[attr-defined]
        surfer.sign_in("owner", PASSWORD)
        return surfer

    return enter


@pytest.fixture
def web(owner: User) -> Trigger:
    """A trigger with everything: agents, actions, sources, hours that are closed, held and past firings."""
    never = BusinessHours.objects.create(name="office", timezone="Europe/Paris", weekly={"mon": "08:00-08:01"})
    trigger = rows.trigger_make(
        "web", hours=never, when_closed="hold", schedule="0 3 * * *", script=rows.SCRIPT, secret_digest="kept"
    )
    Trigger.objects.filter(pk=trigger.pk).update(next_at=timezone.now() + timedelta(hours=9))
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


@pytest.mark.parametrize("look", LOOKS, ids=look_name)
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
    }
    wrong = surfer.look_at(pages, look_name(look))
    assert not wrong, "\n".join(wrong)
