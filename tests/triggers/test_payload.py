"""A payload as it is given: what is read, what is refused, and that all doors refuse it in the same words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from apps.access.actor import Actor, Door
from apps.access.errors import InputError
from apps.triggers.payload import LONGEST, payload_read
from apps.triggers.services.called import FireCall, trigger_called
from apps.triggers.services.secrets import trigger_secret_rotate
from tests.triggers.firing import trigger_with


@pytest.mark.parametrize(
    ("given", "payload"),
    [
        ("", None),
        (" \n", None),
        (b"", None),
        ("null", None),
        ('{"a": [1, 2.5]}', {"a": [1, 2.5]}),
        ('"ü"'.encode(), "ü"),
        ("[1]" + " " * 100_000, [1]),
        ("[" * 99 + "]" * 99, None),
        ("9" * 4000, int("9" * 4000)),
    ],
)
def test_what_is_read(given: str | bytes, payload: Any) -> None:
    found = payload_read(given)
    assert found == payload or payload is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"ref": main}', "The payload is no JSON: Expecting value at line 1, column 9."),
        (b'{\n"ref"}', "The payload is no JSON: Expecting ':' delimiter at line 2, column 6."),
        ("NaN", "The payload cannot be kept: NaN is no JSON."),
        ("[-Infinity]", "The payload cannot be kept: -Infinity is no JSON."),
        ("1e999", "The payload cannot be written as JSON: "),
        ("9" * 5000, "The payload has a number of thousands of digits"),
        ("[" * 60_000, "The payload has values within values more than 100 deep."),
        ("[" * 101 + "]" * 101, "The payload has values within values more than 100 deep."),
        ('"' + "x" * 70_000 + '"', "The payload has 70002 bytes as JSON; at most 64 KiB are kept."),
        (" " * (LONGEST + 1), "The payload is too long: at most 64 KiB are kept."),
        (b'"' + b"\xc3" * (LONGEST + 1), "The payload is too long: at most 64 KiB are kept."),
        (b'"\xff"', "The payload is not UTF-8"),
        ('"\\u0000"', "The payload has a NUL character"),
        ('"\\ud800"', "The payload cannot be written as JSON: "),
    ],
)
def test_what_is_refused(given: str | bytes, told: str) -> None:
    with pytest.raises(InputError) as caught:
        payload_read(given)
    assert str(caught.value).startswith(f"payload: {told}")


@pytest.mark.django_db
def test_all_doors_refuse_in_the_same_words(client: Client, owner: User, tmp_path: Path) -> None:
    trigger = trigger_with()
    words = "payload: The payload cannot be kept: NaN is no JSON."
    secret = trigger_secret_rotate(trigger=trigger, actor=Actor(user=None, door=Door.COMMAND))
    with pytest.raises(InputError) as caught:
        trigger_called(call=FireCall(name="web", secret=secret, body=b"NaN"))
    assert str(caught.value) == words
    client.force_login(owner)
    page = client.post(f"/admin/triggers/trigger/{trigger.pk}/fire/", {"payload": "NaN"}).content.decode()
    assert words in page
    (tmp_path / "event.json").write_text("NaN")
    for given in ("NaN", f"@{tmp_path}/event.json"):
        told = io.StringIO()
        with pytest.raises(SystemExit) as left:
            call_command("trigger", "fire", "web", "--payload", given, stderr=told)
        assert (left.value.code, words in told.getvalue()) == (2, True)
