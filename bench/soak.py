"""Ten thousand firings while agent, panel and lines are broken (seeded): none lost, none doubled, in order."""

from __future__ import annotations

import contextlib
import json
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from bench.installation import panel_prepared
from tests.support.postgres import private_postgres
from tests.support.relay import relay_to
from tests.support.soak import EACH, LATEST, SECRET, Soak

if TYPE_CHECKING:
    from bench.table import Table
    from tests.support.panel import Panel

FIRINGS, SEED = 10_000, 4
PREPARE = """
import json
from apps.access.actor import Actor, Door
from apps.agents.services import agent_code_issue, agent_create
from apps.triggers.models import Trigger
from apps.triggers.services.secrets import trigger_secret_rotate
operator = Actor(user=None, door=Door.COMMAND)
agent = agent_create(name="soak", actor=operator)
for name in {each} + [{latest!r}]:
    trigger = Trigger.objects.create(name=name, concurrency="latest" if name == {latest!r} else "each")
    trigger.agents.add(agent)
    trigger_secret_rotate(trigger=trigger, actor=operator, secret={secret!r})
print(json.dumps(agent_code_issue(agent=agent, actor=operator)))
"""


def measure(table: Table) -> None:
    for database in ("sqlite", "postgresql"):
        table.head(f"{FIRINGS:,} firings while everything breaks, seed {SEED}, {database}")
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deploypanel-soak-")))
            url = stack.enter_context(private_postgres()) if database == "postgresql" else ""
            _soak(table, folder, url, database)


def _soak(table: Table, folder: Path, url: str, database: str) -> None:
    panel = panel_prepared(folder, url)
    prepare = PREPARE.format(each=list(EACH), latest=LATEST, secret=SECRET)
    code = json.loads(panel.python(prepare).splitlines()[-1])
    panel.start()
    try:
        with relay_to(panel.port) as relay:
            soak = Soak(panel.url, relay, lambda: _kill_web(panel), folder, FIRINGS, SEED)
            try:
                soak.enrol(code)
                took = soak.run()
            finally:
                soak.close()
    finally:
        panel.kill()
    table.say(f"{took:.0f} s; broken: {soak.broken}")
    lost, doubled = (sum(count(soak, name) for name in soak.fired) for count in (_lost, _doubled))
    table.figure(f"firings lost under “each”, {database}", lost, 0, "firings")
    table.figure(f"firings doubled, {database}", doubled, 0, "firings")
    out_of_order = sum(soak.counts(name) != sorted(soak.counts(name)) for name in soak.fired)
    table.figure(f"out of order, {database}", out_of_order, 0, "")
    unserved = sum(_unserved(soak, name) for name in soak.fired)
    table.figure(f"last firings without a run, {database}", unserved, 0, "triggers")


def _kill_web(panel: Panel) -> None:
    """The supervisor starts another one."""
    panel.main("web").send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            requests.get(f"{panel.url}/health", timeout=5)
        except requests.RequestException:
            time.sleep(0.1)
        else:
            return


def _lost(soak: Soak, name: str) -> int:
    if name not in EACH:
        return 0
    return len(set(range(1, soak.fired[name] + 1)) - set(soak.counts(name)))


def _doubled(soak: Soak, name: str) -> int:
    return len(soak.counts(name)) - len(set(soak.counts(name)))


def _unserved(soak: Soak, name: str) -> bool:
    return soak.counts(name)[-1] != soak.fired[name]
