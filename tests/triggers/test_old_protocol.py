"""Bodies of the old protocol, read by Go's rules; nothing but `call_read` and the answer's text, without a panel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.triggers.errors import BadBody
from apps.triggers.old_protocol import Call, call_read, count_answer

READ = {
    b'{"secret":"s","trigger":"t","url":"u"}': Call("s", "t", "u"),
    b' \t\r\n{ "secret" : "s" }': Call("s"),
    b"{}": Call(),
    b"null": Call(),
    b"null and more": Call(),
    b'{"SECRET":"s","tRiGgEr":"t"}': Call("s", "t"),
    '{"\u017fecret":"s"}'.encode(): Call("s"),  # Go folds the long s too
    '{"tr\u0131gger":"t"}'.encode(): Call(),  # but no dotless i
    b'{"secret":"a","secret":"b"}': Call("b"),
    b'{"secret":"a","SECRET":"b"}': Call("b"),
    b'{"SECRET":"b","secret":"a"}': Call("a"),
    b'{"secret":"a","secret":null}': Call("a"),
    b'{"secret":null}': Call(),
    b'{"secret":"s","more":{"secret":"inside","a":[1,2.5e3,true,null]}}': Call("s"),
    b'{"secret":"s","secrets":1,"":2}': Call("s"),
    b'{"secret":"s"}{"secret":"t"}': Call("s"),
    b'{"secret":"s"} trailing text': Call("s"),
    b'{"secret":"s"}\x00\xff': Call("s"),
    b'{"n":' + b"9" * 9000 + b',"secret":"s"}': Call("s"),
    b'{"n":1e99999,"secret":"s"}': Call("s"),
    b'{"secret":"\\u0073\\/\\n"}': Call("s/\n"),
    b'{"secret":"\\ud83d\\ude00"}': Call("\U0001f600"),
    b'{"secret":"\\ud83dx"}': Call("\ufffdx"),
    b'{"secret":"\xe2\x82x"}': Call("\ufffd\ufffdx"),  # one for each byte
    b'{"secret":"\xed\xa0\x80"}': Call("\ufffd\ufffd\ufffd"),
    b'{"secret":"\x7f"}': Call("\x7f"),
    '{"trigger":"größe 木"}'.encode(): Call(trigger="größe 木"),
    b'{"trigger":"' + b"x" * 150 + b'"}': Call(trigger="x" * 150),
}
BAD = (
    b"",
    b"  \n",
    b"secret=s&trigger=t",
    b'{"secret":"s"',
    b'{"secret":"s",}',
    b"{'secret':'s'}",
    b'{"secret": "s", trigger: "t"}',
    b'{"secret":1}',
    b'{"secret":true}',
    b'{"secret":["s"]}',
    b'{"trigger":{"name":"t"}}',
    b'{"url":0,"url":"u"}',
    b"[]",
    b'"text"',
    b"1",
    b"true",
    b'{"n":NaN}',
    b'{"n":Infinity}',
    b'{"n":-Infinity}',
    b'{"n":01}',
    b'{"n":.5}',
    b'{"n":+1}',
    b'{"n":0x10}',
    b'{"secret":"\n"}',
    b'{"secret":"\\x41"}',
    b'{"secret":"\\u12"}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"\xa0{}",
    b'{"secret":"s"\xff}',
    b"[" * 100_000,
    b'{"a":' * 60_000,
    b'{"trigger":"' + b"x" * 151 + b'"}',
    b'{"trigger":"a\\u0000b"}',
)


@pytest.mark.parametrize("body", READ, ids=lambda body: repr(body[:50]))
def test_what_is_read(body: bytes) -> None:
    assert call_read(body) == READ[body]


@pytest.mark.parametrize("body", BAD, ids=lambda body: repr(body[:50]))
def test_what_is_bad(body: bytes) -> None:
    with pytest.raises(BadBody):
        call_read(body)


def test_the_answer_is_gos() -> None:
    assert count_answer("web", 0) == b'{"trigger":"web","count":0}\n'
    assert (
        count_answer('<a&b>"\\\n\u2028', 12) == b'{"trigger":"\\u003ca\\u0026b\\u003e\\"\\\\\\n\\u2028","count":12}\n'
    )
    assert count_answer("größe \U0001f600", 1) == '{"trigger":"größe \U0001f600","count":1}\n'.encode()


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_it(body: bytes) -> None:
    try:
        call = call_read(body)
    except BadBody:
        return
    assert call.trigger.encode().decode() == call.trigger


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["secret", "Trigger", "URL", "x"]) | st.text(), VALUES), st.booleans())
def test_any_object_is_read_or_refused_by_its_types(given: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps(given, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    told = [value for key, value in given.items() if key.lower() in {"secret", "trigger", "url"}]
    try:
        call_read(body)
    except BadBody:
        name = given.get("Trigger")
        assert (
            any(value is not None and not isinstance(value, str) for value in told)
            or "\x00" in str(name)
            or len(str(name)) > 150
        )
    else:
        assert all(value is None or isinstance(value, str) for value in told)
