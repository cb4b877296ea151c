"""Files onto hosts, through a connection that is open already: under a temporary name, then moved into place."""

from __future__ import annotations

import contextlib
from secrets import token_hex
from typing import TYPE_CHECKING

import paramiko

from apps.environments.errors import HostCutOff, HostSilent
from apps.environments.remote_script import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.environments.ssh_connection import HostConnection

PATIENCE = 60.0  # seconds in which a host must take some of what is sent to it
SAID = 8192  # bytes of its complaint that are read

# $1 folder that relative names are meant from (empty: the home), $2 name, $3 the temporary name, $4 bytes to come.
# A connection that breaks ends the input early, and what came so far must not pass for the file.
RECEIVE = r"""
export LC_ALL=C
if [ -n "$1" ]; then cd -- "$1" || exit 1; fi
if [ -d "$2" ]; then echo "$2 is a folder." >&2; exit 1; fi
trap 'rm -f -- "$3"' EXIT
trap 'exit 1' TERM INT HUP
cat > "$3" || exit 1
came=$(wc -c < "$3")
if [ "$came" -ne "$4" ]; then echo "Only $came of $4 bytes came." >&2; exit 1; fi
if [ -f "$2" ]; then chmod --reference="$2" -- "$3" 2>/dev/null; fi
mv -f -- "$3" "$2"
"""


class UploadRefused(Exception):
    """The host would not take the file. `str(error)` is what it said."""


def upload(connection: HostConnection, pieces: Iterable[bytes], size: int, path: str, *, folder: str = "") -> None:
    """Write `size` bytes to `path` on the host; raises UploadRefused, HostError, and what `pieces` raises.

    Either the whole file is there afterwards, with the permissions of the one that it replaces, or what was there
    before.
    """
    name = path if path.startswith("/") else f"./{path}"
    words = [folder, name, f"{name}.{token_hex(6)}.part", str(size)]
    command = f"exec sh -c {quoted(RECEIVE)} deploypanel {' '.join(quoted(word) for word in words)}"
    try:
        channel = connection.transport.open_session(timeout=PATIENCE)
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise _cut(connection, error) from None
    with contextlib.closing(channel):
        try:
            channel.settimeout(PATIENCE)
            channel.exec_command(command)
            _send(channel, pieces)
            status = _answer(channel)
        except TimeoutError:
            name = connection.host.name
            raise HostSilent(name, f"It took nothing of {path} for {PATIENCE:g} s.", "Its disk may hang.") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise _cut(connection, error) from None
        if status:
            said = channel.recv_stderr(SAID).decode("utf-8", "replace").strip()
            raise UploadRefused(said.splitlines()[-1] if said else f"It ended with status {status}.")


def _send(channel: paramiko.Channel, pieces: Iterable[bytes]) -> None:
    try:
        for piece in pieces:
            channel.sendall(piece)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:
        return  # the host takes no more; its status says why


def _answer(channel: paramiko.Channel) -> int:
    """Its status; raises EOFError where it told none, as when the connection broke."""
    if not channel.status_event.wait(PATIENCE):
        raise TimeoutError
    if channel.exit_status < 0:
        raise EOFError("it did not say how it ended")
    return channel.exit_status


def _cut(connection: HostConnection, error: Exception) -> HostCutOff:
    said = str(error) or type(error).__name__
    return HostCutOff(connection.host.name, f"The connection broke ({said}).", "Look whether the host is up.")
