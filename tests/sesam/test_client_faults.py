"""The client against everything that can go wrong: what is asked again, what is not, and what it says."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from apps.sesam import client_wire
from apps.sesam.client import NodeClient
from apps.sesam.configuration import Entity
from apps.sesam.errors import (
    AnswerLost,
    ConfigurationRefused,
    NodeBusy,
    NodeError,
    NodeFault,
    NodeForbidden,
    NodeRefused,
    NodeUnauthorized,
    NodeUnreachable,
)
from apps.sesam.patience import QUICK, Patience, retry_after
from tests.fakes import wire
from tests.fakes.fixtures import Authority
from tests.fakes.sesam_node import FakeNode
from tests.fakes.wire import Answer
from tests.support.runner import wait_until

PIPE = {"_id": "customers", "type": "pipe", "source": {"type": "dataset", "dataset": "raw"}}
HASTY = Patience(connect=20.0, read=20.0, write=20.0, total=40.0, tries=3, limit=120.0, first=0.01, longest=0.02)
SHORT = {  # where the end of it is waited for: that of the silence, or of the whole attempt
    "never": replace(HASTY, read=0.3, write=0.3),
    "never_after": replace(HASTY, read=0.3, write=0.3),
    "slow": replace(HASTY, total=0.5),
}

READS: dict[str, tuple[str, str, Callable[[NodeClient], object]]] = {
    "configuration": ("GET", "/api/config", lambda client: client.configuration().configuration),
    "group": ("GET", "/api/config/mine", lambda client: client.configuration("mine").configuration),
    "variables": ("GET", "/api/env", lambda client: client.variables()),
    "secrets": ("GET", "/api/secrets", lambda client: client.secrets()),
    "status": ("GET", "/api/", lambda client: client.status()),
    "pipes": ("GET", "/api/pipes", lambda client: client.deploying()),
    "reformat": ("POST", "/api/utils/reformat-config", lambda client: client.reformat(PIPE)),
}
WRITES: dict[str, tuple[str, str, Callable[[NodeClient], None]]] = {
    "configuration": ("PUT", "/api/config", lambda client: client.configuration_put([Entity(id="new", value=NEW)])),
    "group": (
        "PUT",
        "/api/config/mine",
        lambda client: client.configuration_put([Entity(id="new", value=NEW)], "mine"),
    ),
    "variables": ("PUT", "/api/env", lambda client: client.variables_put({"new": 1})),
    "secrets": ("POST", "/api/secrets", lambda client: client.secrets_add({"new": "top-secret"})),
    "secret": ("DELETE", "/api/secrets/old", lambda client: client.secret_delete("old")),
}
NEW = {"_id": "new", "type": "pipe", "source": {"type": "dataset", "dataset": "raw"}}


@pytest.fixture
def pauses() -> list[tuple[float, str]]:
    return []


@pytest.fixture
def client(fake_node: FakeNode, pauses: list[tuple[float, str]]) -> Iterator[NodeClient]:
    fake_node.put(PIPE)
    fake_node.secrets = {"old": "1"}
    with NodeClient(
        url=fake_node.url, jwt=fake_node.jwt, patience=HASTY, pause=lambda seconds, why: pauses.append((seconds, why))
    ) as client:
        yield client


def changed(node: FakeNode) -> bool:
    return "new" in node.entities or "new" in node.variables or set(node.secrets) != {"old"}


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize(
    "kind", ["reset_before", "reset_after", "half_body", "half_chunk", "html_502", "status:500", "status:503"]
)
def test_read_is_asked_again(fake_node: FakeNode, client: NodeClient, pauses: list, call: str, kind: str) -> None:
    method, path, ask = READS[call]
    fake_node.faults.add(method, path, kind, times=2)
    ask(client)
    assert fake_node.requests == [(method, path)] * 3
    assert len(pauses) == 2
    assert all(fake_node.url in why for _, why in pauses)


@pytest.mark.parametrize("call", ["configuration", "variables"])
@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("reset_before", NodeUnreachable, "reset|closed"),
        ("reset_after", NodeUnreachable, "reset|closed"),
        ("half_body", NodeFault, "ended in the middle"),
        ("half_chunk", NodeFault, "ended in the middle"),
        ("html_502", NodeFault, "502 with an HTML page"),
        ("garbage", NodeFault, "200 with an HTML page"),
        ("status:500", NodeFault, "500.*It is so"),
        ("status:429", NodeBusy, "too busy"),
        ("never", NodeUnreachable, "silent for too long"),
        ("slow", NodeUnreachable, r"longer than 0\.5 s|silent for too long"),
    ],
)
def test_read_fails_in_the_end(
    fake_node: FakeNode, client: NodeClient, call: str, kind: str, error: type[NodeError], words: str
) -> None:
    method, path, ask = READS[call]
    fake_node.faults.add(method, path, kind, times=None)
    client.patience = SHORT.get(kind, HASTY)
    began = time.monotonic()
    with pytest.raises(error, match=words) as raised:
        ask(client)
    assert time.monotonic() - began < HASTY.limit
    wait_until(lambda: len(fake_node.requests) >= HASTY.tries)  # it hears late of what was given up
    assert fake_node.requests == [(method, path)] * HASTY.tries
    assert fake_node.url in str(raised.value)
    assert raised.value.remedy
    assert fake_node.jwt not in str(raised.value) + raised.value.remedy


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize(
    ("kind", "done"),
    [
        ("reset_before", False),
        ("reset_after", True),
        ("half_body", True),
        ("half_chunk", True),
        ("html_502", False),
        ("html_502_after", True),
        ("status:500", False),
        ("status:504", False),
        ("garbage", True),
    ],
)
def test_lost_answer_of_a_write_is_not_asked_again(
    fake_node: FakeNode, client: NodeClient, pauses: list, call: str, kind: str, done: bool
) -> None:
    method, path, ask = WRITES[call]
    fake_node.faults.add(method, path, kind)
    with pytest.raises(AnswerLost, match="not known") as raised:
        ask(client)
    assert fake_node.requests == [(method, path)]
    assert pauses == []
    assert changed(fake_node) is done
    assert fake_node.url in str(raised.value)
    assert "top-secret" not in str(raised.value)
    client.variables()  # and the connection is of use again


@pytest.mark.parametrize("kind", ["never", "never_after", "slow"])
def test_write_without_answer_is_lost(fake_node: FakeNode, client: NodeClient, kind: str) -> None:
    fake_node.faults.add("PUT", "/api/env", kind)
    client.patience = SHORT[kind]
    with pytest.raises(AnswerLost, match=r"silent for too long|longer than 0\.5 s"):
        client.variables_put({"new": 1})
    wait_until(lambda: fake_node.requests)  # it hears late of what was given up
    assert len(fake_node.requests) == 1
    assert changed(fake_node) is (kind != "never")


def test_interruption_between_two_calls_ends_the_next_that_reads(fake_node: FakeNode) -> None:
    fake_node.faults.add("GET", "/api/secrets", "never", times=None)
    with NodeClient(url=fake_node.url, jwt=fake_node.jwt, patience=Patience(read=60.0, tries=1)) as client:
        client.variables()
        client.interrupt()
        client.variables_put({"new": 1})  # a write is carried out all the same
        began = time.monotonic()
        with pytest.raises(NodeUnreachable):
            client.secrets()
        assert time.monotonic() - began < 30
    assert changed(fake_node)


@pytest.mark.parametrize("call", WRITES)
def test_write_refused_connection_is_asked_again(fake_node: FakeNode, client: NodeClient, call: str) -> None:
    """Nothing was sent, so nothing can have been done."""
    method, path, ask = WRITES[call]
    client.variables()  # a connection is kept
    fake_node.close()
    client._pause = lambda seconds, why: fake_node.open()
    ask(client)
    assert changed(fake_node)
    assert fake_node.requests[1:] == [(method, path)]


@pytest.mark.parametrize("call", ["variables", "secrets"])
def test_nobody_there(fake_node: FakeNode, client: NodeClient, pauses: list, call: str) -> None:
    fake_node.close()
    for ask in (READS[call][2], WRITES[call][2]):
        with pytest.raises(NodeUnreachable, match="the connection was refused") as raised:
            ask(client)
        assert fake_node.url in str(raised.value)
    assert len(pauses) == 2 * (HASTY.tries - 1)


def test_refused_after_a_number_of_calls(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.faults.add("*", "*", "refused", after=2)
    client.variables()
    client.secrets()
    with pytest.raises(NodeUnreachable, match="refused"):
        client.variables_put({"new": 1})
    fake_node.open()
    client.variables_put({"new": 1})


@pytest.mark.parametrize("call", WRITES)
def test_answer_cut_within_its_head_is_lost(fake_node: FakeNode, client: NodeClient, call: str) -> None:
    """What is left of it would look like a complete answer."""
    method, path, ask = WRITES[call]
    fake_node.faults.add(method, path, "half_head")
    with pytest.raises(AnswerLost, match="ended in the middle"):
        ask(client)


def test_unknown_name() -> None:
    with (
        NodeClient(url="https://no-such-node.invalid", jwt="x", patience=Patience(tries=1)) as client,
        pytest.raises(NodeUnreachable, match="name is not known"),
    ):
        client.variables()


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, NodeRefused), (401, NodeUnauthorized), (403, NodeForbidden), (404, NodeRefused), (413, NodeRefused)],
)
@pytest.mark.parametrize("ask", [READS["configuration"], WRITES["configuration"]])
def test_refusals_are_never_asked_again(
    fake_node: FakeNode, client: NodeClient, pauses: list, ask: tuple, status: int, error: type[NodeError]
) -> None:
    fake_node.faults.add(ask[0], ask[1], f"status:{status}")
    with pytest.raises(error) as raised:
        ask[2](client)
    assert type(raised.value) is error
    assert not isinstance(raised.value, ConfigurationRefused)
    assert pauses == []
    assert len(fake_node.requests) == 1


def test_token_expires_in_the_middle(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.faults.add("*", "*", "status:401", times=None, after=2)
    client.variables()
    client.secrets()
    for _ in range(2):
        with pytest.raises(NodeUnauthorized):
            client.configuration()


@pytest.mark.parametrize("ask", [READS["variables"], WRITES["variables"]])
def test_429_waits_as_asked(fake_node: FakeNode, client: NodeClient, pauses: list, ask: tuple) -> None:
    later = datetime.now(UTC) + timedelta(seconds=30)
    fake_node.faults.add(ask[0], ask[1], "retry_after", retry_after="1")
    fake_node.faults.add(ask[0], ask[1], "retry_after", after=1, retry_after=format_datetime(later, usegmt=True))
    ask[2](client)
    assert pauses[0][0] == 1.0
    assert 10 < pauses[1][0] <= 30
    assert len(fake_node.requests) == 3


def test_429_that_asks_for_too_much(fake_node: FakeNode, client: NodeClient, pauses: list) -> None:
    fake_node.faults.add("GET", "/api/env", "retry_after", retry_after="86400")
    with pytest.raises(NodeBusy):
        client.variables()
    assert pauses == []


def test_503_waits_as_asked(fake_node: FakeNode, client: NodeClient, pauses: list) -> None:
    fake_node.faults.add("GET", "/api/env", "status:503", retry_after="3")
    client.variables()
    assert [seconds for seconds, _ in pauses] == [3.0]


def test_pause_can_end_it(fake_node: FakeNode) -> None:
    class Stopped(Exception):
        pass

    def stop(seconds: float, why: str) -> None:
        raise Stopped

    fake_node.faults.add("GET", "/api/env", "status:500", times=None)
    with NodeClient(url=fake_node.url, jwt=fake_node.jwt, pause=stop) as client, pytest.raises(Stopped):
        client.variables()


def test_redirect_is_not_followed(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.faults.add("*", "*", "redirect", times=None, location="https://elsewhere.example/login?next=/x")
    for ask in (client.variables, lambda: client.variables_put({"new": 1})):
        with pytest.raises(NodeRefused, match=r"sends on to elsewhere\.example"):
            ask()
    assert len(fake_node.requests) == 2


def test_bombs_are_refused(fake_node: FakeNode, client: NodeClient, pauses: list) -> None:
    wire.gzip_bomb(), wire.zip_bomb()  # making them takes longer than a hasty client waits
    for kind, words in (("zip_bomb", "unpacks to more than 64 MB"), ("gzip_bomb", "more than 64 MB")):
        fake_node.faults.clear()
        fake_node.faults.add("GET", "/api/config", kind)
        with pytest.raises(NodeFault, match=words):
            client.configuration()
    assert pauses == []


def test_endless_answer_is_refused(fake_node: FakeNode) -> None:
    patience = Patience(total=120.0, tries=1)
    fake_node.faults.add("GET", "/api/config", "endless")
    with (
        NodeClient(url=fake_node.url, jwt=fake_node.jwt, patience=patience) as client,
        pytest.raises(NodeFault, match="more than 64 MB"),
    ):
        client.configuration()


def test_half_zip_of_the_right_length_is_asked_again(
    fake_node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that cut the body and counted it anew."""
    whole = fake_node.store.zipped
    cuts = [50, 10_000]
    fake_node.etags = False
    monkeypatch.setattr(fake_node.store, "zipped", lambda group: whole(group)[: cuts.pop(0)])
    assert set(client.configuration().configuration.entities) == {"customers"}


def test_answer_that_repeats_the_token_does_not_show_it(
    fake_node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Answer(400, f'{{"detail": "Bearer {fake_node.jwt} is odd"}}'.encode())
    monkeypatch.setattr(fake_node, "_env", lambda *_: told)
    with pytest.raises(NodeRefused, match="is odd") as raised:
        client.variables()
    assert fake_node.jwt not in str(raised.value)


def test_refusal_of_secrets_is_not_quoted(
    fake_node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_node, "_secrets", lambda *_: Answer(400, b'{"detail": "top-secret is no secret"}'))
    with pytest.raises(NodeRefused) as raised:
        client.secrets_add({"a": "top-secret"})
    assert "top-secret" not in str(raised.value)


def test_refusal_does_not_repeat_secrets_that_were_sent_before(
    fake_node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.secrets_add({"a": "top-secret", "b": 'with "quotes"', "c": "x"})
    said = {"config-errors": [{"msg": 'top-secret and with "quotes" are odd', "elements": ["top-secret", 7]}]}
    told = Answer(400, json.dumps({"validation_errors": [said | {"posted-config": {"_id": "top-secret"}}]}).encode())
    monkeypatch.setattr(fake_node, "_config", lambda *_: told)
    with pytest.raises(ConfigurationRefused) as raised:
        client.configuration_put([Entity(id="new", value=NEW)])
    assert raised.value.errors == (("...", "error", "... and ... are odd", ("...", "7")),)
    assert "top-secret" not in str(raised.value)


def test_redirect_does_not_show_a_token_in_its_address(fake_node: FakeNode, client: NodeClient) -> None:
    fake_node.faults.add("*", "*", "redirect", times=None, location=f"https://{fake_node.jwt}:x@evil.example/api")
    with pytest.raises(NodeRefused, match=r"sends on to evil\.example \(") as raised:
        client.variables()
    assert fake_node.jwt not in str(raised.value)


def test_refusal_without_end_is_cut_short(
    fake_node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"posted-config": {"_id": "i" * 5000}, "config-errors": [{"msg": "m" * 5000, "elements": ["e"] * 500}] * 50}
    told = Answer(400, json.dumps({"validation_errors": [said] * 50}).encode())
    monkeypatch.setattr(fake_node, "_config", lambda *_: told)
    with pytest.raises(ConfigurationRefused) as raised:
        client.configuration_put([Entity(id="new", value=NEW)])
    assert len(raised.value.errors) == 200
    assert len(str(raised.value.errors)) < 400_000
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("::ffff:169.254.169.254", True),
        ("fd00:ec2::254", True),
        ("127.0.0.1", False),
        ("10.0.0.7", False),
        ("fd00::1", False),
    ],
)
def test_the_machines_own_network_is_told_from_others(address: str, kept: bool) -> None:
    class Connection:
        def getpeername(self) -> tuple[str, int]:
            return address, 80

    assert client_wire._is_machines_own(Connection()) is kept  # type: ignore[arg-type]


def test_the_machines_own_network_is_never_asked(
    fake_node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_wire, "_MACHINES_OWN", {"127.0.0.1"})
    with pytest.raises(NodeUnreachable, match="never asked"):
        client.status()
    assert not fake_node.requests


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "half_body", "never_after"])
def test_faults_over_tls(fake_node_tls: FakeNode, authority: Authority, kind: str) -> None:
    fake_node_tls.faults.add("PUT", "/api/env", kind)
    fake_node_tls.faults.add("GET", "/api/env", kind)
    client = NodeClient(url=fake_node_tls.url, jwt=fake_node_tls.jwt, ca_bundle=authority.bundle)
    client.patience = replace(SHORT.get(kind, HASTY), tries=6)
    with pytest.raises(AnswerLost):
        client.variables_put({"new": 1})
    wait_until(lambda: fake_node_tls.requests)  # it hears late of what was given up
    assert client.variables() == ({} if kind == "reset_before" else {"new": 1})
    client.close()


def test_tls_that_never_shakes_hands() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        patience = Patience(connect=0.2, tries=1)
        with NodeClient(url=url, jwt="x", patience=patience) as client:
            began = time.monotonic()
            with pytest.raises(NodeUnreachable):
                client.variables_put({"a": 1})  # not lost: nothing was sent
            assert time.monotonic() - began < 20


@pytest.mark.parametrize("kind", ["slow", "slow_body"])
def test_total_time_cuts_a_dripping_answer(
    fake_node_tls: FakeNode, fake_node: FakeNode, authority: Authority, kind: str
) -> None:
    """Each byte comes in time, so that no socket ever times out."""
    patience = Patience(total=0.5, tries=1)
    for node in (fake_node, fake_node_tls):
        node.faults.add("GET", "/api/env", kind, times=None, pause=0.1)
        with NodeClient(url=node.url, jwt=node.jwt, ca_bundle=authority.bundle, patience=patience) as client:
            began = time.monotonic()
            with pytest.raises((NodeUnreachable, NodeFault), match=r"longer than 0\.5 s|silent for too long"):
                client.variables()
            assert time.monotonic() - began < 15  # all of it takes 20 s at least


def test_large_body_to_a_node_that_does_not_read(fake_node: FakeNode) -> None:
    fake_node.faults.add("PUT", "/api/env", "never")
    patience = Patience(write=5.0, total=0.5)
    with NodeClient(url=fake_node.url, jwt=fake_node.jwt, patience=patience) as client, pytest.raises(AnswerLost):
        client.variables_put({"large": "x" * (20 << 20)})


# Patience


def test_pauses_grow_and_end() -> None:
    patient = Patience(tries=6, first=1.0, longest=5.0, limit=1000.0, chance=lambda: 1.0)
    assert [patient.pause(tried, 0) for tried in range(1, 7)] == [1.0, 2.0, 4.0, 5.0, 5.0, None]
    shaky = Patience(tries=6, first=1.0, chance=lambda: 0.0)
    assert shaky.pause(1, 0) == 0.5


@pytest.mark.parametrize(
    ("spent", "asked", "wait"),
    [(0, None, 1.0), (0, 0, 1.0), (0, 7.5, 7.5), (0, 11, None), (58, 3, None), (59.5, None, None)],
)
def test_pause_as_asked_within_limits(spent: float, asked: float | None, wait: float | None) -> None:
    patient = Patience(first=1.0, limit=60.0, retry_after=10.0, chance=lambda: 1.0)
    assert patient.pause(1, spent, asked) == wait


def test_quick_patience_stays_short() -> None:
    assert QUICK.connect <= 3
    assert QUICK.read <= 10
    assert QUICK.limit <= 30


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("5", 5.0),
        (" 0 ", 0.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("9" * 40, None),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 12:00:30 -0000", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Sat, 99 Nov 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after(header, datetime(2026, 11, 21, 12, tzinfo=UTC)) == seconds
