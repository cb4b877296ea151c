"""What is sent to a host: the one place where anything is quoted for a remote shell.

A connection has one shell on the host, which waits for scripts on the channel's input and runs each
in a session of its own. It goes on reading meanwhile: when its input ends (the runner stopped the
script, died, or the connection broke) the script's whole process group gets TERM, after the grace
period KILL. So nothing of a run outlives it on a host, and a further script costs no new log-in shell.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from apps.access.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# One line for each script: the mark around its output, the grace period in seconds, the script encoded.
# “done” says that its end was heard: what it left running on purpose is left alone from then on.
# The wrapper survives the TERM to its group, to tell the status. Output is what stands between the marks, on
# each stream: before may come the greeting of the user's shell, after it what a script left running still says.
SHELL = r"""
if command -v setsid >/dev/null 2>&1; then lead=setsid; else lead=; set -m; fi
wrapper='trap : TERM INT HUP
printf "%s<\n" "$1"
printf "%s<\n" "$1" >&2
sh -c "$2" deploypanel
status=$?
printf "%s %s\n" "$1" "$status"
printf "%s \n" "$1" >&2'
group=
while read -r mark grace line; do
  if [ "$mark" = done ]; then wait "$group"; group=; continue; fi
  $lead sh -c "$wrapper" deploypanel "$mark" "$(printf '%b' "$line")" </dev/null &
  group=$!
done
[ -n "$group" ] || exit 0
exec </dev/null >/dev/null 2>&1
kill -TERM "-$group" || kill -TERM "$group"
left=$((grace * 5))
while [ "$left" -gt 0 ] && kill -0 "-$group"; do left=$((left - 1)); sleep 0.2 || sleep 1; done
kill -KILL "-$group"
"""

DONE = b"done\n"
_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _-./=:,+@\"'$(){}[];<>|&")


def quoted(value: str) -> str:
    """`value` as one word of a POSIX shell; raises InputError for what no shell can carry."""
    if "\0" in value:
        raise InputError("a NUL character cannot be passed to a host")
    return shlex.quote(value)


def shell_command() -> str:
    """The command that a connection starts once."""
    return f"exec sh -c {quoted(SHELL)}"


def script_text(script: str, args: Sequence[str] = (), env: Mapping[str, str] | None = None) -> str:
    """`script` with `args` as $1, $2 … and `env` set."""
    lines = []
    for name, value in (env or {}).items():
        if not _NAME.match(name):
            raise InputError(f"{name!r} is no name for an environment variable")
        lines.append(f"export {name}={quoted(value)}")
    lines.append(" ".join(["set", "--", *(quoted(arg) for arg in args)]))
    return "\n".join([*lines, script])


def script_line(mark: str, text: str, grace: int) -> bytes:
    """The line that makes the shell run `text`: plain ASCII, whatever is in it, as `printf %b` reads it."""
    encoded = bytearray()
    for byte in text.encode("utf-8", "surrogateescape"):
        if byte in _PLAIN:
            encoded.append(byte)
        else:
            encoded += b"\\0%03o" % byte
    return b"%s %d %s\n" % (mark.encode(), grace, encoded)
