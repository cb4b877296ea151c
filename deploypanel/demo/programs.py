"""The demo's hosts and nodes as programs of the supervisor."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from deploypanel.demo.demo import demo_prepare
from deploypanel.demo.sesam import DemoNode
from deploypanel.supervisor import Program

if TYPE_CHECKING:
    from deploypanel.demo.hosts import DemoHost


TERM = int(signal.SIGTERM)


def demo_programs() -> list[Program]:
    """Its SSH servers and nodes; none when there is no demo. They outlast the workers, which may be using them."""
    return [
        Program(role="demo", name=f"demo {_kind(one)} {one.name}", argv=one.argv, last=True, on_orphaned=TERM)
        for one in demo_prepare()
    ]


def _kind(one: DemoHost | DemoNode) -> str:
    return "node" if isinstance(one, DemoNode) else "host"
