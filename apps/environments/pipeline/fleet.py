"""One job per host, many at once. A host that fails, fails alone; the others go on."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from apps.environments.errors import HostError
from apps.runs.errors import RunEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from apps.environments.host_state import HostState
    from apps.environments.models import Host
    from apps.environments.ssh_connection import HostConnection
    from apps.runs.work import StepHandle, Work

TAIL_LINES = 5
TAIL_BYTES = 8192
STOP_PATIENCE = 6.0  # seconds beyond the scripts' grace; then a job that hangs in a connect is left behind


class StepFailed(Exception):
    """A step on one host could not be done: what happened, and what to do."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".rstrip())
        self.problem, self.remedy = problem, remedy


@dataclass(frozen=True, kw_only=True)
class HostFailure:
    """Where, at what and why a host fell out, with the last lines it said."""

    host: str
    stage: str
    problem: str
    remedy: str
    lines: tuple[str, ...]
    order: float  # when, to name the first one first

    def as_json(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "stage": self.stage,
            "problem": self.problem,
            "remedy": self.remedy,
            "lines": list(self.lines),
        }


class Tail:
    """The last lines of what was said, from bytes in pieces."""

    def __init__(self) -> None:
        self._data: deque[bytes] = deque()
        self._size = 0

    def take(self, data: bytes | str) -> None:
        piece = data.encode() if isinstance(data, str) else data
        self._data.append(piece)
        self._size += len(piece)
        while self._size > 2 * TAIL_BYTES and len(self._data) > 1:
            self._size -= len(self._data.popleft())

    def text(self) -> str:
        return b"".join(self._data)[-TAIL_BYTES:].decode("utf-8", "replace")

    def lines(self) -> tuple[str, ...]:
        return tuple(line.strip() for line in self.text().splitlines() if line.strip())[-TAIL_LINES:]


@dataclass(kw_only=True)
class HostJob:
    """One host in this run."""

    host: Host
    connection: HostConnection | None = None
    state: HostState | None = None
    failure: HostFailure | None = None
    tail: Tail = field(default_factory=Tail)
    switched: bool = False  # the new release is live
    done: list[str] = field(default_factory=list)  # stages that succeeded

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def ssh(self) -> HostConnection:
        assert self.connection is not None, f"{self.name} is not connected"
        return self.connection


class Fleet:
    """The hosts of a run. Close it, so that no connection stays."""

    def __init__(self, work: Work, hosts: Iterable[Host], *, parallel: int) -> None:
        self.work = work
        self.jobs = [HostJob(host=host) for host in hosts]
        self._parallel = max(1, parallel)
        self._left = False  # nobody waits for what is done on the hosts: the run has failed elsewhere

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for job in self.jobs:
            if job.connection is not None:
                with contextlib.suppress(Exception):
                    job.connection.close()

    @property
    def well(self) -> list[HostJob]:
        return [job for job in self.jobs if job.failure is None]

    @property
    def failures(self) -> list[HostFailure]:
        """The first one first."""
        return sorted((job.failure for job in self.jobs if job.failure is not None), key=lambda one: one.order)

    def each(self, stage: str, act: Callable[[HostJob, StepHandle], None]) -> None:
        """Do it on every host that has not failed, and keep a host's failure on its job. Raises what ends the run."""
        self._at_once(stage, lambda job: self._one(stage, act, job))

    def through(
        self, stages: Sequence[tuple[str, Callable[[HostJob, StepHandle], None]]], after: Callable[[HostJob], None]
    ) -> None:
        """As `each`, for several stages, in which no host waits for another; `after` is called for each in any case."""

        def course(job: HostJob) -> None:
            try:
                for stage, act in stages:
                    if job.failure is None and not self.work.stopping.is_set():
                        self._one(stage, act, job)
            finally:
                after(job)

        self._at_once("hosts", course)

    def _at_once(self, name: str, act: Callable[[HostJob], None]) -> None:
        jobs = self.well
        if not jobs:
            return
        pool = ThreadPoolExecutor(max_workers=min(self._parallel, len(jobs)), thread_name_prefix=name)
        try:
            futures = {pool.submit(act, job) for job in jobs}
            self._wait(futures)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        self.work.check()

    @contextlib.contextmanager
    def meanwhile(self, stage: str, act: Callable[[HostJob, StepHandle], None]) -> Iterator[None]:
        """As `each`, at the same time as the block; when the block fails, nobody waits for it."""
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=stage)
        try:
            going = pool.submit(self.each, stage, act)
            yield
            going.result()
        except BaseException:
            self._left = True
            raise
        finally:
            pool.shutdown(wait=False)

    def skip(self, stage: str, reason: str) -> None:
        """Say in the matrix that this was not done on those that could have."""
        for job in self.well:
            with contextlib.suppress(RunEnded), self.work.step(stage, job.name) as handle:
                handle.skip(reason)

    def _wait(self, futures: set[Future[None]]) -> None:
        until: float | None = None
        while futures:
            done, futures = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()  # a bug of ours ends the run
            if self.work.stopping.is_set():
                until = until or time.monotonic() + self.work.grace + STOP_PATIENCE
                if time.monotonic() > until:
                    return

    def _one(self, stage: str, act: Callable[[HostJob, StepHandle], None], job: HostJob) -> None:
        job.tail = Tail()
        try:
            with self.work.step(stage, job.name) as handle:
                try:
                    act(job, handle)
                except (HostError, StepFailed):
                    if not self._left:
                        raise
                    handle.skip("The run failed before.")  # a closed connection is no fault of the host
                    return
            job.done.append(stage)
        except RunEnded:
            return  # `each` raises it for all
        except HostError as error:
            self._failed(job, stage, error.problem, error.remedy)
        except StepFailed as error:
            self._failed(job, stage, error.problem, error.remedy)

    def _failed(self, job: HostJob, stage: str, problem: str, remedy: str) -> None:
        if self.work.stopping.is_set():
            return
        job.failure = HostFailure(
            host=job.name,
            stage=stage,
            problem=problem,
            remedy=remedy,
            lines=job.tail.lines(),
            order=time.monotonic(),
        )
        self.work.log.note(f"{stage} failed on {job.name}: {problem} {remedy}".rstrip(), job.name)
