"""The demo's hosts as programs of the supervisor."""

from __future__ import annotations

import signal

from deploypanel.demo.demo import demo_prepare
from deploypanel.supervisor import Program


def demo_programs() -> list[Program]:
    """An SSH server for each host; none when there is no demo. They outlast the workers, which may be using them."""
    return [
        Program(role="demo", name=f"demo host {host.name}", argv=host.argv, last=True, on_orphaned=int(signal.SIGTERM))
        for host in demo_prepare()
    ]
