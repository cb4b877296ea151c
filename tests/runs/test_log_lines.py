"""From pieces of output to whole, clean lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.runs.lines import LONGEST_LINE, LineBuffer, split_long
from apps.runs.masks import HIDDEN, Masks


def lines_of(*pieces: bytes | str, masks: Masks | None = None) -> str:
    buffer = LineBuffer(masks or Masks())
    return "".join(buffer.feed(piece) for piece in pieces) + buffer.finish()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"one\ntwo\n"], "one\ntwo\n"),
        ([b"o", b"n", b"e\nt", b"wo"], "one\ntwo\n"),
        ([b"\n\n"], "\n\n"),
        ([b"windows\r\n", b"split\r", b"\nend"], "windows\nsplit\nend\n"),
        ([b"\xc3", b"\xbc\n"], "ü\n"),
        ([b"bad \xff byte\n"], "bad \ufffd byte\n"),
        ([b"cut \xc3"], "cut \ufffd\n"),
        ([b"a\0b\n", b"\0\n"], "ab\n\n"),
        (["lone \udcff surrogate\n"], "lone ? surrogate\n"),
        ([b" 10%\r 50%\r100%\n"], "100%\n"),
        ([b" 10%\r", b" 50%\r", b"100%\r\n"], "100%\n"),
        ([b"working...\r\x1b[K\n"], "working...\n"),
        ([b"done\r\r\n"], "done\n"),
        ([b"99%\r"], "99%\n"),
        ([b"\x1b[32mgreen\x1b[0m\n"], "\x1b[32mgreen\x1b[0m\n"),
        ([b"vertical\x0btab \xe2\x80\xa8 separator\n"], "vertical\x0btab \u2028 separator\n"),
    ],
)
def test_lines_are_whole_and_clean(pieces: list[bytes], expected: str) -> None:
    assert lines_of(*pieces) == expected


def test_line_without_end_is_given_out_in_parts_and_memory_stays_small() -> None:
    buffer = LineBuffer(Masks())
    given = "".join(buffer.feed(b"x" * 10_000) for _ in range(200)) + buffer.finish()
    assert given.count("x") == 2_000_000
    assert given.count("\n") > 20
    assert max(map(len, given.split("\n"))) <= LONGEST_LINE + 10_000


def test_progress_bar_without_end_keeps_its_last_state_only() -> None:
    buffer = LineBuffer(Masks())
    for percent in range(100_000):
        assert buffer.feed(f"\r{percent} of 100000") == ""
        assert buffer._rest_size < 3 * LONGEST_LINE
    assert buffer.finish() == "99999 of 100000\n"


@pytest.mark.parametrize("offset", range(-14, 4))
def test_secret_at_the_cut_of_a_long_line_is_hidden(offset: int) -> None:
    masks = Masks()
    masks.add("TOPSECRET99")
    text = "x" * (LONGEST_LINE + offset) + "TOPSECRET99" + "y" * 50_000
    for size in (LONGEST_LINE // 2, 7_001, len(text)):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        stored = split_long(masks.hide(lines_of(*pieces, masks=masks))).replace("\n", "")
        assert "TOPSECRET99" not in stored
        assert HIDDEN in stored


def test_split_long_breaks_only_what_is_long() -> None:
    assert split_long("a\nbb\n", 3) == "a\nbb\n"
    assert split_long("abcdefg\n\nx\n", 3) == "abc\ndef\ng\n\nx\n"


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_lines_do_not_depend_on_where_output_is_cut(pieces: list[bytes]) -> None:
    assert lines_of(*pieces) == lines_of(b"".join(pieces))
