"""The lines that an agent's page gives to paste: fetched, run as they stand, and the machine is enrolled."""

from __future__ import annotations

import html
import os
import re
import subprocess
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.agents.models import Agent

pytestmark = [pytest.mark.django_db(transaction=True)]


def test_pasted_lines_enrol_a_machine(
    client: Client, owner: User, live_server: object, settings: object, tmp_path: Path
) -> None:
    settings.PUBLIC_URL = live_server.url  # type: ignore[attr-defined]
    agent = Agent.objects.create(name="shop-1")
    client.force_login(owner)
    page = client.post(f"/admin/agents/agent/{agent.pk}/code/").content.decode()
    for name in ("fetch", "enrol"):
        done = run(pasted(page, name), tmp_path, tmp_path / "state")
        assert done.returncode == 0, done
    agent.refresh_from_db()
    assert agent.key_digest
    assert agent.version
    assert "Offline" in client.get(f"/admin/agents/agent/{agent.pk}/page/").content.decode()

    again = run(pasted(page, "enrol"), tmp_path, tmp_path / "other")  # the code was good once
    assert again.returncode
    assert "Ask for a new one" in again.stderr


def pasted(page: str, name: str) -> str:
    """The line of the page, for who is root already."""
    found = re.search(rf'id="line-{name}"[^>]*>([^<]*)<', page)
    assert found is not None
    return html.unescape(found[1]).replace("sudo ", "")


def run(line: str, folder: Path, state: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "DEPLOYPANEL_AGENT_STATE": str(state)}
    return subprocess.run(["sh", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=False)
