"""A run, its log, and a tailer that ends with its test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from apps.access.models import Subject
from apps.runs import live
from apps.runs.models import Run
from tests.browser.conftest import chromium, surf  # noqa: F401 - fixtures
from tests.live.server import collected_static, web_server  # noqa: F401 - fixtures
from tests.live.writer import Log


@pytest.fixture
def subject(transactional_db: None) -> Subject:
    return Subject.objects.create(kind="environment", path="shop/prod")


@pytest.fixture
def make_run(subject: Subject) -> Callable[..., Run]:
    def make(**values: Any) -> Run:
        given = {
            "kind": "deploy",
            "subject": subject,
            "subject_path": subject.path,
            "state": "running",
            "started_at": timezone.now(),
            "cause": "person",
            "requested_name": "ann",
            "time_limit": 3600,
            "silence_limit": 900,
            "exclusive": False,
        }
        return Run.objects.create(**(given | values))

    return make


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    return make_run()


@pytest.fixture
def log(run: Run) -> Log:
    return Log(run)


@pytest.fixture
def tailer(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[live.Tailer]:
    """A tailer of the test's own, in the consumers too. No thread and no connection of it stays."""
    own = live.Tailer()
    from apps.runs import consumers

    monkeypatch.setattr(consumers, "tailer", own)
    yield own
    own.stop(30)
    assert not [thread for thread in threading.enumerate() if thread.name == "run-tailer"]
