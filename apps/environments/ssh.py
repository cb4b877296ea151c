"""The door to SSH: connections to hosts that accept one pinned key and offer one key of ours.

No agent, no key files, no configuration of the operator's. Small messages leave at once
(TCP_NODELAY), and a host that is cut off is noticed after about three missed keep-alives.
"""

from __future__ import annotations

import contextlib
import io
import logging
import random
import socket
import time
from typing import TYPE_CHECKING, Any

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
from apps.environments.ssh_connection import MISSED_KEEPALIVES, HostConnection

if TYPE_CHECKING:
    from apps.access.models import SshKey
    from apps.environments.models import Host
    from apps.repos.host_keys import HostKey

# Paramiko prints tracebacks for what our typed errors say in a sentence.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

GREETINGS = 4  # attempts, where a server drops the connection before it says who it is


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
