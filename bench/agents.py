"""From a firing to the first command of the agent's script; and what a thousand idle agents cost one web process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import requests

from bench.installation import panel_prepared, settle_down
from bench.table import percentile
from tests.support.postgres import private_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.table import Table
    from tests.support.panel import Panel

ROOT = Path(__file__).resolve().parent.parent
SECRET = "a secret of the bench"
FIRINGS, CROWD, IDLE, ALL_FIRINGS = 200, 1000, 30, 5
# One line of JSON: a code for the agent `bench`, and keys for the crowd.
PREPARE = """
import json
from apps.access.actor import Actor, Door
from apps.agents.keys import key_digest, key_new
from apps.agents.models import Agent
from apps.agents.services import agent_code_issue, agent_create
from apps.triggers.models import Trigger
operator = Actor(user=None, door=Door.COMMAND)
agent = agent_create(name="bench", actor=operator)
one = Trigger.objects.create(name="one", concurrency="each")
one.agents.add(agent)
keys = [key_new() for _ in range({crowd})]
crowd = Agent.objects.bulk_create(
    Agent(name=f"crowd{{number}}", key_digest=key_digest(key)) for number, key in enumerate(keys)
)
everyone = Trigger.objects.create(name="everyone", concurrency="each")
everyone.agents.add(*crowd)
print(json.dumps({{"code": agent_code_issue(agent=agent, actor=operator), "keys": keys}}))
"""


def measure(table: Table) -> None:
    for database in ("sqlite", "postgresql"):
        table.head(f"Agents, {database}")
        with _prepared(database) as (panel, told, folder):
            _latency(table, panel, told["code"], folder)
            _crowd(table, panel, told["keys"], folder)


@contextlib.contextmanager
def _prepared(database: str) -> Iterator[tuple[Panel, dict[str, Any], Path]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deploypanel-bench-")))
        panel = panel_prepared(folder, stack.enter_context(private_postgres()) if database == "postgresql" else "")
        panel.env["DEPLOYPANEL_PROSTAGMA_SECRET"] = SECRET
        stack.callback(panel.kill)
        told = json.loads(panel.python(PREPARE.format(crowd=CROWD)).splitlines()[-1])
        panel.start()
        yield panel, told, folder


def _fire(panel: Panel, session: requests.Session, trigger: str) -> None:
    session.post(f"{panel.url}/trigger", json={"secret": SECRET, "trigger": trigger}, timeout=30).raise_for_status()


# Firing to start


def _latency(table: Table, panel: Panel, code: str, folder: Path) -> None:
    """The real program, started from the folder that it is built of; its script says when it begins."""
    starts = folder / "starts"
    script = folder / "one.yaml"
    script.write_text(f"steps:\n- shell: date +%s.%N >> {starts}\n")
    config = folder / "agent.yaml"
    config.write_text(f"state: {folder / 'agent'}\nscripts:\n  one: {script}\n")
    argv = [sys.executable, "-m", "deploypanel_agent", "--config", str(config)]
    with (folder / "agent.log").open("ab") as log:
        subprocess.run([*argv, "enrol", panel.url, code], cwd=ROOT, check=True, stdout=log, stderr=log)
        agent = subprocess.Popen([*argv, "run"], cwd=ROOT, stdout=log, stderr=log)
    try:
        times = _starts(panel, starts)
    finally:
        agent.terminate()
        agent.wait(20)
    table.figure(f"firing to script start, median of {len(times)}", percentile(times, 0.5) * 1000, 150, "ms")
    table.figure("firing to script start, p99", percentile(times, 0.99) * 1000, 500, "ms")
    table.say("the seed: 2640 ms median, 4990 ms worst")


def _starts(panel: Panel, starts: Path) -> list[float]:
    """Seconds from before the request to the first command of the script, one firing after the other."""
    took: list[float] = []
    with requests.Session() as session:
        for number in range(FIRINGS + 5):
            began = time.time()
            _fire(panel, session, "one")
            lines = _lines(starts, number + 1)
            took.append(float(lines[number]) - began)
            time.sleep(0.05)
    return took[5:]  # the first ones warm up


def _lines(path: Path, count: int) -> list[str]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= count:
            return lines
        time.sleep(0.005)
    raise RuntimeError(f"the script was not started {count} times")


# A crowd


def _crowd(table: Table, panel: Panel, keys: list[str], folder: Path) -> None:
    web = panel.main("web")
    settle_down()
    before = web.memory_info().rss
    keys_file = folder / "keys"
    keys_file.write_text("\n".join(keys))
    argv = [sys.executable, "-m", "bench.crowd", panel.url, str(keys_file)]
    crowd = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE)
    assert crowd.stdout is not None
    try:
        began = time.monotonic()
        _told(crowd.stdout)
        table.say(f"{len(keys)} agents connected in {time.monotonic() - began:.1f} s")
        time.sleep(5)
        used = web.cpu_times()
        time.sleep(IDLE)
        now = web.cpu_times()
        share = (now.user + now.system - used.user - used.system) / IDLE
        table.figure(f"{len(keys)} idle agents, CPU of the web process", share * 100, 15, "% of a core")
        more = (web.memory_info().rss - before) / 1024**2
        table.figure(f"{len(keys)} idle agents, memory of the web process, more by", more, 300, "MB")
        reached, stored = _everyone(panel, crowd.stdout)
        table.figure(f"a firing for all reaches the last, worst of {len(reached)}", max(reached), 3, "s")
        table.say(f"the ends of all their runs are stored after {max(stored):.1f} s")
    finally:
        crowd.kill()
        crowd.wait()


def _everyone(panel: Panel, out: IO[bytes]) -> tuple[list[float], list[float]]:
    """Seconds from before the request until the last agent has heard of it, and until all ends are stored."""
    reached, stored = [], []
    with requests.Session() as session:
        for _ in range(ALL_FIRINGS):
            began = time.time()
            _fire(panel, session, "everyone")
            reached.append(_told(out)["last"] - began)
            stored.append(_told(out)["stored"] - began)
            settle_down()
    return reached, stored


def _told(out: IO[bytes]) -> dict[str, Any]:
    line = out.readline()
    if not line:
        raise RuntimeError("the crowd has gone")
    told: dict[str, Any] = json.loads(line)
    return told
