"""The hosts of a run, without hosts: what is told when the run fails while they are asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from apps.environments.errors import HostCutOff
from apps.environments.models import Host
from apps.environments.pipeline.fleet import Fleet, HostJob
from apps.runs.work import StepHandle
from tests.support.runner import wait_until


class Told:
    """A run's work, as far as a fleet uses it: steps and notes in memory."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.grace = 0.1
        self.notes: list[str] = []
        self.steps: list[tuple[str, str]] = []
        self.log = SimpleNamespace(note=lambda text, host="": self.notes.append(text))

    def check(self) -> None:
        return

    @contextmanager
    def step(self, stage: str, host: str) -> Iterator[StepHandle]:
        handle = StepHandle()
        try:
            yield handle
        except Exception as error:
            handle.fail(str(error))
            raise
        finally:
            self.steps.append((str(handle.state), handle.message))


class NoSuchRef(Exception):
    pass


def fleet_of(work: Told) -> Fleet:
    given: Any = work
    return Fleet(given, [Host(name="web1")], parallel=1)


def cut(job: HostJob, _: StepHandle) -> None:
    raise HostCutOff(job.name, "The connection broke.", "Look whether the host is up.")


def test_a_connection_that_the_failing_run_closes_is_no_fault_of_the_host() -> None:
    work, failed = Told(), threading.Event()

    def connect(job: HostJob, handle: StepHandle) -> None:
        failed.wait(10)
        cut(job, handle)

    fleet = fleet_of(work)
    with pytest.raises(NoSuchRef), fleet.meanwhile("connect", connect):
        raise NoSuchRef
    failed.set()
    wait_until(lambda: work.steps)
    assert work.steps == [("skipped", "The run failed before.")]
    assert work.notes == []


def test_a_host_that_fails_while_the_run_goes_on_is_told() -> None:
    work = Told()
    fleet = fleet_of(work)
    with fleet.meanwhile("connect", cut):
        pass
    assert [one[0] for one in work.steps] == ["failed"]
    assert [note[:22] for note in work.notes] == ["connect failed on web1"]
    assert [failure.host for failure in fleet.failures] == ["web1"]
