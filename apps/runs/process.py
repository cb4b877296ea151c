"""The door to programs on the panel's own machine.

Argument lists only; each program in a process group of its own, so that it is killed with all it
started; an environment that holds none of the panel's secrets; the run's marker in it, so that the
reaper finds what is left when the runner itself was killed.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apps.access.errors import InputError
from apps.runs.errors import ProcessError, ProcessTimeout, ProgramMissing
from apps.runs.machine import MARKER
from apps.runs.models import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PACKAGES = {
    "git": "git",
    "rsync": "rsync",
    "setsid": "util-linux",
    "sshd": "openssh-server",
    **dict.fromkeys(("ssh", "ssh-add", "ssh-agent", "ssh-keygen", "ssh-keyscan"), "openssh-client"),
}
CAPTURE_LIMIT = 64 * 1024 * 1024  # bytes of each of a captured program's outputs
READ_SIZE = 64 * 1024
READ_AFTER_END = 2 * 1024 * 1024  # bytes: all that pipes can hold; what comes later is not the program's own
# Everything else of the panel's environment stays with the panel: it may hold keys and passwords.
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


def environment(**more: str) -> dict[str, str]:
    """A clean environment: what programs need to work at all, and `more`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith("LC_") or name.lower() in PROXIES
    }
    return {"PATH": os.defpath, **kept, **more}


@dataclass(frozen=True)
class Completed:
    """A program that has ended. `status` is negative when a signal ended it; `truncated`: there was more output."""

    argv: tuple[str, ...]
    status: int
    out: bytes
    err: bytes
    truncated: bool = False


def run(
    argv: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float,
    stdin: bytes = b"",
    limit_bytes: int = CAPTURE_LIMIT,
) -> Completed:
    """Run a short command and return its output, whatever its status. `timeout` in seconds; `env` None: a clean one.

    Raises ProgramMissing, ProcessTimeout (all of its group is dead then), ProcessError, InputError; in a
    runner also RunStopped and RunTimedOut, when the run has to end meanwhile.
    """
    check = _interruption.begin()
    deadline = time.monotonic() + timeout
    captured: dict[str, list[bytes]] = {Stream.OUT: [], Stream.ERR: []}
    sizes = dict.fromkeys(captured, 0)
    with Child(argv, cwd=cwd, env=env, stdin=stdin) as child:
        while not child.finished:
            check()
            left = deadline - time.monotonic()
            if left <= 0:
                raise ProcessTimeout(f"{child.name} took longer than {timeout:g} seconds and was ended.")
            for stream, data in child.read(min(left, 1)):
                captured[stream].append(data[: max(0, limit_bytes - sizes[stream])])
                sizes[stream] += len(data)
        out, err = (b"".join(captured[stream]) for stream in (Stream.OUT, Stream.ERR))
        return Completed(tuple(argv), child.status or 0, out, err, max(sizes.values()) > limit_bytes)


class Interruption:
    """How a runner ends the commands that it waits for: a run that must end does not sit out a long fetch."""

    def __init__(self) -> None:
        self._stopping: threading.Event | None = None
        self._check: Callable[[], None] = _go_on

    def set(self, stopping: threading.Event, check: Callable[[], None]) -> None:
        """From now on `check` is called again and again while a command runs; it raises to end it."""
        self._stopping, self._check = stopping, check

    def begin(self) -> Callable[[], None]:
        """What a command that begins now must call. One that begins after the stop is there to tidy up."""
        return self._check if self._stopping is not None and not self._stopping.is_set() else _go_on


def _go_on() -> None:
    return None


_interruption = Interruption()


def interrupt_by(stopping: threading.Event, check: Callable[[], None]) -> None:
    """In a runner: end the commands of `run` when `stopping` is set, by the exception that `check` raises."""
    _interruption.set(stopping, check)


class Child:
    """A running program with its output to read. Leaving its `with` while it runs ends it and its group."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> None:
        self.name = Path(argv[0]).name
        self._process = _popen(argv, cwd, env, pipe_in=bool(stdin))
        self.pid = self._process.pid
        self._stdin = stdin
        self._silent_since: float | None = None  # after its end
        self._read_after = 0  # bytes, after its end
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._register(self._process.stdout.fileno(), selectors.EVENT_READ, Stream.OUT)
        self._register(self._process.stderr.fileno(), selectors.EVENT_READ, Stream.ERR)
        if self._process.stdin is not None:
            self._register(self._process.stdin.fileno(), selectors.EVENT_WRITE, None)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)  # git takes its lock files away
            self._wait(1)
            self.signal(signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def finished(self) -> bool:
        """It has ended and said all. Something that it left in the background does not keep us waiting."""
        if self._process.poll() is None:
            return False
        if self._silent_since is None:
            self._silent_since = time.monotonic()
        silent = time.monotonic() - self._silent_since > 0.5
        return silent or not self._reading or self._read_after > READ_AFTER_END

    def read(self, seconds: float) -> list[tuple[Stream, bytes]]:
        """What it says now, waiting at most `seconds` for the first of it."""
        if not self._selector.get_map():  # it closed its output and works on
            self._wait(min(seconds, 0.25))
            return []
        ended = self._process.poll() is not None
        said = []
        for key, _ in self._selector.select(min(seconds, 0.25)):
            if key.data is None:
                self._feed(key.fd)
            elif data := _read(key.fd):
                said.append((key.data, data))
            else:
                self._selector.unregister(key.fd)
        if ended and said:
            self._silent_since = None
            self._read_after += sum(len(data) for _, data in said)
        return said

    def signal(self, number: int) -> None:
        """Send a signal to its whole process group; nothing happens when the group is gone."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    @property
    def group_alive(self) -> bool:
        """Whether anything of its process group is there, be it only to be collected."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # someone else's by now (sudo)
            return True
        return True

    @property
    def _reading(self) -> bool:
        return any(key.data is not None for key in self._selector.get_map().values())

    def _register(self, handle: int, events: int, data: Stream | None) -> None:
        os.set_blocking(handle, False)
        self._selector.register(handle, events, data)

    def _wait(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    def _feed(self, handle: int) -> None:
        try:
            written = os.write(handle, self._stdin[:READ_SIZE])
        except BlockingIOError:
            return
        except BrokenPipeError:
            written = len(self._stdin)  # it does not want to hear more
        self._stdin = self._stdin[written:]
        if not self._stdin:
            self._selector.unregister(handle)
            assert self._process.stdin
            self._process.stdin.close()


def spawn_detached(argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> int:
    """Start a program that outlives us, in a session of its own, what it says appended to `log`; its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        process = subprocess.Popen(
            list(argv), env=dict(env), stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    # Collects its exit status, so that it is no zombie while this process lives on.
    threading.Thread(target=process.wait, name=f"wait-{process.pid}", daemon=True).start()
    return process.pid


def _popen(
    argv: Sequence[str], cwd: Path | str | None, env: Mapping[str, str] | None, *, pipe_in: bool
) -> subprocess.Popen[bytes]:
    if any("\0" in argument for argument in argv):
        raise InputError(f"{Path(argv[0]).name}: an argument holds a NUL byte.")
    given = dict(environment() if env is None else env)
    if MARKER in os.environ:
        given[MARKER] = os.environ[MARKER]
    if cwd is not None and not Path(cwd).is_dir():
        raise ProcessError(f"{argv[0]} cannot be run in {cwd}: there is no such folder.")
    try:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=given,
            stdin=subprocess.PIPE if pipe_in else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
    except OSError as error:
        raise _explained(argv[0], error) from None


def _explained(program: str, error: OSError) -> ProcessError:
    name = Path(program).name
    if error.errno == errno.ENOENT and "/" not in program:
        package = PACKAGES.get(name)
        remedy = f"apt-get install {package}" if package else "install it, or put its folder into PATH"
        return ProgramMissing(f"The program {name} is not installed on the panel's machine: {remedy}.")
    if error.errno in {errno.ENOENT, errno.ENOEXEC}:
        return ProcessError(
            f"{program} cannot be run: begin it with a line such as #!/bin/sh that names an installed interpreter."
        )
    if error.errno == errno.EACCES:
        return ProcessError(f"{program} cannot be run: it is not executable (chmod +x, and commit that).")
    return ProcessError(f"{program} cannot be run: {error.strerror}.")


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, READ_SIZE)
    except BlockingIOError:  # pragma: no cover - the selector said that there is something
        return b""
