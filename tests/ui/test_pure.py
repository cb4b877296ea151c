"""What the control page makes of rows, as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from apps.environments import control
from apps.environments.picker import Choice
from apps.runs import bars, notices, wording

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def host(**fields: Any) -> Any:
    return SimpleNamespace(**{"name": "web1", "active": True, "host_key": "ssh-ed25519 A"} | fields)


def release(**fields: Any) -> Any:
    return SimpleNamespace(**{"error": "", "in_progress": False, "commit": "a" * 40} | fields)


def environment(**fields: Any) -> Any:
    return SimpleNamespace(**{"deployed_commit": "a" * 40, "differs_since": None} | fields)


@pytest.mark.parametrize(
    ("its_host", "its_release", "its_environment", "failed", "word"),
    [
        (host(), release(), environment(), False, "In sync"),
        (host(), release(commit="b" * 40), environment(), False, "Differs"),
        (host(), None, environment(), False, "Unknown"),
        (host(), release(error="no route"), environment(), False, "Unreachable"),
        (host(), release(in_progress=True), environment(), False, "In progress"),
        (host(), release(commit=""), environment(), False, "Nothing deployed"),
        (host(), release(), environment(deployed_commit=""), False, "Unknown"),
        (host(), release(), environment(), True, "Failed"),
        (host(active=False), release(error="no route"), environment(), True, "Inactive"),
    ],
)
def test_host_badge(its_host: Any, its_release: Any, its_environment: Any, failed: bool, word: str) -> None:
    failures = frozenset({"web1"} if failed else ())
    assert control.host_badge(its_host, its_release, its_environment, failures).text == word


@pytest.mark.parametrize(
    ("since", "expected"), [(None, False), (timedelta(minutes=29), False), (timedelta(minutes=30), True)]
)
def test_differs_only_after_half_an_hour(since: timedelta | None, expected: bool) -> None:
    row = environment(differs_since=NOW - since if since is not None else None)
    assert control.differs(row, NOW) is expected


@pytest.mark.parametrize(
    ("address", "secure", "expected"),
    [
        ("panel.example.com", False, True),
        ("panel.example.com", True, False),
        ("localhost:8000", False, False),
        ("127.0.0.1:8000", False, False),
        ("[::1]:8000", False, False),
        ("10.0.0.1:8000", False, True),
    ],
)
def test_unprotected(address: str, secure: bool, expected: bool) -> None:
    assert notices.is_unprotected(address, secure) is expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (190, "3 min 10 s"), (7500, "2 h 5 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


def test_badges_and_commits_are_escaped() -> None:
    assert "<b>" not in wording.badge("<b>", "good", '"><b>')
    assert "<b>" not in wording.short("<b>")
    assert wording.age(None) == "never"


def test_moment_in_the_calendars_zone() -> None:
    at = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
    hours: Any = SimpleNamespace(timezone="Europe/Paris")
    broken: Any = SimpleNamespace(timezone="Mars/Olympus")
    assert wording.moment_in(at, hours) == "Mon 23 Nov 2026 08:00 CET"
    assert wording.moment_in(at, None) == wording.moment_in(at, broken) == "Mon 23 Nov 2026 07:00 UTC"


def test_bars_are_oldest_first_and_scaled() -> None:
    def row(seconds: float, state: str = "succeeded") -> Any:
        return SimpleNamespace(
            started_at=NOW, ended_at=NOW + timedelta(seconds=seconds), state=state, commit="a" * 40, ref="main"
        )

    plot = bars.duration_bars([row(20), row(10, "failed"), row(5)])
    assert [bar.height for bar in plot] == [12.0, 24.0, 48.0]
    assert [bar.tone for bar in plot] == ["good", "bad", "good"]
    assert [bar.x for bar in plot] == [0, 10, 20]
    assert bars.duration_bars([]) == []


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, "main"),
        ({"branch": "next"}, "next"),
        ({"branch": "next", "commit": "abc"}, "abc"),
        ({"branch": "next", "commit": "abc", "ref": " v1 "}, "v1"),
    ],
)
def test_choice_prefers_what_was_typed(fields: dict[str, str], wanted: str) -> None:
    row: Any = SimpleNamespace(branch="main")
    assert Choice.of(row, fields).wanted == wanted
