"""Tells in one line when the panel's port is taken, before anything else is done. Standard library only."""

from __future__ import annotations

import errno
import os
import socket
import sys


def main() -> int:
    bind = os.environ.get("DEPLOYPANEL_BIND") or "127.0.0.1"
    port = os.environ.get("DEPLOYPANEL_PORT") or "8000"
    if not port.isdigit() or not 0 < int(port) < 65536:
        return _say(f"DEPLOYPANEL_PORT={port}: a port is a number between 1 and 65535.")
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        socket.create_server((bind, int(port)), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "is taken: stop what listens there, or choose another with DEPLOYPANEL_PORT"
            return _say(f"Port {port} on {bind} {remedy} (DEPLOYPANEL_PORT={int(port) % 65535 + 1} make run).")
        return _say(f"Port {port} on {bind} cannot be listened on ({error.strerror}): see DEPLOYPANEL_PORT and _BIND.")
    return 0


def _say(line: str) -> int:
    print(line, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
