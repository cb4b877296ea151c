"""Long polling, against a real web process: the same words, and what is lost with an answer is told again."""

from __future__ import annotations

import threading
import time

import pytest
import requests

from apps.agents.models import Agent
from apps.agents.services import agent_revoke
from apps.runs.states import RunState
from tests.agents.client import Poller, connected, ended, event, hello, log
from tests.agents.conftest import agent_make, order_make
from tests.live.server import WebServer
from tests.support.runner import OPERATOR, log_text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
Box = tuple[Agent, str]


def test_a_run_from_its_firing_to_its_end(web: WebServer, box: Box) -> None:
    agent, key = box
    poller = Poller(web.url, key)
    assert poller.poll(hello())[0]["type"] == "welcome"
    run = order_make(agent, 5)
    assert poller.expect("run")["count"] == 5
    first = {"type": "events", "run": run.pk, "first": 1, "events": [event("started"), log("a\n")]}
    rest = {"type": "events", "run": run.pk, "first": 3, "events": [log("b\n"), ended()]}
    answers = poller.poll(first, rest, {"type": "beat", "runs": [run.pk]}, wait=5)
    assert [(one["type"], one.get("events")) for one in answers] == [
        ("ack", 2),
        ("ack", 4),
        ("forget", None),
        ("beat", None),
    ]
    run.refresh_from_db()
    agent.refresh_from_db()
    assert (run.state, agent.transport) == (RunState.SUCCEEDED, "poll")
    assert log_text(run, stream="out") == "a\nb\n"


def test_a_waiting_poll_is_answered_at_once(web: WebServer, box: Box) -> None:
    agent, key = box
    poller = Poller(web.url, key)
    poller.poll(hello())
    found: list[str] = []
    waiting = threading.Thread(target=lambda: found.extend(one["type"] for one in poller.poll(wait=25)))
    waiting.start()
    assert requests.get(f"{web.url}/health", timeout=30).status_code in {200, 503}  # others are answered meanwhile
    began = time.monotonic()
    order_make(agent)
    waiting.join(40)
    assert found == ["run"]
    assert time.monotonic() - began < 15  # not at the end of the poll


def test_a_second_poll_ends_the_first(web: WebServer, box: Box) -> None:
    _, key = box
    poller = Poller(web.url, key)
    poller.poll(hello())
    answers: list[str] = []
    first = threading.Thread(target=lambda: answers.extend(one["type"] for one in poller.poll(wait=25)))
    first.start()
    deadline = time.monotonic() + 20
    while first.is_alive() and time.monotonic() < deadline:  # until the first has come to wait
        poller.poll({"type": "beat", "runs": []})
        first.join(0.05)
    assert not first.is_alive()
    assert set(answers) <= {"beat"}


def test_an_answer_that_is_lost_is_told_again_to_the_next_session(web: WebServer, box: Box) -> None:
    agent, key = box
    run = order_make(agent)
    lost = Poller(web.url, key)
    lost.expect("run", hello())
    following = Poller(web.url, key)
    told = following.expect("run", hello())
    assert (told["run"], told["again"]) == (run.pk, True)
    assert lost.post().status_code == 409


def test_sessions_and_keys_are_asked_for(web: WebServer, box: Box) -> None:
    agent, key = box
    assert Poller(web.url, key).post().status_code == 409  # no hello
    assert Poller(web.url, "dpa_wrong").post(hello()).status_code == 401
    mine = Poller(web.url, key)
    mine.poll(hello())
    stranger = Poller(web.url, "dpa_wrong")
    stranger.session = mine.session
    assert stranger.post().status_code == 409
    with connected(web.url, key):
        assert mine.post(wait=5).status_code == 409
    other = Poller(web.url, key)
    other.poll(hello())
    agent_revoke(agent=agent, actor=OPERATOR)
    assert other.post(wait=25).status_code in {401, 409}


def test_a_revoked_key_tells_nothing_any_more(web: WebServer, box: Box) -> None:
    """Its session is still known to the web process: what comes in it must not be stored."""
    agent, key = box
    poller = Poller(web.url, key)
    poller.poll(hello())
    run = order_make(agent)
    poller.expect("run")
    agent_revoke(agent=agent, actor=OPERATOR)
    assert poller.post(wait=25).status_code == 401
    for _ in range(2):
        told = poller.post({"type": "events", "run": run.pk, "first": 1, "events": [log("forged\n"), ended()]})
        assert told.status_code == 401
    run.refresh_from_db()
    assert run.state == RunState.LOST
    assert "forged" not in log_text(run)


def test_no_agent_tells_of_anothers_run(web: WebServer, box: Box) -> None:
    owner, owners_key = box
    _, key = agent_make("stranger")
    run = order_make(owner)
    assert Poller(web.url, owners_key).expect("run", hello())["run"] == run.pk
    run.refresh_from_db()
    beaten = run.heartbeat_at
    poller = Poller(web.url, key)
    forged = {"type": "events", "run": run.pk, "first": 1, "events": [log("forged\n"), ended()]}
    told = poller.poll(hello({run.pk: {"events": 2, "ended": False}}), {"type": "beat", "runs": [run.pk]}, forged)
    assert {one["type"] for one in told if one.get("run") == run.pk} == {"ack", "forget"}
    run.refresh_from_db()
    assert (run.state, run.heartbeat_at) == (RunState.RUNNING, beaten)
    assert "forged" not in log_text(run)
