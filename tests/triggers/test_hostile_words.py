"""What old clients call a trigger, and what an agent tells of itself and its runs: shown, never obeyed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.agents import protocol
from apps.agents.models import Agent
from apps.agents.services.report import Report, reports_store
from apps.files.models import CachedFile
from apps.runs.states import RunState
from apps.triggers.models import Effect
from tests.agents.client import ended, event, log
from tests.agents.conftest import order_make
from tests.triggers import rows

EVIL = "<img src=x onerror=alert(1)>\"'`</script><script>"
PAGES = (
    "/admin/",
    "/admin/start.json",
    "/admin/triggers/trigger/",
    "/admin/triggers/trigger/{trigger}/control/",
    "/admin/triggers/trigger/{trigger}/live/",
    "/admin/triggers/trigger/{trigger}/change/",
    "/admin/triggers/firing/",
    "/admin/triggers/firing/{firing}/change/",
    "/admin/triggers/firing/{firing}/live/",
    "/admin/agents/agent/",
    "/admin/agents/agent/{agent}/page/",
    "/admin/agents/agent/{agent}/live/",
    "/admin/runs/run/",
    "/admin/runs/run/{run}/change/",
    "/admin/access/auditentry/",
    "/admin/files/cachedfile/",
    "/admin/files/cachedfile/{file}/change/",
    "/admin/triggers/oldprotocol/",
)


@pytest.mark.django_db
def test_no_page_takes_words_for_markup(client: Client, owner: User) -> None:
    trigger = rows.trigger_make(EVIL, made_by_request=True)
    agent: Agent = rows.agent_make("box", hostname=EVIL, system=EVIL, version=EVIL[:40], address=EVIL)
    trigger.agents.add(agent)
    run = order_make(agent, trigger=EVIL)
    firing = rows.firing_make(trigger, payload={EVIL: EVIL}, by=EVIL, behind=EVIL, address=EVIL, text=EVIL)
    Effect.objects.create(firing=firing, trigger=trigger, agent=agent, target=EVIL, state="started", text=EVIL, run=run)
    told = [log(EVIL + "\n"), event("step", stage=EVIL, state="failed", message=EVIL), ended("failed", EVIL)]
    report = protocol.understood({"type": "events", "run": run.pk, "first": 1, "events": told})
    assert isinstance(report, protocol.Events)
    assert reports_store([Report(agent.pk, report)])[0].ended
    run.refresh_from_db()
    assert run.state == RunState.FAILED
    file = CachedFile.objects.create(
        url=f"https://a.example/{EVIL}", url_digest="d", content_type=EVIL, etag=EVIL, failure=EVIL, fault="failed"
    )
    client.force_login(owner)
    numbers = {"trigger": trigger.pk, "firing": firing.pk, "agent": agent.pk, "run": run.pk, "file": file.pk}
    shown = 0
    for page in PAGES:
        answer = client.get(page.format(**numbers))
        assert answer.status_code == 200, page
        text = answer.content.decode()
        shown += "onerror=alert" in text
        assert "<img src=x" not in text, page
        assert "</script><script>" not in text, page
    assert shown >= 10
