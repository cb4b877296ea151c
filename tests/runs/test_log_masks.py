"""Secrets are hidden by value, in every shape in which programs print them."""

from __future__ import annotations

import base64
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest

from apps.runs.masks import HIDDEN, Masks

SECRET = "s3cr&t/pass 'word\"ü"


@pytest.fixture
def masks() -> Masks:
    masks = Masks()
    masks.add(SECRET)
    return masks


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps({"password": SECRET}),
        json.dumps({"password": SECRET}, ensure_ascii=False),
        shlex.quote(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode()).decode(),
        base64.b64encode(b"me:" + SECRET.encode() + b"\n").decode(),
        base64.b64encode(b"a:" + SECRET.encode() + b"!!").decode(),
        base64.urlsafe_b64encode(b"user:" + SECRET.encode()).decode(),
    ],
)
def test_masks_shape_is_hidden(masks: Masks, text: str) -> None:
    hidden = masks.hide(f"before {text} after")
    assert HIDDEN in hidden
    assert "s3cr" not in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")


def test_masks_secret_shorter_than_four_characters_is_not_hidden() -> None:
    masks = Masks()
    masks.add("abc")
    masks.add("")
    masks.add(" \n ")
    assert masks.hide("abc") == "abc"


def test_masks_each_line_of_a_key_is_hidden() -> None:
    masks = Masks()
    masks.add("-----BEGIN KEY-----\nAAAAB3Nza\r\nQyNTUxOQ\n-----END KEY-----\n")
    assert masks.hide("x AAAAB3Nza y\nQyNTUxOQ\n") == f"x {HIDDEN} y\n{HIDDEN}\n"


def test_masks_longer_secret_is_hidden_first() -> None:
    masks = Masks()
    masks.add("hunter2")
    masks.add("hunter2-and-more")
    assert masks.hide("hunter2-and-more hunter2") == f"{HIDDEN} {HIDDEN}"


def test_masks_random_base64_is_left_alone(masks: Masks) -> None:
    text = base64.b64encode(bytes(range(256)) * 4).decode()
    assert masks.hide(text) == text
