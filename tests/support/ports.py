"""Ports for the servers of the tests.

Not those that the kernel gives out: between the test that asks for one and the server that listens there, any
outgoing connection on the machine may get it.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from functools import lru_cache
from pathlib import Path

FIRST = 10_000
_claimed: list[int] = []  # descriptors: a port is ours while its file is locked, so until this process ends


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, and which no other test of this machine is given."""
    candidates = list(range(FIRST, _last() + 1))
    random.SystemRandom().shuffle(candidates)  # hypothesis seeds the usual generator
    return next(port for port in candidates if _claim(port))


@lru_cache(maxsize=1)
def _last() -> int:
    """The last below those that the kernel gives to outgoing connections."""
    first_given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0]
    return max(int(first_given) - 1, FIRST + 1000)


def _claim(port: int) -> bool:
    folder = Path(tempfile.gettempdir()) / f"deploypanel-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(descriptor)
        return False
    _claimed.append(descriptor)
    return True
