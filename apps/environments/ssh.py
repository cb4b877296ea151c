"""The door to SSH: connections to hosts that accept one pinned key and offer one key of ours.

No agent, no key files, no configuration of the operator's. Small messages leave at once
(TCP_NODELAY), and a host that is cut off is noticed after about three missed keep-alives.
"""

from __future__ import annotations

import contextlib
import io
import logging
import random
import select
import socket
import time
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import fabric
import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from django.conf import settings

from apps.access.errors import InputError
from apps.environments.errors import (
    HostBusy,
    HostCutOff,
    HostKeyChanged,
    HostKeyMissing,
    HostLoginFailed,
    HostRefused,
    HostSilent,
    HostUnreachable,
    KeyUnusable,
)
from apps.environments.host_key import host_key_parse
from apps.environments.remote_output import Kept, Outcome
from apps.environments.remote_script import DONE, script_line, script_text, shell_command

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from apps.access.models import SshKey
    from apps.environments.models import Host
    from apps.repos.host_keys import HostKey

# Paramiko prints tracebacks for what our typed errors say in a sentence.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

MISSED_KEEPALIVES = 3
GREETINGS = 4  # attempts, where a server drops the connection before it says who it is
POLL = 0.25  # seconds between two looks at the stop event


def private_key(key: SshKey, host: str = "") -> paramiko.PKey:
    """The key from memory; raises KeyUnusable."""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(key.private_key.strip() + "\n"))
        except paramiko.PasswordRequiredException:
            raise KeyUnusable(
                host, f"The SSH key “{key.name}” has a passphrase.", "Store it without one: it is encrypted at rest."
            ) from None
        except (paramiko.SSHException, ValueError, IndexError, UnsupportedAlgorithm):
            continue
    raise KeyUnusable(
        host,
        f"The SSH key “{key.name}” cannot be read as an Ed25519, ECDSA or RSA private key.",
        "Paste the whole private key, with its BEGIN and END lines.",
    )


def public_line(key: SshKey) -> str:
    """The public half as “TYPE BASE64”; raises KeyUnusable."""
    made = private_key(key)
    return f"{made.get_name()} {made.get_base64()}"


def connect(host: Host, user: str = "") -> HostConnection:
    """An open connection to `host` as `user` (the host's own when empty); raises HostError. Close it."""
    if not host.host_key.strip():
        raise HostKeyMissing(host.name, "It has no pinned host key.", "Scan the host's key and confirm it.")
    try:
        pinned = host_key_parse(host.host_key)
    except InputError as error:
        raise HostKeyMissing(host.name, f"Its pinned host key is unusable: {error}.", "Scan the host's key.") from None
    key = private_key(host.ssh_key, host.name)
    for attempt in range(GREETINGS):
        try:
            return _connected(host, user or host.user, pinned, key)
        except HostBusy:
            # Servers drop some of many connections that come at once (MaxStartups); a jump host sees them all.
            if attempt == GREETINGS - 1:
                raise
            time.sleep(0.2 + 0.6 * attempt + 0.4 * random.random())  # noqa: S311 - spreads the attempts
    raise AssertionError("unreachable")


def _connected(host: Host, user: str, pinned: HostKey, key: paramiko.PKey) -> HostConnection:
    with contextlib.ExitStack() as stack:
        transport = _transport(host, stack)
        kind, blob = pinned.line.split()
        _greet(host, transport, prefer=kind)
        shown = transport.get_remote_server_key()
        if shown.get_base64() != blob:
            raise HostKeyChanged(host.name, pinned.fingerprint, str(shown.fingerprint))
        _log_in(host, transport, user, key)
        transport.set_keepalive(settings.SSH_KEEPALIVE)
        return HostConnection(host, user, transport, stack.pop_all())


def host_keys_shown(host: Host) -> list[str]:
    """The public keys that the host shows, one per type, best first, as “TYPE BASE64”. Logs in nowhere; HostError."""
    lines: list[str] = []
    for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"):
        with contextlib.ExitStack() as stack:
            transport = _transport(host, stack)
            try:
                _greet(host, transport, prefer=kind, only=True)
            except HostCutOff:
                continue  # it has none of this type
            shown = transport.get_remote_server_key()
            lines.append(f"{shown.get_name()} {shown.get_base64()}")
    if not lines:
        raise HostCutOff(host.name, "It speaks no SSH that the panel understands.", "Look at the SSH server's log.")
    return lines


def _transport(host: Host, stack: contextlib.ExitStack, seen: tuple[int, ...] = ()) -> paramiko.Transport:
    """A transport that has not spoken yet, over TCP or through the jump host; closed by `stack`."""
    jump = host.jump_host
    if jump is None:
        channel: Any = _socket(host)
    else:
        if host.pk in seen:
            raise HostUnreachable(host.name, "Its jump hosts go round in a circle.", "Correct the jump host.")
        gate = stack.enter_context(connect(jump))
        channel = _through(gate, host)
    stack.callback(channel.close)
    transport = paramiko.Transport(channel)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = settings.SSH_CONNECT_TIMEOUT
    transport.channel_timeout = settings.SSH_CONNECT_TIMEOUT
    stack.callback(transport.close)
    return transport


def _socket(host: Host) -> socket.socket:
    limit = settings.SSH_CONNECT_TIMEOUT
    where = f"{host.address} port {host.port}"
    try:
        made = socket.create_connection((host.address, host.port), timeout=limit)
    except ConnectionRefusedError:
        raise HostRefused(
            host.name, f"Nothing listens at {where}.", "Is the SSH server running, and is the port right?"
        ) from None
    except TimeoutError:
        raise HostSilent(
            host.name, f"No answer from {where} within {limit} s.", "Is the host up? Does a firewall drop packets?"
        ) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HostUnreachable(
            host.name, f"{where} cannot be reached: {reason}.", "Check the address, DNS and routes."
        ) from None
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # What the keep-alives send must be acknowledged, or the kernel ends the connection.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, MISSED_KEEPALIVES * settings.SSH_KEEPALIVE * 1000)
    return made


def _through(gate: HostConnection, host: Host) -> paramiko.Channel:
    try:
        return gate.transport.open_channel("direct-tcpip", (host.address, host.port), ("127.0.0.1", 0))
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise HostUnreachable(
            host.name,
            f"{host.address} port {host.port} cannot be reached from the jump host {gate.host.name}: {error}.",
            "Check the address, and that the jump host allows TCP forwarding.",
        ) from None


def _greet(host: Host, transport: paramiko.Transport, *, prefer: str, only: bool = False) -> None:
    """The key exchange, asking for a host key of the pinned type first."""
    wanted = ["rsa-sha2-512", "rsa-sha2-256"] if prefer == "ssh-rsa" else [prefer]
    options = transport.get_security_options()
    options.key_types = wanted if only else wanted + [kind for kind in options.key_types if kind not in wanted]
    limit = settings.SSH_CONNECT_TIMEOUT
    try:
        transport.start_client(timeout=limit)
    except (paramiko.SSHException, EOFError, OSError) as error:
        if "banner" in str(error) and isinstance(error.__context__, TimeoutError | socket.timeout):
            error = TimeoutError()
        if not isinstance(error, TimeoutError):
            kind = HostBusy if "banner" in str(error) or isinstance(error, EOFError | OSError) else HostCutOff
            raise kind(
                host.name, f"It ended the SSH greeting: {error or 'connection closed'}.", "Look at its SSH log."
            ) from None
    if not transport.is_active() or not transport.initial_kex_done:
        raise HostSilent(
            host.name,
            f"It accepts connections but did not finish the SSH greeting within {limit} s.",
            "The host may hang or be overloaded; look at its console.",
        )


def _log_in(host: Host, transport: paramiko.Transport, user: str, key: paramiko.PKey) -> None:
    try:
        further = transport.auth_publickey(user, key)
    except paramiko.AuthenticationException as error:
        if "timeout" in str(error).lower():
            raise HostSilent(
                host.name, f"It did not answer the log-in within {settings.SSH_CONNECT_TIMEOUT} s.", "Look at the host."
            ) from None
        raise HostLoginFailed(
            host.name,
            f"It does not accept the key “{host.ssh_key.name}” for the user {user}.",
            f"Put the key's public half into ~{user}/.ssh/authorized_keys on the host.",
        ) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise HostCutOff(host.name, f"The connection broke during log-in: {error}.", "Try again.") from None
    if further:
        raise HostLoginFailed(
            host.name, f"After the key it asks for more ({', '.join(further)}).", "Let a key alone suffice there."
        )


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
