"""Runs carried out by real runner processes, which share the test's database."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from apps.access.actor import Actor, Door
from apps.runs.models import LogChunk, Run
from apps.runs.states import ENDED

OPERATOR = Actor(user=None, door=Door.COMMAND)


def child_environment(**more: str) -> dict[str, str]:
    """What a process of the panel's needs to see this test's database, data folder and kinds of run."""
    return os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "DEPLOYPANEL_ROLE": "runner"} | more


def start_runner(run: Run, **more: str) -> subprocess.Popen[bytes]:
    """The runner process of a queued run, as a worker starts it."""
    return subprocess.Popen(
        [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "run_work", str(run.pk)],
        env=child_environment(**more),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def runner_of(run: Run, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """The same for the time of a block, after which it is gone."""
    process = start_runner(run, **more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run_now(run: Run, timeout: float = 60, **more: str) -> Run:
    """Carry out a queued run in a runner process of its own and wait for its end; the fresh row."""
    with runner_of(run, **more) as process:
        process.wait(timeout)
    run.refresh_from_db()
    return run


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Return as soon as it holds; the test fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def wait_for_state(run: Run, *states: str, seconds: float = 30) -> Run:
    """Return the run when it is in one of the states, by default any of those that end it."""
    wanted = states or tuple(ENDED)

    def arrived() -> bool:
        run.refresh_from_db()
        return run.state in wanted

    wait_until(arrived, seconds)
    return run


def log_text(run: Run, *, stream: str = "", host: str | None = None) -> str:
    """What is stored of its log."""
    chunks = LogChunk.objects.filter(run=run).order_by("seq")
    if stream:
        chunks = chunks.filter(stream=stream)
    if host is not None:
        chunks = chunks.filter(host=host)
    return "".join(chunks.values_list("text", flat=True))
