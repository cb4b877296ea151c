"""Agents in the admin: for administrators alone; codes shown once, keys revoked, states kept true."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from apps.access.levels import Level
from apps.access.models import AuditEntry
from apps.agents.keys import code_digest
from apps.agents.models import Agent
from apps.agents.presence import SILENT_AFTER
from apps.runs.states import RunState
from tests.support.cast import grant
from tests.triggers import rows

pytestmark = [pytest.mark.django_db]

LIST = "/admin/agents/agent/"
PAGES = ("page/", "live/", "change/", "delete/", "history/")
ACTS = ("code", "revoke", "switch")


@pytest.fixture
def boss(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


@pytest.fixture
def agent() -> Agent:
    return rows.agent_make("shop-1")


def address(agent: Agent, page: str) -> str:
    return f"{LIST}{agent.pk}/{page}"


@pytest.mark.database
def test_only_administrators_find_anything(client: Client, teammate: User, agent: Agent) -> None:
    """Django's own permissions are not enough: who holds an agent may run anything on its machine."""
    trigger = rows.trigger_make()
    trigger.agents.add(agent)
    grant(teammate, trigger, Level.CONFIGURE)
    teammate.user_permissions.set(Permission.objects.filter(content_type__app_label="agents"))
    client.force_login(teammate)
    for page in (LIST, f"{LIST}add/", f"{LIST}live.json?pk={agent.pk}", *(address(agent, page) for page in PAGES)):
        answer = client.get(page)
        assert answer.status_code in {302, 403, 404}, page
        assert b"shop-1" not in answer.content
    for act in ACTS:
        assert client.post(address(agent, f"{act}/"), {"on": "0"}).status_code == 403
    before = agent.key_digest
    agent.refresh_from_db()
    assert (agent.enabled, agent.code_digest, agent.key_digest) == (True, "", before)
    page = client.get(f"/admin/triggers/trigger/{trigger.pk}/control/").content.decode()
    assert "shop-1" in page  # whoever sees the trigger sees whom it sets to work
    assert f"/agents/agent/{agent.pk}/" not in page


def test_new_agent_comes_to_its_page(boss: Client) -> None:
    assert "No agent yet" in boss.get(LIST).content.decode()
    answer = boss.post(f"{LIST}add/", {"name": "web-1", "enabled": "on", "note": "in the cellar"}, follow=True)
    page = answer.content.decode()
    assert "Not enrolled" in page
    assert "Make an enrolment code" in page
    assert "No trigger sets it to work." in page
    wrong = boss.post(f"{LIST}add/", {"name": "a b; rm"}).content.decode()
    assert "Use letters, digits" in wrong


def test_name_of_an_enrolled_machine_stays(boss: Client, agent: Agent) -> None:
    boss.post(address(agent, "change/"), {"name": "other", "enabled": "on", "note": "moved"})
    agent.refresh_from_db()
    assert (agent.name, agent.note) == ("shop-1", "moved")


def test_code_is_shown_once_with_the_lines_to_paste(boss: Client, agent: Agent) -> None:
    rows.trigger_make("web").agents.add(agent)
    rows.trigger_make("held-here", script=rows.SCRIPT).agents.add(agent)
    answer = boss.post(address(agent, "code/"))
    code = answer.content.decode().split('id="enrol-code">')[1].split("<")[0]
    assert "no-store" in answer["Cache-Control"]
    assert f"deploypanel-agent.pyz enrol http://localhost:8000 {code}" in answer.content.decode()
    assert "web: /etc/deploypanel/web.yaml" in answer.content.decode()
    assert "held-here" not in answer.content.decode()
    agent.refresh_from_db()
    assert agent.code_digest == code_digest(code)
    page = boss.get(address(agent, "page/")).content.decode()
    assert code not in page
    assert "A code is open until" in page
    assert boss.get(address(agent, "code/")).status_code == 405
    assert code not in str(list(AuditEntry.objects.values()))


def test_program_is_there_for_the_machine(client: Client) -> None:
    """Whoever is to be enrolled has nothing to sign in with; the file is the same for all."""
    answer = client.get("/agent/deploypanel-agent.pyz")
    assert answer.status_code == 200
    assert answer.content.startswith(b"#!/usr/bin/env python3\n")
    assert "deploypanel_agent/build_script.py" in zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert client.post("/agent/deploypanel-agent.pyz").status_code == 405


def test_revoked_it_is_not_there_any_more(boss: Client, agent: Agent) -> None:
    page = boss.post(address(agent, "revoke/"), follow=True).content.decode()
    assert "Revoked" in page
    assert "Revoke its key" not in page
    agent.refresh_from_db()
    assert (agent.key_digest, agent.session) == ("", "")


def test_switched_off_and_on(boss: Client, agent: Agent) -> None:
    boss.post(address(agent, "switch/"), {"on": "0"})
    assert "Off" in boss.get(address(agent, "live/")).json()["agent-head"]
    boss.post(address(agent, "switch/"), {"on": "1"})
    agent.refresh_from_db()
    assert agent.enabled
    actions = AuditEntry.objects.filter(action__startswith="switch agent").order_by("id")
    assert list(actions.values_list("action", flat=True)) == ["switch agent off", "switch agent on"]


def test_list_keeps_the_states_true(boss: Client) -> None:
    there, gone = rows.agent_make("there"), rows.agent_make("gone", online=False)
    cut = rows.agent_make("cut", seen_at=timezone.now() - SILENT_AFTER - timedelta(seconds=1))
    asked = "&".join(f"pk={agent.pk}" for agent in (there, gone, cut))
    page = boss.get(LIST).content.decode()
    assert f"live.json?pk={cut.pk}&amp;pk={gone.pk}&amp;pk={there.pk}" in page
    states = boss.get(f"{LIST}live.json?{asked}&pk=x&pk=99999999999999999999").json()
    assert "Online" in states[f"agent-state-{there.pk}"]
    # A web process that was killed could not write down that its agents are gone.
    assert "Offline" in states[f"agent-state-{gone.pk}"]
    assert "Offline" in states[f"agent-state-{cut.pk}"]


def test_page_tells_what_it_did(boss: Client, agent: Agent) -> None:
    trigger = rows.trigger_make()
    trigger.agents.add(agent)
    failed = rows.agent_effect_make(rows.firing_make(trigger), agent, RunState.FAILED, summary="exit status 3")
    Agent.objects.update(session="", disconnected_at=timezone.now())
    rows.agent_effect_make(rows.firing_make(trigger), agent, RunState.QUEUED)
    page = boss.get(address(agent, "page/")).content.decode()
    for text in ("exit status 3", f"#{failed.pk}", "1 run waits for it.", "web", "10.20.30.40"):
        assert text in page, text
    assert boss.post(address(agent, "delete/"), {"post": "yes"}).status_code == 403  # something waits for it
    assert Agent.objects.exists()
