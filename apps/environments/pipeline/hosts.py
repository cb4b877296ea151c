"""What is done on one host. Each function is one stage, called with the host's job, from a thread of its own."""

from __future__ import annotations

import posixpath
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.environments import ssh
from apps.environments.errors import HostError
from apps.environments.host_state import SCRIPT, HostState, TargetKind, answer, new_mark
from apps.environments.pipeline import scripts
from apps.environments.pipeline.build import DEPLOY, RUN_TESTS
from apps.environments.pipeline.channel import alias
from apps.environments.pipeline.fleet import StepFailed, Tail
from apps.environments.release import to_prune
from apps.environments.rsync import COUNT_FORMAT, Changes, Copy, Failure, changes, failure, said_failure
from apps.runs.execution import carry_out

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from apps.environments.pipeline.fleet import HostJob
    from apps.environments.pipeline.plan import Plan
    from apps.environments.remote_output import Outcome
    from apps.runs.work import StepHandle, Work

CONNECT, COPY, SWITCH, DEPLOY_SCRIPT, TESTS, CLEAN_UP = (
    "connect",
    "copy",
    "switch",
    "deploy script",
    "tests",
    "clean up",
)
STAGES = (CONNECT, COPY, SWITCH, DEPLOY_SCRIPT, TESTS, CLEAN_UP)
STEP_TIMEOUT = 60  # seconds for a step that only looks, makes folders or moves a link
SSH_FAILED = 255
CUT_SHORT = (10, 11, 12, 23)  # rsync's statuses behind which a full disk may hide
DROPPED = ("kex_exchange_identification", "banner exchange", "Connection closed by UNKNOWN")
PRUNE_TIMEOUT = 600  # seconds: deleting a large release takes its time
NAMES_UP_TO = 1000  # files in a tree; for larger ones the log tells totals, not each name


@dataclass(kw_only=True)
class HostSteps:
    """The stages of one run. `rsync_config` is the OpenSSH configuration, `tree` what is copied."""

    work: Work
    plan: Plan
    tree: Path | None = None
    rsync_config: str = ""

    def connect(self, job: HostJob, handle: StepHandle) -> None:
        """Log in, and ask what the host has."""
        job.connection = ssh.connect(job.host, self.plan.user)
        self.work.check()
        state = job.state = self.read(job)
        if not state.rsync:
            raise StepFailed("rsync is not installed there.", "Install it: apt-get install rsync.")
        if self.plan.symlink and state.target not in {TargetKind.ABSENT, TargetKind.LINK}:
            raise _real_folder(self.plan.target_path)
        current = state.current
        handle.message = f"runs {current.commit[:8]} ({current.branch})" if current else "runs nothing yet"

    def read(self, job: HostJob) -> HostState:
        mark = new_mark()
        outcome = self.script(job, SCRIPT, [mark, self.plan.target_path, self.plan.releases])
        state = answer(outcome.out, mark, self.plan.target_path)
        if state is None:
            raise StepFailed("It did not say what it has.", "Can the remote user run a POSIX shell there?")
        return state

    def copy(self, job: HostJob, handle: StepHandle) -> None:
        """The release folder, marked in progress while rsync fills it, complete afterwards."""
        plan, work = self.plan, self.work
        if not job.ssh.transport.is_active():  # a long build gave it the time to restart
            job.ssh.close()
            job.connection = ssh.connect(job.host, plan.user)
        self.checked(job, scripts.BEGIN, [plan.release, plan.release_file(in_progress=True), plan.word])
        status = self._rsync(job)
        handle.exit_status = status
        if status:
            why = self._full(job, status) or failure(status, job.tail.text())
            raise StepFailed(why.problem, why.remedy)
        kept = posixpath.join(plan.releases, ".deploy") if plan.symlink else ""
        shared = plan.shared_paths if plan.symlink else []
        arguments = [plan.release, plan.release_file(in_progress=False), plan.word, plan.shared, kept, *shared]
        warned = self.checked(job, scripts.FINISH, arguments).err.strip()
        if warned:
            work.log.note(f"Warning: {warned}", job.name)
            handle.message = warned

    def _rsync(self, job: HostJob) -> int:
        argv = self._copy(job).argv(*self._talk())
        for pause in (0.5, 1.5):
            status = carry_out_with_tail(self.work, argv, job.name, job.tail)
            if status != SSH_FAILED or not any(words in job.tail.text() for words in DROPPED):
                return status
            # Dropped before the greeting, by a server that had too many at once: nothing was copied yet.
            self.work.stopping.wait(pause + random.random())  # noqa: S311 - spreads the attempts
            job.tail = Tail()
        return carry_out_with_tail(self.work, argv, job.name, job.tail)

    def _full(self, job: HostJob, status: int) -> Failure | None:
        """A full disk, when rsync's own word for it was lost with its connection: there is less room than needed."""
        if status not in CUT_SHORT or said_failure(job.tail.text()) is not None or self.tree is None:
            return None
        try:
            words = self.script(job, scripts.FREE, [self.plan.release or self.plan.target_path]).out.split()
        except HostError:
            return None
        size = sum(path.lstat().st_size for path in self.tree.rglob("*") if not path.is_dir())
        if not words or not words[0].isdigit() or int(words[0]) * 1024 > size:
            return None
        return Failure(
            problem=f"The disk is full: {int(words[0]):,} KiB are free, the tree has {size // 1024:,} KiB.",
            remedy="Free some space; fewer kept releases need less.",
        )

    def _copy(self, job: HostJob) -> Copy:
        plan, state = self.plan, job.state
        assert state is not None
        before = state.live if plan.symlink and state.live != plan.release else ""
        return Copy(
            source=str(self.tree),
            alias=alias(job.host),
            folder=plan.release or plan.target_path,
            ssh_config=self.rsync_config,
            options=plan.options,
            shared_paths=plan.shared_paths,
            link_dest=before,
        )

    def _talk(self) -> list[str]:
        """What rsync says, unless the environment's own options decide that."""
        own = ("--info", "--verbose", "--quiet", "--progress", "--stats", "--itemize-changes")
        for option in self.plan.options:
            if option.startswith(own) or (option[:2] != "--" and set("vqi") & set(option)):
                return []
        return ["--info=name1,del1,stats1"] if self.plan.files <= NAMES_UP_TO else ["--info=stats1"]

    def switch(self, job: HostJob, handle: StepHandle) -> None:
        """The link takes the target's place in one move."""
        if not self.plan.symlink:
            job.switched = True
            handle.skip("In place: what was copied is live.")
            return
        outcome = self.script(job, scripts.SWITCH, [self.plan.release, self.plan.target_path, self.plan.link])
        if outcome.status == scripts.REAL_FOLDER:
            raise _real_folder(self.plan.target_path)
        self._check(outcome)
        job.switched = True
        self.work.log.note(f"{self.plan.target_path} → {self.plan.release}", job.name)

    def deploy_script(self, job: HostJob, handle: StepHandle, *, kept: bool = False) -> None:
        """`deploy.sh` in the target, then it is removed there. `kept`: the release's own, kept from its first time."""
        plan = self.plan
        copy = posixpath.join(plan.releases, ".deploy", f"{posixpath.basename(plan.release)}.sh") if kept else ""
        if DEPLOY not in plan.scripts and not kept:
            handle.skip(f"There is no {DEPLOY}.")
            return
        status = self._run(job, DEPLOY, "remove", copy, [plan.environment.name, job.name, plan.commit])
        handle.exit_status = status
        if status == scripts.NO_SCRIPT:
            handle.exit_status = None
            handle.skip(f"There is no {DEPLOY}.")
        elif status:
            raise StepFailed(f"{DEPLOY} ended with status {status}.", "See its last lines.")

    def tests(self, job: HostJob, handle: StepHandle) -> None:
        plan = self.plan
        arguments = [plan.environment.name, job.name, plan.branch, plan.commit]
        status = self._run(job, RUN_TESTS, "", "", arguments) if RUN_TESTS in plan.scripts else scripts.NO_SCRIPT
        handle.exit_status = status
        if status == scripts.NO_SCRIPT:
            handle.exit_status = None
            handle.skip(f"There is no {RUN_TESTS}.")
        elif status and plan.environment.fail_on_tests:
            raise StepFailed(f"{RUN_TESTS} ended with status {status}.", "See its last lines.")
        elif status:
            handle.message = f"Failed with status {status}, which this environment tolerates."

    def clean_up(self, job: HostJob, handle: StepHandle, *, busy: Collection[str] = ()) -> None:
        """Delete releases that are too many. That this fails, fails nothing."""
        job.state = self.read(job)
        if not self.plan.symlink:
            handle.skip("In place: there are no releases.")
            return
        old = to_prune(job.state.found, self.plan.environment.keep_releases, busy)
        if not old:
            handle.skip("No release is too many.")
            return
        outcome = self.script(job, scripts.PRUNE, [self.plan.releases, self.plan.word, *old], timeout=PRUNE_TIMEOUT)
        self.work.log.note(outcome.out + outcome.err, job.name)
        handle.message = f"{len(old)} old releases deleted"
        job.state.found = [one for one in job.state.found if one.folder not in old]

    def preview(self, job: HostJob, handle: StepHandle) -> Changes:
        """What rsync would do to what is live there now."""
        plan, state = self.plan, job.state
        assert state is not None
        folder = plan.target_path if state.target is not TargetKind.ABSENT else f"{plan.target_path}.none"
        copy = Copy(
            source=str(self.tree),
            alias=alias(job.host),
            folder=folder,
            ssh_config=self.rsync_config,
            options=[option for option in plan.options if not option.startswith(("--info", "--debug"))],
            shared_paths=plan.shared_paths,
        )
        quiet = _Quiet(self.work)
        status = carry_out_with_tail(quiet, copy.argv("--dry-run", COUNT_FORMAT), job.name, job.tail)
        handle.exit_status = status
        if status:
            why = failure(status, job.tail.text())
            raise StepFailed(why.problem, why.remedy)
        return changes(quiet.text())

    def _run(self, job: HostJob, name: str, remove: str, kept: str, arguments: Sequence[str]) -> int:
        """A script of the repository on the host, streamed into the log; its status."""
        self.work.log.note(f"$ ./{name} {' '.join(arguments)}   (in {self.plan.target_path})", job.name)
        outcome = self.script(
            job, scripts.RUN, [self.plan.target_path, name, remove, kept, *arguments], streamed=True, timeout=None
        )
        return outcome.status if outcome.status is not None else 255

    def checked(self, job: HostJob, script: str, arguments: Sequence[str]) -> Outcome:
        outcome = self.script(job, script, arguments)
        self._check(outcome)
        return outcome

    def script(
        self,
        job: HostJob,
        script: str,
        arguments: Sequence[str],
        *,
        streamed: bool = False,
        timeout: float | None = STEP_TIMEOUT,
    ) -> Outcome:
        """Run it guarded, stopped with the run. A streamed one is the repository's: it keeps the host's language."""
        log, name = self.work.log, job.name

        def heard(kind: str, data: bytes) -> None:
            job.tail.take(data)
            if streamed:
                (log.out if kind == "out" else log.err)(data, name)

        outcome = job.ssh.run(
            script,
            arguments,
            env=self.work.marker if streamed else {**self.work.marker, "LC_ALL": "C"},
            on_out=lambda data: heard("out", data),
            on_err=lambda data: heard("err", data),
            stop=self.work.stopping,
            grace=self.plan.environment.stop_grace,
            timeout=timeout,
        )
        if streamed:
            log.end_line(name)
        if outcome.stopped:
            log.note("The script and all it started was told to end (TERM, then KILL).", name)
            self.work.check()
        return outcome

    def _check(self, outcome: Outcome) -> None:
        if outcome.ok:
            return
        why = said_failure(outcome.err)
        if why is not None:
            raise StepFailed(why.problem, why.remedy)
        said = outcome.err.strip().splitlines()
        raise StepFailed(said[-1] if said else f"A step ended with status {outcome.status}.")


def carry_out_with_tail(work: Any, argv: Sequence[str], host: str, tail: Tail) -> int:
    """As Work.execute, and the tail hears it too."""
    return carry_out(_Tapped(work, tail), argv, host=host, cwd=None, env=None, quiet=False)  # type: ignore[arg-type]


class _TappedLog:
    def __init__(self, log: Any, tail: Tail) -> None:
        self._log, self._tail = log, tail
        self.note, self.end_line = log.note, log.end_line

    def out(self, data: bytes, host: str = "") -> None:
        self._tail.take(data)
        self._log.out(data, host)

    def err(self, data: bytes, host: str = "") -> None:
        self._tail.take(data)
        self._log.err(data, host)


class _Tapped:
    """A run's work whose log also fills a tail."""

    def __init__(self, work: Any, tail: Tail) -> None:
        self.log = _TappedLog(work.log, tail)
        self.check, self.stopping, self.grace = work.check, work.stopping, work.grace


class _Quiet:
    """A run's work whose programs' output is counted and not logged."""

    def __init__(self, work: Work) -> None:
        self._parts: list[bytes] = []
        self.check, self.stopping, self.grace = work.check, work.stopping, work.grace
        self._log = work.log
        self.log = self
        self.note, self.end_line, self.err = work.log.note, work.log.end_line, work.log.err

    def out(self, data: bytes, host: str = "") -> None:
        self._parts.append(data)
        self._log.last_output = time.monotonic()

    def text(self) -> str:
        return b"".join(self._parts).decode("utf-8", "replace")


def _real_folder(path: str) -> StepFailed:
    return StepFailed(
        f"{path} is a folder of its own, and a link to the release is to stand there.",
        f"Move it away once, for example: mv {path} {path}.before",
    )
