"""The demo's agent: the program as other machines get it, in a folder of its own, connected to this panel."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from apps.access.actor import Actor, Door
from apps.agents.models import Agent
from apps.agents.pyz import FILE_NAME, agent_pyz
from apps.agents.services.enrol import agent_code_issue
from deploypanel.demo.shop import panel_address

NAME = "builder"
START = Path(__file__).parent / "agent.sh"


@dataclass(frozen=True)
class DemoAgent:
    folder: Path
    name: str = NAME

    @property
    def program(self) -> Path:
        return self.folder / FILE_NAME

    @property
    def argv(self) -> list[str]:
        return ["/bin/sh", str(START), str(self.folder), sys.executable]


def demo_agent(folder: Path) -> DemoAgent | None:
    """The agent that was made there."""
    agent = DemoAgent(folder / "agent")
    return agent if agent.program.exists() else None


def agent_make(folder: Path) -> DemoAgent:
    """Its folder, with the program as other machines download it."""
    agent = DemoAgent(folder / "agent")
    shutil.rmtree(agent.folder, ignore_errors=True)
    agent.folder.mkdir(mode=0o700)
    agent.program.write_bytes(agent_pyz())
    return agent


def agent_prepare(agent: DemoAgent) -> None:
    """Tell it where the panel listens now, and give it a code unless it is enrolled there already."""
    address, code = agent.folder / "address", agent.folder / "code"
    row = Agent.objects.filter(name=agent.name).first()
    if row is None:
        return
    moved = not address.exists() or address.read_text(encoding="ascii") != panel_address()
    if not moved and row.key_digest:
        code.unlink(missing_ok=True)
        return
    state = agent.folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    config = {"url": panel_address(), "state": str(state)}
    (agent.folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    issued = agent_code_issue(agent=row, actor=Actor(user=None, door=Door.COMMAND))
    code.touch(mode=0o600)
    code.write_text(f"{issued}\n", encoding="ascii")
    address.write_text(panel_address(), encoding="ascii")
