"""The old protocol's `/cache` and `/cache/s3` against a real web process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.access.actor import Actor, Door
from apps.files.models import CachedFile
from apps.triggers.services.secrets import server_secret_set
from tests.files.conftest import Cache, wait_for
from tests.files.origin import Asked, Origin
from tests.live.server import WebServer
from tests.live.shared import shared_server
from tests.triggers.wire import Wire

SECRET = "old and server-wide"
BODY = os.urandom(600_000)


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """One web process for all tests here."""
    with shared_server(tmp_path_factory) as started:
        yield started


@pytest.fixture
def wire(server: WebServer, cache: Cache) -> Iterator[Wire]:
    server_secret_set(actor=Actor(user=None, door=Door.COMMAND), secret=SECRET)
    with Wire(server.port) as opened:
        yield opened
    wait_for(lambda: not CachedFile.objects.exclude(claimed_by="").exists())


def body(url: str, secret: str = SECRET) -> bytes:
    return json.dumps({"secret": secret, "url": url}).encode()


@pytest.mark.parametrize("prefix", ["", "/prostagma"])
def test_post_downloads_and_get_sends(wire: Wire, origin: Origin, prefix: str) -> None:
    url = origin.holds("/a.tar", BODY)
    assert wire.ask("GET", f"{prefix}/cache", body(url)).status == 404
    assert origin.asked == [], "GET asks no origin"
    posted = wire.ask("POST", f"{prefix}/cache", body(url))
    assert (posted.status, posted.body, posted.headers.get("content-length")) == (200, b"", "0")
    got = wire.ask("GET", f"{prefix}/cache", body(url))
    assert (got.status, got.body) == (200, BODY)
    assert "last-modified" in got.headers
    part = wire.ask("GET", f"{prefix}/cache", body(url), "Range: bytes=599990-")
    assert (part.status, part.body) == (206, BODY[599_990:])
    assert part.headers["content-range"] == "bytes 599990-599999/600000"
    assert (
        wire.ask("GET", f"{prefix}/cache", body(url), f"If-Modified-Since: {got.headers['last-modified']}").status
        == 304
    )


def test_a_second_post_downloads_anew(wire: Wire, origin: Origin) -> None:
    url = origin.holds("/a", b"one")
    assert wire.ask("POST", "/cache", body(url)).status == 200
    origin.holds("/a", b"two")
    assert wire.ask("POST", "/cache", body(url)).status == 200
    assert wire.ask("GET", "/cache", body(url)).body == b"two"


def test_what_cannot_be_fetched_is_404_and_what_cannot_be_stored_500(wire: Wire, cache: Cache, origin: Origin) -> None:
    missing = wire.ask("POST", "/cache", body(origin.url("/none")))
    assert (missing.status, missing.body) == (404, b"")
    assert "answered 404" in missing.headers["x-deploypanel-reason"]
    for url in ("", "x", "http://169.254.169.254/", "s3://bucket/key", "http://a\x00b/", "\ud800"):
        for method in ("POST", "GET"):
            assert wire.ask(method, "/cache", body(url)).status == 404, (method, url)
    cache.set(file_limit=3)
    assert wire.ask("POST", "/cache", body(origin.holds("/a", b"four"))).status == 500


def test_s3_fails_with_500(wire: Wire, cache: Cache, origin: Origin) -> None:
    cache.set(s3_endpoint="http://127.0.0.1:9")
    for url in ("s3://bucket/key", origin.holds("/a", b"a"), "x"):
        answer = wire.ask("POST", "/cache/s3", body(url))
        assert (answer.status, answer.body) == (500, b""), url
    assert wire.ask("GET", "/cache/s3", body("s3://bucket/key")).status == 404
    assert origin.asked == []


@pytest.mark.parametrize("path", ["/cache", "/cache/s3", "/prostagma/cache", "/prostagma/cache/s3"])
def test_errors_come_in_the_old_order(wire: Wire, path: str) -> None:
    for method in ("POST", "GET"):
        for wrong in (b"", b"{", b"[]", b'{"url": 1}', b'"x"'):
            answer = wire.ask(method, path, wrong)
            assert (answer.status, answer.body) == (400, b""), wrong
        for closed in (b"null", b"{}", body("http://a.example/", "wrong"), b'{"url": "x"}'):
            answer = wire.ask(method, path, closed)
            assert (answer.status, answer.body) == (403, b""), closed
    for method in ("PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"):
        answer = wire.ask(method, path, body("x"))
        assert (answer.status, answer.body) == (405, b""), method
    assert wire.ask("GET", f"{path}/none", body("x")).status == 404


def test_connections_are_kept_and_chunks_understood(wire: Wire, origin: Origin) -> None:
    url = origin.holds("/a", b"one")
    said = body(url)
    for _ in range(2):
        head = b"POST /cache HTTP/1.1\r\nHost: any.name.example\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire.send(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(said), said))
        assert wire.answer().status == 200
    assert wire.ask("GET", "/cache", said).body == b"one"


def test_real_curl_lines_work(server: WebServer, wire: Wire, origin: Origin, tmp_path: Path) -> None:
    url = origin.holds("/a.bin", BODY)
    host = f"http://127.0.0.1:{server.port}/prostagma"
    said = body(url).decode()
    curl = ["curl", "-sS", "--fail", "-d", said]
    subprocess.run([*curl, f"{host}/cache"], check=True, timeout=60)
    out = tmp_path / "out"
    subprocess.run([*curl, "-X", "GET", "-o", str(out), f"{host}/cache"], check=True, timeout=60)
    assert out.read_bytes() == BODY
    subprocess.run(
        [*curl, "-X", "GET", "-H", "Range: bytes=250000-", "-o", str(out), f"{host}/cache"], check=True, timeout=60
    )
    assert out.read_bytes() == BODY[250_000:]


def test_many_clients_at_once_never_make_two_downloads_at_once(server: WebServer, wire: Wire, origin: Origin) -> None:
    """Who comes when it has ended wants it anew; all who come before share one (test_ask.py counts them)."""
    gate, lock = threading.Event(), threading.Lock()
    at_work, most = 0, 0

    def answer(asked: Asked) -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        gate.wait(60)
        with lock:
            at_work -= 1
        asked.say(200, b"here")

    url, statuses = origin.on("/a", answer), []

    def post() -> None:
        with Wire(server.port) as own:
            statuses.append(own.ask("POST", "/cache", body(url)).status)

    threads = [threading.Thread(target=post) for _ in range(12)]
    for thread in threads:
        thread.start()
    wait_for(lambda: origin.count("/a"))
    gate.set()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * 12
    assert most == 1


def test_noise_is_never_a_500(wire: Wire) -> None:
    noise = random.Random(4)
    words = [
        "http://",
        "https://",
        "s3://",
        "@",
        "[",
        "]",
        "::1",
        "%",
        "\\",
        "#",
        "?",
        "\x00",
        "\n",
        "é",
        "\ud800",
        "a",
        ".",
    ]
    for _ in range(150):
        url = "".join(noise.choice(words) for _ in range(noise.randrange(9)))
        status = wire.ask("GET", "/cache", body(url)).status
        assert status == 404, (url, status)
