"""Downloads from a real origin: what is followed, what is kept, and what no trick leads to."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from apps.files import fetcher, wire
from apps.files.address import address_read
from apps.files.errors import FileError, FileMissing, FileRefused, FileTooLarge
from apps.files.guard import Guard
from apps.files.intake import Got, Wish
from apps.files.patience import Watch
from tests.files.origin import Asked, Origin, origin_started

LOOPBACK = Guard(private_allowed=("127.0.0.0/8",))


def fetch(
    url: str, guard: Guard = LOOPBACK, seconds: float = 30, limit: int = 1 << 20, **known: str
) -> tuple[Got, bytes]:
    into = io.BytesIO()
    wish = Wish(address=address_read(url), limit=limit, **known)
    with Watch(seconds).running() as watch:
        return fetcher.download(wish, guard, watch, into), into.getvalue()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "RETRY_AFTER", 0.01)


def test_a_file_comes_whole(origin: Origin) -> None:
    body = bytes(range(256)) * 4000
    url = origin.holds("/a.bin", body, ETag='"one"', Last_Modified="Sat, 21 Nov 2026 06:00:00 GMT")
    got, came = fetch(url)
    assert came == body
    assert (got.size, got.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert (got.etag, got.last_modified) == ('"one"', "Sat, 21 Nov 2026 06:00:00 GMT")
    assert origin.asked[0][1]["accept-encoding"] == "identity"


def test_what_is_packed_stays_packed(origin: Origin) -> None:
    packed = gzip.compress(b"0" * 5_000_000)  # what it would unpack to is over the limit
    url = origin.holds("/a.gz", packed, Content_Encoding="gzip")
    assert fetch(url)[1] == packed


def test_what_is_known_is_not_sent_again(origin: Origin) -> None:
    url = origin.holds("/a", b"text", ETag='"one"')
    got, came = fetch(url, etag='"one"')
    assert got.unchanged
    assert came == b""


def test_a_304_that_nobody_asked_for_is_a_failure(origin: Origin) -> None:
    url = origin.on("/a", lambda asked: asked.say(304, Content_Length=""))
    with pytest.raises(FileError, match="304"):
        fetch(url)


@pytest.mark.parametrize(
    ("status", "kind", "asked"),
    [(404, FileMissing, 1), (403, FileMissing, 1), (500, FileError, 2), (206, FileError, 1)],
)
def test_only_a_good_answer_is_kept(origin: Origin, status: int, kind: type[FileError], asked: int) -> None:
    url = origin.on("/a", lambda one: one.say(status, b"an error's page"))
    with pytest.raises(kind, match=str(status)):
        fetch(url)
    assert origin.count("/a") == asked


def test_an_origin_that_stumbles_is_asked_once_more(origin: Origin) -> None:
    url = origin.on("/a", lambda one: one.say(*((503, b"") if origin.count("/a") == 1 else (200, b"here"))))
    assert fetch(url)[1] == b"here"


def test_redirects_are_followed_a_few_times(origin: Origin) -> None:
    origin.holds("/5", b"here")
    for hop in range(5):
        origin.leads(f"/{hop}", f"/{hop + 1}")
    assert fetch(origin.url("/0"))[1] == b"here"
    origin.leads("/round", "/round")
    with pytest.raises(FileError, match="redirects more than"):
        fetch(origin.url("/round"))


def test_credentials_stay_with_their_origin(origin: Origin) -> None:
    origin.holds("/b", b"here")
    origin.leads("/a", origin.url("/b", "localhost"))
    url = origin.url("/a").replace("//", "//me:pass@")
    assert fetch(url, Guard(private_allowed=("127.0.0.0/8", "::1")))[1] == b"here"
    (_, first), (_, second) = origin.asked
    assert first["authorization"].startswith("Basic ")
    assert "authorization" not in second


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "0.0.0.0", "[::1]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "127.0.0.1."],
)  # fmt: skip
def test_no_spelling_leads_to_loopback(origin: Origin, host: str) -> None:
    origin.holds("/secret", b"secret")
    origin.leads("/away", origin.url("/secret", host))
    with pytest.raises(FileError):
        fetch(origin.url("/secret", host), Guard())
    assert origin.asked == []
    allowed_first = Guard(private_allowed=("127.0.0.9",))
    with pytest.raises(FileError):
        fetch(origin.url("/secret", host), allowed_first)
    assert origin.asked == []


@pytest.fixture
def outside(origin: Origin) -> Iterator[Origin]:
    """An origin that may be asked, at the same port as the one that may not."""
    with origin_started("127.0.0.9", origin.port) as started:
        yield started


OUTSIDE_ONLY = Guard(private_allowed=("127.0.0.9",))


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "inside.example"])
def test_no_redirect_leads_to_loopback(
    origin: Origin, outside: Origin, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver(monkeypatch, {"outside.example": ["127.0.0.9"], "inside.example": ["127.0.0.1"]}, origin.port)
    origin.holds("/secret", b"secret")
    outside.leads("/away", origin.url("/secret", host))
    with pytest.raises(FileRefused, match="no public address"):
        fetch(outside.url("/away", "outside.example"), OUTSIDE_ONLY)
    assert outside.count("/away") == 1
    assert origin.asked == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://x/", "s3://bucket/key", "//[::1", "http://"])
def test_no_redirect_leads_to_another_kind(origin: Origin, target: str) -> None:
    url = origin.leads("/away", target)
    with pytest.raises(FileError):
        fetch(url)


def test_the_list_of_origins_holds_for_redirects_too(origin: Origin) -> None:
    origin.holds("/b", b"here")
    origin.leads("/a", origin.url("/b", "localhost"))
    guard = Guard(allowed=("127.0.0.1",), private_allowed=("127.0.0.0/8", "localhost"))
    with pytest.raises(FileRefused, match="localhost"):
        fetch(origin.url("/a"), guard)
    assert origin.count("/b") == 0


def resolver(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]], port: int) -> list[str]:
    """A DNS of the test's own: each question takes the next answer. What was asked, in order."""
    asked: list[str] = []
    real = wire.resolve

    def resolve(host: str, number: int) -> list[tuple[Any, ...]]:
        asked.append(host)
        if host not in names:
            return real(host, number)
        answers = names[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in answer.split(",")]

    monkeypatch.setattr(wire, "resolve", resolve)
    return asked


def test_a_name_that_changes_its_mind_leads_nowhere(
    origin: Origin, outside: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is allowed, each later one is not. Where the connection goes was never asked a second time."""
    origin.holds("/file", b"secret")
    outside.holds("/file", b"public")
    asked = resolver(monkeypatch, {"rebind.example": ["127.0.0.9", "127.0.0.1"]}, origin.port)
    assert fetch(origin.url("/file", "rebind.example"), OUTSIDE_ONLY)[1] == b"public"
    assert asked == ["rebind.example"]
    with pytest.raises(FileRefused):
        fetch(origin.url("/file", "rebind.example"), OUTSIDE_ONLY)
    assert origin.asked == []


def test_a_name_that_changes_its_mind_between_two_hops_leads_nowhere(
    origin: Origin, outside: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.holds("/file", b"secret")
    outside.leads("/away", "/file")
    resolver(monkeypatch, {"rebind.example": ["127.0.0.9", "127.0.0.1"]}, origin.port)
    with pytest.raises(FileRefused):
        fetch(origin.url("/away", "rebind.example"), OUTSIDE_ONLY)
    assert origin.asked == []


def test_a_name_with_a_private_address_among_others_is_refused(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.holds("/secret", b"secret")
    resolver(monkeypatch, {"mixed.example": ["8.8.8.8,127.0.0.1"]}, origin.port)
    with pytest.raises(FileRefused, match=r"mixed\.example \(127\.0\.0\.1\)"):
        fetch(origin.url("/secret", "mixed.example"), Guard())
    assert origin.asked == []


def test_proxies_of_the_environment_are_not_asked(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(origin.holds("/a", b"here"))[1] == b"here"


@pytest.mark.parametrize("told", [True, False])
def test_what_is_too_large_is_refused(origin: Origin, told: bool) -> None:
    def answer(asked: Asked) -> None:
        if told:
            asked.say(200, b"", Content_Length="9000000000")
        else:
            asked.say(200, b"x" * 3000, Content_Length="", Connection="close")
            asked.close_connection = True

    with pytest.raises(FileTooLarge):
        fetch(origin.on("/a", answer), limit=1000)


def test_half_a_file_is_no_file(origin: Origin) -> None:
    def answer(asked: Asked) -> None:
        asked.say(200, b"half", Content_Length="8")
        asked.close_connection = True

    with pytest.raises(FileError, match="broken off"):
        fetch(origin.on("/a", answer))


@pytest.mark.parametrize("where", ["head", "body"])
def test_an_origin_that_drips_is_cut_off(origin: Origin, where: str) -> None:
    over = threading.Event()

    def answer(asked: Asked) -> None:
        if where == "body":
            asked.say(200, Content_Length="1000")
        try:
            while not over.wait(0.05):
                asked.wfile.write(b"x")
                asked.wfile.flush()
        except OSError:
            pass

    url = origin.on("/a", answer)
    try:
        with pytest.raises(FileError, match=r"longer than 0\.5 seconds"):
            fetch(url, seconds=0.5)
    finally:
        over.set()


def test_what_is_no_http_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            for _ in range(fetcher.TRIES):
                caller, _ = listener.accept()
                with caller:
                    caller.recv(4096)
                    caller.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(FileError, match="could not be asked"):
            fetch(f"http://127.0.0.1:{port}/")
        thread.join(10)
    with pytest.raises(FileError, match="refused"):
        fetch(f"http://127.0.0.1:{port}/")
