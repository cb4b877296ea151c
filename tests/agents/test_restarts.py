"""Web processes that die, and two of them beside each other."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import websocket

from apps.agents.models import Agent
from apps.runs.models import Run
from apps.runs.states import RunState
from tests.agents.client import Client, connected, ended, hello, log
from tests.agents.conftest import order_make
from tests.live.server import WebServer, server_start
from tests.support.runner import log_text, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
Box = tuple[Agent, str]


@contextmanager
def second(data: Path, port: int = 0) -> Iterator[WebServer]:
    server = server_start(data, port)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def test_a_killed_web_process_loses_nothing_that_was_acknowledged(box: Box, data_folder: Path) -> None:
    agent, key = box
    run = order_make(agent)
    with second(data_folder) as server:
        client = Client(server.url, key)
        client.send(hello())
        client.expect("run", run=run.pk)
        client.events(run.pk, 1, log("1\n"), log("2\n"))
        client.expect("ack", events=2)
        client.events(run.pk, 3, log("3\n"))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        client.drop()
        agent.refresh_from_db()
        assert agent.session  # nobody could write down that it is gone
    with (
        second(data_folder, server.port) as server,
        connected(server.url, key, {run.pk: {"events": 4, "ended": True}}) as client,
    ):
        stored = client.seen[1]["events"] if len(client.seen) > 1 else client.expect("ack")["events"]
        assert stored in {2, 3}
        assert client.expect("run")["again"] is True
        client.events(run.pk, 1, log("1\n"), log("2\n"), log("3\n"), ended())
        client.expect("forget", run=run.pk)
        assert server.stop(timeout=30) < 12  # the supervisor kills what takes longer
    run.refresh_from_db()
    assert (run.state, log_text(run, stream="out")) == (RunState.SUCCEEDED, "1\n2\n3\n")
    agent.refresh_from_db()
    assert not agent.session  # this one wrote it down


def test_two_web_processes_share_the_agents(web: WebServer, box: Box, data_folder: Path) -> None:
    """A run is handed over once, and a line to one process ends that to the other."""
    agent, key = box
    with second(data_folder) as other:
        old = Client(web.url, key)
        old.send(hello())
        old.expect("welcome")
        with connected(other.url, key) as client:
            assert old.closed() == 4409
            runs = [order_make(agent, number) for number in range(1, 6)]
            for run in runs:
                assert client.expect("run")["run"] == run.pk
                client.events(run.pk, 1, ended())
                client.expect("forget", run=run.pk)
        old.drop()
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.SUCCEEDED}


def test_many_lines_that_come_and_go_get_each_run_once(web: WebServer, box: Box) -> None:
    """Dropped lines at every moment: each run is begun once, in order, and all come to an end."""
    agent, key = box
    runs = [order_make(agent, number) for number in range(1, 16)]
    begun: list[int] = []
    held: dict[int, dict[str, object]] = {}
    for attempt in range(200):
        try:
            client = Client(web.url, key)
        except (OSError, websocket.WebSocketException):
            continue
        client.send(hello(held))
        try:
            for _ in range(1 + attempt % 4):  # so many messages, then the cable is cut
                message = client.receive(2)
                if message["type"] == "run":
                    if message["run"] not in held:
                        assert not message["again"] or message["run"] not in begun
                        begun.append(message["run"])
                    held[message["run"]] = {"events": 1, "ended": True}
                    client.events(message["run"], 1, ended())
                elif message["type"] == "forget":
                    held.pop(message["run"], None)
                elif message["type"] == "ack":
                    client.events(message["run"], 1, ended()) if message["events"] == 0 else None
        except TimeoutError:
            pass
        client.drop()
        if not Run.objects.exclude(state=RunState.SUCCEEDED).exists():
            break
    wait_until(lambda: not Run.objects.exclude(state=RunState.SUCCEEDED).exists())
    assert begun == [run.pk for run in runs]
