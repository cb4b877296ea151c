"""The loopback ports on which the demo's servers listen."""

from __future__ import annotations

import socket

from apps.access.errors import InputError


def free_ports(count: int, first: int) -> list[int]:
    """So many loopback ports from the first on that nobody listens on now. Raises InputError."""
    found: list[int] = []
    for port in range(first, first + 5000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise InputError("No free loopback ports were found for the demo.")


def port_answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
