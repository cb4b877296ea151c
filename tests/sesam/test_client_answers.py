"""What answers mean, as tables: no network."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.sesam.client_answers import Answer, Call, broken_off, failure_of, validation_errors
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

ADDRESS = "https://dev.example/api"
READ = Call(method="GET", path="/env", what="reading variables")
WRITE = Call(method="PUT", path="/config", what="sending the configuration", changes=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["validation_errors", "posted-config", "config-errors", "msg", "_id", "detail", "elements"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def answer(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    return Answer(status=status, headers={"content-type": "application/json"} | headers, body=body)


@pytest.mark.parametrize(
    ("status", "of_read", "of_write", "again"),
    [
        (301, NodeRefused, NodeRefused, False),
        (400, NodeRefused, NodeRefused, False),
        (401, NodeUnauthorized, NodeUnauthorized, False),
        (403, NodeForbidden, NodeForbidden, False),
        (404, NodeRefused, NodeRefused, False),
        (408, NodeFault, AnswerLost, True),
        (413, NodeRefused, NodeRefused, False),
        (429, NodeBusy, NodeBusy, True),
        (500, NodeFault, AnswerLost, True),
        (502, NodeFault, AnswerLost, True),
        (503, NodeFault, AnswerLost, True),
        (504, NodeFault, AnswerLost, True),
    ],
)
def test_status(status: int, of_read: type[NodeError], of_write: type[NodeError], again: bool) -> None:
    for call, kind in ((READ, of_read), (WRITE, of_write)):
        failure = failure_of(call, answer(status), ADDRESS)
        assert failure is not None
        assert type(failure.error) is kind
        assert failure.again is (again and kind is not AnswerLost)
        assert failure.error.remedy
        assert "dev.example" in str(failure.error)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_done(status: int) -> None:
    assert failure_of(READ, answer(status), ADDRESS) is None
    assert failure_of(WRITE, answer(status, b""), ADDRESS) is None


def test_page_instead_of_an_answer() -> None:
    page = answer(200, b" <!doctype html><p>Log in", **{"content-type": "text/plain"})
    read, write = failure_of(READ, page, ADDRESS), failure_of(WRITE, page, ADDRESS)
    assert read is not None
    assert type(read.error) is NodeFault
    assert write is not None
    assert type(write.error) is AnswerLost


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"detail": "Too\\n many\\u0000 words"}', "“Too many words”"),
        (b'{"message": "no"}', "“no”"),
        (b'{"other": 1}', '“{"other": 1}”'),
        (b"plain", "“plain”"),
        (b"\xff\xfe", "“��”"),
        (b'{"detail": "' + b"x" * 1000 + b'"}', "x" * 300 + "…”"),
    ],
)
def test_nodes_own_words_are_short_and_on_one_line(body: bytes, told: str) -> None:
    failure = failure_of(READ, answer(400, body, **{"content-type": ""}), ADDRESS)
    assert failure is not None
    assert told in str(failure.error)
    assert "\n" not in str(failure.error)


def test_validation_errors_as_the_node_says_them() -> None:
    said = {
        "validation_errors": [
            {
                "posted-config": {"_id": "a"},
                "config-errors": [
                    {"level": "error", "msg": "No source.", "elements": ["source"]},
                    {"level": "warning", "msg": "Odd.", "elements": ["pump", 0]},
                ],
            },
            {"posted-config": {}, "config-errors": [{"msg": "No _id."}, "odd"]},
            {"config-errors": [{}]},
            "odd",
        ]
    }
    errors = validation_errors(json.dumps(said).encode())
    assert errors == [
        ("a", "error", "No source.", ("source",)),
        ("a", "warning", "Odd.", ("pump", "0")),
        ("", "error", "No _id.", ()),
        ("", "error", "no reason given", ()),
    ]
    failure = failure_of(WRITE, answer(400, json.dumps(said).encode()), ADDRESS)
    assert failure is not None
    assert isinstance(failure.error, ConfigurationRefused)
    assert failure.error.errors == tuple(errors)
    assert str(failure.error) == f"{ADDRESS} refused the configuration: a: No source. (and 3 more)"


@given(value=JSON, status=st.integers(300, 599))
@settings(max_examples=100, deadline=None)
def test_no_answer_is_too_odd(value: Any, status: int) -> None:
    for call in (READ, WRITE):
        failure = failure_of(call, answer(status, json.dumps(value).encode()), ADDRESS)
        assert failure is not None
        assert str(failure.error)


@given(body=st.binary(max_size=50))
@settings(max_examples=50, deadline=None)
def test_no_bytes_are_too_odd(body: bytes) -> None:
    failure = failure_of(WRITE, answer(400, body), ADDRESS)
    assert failure is not None
    assert failure_of(WRITE, answer(400, b"[" * 100_000), ADDRESS) is not None


@pytest.mark.parametrize(
    ("call", "sent", "began", "kind", "again"),
    [
        (READ, False, False, NodeUnreachable, True),
        (WRITE, False, False, NodeUnreachable, True),
        (READ, True, False, NodeUnreachable, True),
        (READ, True, True, NodeFault, True),
        (WRITE, True, False, AnswerLost, False),
        (WRITE, True, True, AnswerLost, False),
    ],
)
def test_broken_off(call: Call, sent: bool, began: bool, kind: type[NodeError], again: bool) -> None:
    failure = broken_off(call, ADDRESS, "the connection was reset", sent=sent, began=began)
    assert type(failure.error) is kind
    assert failure.again is again


def test_calls_do_not_show_what_they_send() -> None:
    call = Call(method="POST", path="/secrets", what="sending secrets", body=b"top-secret")
    assert "top-secret" not in repr(call)
    assert "top-secret" not in repr(answer(200, b"top-secret"))
