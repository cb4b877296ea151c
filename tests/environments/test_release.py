"""Release files, folders and pruning; what a host says of itself."""

from __future__ import annotations

import datetime as dt

import pytest

from apps.environments.host_state import TargetKind, answer
from apps.environments.release import (
    Found,
    Release,
    folder_name,
    may_be_written,
    parsed,
    releases_folder,
    to_prune,
)

AT = dt.datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=dt.UTC)
SHA = "abcdef1234567890abcdef1234567890abcdef12"


def release(folder: str, *, day: int = 1, in_progress: bool = False, commit: str = SHA) -> Release:
    return Release(branch="main", commit=commit, at=AT.replace(day=day), folder=folder, in_progress=in_progress)


def found(folder: str, *, day: int = 1, in_progress: bool = False, live: bool = False) -> Found:
    return Found(folder=folder, release=release(folder, day=day, in_progress=in_progress), live=live)


def test_file_is_written_as_agreed() -> None:
    text = release("/srv/shop_releases/x", in_progress=True).text()
    assert text == f"main\n{SHA}\n2026-03-01T05:06:07.000089\n/srv/shop_releases/x\ndeployment in progress"
    assert parsed(text) == release("/srv/shop_releases/x", in_progress=True)
    assert parsed(release("/srv/x").text()) == release("/srv/x")


@pytest.mark.parametrize("time", ["2026-03-01 05:06:07.000089", "2026-03-01T05:06:07.000089"])
def test_file_of_older_tools_is_read(time: str) -> None:
    assert parsed(f"main\n{SHA}\n{time}\n/srv/x\n") == release("/srv/x")


@pytest.mark.parametrize("text", ["", "main\n", f"main\n{SHA}\n", "main\nno commit\n2026\n/srv\n", "\0" * 9])
def test_file_that_is_none(text: str) -> None:
    assert parsed(text) is None


def test_file_with_an_unreadable_time() -> None:
    read = parsed(f"main\n{SHA}\nyesterday\n/srv\n")
    assert read is not None
    assert read.at is None


@pytest.mark.parametrize(
    ("branch", "attempt", "name"),
    [
        ("main", 1, "20260304_main_abcdef12"),
        ("main", 3, "20260304_main_abcdef12-3"),
        ("feature/x", 1, "20260304_feature-x_abcdef12"),
        ("../../etc", 1, "20260304_etc_abcdef12"),
        ("a;touch x", 1, "20260304_a-touch-x_abcdef12"),
        ("$(id)", 1, "20260304_id_abcdef12"),
        ("--rsh=sh", 1, "20260304_rsh-sh_abcdef12"),
        ("日本", 1, "20260304_commit_abcdef12"),
        ("b" * 200, 1, f"20260304_{'b' * 60}_abcdef12"),
    ],
)
def test_folder_names_are_safe(branch: str, attempt: int, name: str) -> None:
    assert folder_name(AT.date(), branch, SHA, attempt) == name


def test_folders_stand_beside_the_target() -> None:
    assert releases_folder("/srv/shop/", "site") == "/srv/site_releases"


def test_a_folder_is_written_only_when_it_is_new_or_the_unused_rest_of_the_same_commit() -> None:
    assert may_be_written([], "/r/a", SHA)
    assert may_be_written([found("/r/a", in_progress=True)], "/r/a", SHA)
    assert not may_be_written([found("/r/a")], "/r/a", SHA)
    assert not may_be_written([found("/r/a", in_progress=True, live=True)], "/r/a", SHA)
    assert not may_be_written([found("/r/a", in_progress=True)], "/r/a", "0" * 40)
    assert not may_be_written([Found(folder="/r/a", release=None)], "/r/a", SHA)


def test_pruning_keeps_the_newest_the_live_and_the_busy() -> None:
    there = [found(f"/r/{day}", day=day, live=day == 2) for day in range(1, 8)]
    there += [found("/r/half", day=9, in_progress=True), found("/r/mine", day=9, in_progress=True)]
    there.append(Found(folder="/r/not-ours", release=None))
    now = AT.replace(day=20)
    assert to_prune(there, 3, {"/r/mine"}, now) == ["/r/half", "/r/4", "/r/3", "/r/1"]


def test_pruning_leaves_what_another_tool_may_still_copy() -> None:
    fresh = found("/r/half", day=9, in_progress=True)
    assert to_prune([fresh], 1, (), AT.replace(day=9, hour=6)) == []


def test_answer_of_a_host() -> None:
    text = release("/srv/shop_releases/a").text()
    out = (
        "Welcome!\nM\trsync\tyes\nM\ttarget\tlink\nM\tlink\tshop_releases/a\n"
        f"M\tcurrent\t/srv/shop\n{text}\n"
        f"M\trelease\t/srv/shop_releases/a\n{text}\n"
        "M\trelease\t/srv/shop_releases/b\n"
        "M\tlive\t/srv/shop_releases/b\nM\tend\tyes\n"
    )
    state = answer(out, "M", "/srv/shop")
    assert state is not None
    assert (state.rsync, state.target, state.live) == (True, TargetKind.LINK, "/srv/shop_releases/a")
    assert state.current == release("/srv/shop_releases/a")
    assert [(one.folder, one.live, one.complete) for one in state.found] == [
        ("/srv/shop_releases/a", True, True),
        ("/srv/shop_releases/b", True, False),
    ]
    assert answer(out.replace("M\tend\tyes\n", ""), "M", "/srv/shop") is None
