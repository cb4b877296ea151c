"""Whose pid is whose."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from apps.runs import machine
from apps.runs.machine import MARKER, boot_id, is_alive, kill_leftovers, leftovers, machine_name, own_start_time
from deploypanel import leftovers as panel_leftovers
from tests.support.panel import wait_for


def test_own_process_is_alive_and_an_earlier_one_of_its_pid_is_not() -> None:
    started = own_start_time()
    assert started > 0
    assert is_alive(os.getpid(), started)
    assert is_alive(os.getpid(), None)
    assert not is_alive(os.getpid(), started - 100)


def test_zombie_is_not_alive() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(process.pid, None)
    assert not is_alive(process.pid, None)


def test_machine_and_boot_are_known() -> None:
    assert machine_name()
    assert len(boot_id()) == 36


def test_leftovers_are_found_by_marker_only_of_that_run() -> None:
    mine = subprocess.Popen(["sleep", "600"], env={**os.environ, MARKER: "7:token"})
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, MARKER: "7:token2"})
    try:
        wait_for(lambda: [process.pid for process in leftovers("7:token")] == [mine.pid])
        assert kill_leftovers("7:token") == 1
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()


def test_leftovers_that_are_just_becoming_another_program_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel shows no environment in the middle of an execve: one look may miss what the next one finds."""
    mine = subprocess.Popen(["sleep", "600"])
    looks = [[], [psutil.Process(mine.pid)], [], []]
    monkeypatch.setattr(machine, "leftovers", lambda *_: looks.pop(0))
    assert kill_leftovers("7:token") == 1
    assert not is_alive(mine.pid, None)
    mine.wait()


def test_parts_of_a_panel_that_are_just_becoming_another_program_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = subprocess.Popen(["sleep", "600"])
    looks = [[], [psutil.Process(mine.pid)], [], []]
    monkeypatch.setattr(panel_leftovers, "processes_of", lambda *_: looks.pop(0))
    assert panel_leftovers.kill_leftovers(Path("/nowhere"), ["web"]) == 1
    assert not is_alive(mine.pid, None)
    mine.wait()
