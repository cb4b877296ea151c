"""The demo's hosts, nodes and agent as programs of the supervisor."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from deploypanel.demo.agent import demo_agent
from deploypanel.demo.demo import demo_folder, demo_prepare
from deploypanel.demo.sesam import DemoNode
from deploypanel.supervisor import Program

if TYPE_CHECKING:
    from deploypanel.demo.hosts import DemoHost


TERM = int(signal.SIGTERM)


def demo_programs() -> list[Program]:
    """Its SSH servers and nodes, which outlast the workers, for these may be using them, and its agent.

    None when there is no demo.
    """
    programs = [
        Program(role="demo", name=f"demo {_kind(one)} {one.name}", argv=one.argv, last=True, on_orphaned=TERM)
        for one in demo_prepare()
    ]
    agent = demo_agent(demo_folder())
    if agent is not None:
        programs.append(Program(role="demo", name=f"demo agent {agent.name}", argv=agent.argv, on_orphaned=TERM))
    return programs


def _kind(one: DemoHost | DemoNode) -> str:
    return "node" if isinstance(one, DemoNode) else "host"
