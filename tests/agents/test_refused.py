"""What is no agent's message at all: refused before the database is asked."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.agents.client import Client
from tests.live.server import WebServer


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 4400),
        ("[]", 4400),
        ('{"type":"beat"}', 4400),
        ('{"type":"hello","protocol":2}', 4400),
        ('{"type":"hello","protocol":1,"runs":{"x":{}}}', 4400),
        ("x" * (256 * 1024 + 1), 4400),
        ("[" * 100_000, 4400),
    ],
)
def test_what_is_not_understood_closes_the_line(web: WebServer, message: str, code: int) -> None:
    assert _refused(web, "dpa_wrong", message) == code


def test_an_unknown_key_closes_the_line(web: WebServer, transactional_db: None) -> None:
    """The one refusal that asks the database: it has to be there, also where this file is run alone."""
    assert _refused(web, "dpa_wrong", '{"type":"hello","protocol":1}') == 4401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"session":"short"}',
        b'{"session":"0123456789","messages":{}}',
        b'{"session":"0123456789","messages":[1]}',
        b'{"session":"0123456789","wait":"x"}',
        b'{"session":"0123456789","wait":true}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_poll_is_refused(web: WebServer, body: bytes) -> None:
    answer = requests.post(f"{web.url}/agent/poll", data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Not understood")


def test_a_poll_that_is_too_long_is_refused(web: WebServer) -> None:
    assert requests.post(f"{web.url}/agent/poll", data=b"x" * (1024 * 1024 + 1), timeout=10).status_code == 413
    assert requests.get(f"{web.url}/agent/poll", timeout=10).status_code == 404


def _refused(web: WebServer, key: str, message: Any) -> int:
    """The code with which the panel answers this first message."""
    client = Client(web.url, key)
    client.send(message)
    code = client.closed()
    client.drop()
    return code
