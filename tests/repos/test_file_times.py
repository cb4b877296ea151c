"""The memory of when each content was first seen: what it keeps, and when it forgets."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from apps.repos import file_times

HOUR = 3600


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a").write_text("one")
    return folder


def settled(tree: Path, memory: Path, moment: int) -> int:
    file_times.settle(tree, memory, file_times.contents_of(tree), moment)
    return int((tree / "a").stat().st_mtime)


def test_a_content_that_is_always_there_is_never_forgotten(tree: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    times = {settled(tree, memory, HOUR + number) for number in range(2 * file_times.KEEP + file_times.REMARK)}
    assert times == {HOUR}


def test_a_content_that_comes_back_soon_gets_its_time_back(tree: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    settled(tree, memory, HOUR)
    (tree / "a").write_text("two")
    assert settled(tree, memory, HOUR) == HOUR + 1  # another content, another time
    (tree / "a").write_text("one")
    assert settled(tree, memory, 9 * HOUR) == HOUR


def test_a_content_that_was_not_seen_for_long_is_forgotten(tree: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    settled(tree, memory, HOUR)
    (tree / "a").write_text("two")
    for number in range(2 * file_times.KEEP):
        settled(tree, memory, 2 * HOUR + number)
    with closing(sqlite3.connect(memory)) as database:
        assert database.execute("SELECT count(*) FROM content").fetchone() == (1,)


def test_what_was_noted_of_late_is_not_written_again(tree: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    for number in range(file_times.REMARK):
        settled(tree, memory, HOUR + number)
    with closing(sqlite3.connect(memory)) as database:
        assert database.execute("SELECT seen FROM content").fetchone() == (1,)
    settled(tree, memory, HOUR)
    with closing(sqlite3.connect(memory)) as database:
        assert database.execute("SELECT seen FROM content").fetchone() == (file_times.REMARK + 1,)
