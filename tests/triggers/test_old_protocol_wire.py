"""The old protocol's table, byte by byte, against a real web process."""

from __future__ import annotations

import json
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from apps.access.actor import Actor, Door
from apps.access.errors import Refused
from apps.triggers.models import Firing, OldProtocol, Trigger
from apps.triggers.services.secrets import server_secret_set, trigger_secret_rotate
from tests.live.server import WebServer
from tests.live.shared import shared_server, shared_start
from tests.triggers.wire import PollClient, Wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
SECRET = "old and server-wide"
OPERATOR = Actor(user=None, door=Door.COMMAND)
PATHS = ("/trigger", "/prostagma/trigger", "/triggers/web/fire", "/triggers/%00/fire", "/cache", "/prostagma/cache/s3")
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """One web process for all tests here."""
    with shared_server(tmp_path_factory) as started:
        yield started


@pytest.fixture(autouse=True)
def old_clients(transactional_db: None) -> None:
    server_secret_set(actor=OPERATOR, secret=SECRET)


@pytest.fixture
def wire(server: WebServer) -> Iterator[Wire]:
    with Wire(server.port) as connection:
        yield connection


def said(secret: str = SECRET, trigger: str = "web", **more: object) -> bytes:
    return json.dumps({"secret": secret, "trigger": trigger, **more}).encode()


@pytest.mark.parametrize("path", ["/trigger", "/prostagma/trigger"])
def test_the_table_over_one_connection(wire: Wire, path: str) -> None:
    told = wire.ask("GET", path, said())
    assert (told.status, told.body) == (200, b'{"trigger":"web","count":0}\n')
    assert told.headers["content-type"] == "text/plain; charset=utf-8"
    assert Trigger.objects.get().made_by_request
    for count in (1, 2):
        fired = wire.ask("POST", path, said(), JSON)
        assert (fired.status, fired.body, fired.headers["content-length"]) == (200, b"", "0")
        assert wire.ask("GET", path, said()).body == f'{{"trigger":"web","count":{count}}}\n'.encode()
    assert wire.ask("POST", path, said(trigger="new"), FORM).status == 200
    assert wire.ask("GET", path, said(trigger="new") + b" and more").body == b'{"trigger":"new","count":1}\n'
    for method in ("GET", "POST"):
        for body in (b"", b"secret", b"[]", b'{"secret":1}', said(trigger=5), b'{"secret": "x", "trigger": 1}'):  # type: ignore[arg-type]
            bad = wire.ask(method, path, body)
            assert (bad.status, bad.body) == (400, b""), body
        for body in (said("wrong"), said(""), b"null", b"{}", said(SECRET + "x"), said(SECRET.upper())):
            refused = wire.ask(method, path, body)
            assert (refused.status, refused.body) == (403, b""), body
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
        other = wire.ask(method, path, said())
        assert (other.status, other.body) == (405, b""), method
    for elsewhere in (f"{path}/", f"{path}s", f"{path}/web"):
        assert wire.ask("GET", elsewhere, said()).status == 404
    assert sorted(Trigger.objects.values_list("name", "count")) == [("new", 1), ("web", 2)]


def test_a_field_in_any_case_and_of_no_name(wire: Wire) -> None:
    body = json.dumps({"SECRET": SECRET, "Trigger": "web", "url": "x", "more": [1]}).encode()
    assert wire.ask("POST", "/trigger", body).status == 200
    assert wire.ask("GET", "/trigger", json.dumps({"secret": SECRET}).encode()).body == b'{"trigger":"","count":0}\n'
    assert Trigger.objects.get(name="web").count == 1


def test_chunks_and_versions(wire: Wire, server: WebServer) -> None:
    body = said()
    wire.send(b"GET /trigger HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in (body[:7], body[7:]):
        wire.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    wire.send(b"0\r\n\r\n")
    assert wire.answer().body == b'{"trigger":"web","count":0}\n'
    assert wire.ask("POST", "/trigger?x=1", body, "Expect: 100-continue").status in {100, 200}
    with Wire(server.port) as old:
        old.send(f"GET /trigger HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert old.answer().body.startswith(b'{"trigger":"web"')
        assert old.is_closed()
    with Wire(server.port) as kept:
        assert kept.ask("GET", "/trigger", body, "Connection: keep-alive", version="1.0").status == 200
    with Wire(server.port) as last:
        assert last.ask("GET", "/trigger", body, "Connection: close").status == 200
        assert last.is_closed()


def test_a_body_that_is_too_long(wire: Wire) -> None:
    assert wire.ask("POST", "/trigger", b" " * (64 * 1024 - len(said())) + said()).status == 200
    assert wire.ask("POST", "/trigger", b" " * 65_536 + said()).status == 413
    wire.send(b"POST /trigger HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(20):
        wire.send(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
    wire.send(b"0\r\n\r\n")
    assert wire.answer().status == 413


def test_a_triggers_own_secret_opens_that_one_alone(wire: Wire) -> None:
    web, api = (Trigger.objects.create(name=name) for name in ("web", "api"))
    own = trigger_secret_rotate(trigger=web, actor=OPERATOR)
    assert wire.ask("POST", "/trigger", said(own)).status == 200
    assert wire.ask("GET", "/trigger", said(own)).body == b'{"trigger":"web","count":1}\n'
    assert wire.ask("POST", "/trigger", said(own, "api")).status == 403
    assert wire.ask("POST", "/trigger", said(own, "unknown")).status == 403
    fresh = trigger_secret_rotate(trigger=web, actor=OPERATOR)
    assert [wire.ask("POST", "/trigger", said(one)).status for one in (own, fresh)] == [200, 200]
    trigger_secret_rotate(trigger=web, actor=OPERATOR)
    assert [wire.ask("POST", "/trigger", said(one)).status for one in (own, fresh)] == [403, 200]
    api.refresh_from_db()
    assert api.count == 0


def test_off_until_there_is_a_secret_and_no_new_names_if_so_set(wire: Wire) -> None:
    OldProtocol.objects.update(create_unknown=False)
    assert wire.ask("GET", "/trigger", said()).status == 404
    assert wire.ask("POST", "/trigger", said()).status == 404
    server_secret_set(actor=OPERATOR, secret="")
    for secret in ("", SECRET):
        assert wire.ask("GET", "/trigger", said(secret)).status == 403
    assert not Trigger.objects.exists()


def test_why_not_stands_in_a_header(wire: Wire) -> None:
    Trigger.objects.create(name="web", enabled=False)
    off = wire.ask("POST", "/trigger", said())
    assert (off.status, off.body) == (403, b"")
    assert "off" in off.headers["x-deploypanel-reason"]
    Trigger.objects.update(enabled=True, rate_limit=1, rate_seconds=60)
    assert wire.ask("POST", "/trigger", said()).status == 200
    many = wire.ask("POST", "/trigger", said())
    assert (many.status, many.body) == (429, b"")
    assert 1 <= int(many.headers["retry-after"]) <= 60


def test_many_at_once_add_exactly_so_many(server: WebServer) -> None:
    statuses: list[int] = []

    def pipeline() -> None:
        with Wire(server.port) as connection:
            statuses.extend(connection.ask("POST", "/trigger", said()).status for _ in range(5))

    threads = [threading.Thread(target=pipeline) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 60
    assert Trigger.objects.get().count == 60
    assert sorted(Firing.objects.values_list("count", flat=True)) == list(range(1, 61))


@pytest.mark.parametrize("prefix", ["", "/prostagma"])
def test_a_polling_client_and_curl_after_a_change_of_address(server: WebServer, prefix: str) -> None:
    builds: list[int] = []
    host = f"http://127.0.0.1:{server.port}{prefix}"
    client = PollClient(host, SECRET, "web", lambda: builds.append(1))

    def curl(*options: str) -> str:
        body = '{"secret": "' + SECRET + '", "trigger": "web"}'
        argv = ["curl", "-sS", "--fail", *options, "-d", body, f"{host}/trigger"]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout

    client.start()
    client.poll()
    assert builds == []
    assert curl("-X", "POST") == ""
    client.poll()
    client.poll()
    assert builds == [1]
    for _ in range(3):
        curl()
    client.poll()
    assert builds == [1, 1]
    assert curl("-X", "GET") == '{"trigger":"web","count":4}\n'
    assert client.errors == []
    client.close()


def test_counts_outlive_kill_9_and_a_client_polls_on(server: WebServer) -> None:
    builds: list[int] = []
    client = PollClient(f"http://127.0.0.1:{server.port}", SECRET, "web", lambda: builds.append(1))
    client.start()
    with Wire(server.port) as wire:
        assert wire.ask("POST", "/trigger", said()).status == 200
    server.process.kill()
    server.process.wait()
    client.poll()
    assert (client.errors, builds) == ([0], [])
    server.process = shared_start(server.log.parent, server.port).process
    client.poll()
    client.poll()
    assert builds == [1]
    client.close()


def test_hostile_bytes_meet_no_500(server: WebServer) -> None:
    """Seeded: the same bytes each time."""
    dice = random.Random(4)
    good, seen = said(), set()
    with Wire(server.port) as wire:
        for number in range(200):
            body = bytearray(good)
            for _ in range(dice.randrange(1, 4)):
                body[dice.randrange(len(body))] = dice.randrange(256)
            if number % 5 == 0:
                body = bytearray(dice.randbytes(dice.randrange(400)))
            path = dice.choice(PATHS)
            answer = wire.ask(dice.choice(["GET", "POST"]), path, bytes(body), f"Authorization: Bearer {number}")
            seen.add(answer.status)
            assert b"Traceback" not in answer.body
    assert seen <= {200, 400, 401, 403, 404, 405}  # 404: not in the cache
    assert server.process.poll() is None
    assert "Traceback" not in Path(server.log).read_text()


def test_only_administrators_set_the_secret_of_all(teammate: User) -> None:
    with pytest.raises(Refused):
        server_secret_set(actor=Actor(user=teammate, door=Door.ADMIN), secret="mine")
