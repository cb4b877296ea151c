"""An agent's WebSocket, against a real web process: what is handed over, stored, acknowledged and told again."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import pytest

from apps.agents.models import Agent, Order
from apps.agents.services import agent_revoke
from apps.agents.services.signing import signer
from apps.runs.models import Run, Step
from apps.runs.services import run_move, run_stop
from apps.runs.states import RunState
from tests.agents.client import Client, connected, ended, event, hello, log
from tests.agents.conftest import agent_make, order_make
from tests.live.server import WebServer
from tests.support.runner import OPERATOR, log_text, wait_for_state, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
Box = tuple[Agent, str]


def test_a_firing_reaches_the_agent_and_its_log_the_panel(web: WebServer, box: Box) -> None:
    agent, key = box
    with connected(web.url, key) as client:
        began = time.monotonic()
        run = order_make(agent, 42, payload={"ref": "main"}, time_limit=60)
        told = client.expect("run")
        assert time.monotonic() - began < 10  # woken, and not at the next beat
        assert (told["run"], told["trigger"], told["count"], told["payload"]) == (run.pk, "web", 42, {"ref": "main"})
        assert (told["again"], told["script"], told["signature"], told["time_limit"]) == (False, None, None, 60)
        run.refresh_from_db()
        assert (run.state, run.machine) == (RunState.RUNNING, "agent box")
        client.events(run.pk, 1, event("started"), event("step", position=0, stage="1 shell", state="running"))
        client.expect("ack", run=run.pk, events=2)
        client.events(run.pk, 3, log("one\ntwo\n"), log("bad\n", "err"))
        client.events(
            run.pk,
            5,
            event("step", position=0, stage="1 shell", state="succeeded", exit=0, message="fine"),
            ended("succeeded", "It went well."),
        )
        client.expect("ack", run=run.pk, events=6)
        client.expect("forget", run=run.pk)
    run.refresh_from_db()
    assert (run.state, run.summary) == (RunState.SUCCEEDED, "It went well.")
    assert log_text(run, stream="out", host="box") == "one\ntwo\n"
    assert log_text(run, stream="err") == "bad\n"
    step = Step.objects.get(run=run)
    assert (step.host, step.stage, step.state, step.exit_status, step.message) == (
        "box",
        "1 shell",
        "succeeded",
        0,
        "fine",
    )
    assert not Order.objects.get(run=run).open


def test_duplicates_are_stored_once_and_gaps_asked_for(web: WebServer, box: Box) -> None:
    agent, key = box
    with connected(web.url, key) as client:
        run = order_make(agent)
        client.expect("run")
        client.events(run.pk, 1, log("1\n"), log("2\n"))
        client.expect("ack", events=2)
        client.events(run.pk, 1, log("1\n"), log("2\n"), log("3\n"))  # the ack was lost
        client.expect("ack", events=3)
        client.events(run.pk, 5, log("5\n"))  # the fourth was lost
        client.expect("ack", events=3)
        client.events(run.pk, 4, log("4\n"), log("5\n"), ended())
        client.expect("ack", events=6)
        client.events(run.pk, 6, ended("failed"))  # its forget was lost
        client.expect("ack", events=6)
        client.expect("forget", run=run.pk)
    assert log_text(run, stream="out") == "1\n2\n3\n4\n5\n"
    run.refresh_from_db()
    assert run.state == RunState.SUCCEEDED


def test_one_run_of_a_trigger_at_a_time_in_order(web: WebServer, box: Box) -> None:
    agent, key = box
    first, second = order_make(agent, 1), order_make(agent, 2)
    other = order_make(agent, 1, trigger="docs")
    with connected(web.url, key) as client:
        given = {client.expect("run")["run"], client.expect("run")["run"]}
        assert given == {first.pk, other.pk}
        assert client.quiet() == []
        client.events(first.pk, 1, ended())
        assert client.expect("run")["run"] == second.pk


def test_a_new_line_hears_again_of_what_runs(web: WebServer, box: Box) -> None:
    agent, key = box
    run = order_make(agent)
    with connected(web.url, key) as client:
        assert client.expect("run")["again"] is False
        client.events(run.pk, 1, event("started"), log("a\n"))
        client.expect("ack", events=2)
    with connected(web.url, key, {run.pk: {"events": 4, "ended": True}}) as client:
        client.expect("ack", run=run.pk, events=2)
        told = client.expect("run")
        assert (told["run"], told["again"]) == (run.pk, True)
        client.events(run.pk, 3, log("b\n"), ended("failed", "no"))
        client.expect("forget", run=run.pk)
    assert log_text(run, stream="out") == "a\nb\n"
    with connected(web.url, key, {run.pk: {"events": 4, "ended": True}, 999999: {"events": 1}}) as client:
        client.expect("forget", run=run.pk)
        client.expect("forget", run=999999)
        assert client.quiet() == []


def test_of_two_lines_the_newer_stays(web: WebServer, box: Box) -> None:
    agent, key = box
    with connected(web.url, key) as old, connected(web.url, key) as new:
        assert old.closed() == 4409
        order_make(agent)
        new.expect("run")
        agent.refresh_from_db()
        assert agent.session
        assert agent.transport == "websocket"


def test_revoking_closes_the_line_and_loses_the_run(web: WebServer, box: Box) -> None:
    agent, key = box
    with connected(web.url, key) as client:
        run = order_make(agent)
        client.expect("run")
        agent_revoke(agent=agent, actor=OPERATOR)
        assert client.closed() == 4401
    run.refresh_from_db()
    assert run.state == RunState.LOST
    assert _refused(web, key, hello()) == 4401


def test_a_line_without_a_key_is_closed(web: WebServer, transactional_db: None) -> None:
    agent_make("never-enrolled", enabled=True)
    Agent.objects.update(key_digest="")
    assert _refused(web, "", hello()) == 4401


def test_stop_goes_down_the_line(web: WebServer, box: Box) -> None:
    agent, key = box
    with connected(web.url, key) as client:
        run = order_make(agent)
        client.expect("run")
        run_stop(run=run, actor=OPERATOR)
        assert client.expect("stop") == {"type": "stop", "run": run.pk, "by": "operator"}
        assert client.quiet() == []
        client.events(run.pk, 1, ended("stopped", "Stopped by operator."))
        client.expect("forget")
    run.refresh_from_db()
    assert run.state == RunState.STOPPED


def test_stop_before_the_agent_is_there(web: WebServer, box: Box) -> None:
    agent, key = box
    run, following = order_make(agent, 1), order_make(agent, 2)
    run_stop(run=run, actor=OPERATOR)
    with connected(web.url, key) as client:
        assert client.expect("run")["run"] == following.pk
    run.refresh_from_db()
    assert run.state == RunState.STOPPED


def test_a_lost_run_is_told_late_and_holds_the_next_until_then(web: WebServer, box: Box) -> None:
    agent, key = box
    run, following = order_make(agent, 1), order_make(agent, 2)
    with connected(web.url, key) as client:
        client.expect("run", run=run.pk)
        client.events(run.pk, 1, event("started"))
        client.expect("ack")
    wait_until(lambda: not Agent.objects.get().session)  # the next run would go down the line that is no more
    assert run_move(run_id=run.pk, to=RunState.LOST, summary="silent")
    with connected(web.url, key, {run.pk: {"events": 1, "ended": False}}) as client:
        client.expect("ack", events=1)
        assert [one["type"] for one in client.quiet()] == []
        client.events(run.pk, 2, log("went on\n"), ended("succeeded", "Done after all."))
        client.expect("ack", events=3)
        assert client.expect("run")["run"] == following.pk
    run.refresh_from_db()
    assert (run.state, run.summary) == (RunState.SUCCEEDED, "Done after all.")
    assert "Told late" in log_text(run, stream="note")


def test_beats_keep_a_run_alive_and_only_the_agents_own(web: WebServer, box: Box) -> None:
    agent, key = box
    other, _ = agent_make("other")
    foreign = order_make(other, trigger="docs")
    assert run_move(run_id=foreign.pk, to=RunState.RUNNING)
    with connected(web.url, key) as client:
        run = order_make(agent)
        client.expect("run")
        Run.objects.update(heartbeat_at=None)
        client.send({"type": "beat", "runs": [run.pk, foreign.pk, 999999]})
        client.expect("beat")

        def heard() -> bool:
            run.refresh_from_db()
            return run.heartbeat_at is not None

        wait_until(heard)
        client.events(foreign.pk, 1, log("not mine\n"), ended())
        client.expect("forget", run=foreign.pk)
    foreign.refresh_from_db()
    assert (foreign.heartbeat_at, foreign.state) == (None, RunState.RUNNING)


def test_an_agent_that_is_off_gets_no_work_until_it_is_on(web: WebServer, box: Box) -> None:
    agent, key = box
    Agent.objects.update(enabled=False)
    with connected(web.url, key) as client:
        run = order_make(agent)
        assert client.quiet() == []
        Agent.objects.update(enabled=True)
        assert client.expect("run")["run"] == run.pk


def test_too_old_firings_are_reported_and_not_run(web: WebServer, box: Box) -> None:
    agent, key = box
    old, fresh = order_make(agent, 1, age=90, max_age=60), order_make(agent, 2)
    with connected(web.url, key) as client:
        assert client.expect("run")["run"] == fresh.pk
    wait_for_state(old)
    assert old.state == RunState.FAILED
    assert old.summary.startswith("Not run: box could not take it within 60 seconds of the firing")


def test_a_script_of_the_panel_is_signed(web: WebServer, box: Box) -> None:
    agent, key = box
    script = "steps:\n- shell: echo ü\n"
    run = order_make(agent, 7, script=script)
    with connected(web.url, key) as client:
        told = client.expect("run")
    digest = hashlib.sha256(script.encode()).hexdigest()
    text = f"deploypanel-run-1\nbox\n{run.pk}\nweb\n7\n{digest}".encode()
    public = signer().public
    size = (int(str(public["n"]), 16).bit_length() + 7) // 8
    opened = pow(int.from_bytes(base64.b64decode(told["signature"]), "big"), 65537, int(str(public["n"]), 16))
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text).digest()
    assert opened.to_bytes(size, "big") == b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info


def test_a_dropped_line_is_noticed(web: WebServer, box: Box) -> None:
    agent, key = box
    with connected(web.url, key):
        agent.refresh_from_db()
        assert agent.session

    def gone() -> bool:
        agent.refresh_from_db()
        return not agent.session

    wait_until(gone)
    assert agent.disconnected_at is not None


def _refused(web: WebServer, key: str, message: Any) -> int:
    """The code with which the panel answers this first message."""
    client = Client(web.url, key)
    client.send(message)
    code = client.closed()
    client.drop()
    return code
