"""The steps of a build script on one host, each called from a thread of the host's own.

The run has a folder of its own there, for the payload and for what is too long for an argument.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from apps.environments import ssh
from apps.environments.build_script import Shell, step_wanted
from apps.environments.errors import HostError, HostSilent
from apps.environments.pipeline.fleet import StepFailed
from apps.environments.remote_script import script_text
from apps.environments.ssh_upload import UploadRefused, upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apps.environments.build_script import Download, Step
    from apps.environments.models import Host, ScriptOrder
    from apps.environments.pipeline.fleet import HostJob
    from apps.environments.pipeline.script_files import Files
    from apps.runs.models import Run
    from apps.runs.work import StepHandle, Work

CONNECT = "connect"
GRACE = 5  # seconds from TERM to KILL
LOOK = 60.0  # seconds for what makes or removes a folder
LONGEST_PAUSE = 30.0  # seconds before a further attempt: 1, 2, 4 …, as agents do
INLINE = 64 * 1024  # characters; a longer command goes as a file, for Linux bounds one argument to 128 KiB

# $1 name of the folder. Nobody else can have made one of that name, nor read what is in it.
ENTER = r"""
umask 077
folder=${TMPDIR:-/tmp}/$1
mkdir -- "$folder" || exit 1
printf %s "$folder"
"""

# $1 name of the folder
LEAVE = r"""
rm -rf -- "${TMPDIR:-/tmp}/$1"
"""

# $1 folder to work in (empty: the home), $2 a command, or $3 the file that has it
COMMAND = r"""
if [ -n "$1" ]; then cd -- "$1" || exit 1; fi
if [ -n "$3" ]; then exec sh "$3"; fi
exec sh -c "$2"
"""


def stage_of(step: Step) -> str:
    """`1 shell`, as an agent calls it."""
    return f"{step.position + 1} {step.kind}"


def folder_name(run: Run, host: Host) -> str:
    """Two hosts may be one machine."""
    return f"deploypanel-{run.pk}-{host.pk}-{run.token[:16]}"


@dataclass(kw_only=True)
class ScriptSteps:
    """What is done on one host, each from a thread of its own."""

    work: Work
    order: ScriptOrder
    files: Files
    folders: dict[str, str] = field(default_factory=dict)  # by host: the run's own folder there

    def connect(self, job: HostJob, handle: StepHandle) -> None:
        """Log in, and bring the payload."""
        job.connection = ssh.connect(job.host)
        self.work.check()
        made = job.ssh.run(ENTER, [folder_name(self.work.run, job.host)], env=self.work.marker, timeout=LOOK)
        folder = made.out.strip()
        if not made.ok or not folder.startswith("/"):
            raise StepFailed(f"No folder could be made there: {_last(made.err) or 'it did not say why'}.")
        self.folders[job.name] = folder
        self._put(job, "payload.json", json.dumps(self.order.payload).encode())

    def act(self, step: Step) -> Callable[[HostJob, StepHandle], None]:
        return partial(self._step, step)

    def leave(self, job: HostJob) -> None:
        """Take the folder away. That this fails, fails nothing."""
        if job.name not in self.folders:
            return
        try:
            job.ssh.run(LEAVE, [folder_name(self.work.run, job.host)], env=self.work.marker, timeout=LOOK)
        except HostError as error:
            self.work.log.note(f"{self.folders[job.name]} may still be there: {error.problem}", job.name)

    def _step(self, step: Step, job: HostJob, handle: StepHandle) -> None:
        options = step.options
        if not step_wanted(step, self.order.payload):
            handle.skip("Its “when” does not hold for this payload.")
            return
        attempts = options.retries + 1
        for attempt in range(1, attempts + 1):
            try:
                self._attempt(step, job, handle)
            except StepFailed as error:
                if attempt < attempts:
                    self.work.log.note(f"{error} Attempt {attempt + 1} of {attempts} follows.", job.name)
                    self._pause(min(LONGEST_PAUSE, 2.0 ** (attempt - 1)))
                elif options.continue_on_error:
                    handle.fail(f"{error.problem} The script goes on.")
                    self.work.log.note(handle.message, job.name)
                else:
                    raise
            else:
                return

    def _pause(self, seconds: float) -> None:
        """Raises what ends the run meanwhile."""
        self.work.stopping.wait(seconds)
        self.work.check()

    def _attempt(self, step: Step, job: HostJob, handle: StepHandle) -> None:
        if isinstance(step, Shell):
            self._shell(step, job, handle)
        else:
            self._download(step, job, handle)

    def _shell(self, step: Shell, job: HostJob, handle: StepHandle) -> None:
        limit = step.options.timeout
        until = time.monotonic() + limit if limit else None
        for number, command in enumerate(step.commands):
            self.work.log.note(f"$ {command}", job.name)
            left = max(0.1, until - time.monotonic()) if until else None
            try:
                status = self._command(step, job, command, number, left)
            except HostSilent:
                raise StepFailed(f"It did not end within {limit:g} s and was ended.") from None
            handle.exit_status = status
            if status:
                line = command.strip().splitlines()[0][:80]
                what = "The script" if step.script else f"“{line}”"
                raise StepFailed(f"{what} ended with status {status}.", "See its last lines.")

    def _command(self, step: Shell, job: HostJob, command: str, number: int, left: float | None) -> int:
        log, name = self.work.log, job.name
        inline, file = command, ""
        env = self._environment(job, step.options.env)
        if len(script_text(COMMAND, ["", command], env)) > INLINE:
            inline, file = "", self._put(job, f"step-{step.position}-{number}", command.encode())

        def out(data: bytes) -> None:
            job.tail.take(data)
            log.out(data, name)

        def err(data: bytes) -> None:
            job.tail.take(data)
            log.err(data, name)

        outcome = job.ssh.run(
            COMMAND,
            [step.options.cwd, inline, file],
            env=env,
            on_out=out,
            on_err=err,
            stop=self.work.stopping,
            grace=GRACE,
            timeout=left,
        )
        log.end_line(name)
        if outcome.stopped:
            log.note("The script and all it started was told to end (TERM, then KILL).", name)
            self.work.check()
        return outcome.status if outcome.status is not None else 255

    def _environment(self, job: HostJob, own: Mapping[str, str]) -> dict[str, str]:
        number = self.order.number
        return {
            **own,
            **self.work.marker,
            "DEPLOYPANEL_TRIGGER": self.order.name,
            "DEPLOYPANEL_COUNT": "" if number is None else str(number),
            "DEPLOYPANEL_PAYLOAD": f"{self.folders[job.name]}/payload.json",
        }

    def _download(self, step: Download, job: HostJob, handle: StepHandle) -> None:
        """The panel fetches it, once for all hosts, and copies it to each."""
        found = self.files.wanted(step)
        self.work.log.note(f"{found.url} → {step.dest} ({found.size} bytes)", job.name)
        try:
            upload(job.ssh, self.files.pieces(found), found.size, step.dest, folder=step.options.cwd)
        except UploadRefused as error:
            raise StepFailed(
                f"{step.dest} could not be written: {error}", "Can the user who logs in write there?"
            ) from None
        handle.message = f"{found.size} bytes"

    def _put(self, job: HostJob, name: str, data: bytes) -> str:
        """A file of the run's own on the host; its path."""
        path = f"{self.folders[job.name]}/{name}"
        try:
            upload(job.ssh, [data], len(data), path)
        except UploadRefused as error:
            raise StepFailed(
                f"{path} could not be written: {error}", "Is there room left in its folder for temporary files?"
            ) from None
        return path


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
