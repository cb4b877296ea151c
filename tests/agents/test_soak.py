"""Firings in a row while the agent is killed, the panel is killed, and lines break (seeded): none lost, none doubled.

Some hundreds here; `python -m bench soak` does ten thousand.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from apps.access.actor import Actor, Door
from apps.agents.services import agent_code_issue, agent_create
from apps.runs.models import Run
from apps.runs.states import RunState
from apps.triggers.models import Trigger
from apps.triggers.services.secrets import trigger_secret_rotate
from tests.live.server import server_start
from tests.support.relay import relay_to
from tests.support.runner import log_text, wait_until
from tests.support.soak import EACH, LATEST, SECRET, Soak

pytestmark = [pytest.mark.django_db(transaction=True)]
OPERATOR = Actor(user=None, door=Door.COMMAND)
FIRINGS, SEED = 300, 4


@pytest.mark.timeout(400)
def test_no_firing_is_lost_or_doubled_whatever_breaks(data_folder: Path, tmp_path: Path) -> None:
    agent = agent_create(name="box", actor=OPERATOR)
    for name in (*EACH, LATEST):
        trigger = Trigger.objects.create(name=name, concurrency="latest" if name == LATEST else "each")
        trigger.agents.add(agent)
        trigger_secret_rotate(trigger=trigger, actor=OPERATOR, secret=SECRET)
    servers = [server_start(data_folder, ready="/health")]
    port = servers[0].port

    def restart() -> None:
        servers[-1].process.send_signal(signal.SIGKILL)
        servers[-1].process.wait(30)
        servers.append(server_start(data_folder, port, ready="/health"))

    with relay_to(port) as relay:
        soak = Soak(servers[0].url, relay, restart, tmp_path, FIRINGS, SEED)
        try:
            soak.enrol(agent_code_issue(agent=agent, actor=OPERATOR))
            took = soak.run()
            wait_until(lambda: not Run.objects.exclude(state=RunState.SUCCEEDED).exists(), 60)
        finally:
            soak.close()
            servers[-1].stop(timeout=30)
    print(f"{FIRINGS} firings in {took:.1f} s, {soak.broken}")
    assert set(soak.broken) == {"cut", "agent", "panel"}
    for name in EACH:
        assert soak.counts(name) == list(range(1, soak.fired[name] + 1))
    latest = soak.counts(LATEST)
    assert latest == sorted(set(latest))
    assert latest[-1] == soak.fired[LATEST]
    assert Run.objects.count() == sum(len(soak.counts(name)) for name in soak.fired)
    for run in Run.objects.order_by("?")[:20]:
        assert log_text(run, stream="note").count("$ echo") == 1
