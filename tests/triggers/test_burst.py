"""What a burst reads once, and that nothing outlives it."""

from __future__ import annotations

import threading

import pytest

from apps.triggers.burst import burst, once


def test_once_reads_each_time_outside_a_burst() -> None:
    reads = iter(range(9))
    assert [once("key", lambda: next(reads)) for _ in range(3)] == [0, 1, 2]


def test_once_reads_each_key_once_within_a_burst() -> None:
    reads = iter(range(9))
    with burst():
        assert [once(key, lambda: next(reads)) for key in ("a", "b", "a", "b")] == [0, 1, 0, 1]


def test_once_reads_again_in_the_next_burst() -> None:
    reads = iter(range(9))
    for expected in (0, 1):
        with burst():
            assert once("key", lambda: next(reads)) == expected


def test_once_remembers_an_empty_answer() -> None:
    reads: list[int] = []
    with burst():
        for _ in range(2):
            once("key", lambda: reads.append(1))
    assert reads == [1]


def test_a_failed_read_is_not_remembered() -> None:
    def fails() -> None:
        raise OSError

    with burst():
        with pytest.raises(OSError):  # noqa: PT011 - raised here
            once("key", fails)
        assert once("key", lambda: 7) == 7


def test_a_burst_is_of_its_thread_alone() -> None:
    seen: list[int] = []
    with burst():
        once("key", lambda: 1)
        other = threading.Thread(target=lambda: seen.append(once("key", lambda: 2)))
        other.start()
        other.join()
    assert seen == [2]
