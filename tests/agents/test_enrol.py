"""How a machine becomes an agent: codes, keys, refusals, the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from io import StringIO
from threading import Barrier, Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import InputError, Refused
from apps.access.models import AuditEntry
from apps.agents.errors import CodeRefused
from apps.agents.keys import code_digest, key_digest
from apps.agents.models import Agent
from apps.agents.services import agent_code_issue, agent_create, agent_enrol, agent_revoke
from apps.agents.views import tries
from apps.files.services.download import crew
from deploypanel.doctor.agents import agents
from tests.agents.conftest import agent_make, order_make
from tests.support.runner import OPERATOR, wait_until

pytestmark = pytest.mark.django_db
BOX = Actor(user=None, door=Door.API, address="192.0.2.7")


@pytest.fixture(autouse=True)
def no_tries() -> None:
    tries.__init__()  # type: ignore[misc]


@pytest.fixture
def agent(db: None) -> Agent:
    return agent_create(name="box", actor=OPERATOR)


def enrol(code: str, **more: Any) -> Any:
    body = {"code": code, "hostname": "box.example", "version": "1.0.0", "system": "Linux"} | more
    return Client().post("/agent/enrol", body, content_type="application/json")


def test_a_code_makes_one_machine_the_agent(agent: Agent) -> None:
    code = agent_code_issue(agent=agent, actor=OPERATOR)
    answer = enrol(code.lower().replace("-", " "))
    assert answer.status_code == 200
    told = answer.json()
    agent.refresh_from_db()
    assert (told["name"], agent.key_digest, agent.hostname) == ("box", key_digest(told["key"]), "box.example")
    assert told["public_key"]["e"] == 65537
    assert int(told["public_key"]["n"], 16).bit_length() == 2048
    assert told["key"] not in json.dumps(list(AuditEntry.objects.values("detail")), default=str)
    assert enrol(code).status_code == 403


def test_an_expired_code_opens_nothing(agent: Agent) -> None:
    code = agent_code_issue(agent=agent, actor=OPERATOR)
    Agent.objects.update(code_expires_at=timezone.now() - timedelta(seconds=1))
    answer = enrol(code)
    assert (answer.status_code, list(answer.json())) == (403, ["error"])


def test_a_new_code_voids_the_former(agent: Agent) -> None:
    former = agent_code_issue(agent=agent, actor=OPERATOR)
    agent_code_issue(agent=agent, actor=OPERATOR)
    with pytest.raises(CodeRefused):
        agent_enrol(code=former, actor=BOX)


def test_an_empty_code_is_nobodys(agent: Agent) -> None:
    assert enrol("").status_code == 403


def test_revoking_voids_key_and_code(agent: Agent) -> None:
    agent_enrol(code=agent_code_issue(agent=agent, actor=OPERATOR), actor=BOX)
    code = agent_code_issue(agent=agent, actor=OPERATOR)
    agent_revoke(agent=agent, actor=OPERATOR)
    assert (agent.key_digest, agent.code_digest, agent.session) == ("", "", "")
    assert agent.revoked_at
    assert enrol(code).status_code == 403


def test_guessing_is_slowed_down(agent: Agent) -> None:
    code = agent_code_issue(agent=agent, actor=OPERATOR)
    assert {enrol("WRONG").status_code for _ in range(10)} == {403}
    answer = enrol(code)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 61
    elsewhere = Client(REMOTE_ADDR="192.0.2.9").post("/agent/enrol", {"code": code}, content_type="application/json")
    assert elsewhere.status_code == 200


@pytest.mark.parametrize("body", ["", "{", "[]", '{"code": 5}', '{"code": ["x"]}', "[" * 50_000, "x" * 20_000])
def test_what_is_no_enrolment_is_refused(db: None, body: str) -> None:
    answer = Client().post("/agent/enrol", body, content_type="application/json")
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


@pytest.mark.django_db(transaction=True)
def test_files_need_a_key() -> None:
    assert Client().post("/agent/files", "{}", content_type="application/json").status_code == 401
    assert Client().get("/agent/files/" + "a1" * 32).status_code == 401
    _, key = agent_make("keyed")
    headers = {"Authorization": f"Bearer {key}"}
    assert Client(headers=headers).get("/agent/files/" + "a1" * 32).status_code == 404
    assert Client(headers=headers).post("/agent/files", "{}", content_type="application/json").status_code == 400
    asked = {"url": "http://127.0.0.1/x"}
    ask = partial(Client(headers=headers).post, "/agent/files", asked, content_type="application/json")
    wait_until(lambda: ask().status_code == 403)  # 202 as long as a thread looks
    wait_until(crew.is_idle)


@pytest.mark.parametrize("act", [agent_code_issue, agent_revoke])
def test_only_administrators_change_agents(agent: Agent, teammate: User, act: Callable[..., object]) -> None:
    with pytest.raises(Refused, match="Only an administrator"):
        act(agent=agent, actor=Actor(user=teammate, door=Door.ADMIN))
    with pytest.raises(Refused):
        act(agent=agent, actor=Actor(user=None, door=Door.API, by_secret=True))
    assert AuditEntry.objects.filter(allowed=False).count() == 2


def test_names_are_checked(agent: Agent) -> None:
    for name in ("box", "", "a b", "-x", "ü"):
        with pytest.raises(InputError, match=r"^name: "):
            agent_create(name=name, actor=OPERATOR)


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_of_two_machines_with_one_code_one_gets_in(transactional_db: None) -> None:
    agent = agent_create(name="box", actor=OPERATOR)
    code = agent_code_issue(agent=agent, actor=OPERATOR)
    agent_enrol(code=agent_code_issue(agent=agent_create(name="first", actor=OPERATOR), actor=OPERATOR), actor=BOX)
    start, keys = Barrier(4), list[str]()

    def machine() -> None:
        start.wait()
        try:
            keys.append(agent_enrol(code=code, actor=BOX).key)
        except CodeRefused:
            pass
        finally:
            connection.close()

    threads = [Thread(target=machine) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    agent.refresh_from_db()
    assert [key_digest(key) for key in keys] == [agent.key_digest]


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("agent", *arguments, stdout=out)
    return out.getvalue()


def test_the_command(db: None, teammate: User) -> None:
    assert "There are no agents" in command("list")
    told = json.loads(command("add", "box", "--note", "in the cellar", "--json"))
    assert Agent.objects.get().code_digest == code_digest(told["code"])
    assert "deploypanel-agent enrol" in command("code", "box")
    assert "Not enrolled" in command("list")
    assert "its key is void" in command("revoke", "box")
    assert json.loads(command("list", "--json"))[0]["note"] == "in the cellar"
    for arguments, status, said in (
        (("code", "bax"), 2, "There is no agent called “bax”; did you mean “box”?"),
        (("code", "bax", "--as", "teammate"), 2, "There is no agent called “bax”."),
        (("code", "box", "--as", "teammate"), 2, "There is no agent called “box”."),
        (("add", "box"), 2, "there is an agent 'box' already"),
        (("add", "x", "--as", "teammate"), 3, "Refused"),
    ):
        err = StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command("agent", *arguments, stdout=StringIO(), stderr=err)
        assert ended.value.code == status
        assert said in err.getvalue()


def test_the_doctor_names_who_is_away_while_work_waits(agent: Agent) -> None:
    assert list(agents()) == []
    order_make(agent)
    assert [finding.about for finding in agents()] == ["agent box"]
    Agent.objects.update(key_digest="x", session="s", seen_at=timezone.now())
    assert list(agents()) == []
    Agent.objects.update(session="")
    assert "is away, and 1 runs wait" in next(iter(agents())).text
