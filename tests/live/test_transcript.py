"""Reading a log back by sequence, by line and by text."""

from __future__ import annotations

import pytest

from apps.runs.transcript import ChunkReader, chunk_with_line, lines_from, lines_matching, plain, tail_after, text_parts
from tests.live.writer import Log

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m and \x1b[1;38;5;200mbold\x1b[m", "red and bold"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ("a\tb\nc\x00\x08\x7f\x9b", "a\tb\nc"),
        ("\x1b", ""),
        ("é\u2028x", "é\u2028x"),
    ],
)
def test_plain_text_has_no_escapes(raw: str, read: str) -> None:
    assert plain(raw) == read


def test_chunks_are_read_in_order_to_the_end(log: Log) -> None:
    log.many(chunks=700, lines=2)
    reader = ChunkReader(log.run.pk, after=5)
    seen = []
    while chunks := reader.read():
        seen += [chunk.seq for chunk in chunks]
    assert seen == list(range(6, 701))
    assert not reader.more
    log.write("later")
    assert [chunk.seq for chunk in reader.read()] == [701]


def test_large_chunks_are_read_few_at_a_time(log: Log) -> None:
    log.many(chunks=60, lines=1, text="x" * 64_000)
    reader = ChunkReader(log.run.pk)
    sizes = []
    while chunks := reader.read():
        sizes.append(len(chunks))
    assert sum(sizes) == 60
    assert max(sizes) <= 16


@pytest.mark.parametrize(("number", "seq"), [(1, 1), (10, 1), (11, 2), (995, 100), (1000, 100), (5000, 100)])
def test_line_is_found_by_halves(log: Log, number: int, seq: int) -> None:
    log.many(chunks=100, lines=10)
    assert chunk_with_line(log.run.pk, number) == seq


def test_line_of_an_empty_log(log: Log) -> None:
    assert chunk_with_line(log.run.pk, 1) == 0
    assert list(lines_from(log.run.pk, 1, 10)) == []


def test_lines_by_number(log: Log) -> None:
    log.many(chunks=50, lines=7)
    lines = list(lines_from(log.run.pk, 20, 30))
    assert [line.number for line in lines] == list(range(20, 50))
    assert lines[0].text == "line 20"
    assert [line.number for line in lines_from(log.run.pk, 348, 100)] == [348, 349, 350]


def test_only_newlines_end_lines(log: Log) -> None:
    log.write("one\u2028still one\x0band\x85so", "", "three")
    assert [(line.number, line.text) for line in lines_from(log.run.pk, 1, 9)] == [
        (1, "one\u2028still one\x0band\x85so"),
        (2, ""),
        (3, "three"),
    ]


def test_matching_lines_are_the_newest(log: Log) -> None:
    for number in range(50):
        log.write(f"Copying {number}", "noise", host=f"web{number % 2}")
    found, cut = lines_matching(log.run.pk, host="web1", text="cOPY", most=5)
    assert [line.text for line in found] == [f"Copying {number}" for number in (41, 43, 45, 47, 49)]
    assert cut
    found, cut = lines_matching(log.run.pk, host=None, text="copying 7", most=5)
    assert [line.number for line in found] == [15]
    assert not cut


def test_tail_begins_about_where_asked(log: Log) -> None:
    log.many(chunks=100, lines=100)
    after = tail_after(log.run.pk, 10_000, 2000)
    assert after == 80
    assert tail_after(log.run.pk, 100, 2000) == 0


def test_text_names_hosts_unless_it_is_of_one(log: Log) -> None:
    log.write("$ rsync")
    log.write("\x1b[32mok\x1b[0m", "done", host="web1")
    log.write("other", host="web2")
    whole = b"".join(text_parts(log.run.pk)).decode()
    assert whole == "$ rsync\nweb1: ok\nweb1: done\nweb2: other\n"
    assert b"".join(text_parts(log.run.pk, "web1")).decode() == "ok\ndone\n"
    assert b"".join(text_parts(log.run.pk, "")).decode() == "$ rsync\n"
