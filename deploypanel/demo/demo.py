"""The demo as a whole: make it, start its hosts, tell how to use it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from apps.access.actor import Actor, Door
from apps.access.errors import Conflict, PanelError
from apps.repos.models import Repository
from apps.repos.services import repository_fetch
from apps.runs.models import Cause
from apps.triggers.models import Firing, Trigger
from apps.triggers.services.fire import trigger_fire
from deploypanel.demo.agent import agent_make, agent_prepare, demo_agent
from deploypanel.demo.hosts import DemoHost, demo_hosts, hosts_make, privilege_folder_make
from deploypanel.demo.rows import PEOPLE, rows_make
from deploypanel.demo.sesam import COMMITS, CONF, DemoNode, demo_nodes, nodes_make
from deploypanel.demo.shop import NAMES, hooks_write, repository_make, shop_make

if TYPE_CHECKING:
    from collections.abc import Callable


def demo_folder() -> Path:
    return Path(settings.DATA_DIR) / "demo"


def demo_load(say: Callable[[str], None]) -> None:
    """Make hosts, nodes, repositories and rows; raises Conflict when the panel knows one of these repositories."""
    if known := Repository.objects.filter(name__in=NAMES).first():
        raise Conflict(f"There is a repository called {known} already: the demo's, or one of your own.")
    folder = demo_folder()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    shop_make(folder)
    for name in PEOPLE:
        password = folder / f"{name}.password"
        password.write_text(secrets.token_urlsafe(9) + "\n", encoding="ascii")
        password.chmod(0o600)
    nodes = nodes_make(folder)
    if nodes:
        repository_make(folder, "conf", CONF, COMMITS)
    rows_make(folder, hosts_make(folder), nodes)
    agent_make(folder)
    for repository in Repository.objects.filter(name__in=NAMES):
        repository_fetch(repository=repository)
    _fire()
    for line in demo_guide():
        say(line)


def _fire() -> None:
    """The first firing: its run waits for the agent."""
    trigger_fire(
        trigger=Trigger.objects.get(name="build"),
        actor=Actor(user=None, door=Door.COMMAND),
        cause=Cause.COMMAND,
        source=Firing.Source.COMMAND,
        payload={"greeting": "The first firing, by the demo itself"},
    )


def demo_prepare() -> list[DemoHost | DemoNode]:
    """The demo's hosts and nodes, ready to be started, if any. The panel may listen elsewhere than before."""
    hosts = demo_hosts(demo_folder())
    if hosts:
        privilege_folder_make()
        hooks_write(demo_folder())
    if agent := demo_agent(demo_folder()):
        agent_prepare(agent)
    return [*hosts, *demo_nodes(demo_folder())]


def demo_status() -> list[dict[str, object]]:
    """Each host and node with its port, what it has, and whether it answers."""
    folder = demo_folder()
    servers: list[DemoHost | DemoNode] = [*demo_hosts(folder), *demo_nodes(folder)]
    if not servers:
        raise PanelError("There is no demo here: manage.py demo load")
    return [{"name": one.name, "port": one.port, "disk": str(one.disk), "up": one.is_up} for one in servers]


def demo_guide() -> list[str]:
    """What a newcomer can do with it."""
    folder = demo_folder()
    people = [f"{name} / {(folder / f'{name}.password').read_text(encoding='ascii').strip()}" for name in PEOPLE]
    return [
        f"The demo was loaded: hosts web1, web2 and web3, the repository {folder / 'shop.git'}.",
        f"  sign in also as    {'   '.join(people)}",
        f"  a push deploys     cd {folder / 'shop'} && git commit --allow-empty -m 'Try it' && git push",
        f"  what a host has    ls {folder / 'web1' / 'disk' / 'srv'}",
        "Triggers: build (the agent builder; also a push to shop), smoke (over SSH; a deployment of shop/staging).",
        "  fire one           manage.py trigger fire build --wait",
        *_nodes_guide(folder),
    ]


def _nodes_guide(folder: Path) -> list[str]:
    if not demo_nodes(folder):
        return ["The Sesam nodes were left out: they run from the tests' folder, which is not here."]
    return [
        f"Sesam nodes: {', '.join(node.name for node in demo_nodes(folder))}; they follow {folder / 'conf.git'}.",
        "  what would change  manage.py sesam plan main",
        f"  a push syncs dev   cd {folder / 'conf'}, change a pipe, commit and push",
    ]
