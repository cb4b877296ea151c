"""Command lines for hosts: the one place where anything is quoted for a remote shell.

A script runs in a session of its own, under a guard that reads the SSH channel's input. When that
ends (the runner stopped the script, died, or the connection broke) the whole process group gets
TERM, after the grace period KILL: nothing of a run outlives it on a host.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from apps.access.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The guard ignores TERM once it acts: the script's end must not spare the rest of its group the KILL.
GUARD = """\
grace=$1 script=$2; shift 2
exec 3<&0 </dev/null
if command -v setsid >/dev/null 2>&1; then lead=setsid; else lead=; set -m; fi
$lead sh -c "$script" "$@" 3<&- &
group=$!
{
  while read -r _ <&3; do :; done
  trap '' TERM
  kill -TERM "-$group" || kill -TERM "$group"
  left=$((grace * 5))
  while [ "$left" -gt 0 ] && kill -0 "-$group"; do left=$((left - 1)); sleep 0.2 || sleep 1; done
  kill -KILL "-$group"
} >/dev/null 2>&1 &
guard=$!
exec 3<&-
wait "$group"; status=$?
kill "$guard" 2>/dev/null
exit "$status"
"""

_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z")


def quoted(value: str) -> str:
    """`value` as one word of a POSIX shell; raises InputError for what no shell can carry."""
    if "\0" in value:
        raise InputError("a NUL character cannot be passed to a host")
    return shlex.quote(value)


def command_line(script: str, args: Sequence[str] = (), *, env: Mapping[str, str] | None = None, grace: int = 5) -> str:
    """What to send to a host so that `script` runs guarded, with `args` as $1, $2 … and `env` set."""
    words = ["exec", "env"]
    for name, value in (env or {}).items():
        if not _NAME.match(name):
            raise InputError(f"{name!r} is no name for an environment variable")
        words.append(f"{name}={quoted(value)}")
    words += ["sh", "-c", quoted(GUARD), "deploypanel", str(int(grace)), quoted(script), "deploypanel"]
    return " ".join([*words, *(quoted(arg) for arg in args)])
