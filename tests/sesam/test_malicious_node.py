"""A node that is somebody else's: whatever it answers, the panel keeps its word, its pages and its secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.runs.models import Cause
from apps.runs.states import RunState
from apps.sesam.models import Node, SecretStore, StoredSecret, Sync
from apps.sesam.services import plan_request
from apps.sesam.services.check import nodes_check
from apps.sesam.states import NodeState
from tests.fakes.sesam_node import FakeNode
from tests.fakes.wire import Answer
from tests.sesam.engine import JWT, OPERATOR, Setting, carried_out, log_of, pipe, setting_made, tiny_patience
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db

ODD = "odd\x00\x1b[31m\ud800\u202e<img src=x onerror=alert(1)>"  # as JSON may have it
SECRET = "unmistakable-value"


@pytest.fixture
def evil(git_repo: Callable[..., GitRepo], fake_node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Setting:
    tiny_patience(monkeypatch)
    setting = setting_made(git_repo("conf"), fake_node)
    setting.commit(pipe("a"))
    return setting


@pytest.fixture
def as_owner(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def look(evil: Setting) -> Node:
    carried_out(plan_request(node=evil.node, actor=OPERATOR, cause=Cause.PERSON))
    Node.objects.filter(pk=evil.node.pk).update(check_after=None, check_claimed_at=None, compared="")
    assert nodes_check(ids=[evil.node.pk]) == 1
    return Node.objects.get(pk=evil.node.pk)


def answering(monkeypatch: pytest.MonkeyPatch, fake: FakeNode, which: str, answer: Answer) -> None:
    monkeypatch.setattr(fake, which, lambda *_: answer)


def pages(client: Client, node: Node) -> str:
    addresses = ["/admin/", "/admin/sesam/node/", "/admin/sesam/sync/", "/admin/runs/run/"]
    addresses += [f"/admin/sesam/node/{node.pk}/{part}/" for part in ("control", "live", "compare")]
    for sync in Sync.objects.filter(node=node):
        address = f"/admin/sesam/sync/{sync.pk}/plan/"
        addresses += [address, f"{address}?move=all", f"{address}live/", f"{address}json/"]
        addresses += [f"/admin/runs/run/{sync.run_id}/change/"]
    texts = []
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code in {200, 404}, (address, answer.status_code)
        if answer["Content-Type"].startswith("text/html") or "live" in address:
            texts.append(answer.content.decode())
    return "\n".join(texts)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(403, json.dumps({"detail": ODD}).encode()),
        Answer(400, json.dumps({"detail": ODD}).encode()),
        Answer(404, json.dumps(ODD).encode()),
        Answer(418, "\ud800".encode("utf-8", "surrogatepass") + b"\x00\xff"),
        Answer(302, b"", headers={"Location": "http://\x01[odd"}),
        Answer(200, json.dumps([{"_id": ODD, "type": "pipe", ODD: [ODD]}]).encode()),
        Answer(200, json.dumps([{"_id": ODD * 3000, "type": ODD}, {"_id": "", "type": 1}, {"_id": 7}]).encode()),
        Answer(200, json.dumps([pipe("a")]).encode(), headers={"ETag": '"\x01\x7f\xe9"'}),
        Answer(200, b"[" * 100_000),
        Answer(200, b'[{"_id": "a", "_id": "a"}]'),
        Answer(200, b"PK\x03\x04" + b"\x00" * 500, content_type="application/zip"),
        Answer(200, b'[{"_id": "a", "type": "pipe", "n": 1e308, "m": -0.0, "k": ' + b"9" * 4000 + b"}]"),
    ],
)
def test_no_answer_breaks_checks_or_pages(
    evil: Setting, as_owner: Client, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    answering(monkeypatch, evil.fake, "_config", answer)
    node = look(evil)
    assert node.check_claimed_at is None
    text = pages(as_owner, node)
    assert "<img src=x" not in text


@pytest.mark.parametrize("half", ["", "\ud800"])
def test_odd_names_of_secrets_and_variables_break_nothing(
    evil: Setting, as_owner: Client, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    odd = ODD.replace("\ud800", "") + half
    store = SecretStore.objects.create(name="own", kind="panel")
    uploads = {"upload": ["secrets", "variables"], "secret_store": store, "variables_files": ["variables.json"]}
    Node.objects.filter(pk=evil.node.pk).update(**uploads)
    evil.node.refresh_from_db()
    evil.commit(pipe("a"), files={"conf/variables.json": json.dumps({odd: ODD, "b": 1})})
    held = {odd: 1, "b": {ODD: [ODD]}, f"c{odd}": ODD}
    answering(monkeypatch, evil.fake, "_secrets", Answer(200, json.dumps([ODD, "b"]).encode()))
    answering(monkeypatch, evil.fake, "_env", Answer(200, json.dumps(held).encode()))
    node = look(evil)
    assert Sync.objects.get().state == (RunState.FAILED if half else RunState.SUCCEEDED)
    assert "<img src=x" not in pages(as_owner, node)


def test_secrets_that_come_back_are_shown_nowhere(
    evil: Setting, as_owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SecretStore.objects.create(name="own", kind="panel")
    StoredSecret.objects.create(store=store, name="key", value=SECRET)
    Node.objects.filter(pk=evil.node.pk).update(secret_store=store, upload=["secrets"])
    evil.node.refresh_from_db()
    evil.commit(pipe("a", key="$SECRET(key)"))
    original = evil.fake._config

    def config(method: str, *rest: Any) -> Answer:
        if method != "PUT":
            return original(method, *rest)
        said = [{"msg": f"{SECRET} of {JWT} is odd", "elements": [SECRET, ODD], "level": "error"}]
        errors = [{"posted-config": {"_id": SECRET}, "config-errors": said}]
        return Answer(400, json.dumps({"validation_errors": errors}).encode())

    monkeypatch.setattr(evil.fake, "_config", config)
    row = evil.sync()
    assert row.state == RunState.FAILED
    assert row.refused
    node = Node.objects.get(pk=evil.node.pk)
    assert node.state == NodeState.BROKEN
    kept = [log_of(row), node.state_detail, row.run.summary, json.dumps(row.run.result), json.dumps(row.refused)]
    kept += [pages(as_owner, node)]
    for text in kept:
        assert SECRET not in text
        assert JWT not in text
