"""A connection to a host that is logged in: scripts run on it, one after the other, and it is kept alive meanwhile."""

from __future__ import annotations

import contextlib
import select
import time
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import fabric
import paramiko
from django.conf import settings

from apps.environments.errors import HostCutOff, HostSilent
from apps.environments.remote_output import Kept, Outcome
from apps.environments.remote_script import DONE, script_line, script_text, shell_command

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from apps.environments.models import Host

MISSED_KEEPALIVES = 3
POLL = 0.25  # seconds between two looks at the stop event


def _fabric_over(host: Host, user: str, transport: paramiko.Transport) -> fabric.Connection:
    """fabric's connection, over a transport that has shown the pinned key and logged in.

    By itself fabric would read the operator's own files, and accept any host key; here it has nothing to open.
    """
    config = fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig())
    made = fabric.Connection(host.address, user=user, port=host.port, config=config)
    made.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    made.client._transport = made.transport = transport
    return made


class HostConnection:
    """A logged-in connection; one script at a time. Closing it ends what it still runs on the host."""

    def __init__(self, host: Host, user: str, transport: paramiko.Transport, stack: contextlib.ExitStack) -> None:
        self.host, self.user, self.transport = host, user, transport
        self._stack = stack
        self._fabric = _fabric_over(host, user, transport)
        self._heard = time.monotonic()
        self._asked = 0.0
        self._unanswered = 0  # questions in a row
        self._shell: paramiko.Channel | None = None
        read = transport.packetizer.read_message

        def read_and_note() -> Any:
            message = read()
            self._heard = time.monotonic()
            return message

        transport.packetizer.read_message = read_and_note  # type: ignore[method-assign]

    def __enter__(self) -> HostConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def run(
        self,
        script: str,
        args: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        on_out: Callable[[bytes], object] | None = None,
        on_err: Callable[[bytes], object] | None = None,
        stop: threading.Event | None = None,
        grace: int = 5,
        timeout: float | None = None,
    ) -> Outcome:
        """Run a shell script with `args` as $1, $2 …; its output goes to the callbacks as it comes.

        When `stop` is set the script's process group gets TERM, after `grace` seconds KILL. After
        `timeout` seconds likewise, and HostSilent is raised. Raises HostCutOff when the connection breaks.
        """
        mark = f"\x1e{token_hex(12)}"
        out, err = Kept(mark, on_out), Kept(mark, on_err)
        channel = self._send(script_line(mark, script_text(script, args, env), grace))
        stopped = True
        try:
            stopped = self._follow(channel, out, err, stop=stop, grace=grace, timeout=timeout)
            status = self._status(out.status, stopped)
        finally:
            out.close()
            err.close()
            if stopped or not out.ended:
                self._shell_close()
            else:
                with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                    channel.sendall(DONE)
        return Outcome(status=status, out=out.text(), err=err.text(), stopped=stopped)

    def _send(self, line: bytes) -> paramiko.Channel:
        """Give the host's shell a script; start one where there is none."""
        try:
            if self._shell is None:
                self._shell = self._fabric.create_session()
                self._shell.exec_command(shell_command())
            self._shell.sendall(line)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if self._shell is None or not isinstance(error, OSError) or not self.transport.is_active():
                raise self._cut(error) from None  # else the host's shell has refused: its output says why
        return self._shell

    def _shell_close(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def _follow(
        self,
        channel: paramiko.Channel,
        out: Kept,
        err: Kept,
        *,
        stop: threading.Event | None,
        grace: int,
        timeout: float | None,
    ) -> bool:
        """Pass output on until the script has ended. True when it was stopped."""
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLIN)
        deadline = time.monotonic() + timeout if timeout else None
        given_up: float | None = None  # when a stopped script that does not end is left to the host's shell
        while not self._drain(channel, out, err):
            now = time.monotonic()
            late = deadline is not None and now > deadline
            if given_up is None and (late or (stop is not None and stop.is_set())):
                channel.shutdown_write()  # the shell on the host reads the end of its input
                given_up = now + grace + 3
            if given_up is not None and now > given_up:
                break
            self._listen(now)
            poll.poll(POLL * 1000)
        if deadline is not None and given_up is not None and not (stop is not None and stop.is_set()):
            raise HostSilent(
                self.host.name, f"A step did not end within {timeout:g} s.", "Its disk or file server may hang."
            )
        return given_up is not None

    def _drain(self, channel: paramiko.Channel, out: Kept, err: Kept) -> bool:
        """Pass on what is there. True when there will be no more."""
        over = channel.eof_received or channel.closed or not self.transport.is_active()
        while channel.recv_ready():
            out.take(channel.recv(65536))
        while channel.recv_stderr_ready():
            err.take(channel.recv_stderr(65536))
        return bool(over or (out.ended and err.ended))

    def _listen(self, now: float) -> None:
        """Ask a silent host for a sign of life; raises HostCutOff after three questions without an answer.

        Questions count, not the time: nobody asks while rsync works, and a panel that is itself out of breath
        must not take its own silence for the host's.
        """
        if self._heard > self._asked:
            self._unanswered = 0
        if now - max(self._heard, self._asked) <= settings.SSH_KEEPALIVE:
            return
        if self._unanswered >= MISSED_KEEPALIVES:
            self.transport.close()
            raise self._cut(f"no sign of life for {now - self._heard:.0f} s")
        self._asked, self._unanswered = now, self._unanswered + 1
        message = paramiko.Message()
        message.add_byte(bytes([80]))  # SSH_MSG_GLOBAL_REQUEST; any answer will do
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self.transport._send_user_message(message)  # type: ignore[attr-defined]  # global_request() would block

    def _status(self, told: int | None, stopped: bool) -> int | None:
        if told is not None or stopped:
            return told
        # No status: either all is cut off, or the host ended the session alone.
        time.sleep(POLL)
        if not self.transport.is_active():
            raise self._cut(self.transport.get_exception() or "connection closed")
        return 255

    def _cut(self, reason: object) -> HostCutOff:
        return HostCutOff(
            self.host.name,
            f"The connection broke ({str(reason) or type(reason).__name__}).",
            "Look whether the host is up, then run again: what was copied stays and is completed.",
        )
