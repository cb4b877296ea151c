"""The demo as a whole: make it, start its hosts, tell how to use it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from apps.access.errors import Conflict, PanelError
from apps.repos.models import Repository
from apps.repos.services import repository_fetch
from deploypanel.demo.hosts import DemoHost, demo_hosts, hosts_make, privilege_folder_make
from deploypanel.demo.rows import PEOPLE, rows_make
from deploypanel.demo.shop import hook_write, shop_make

if TYPE_CHECKING:
    from collections.abc import Callable


def demo_folder() -> Path:
    return Path(settings.DATA_DIR) / "demo"


def demo_load(say: Callable[[str], None]) -> None:
    """Make hosts, repository and rows; raises Conflict when the panel knows a repository `shop` already."""
    if Repository.objects.filter(name="shop").exists():
        raise Conflict("There is a repository called shop already: the demo's, or one of your own.")
    folder = demo_folder()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    shop_make(folder)
    for name in PEOPLE:
        password = folder / f"{name}.password"
        password.write_text(secrets.token_urlsafe(9) + "\n", encoding="ascii")
        password.chmod(0o600)
    rows_make(folder, hosts_make(folder))
    repository_fetch(repository=Repository.objects.get(name="shop"))
    for line in demo_guide():
        say(line)


def demo_prepare() -> list[DemoHost]:
    """The demo's hosts, ready to be started, when there is a demo. The panel may listen elsewhere than before."""
    hosts = demo_hosts(demo_folder())
    if hosts:
        privilege_folder_make()
        hook_write(demo_folder())
    return hosts


def demo_status() -> list[dict[str, object]]:
    """Each host with its port, its folder, and whether it answers."""
    hosts = demo_hosts(demo_folder())
    if not hosts:
        raise PanelError("There is no demo here: manage.py demo load")
    return [{"name": host.name, "port": host.port, "disk": str(host.disk), "up": host.is_up} for host in hosts]


def demo_guide() -> list[str]:
    """What a newcomer can do with it."""
    folder = demo_folder()
    people = [f"{name} / {(folder / f'{name}.password').read_text(encoding='ascii').strip()}" for name in PEOPLE]
    return [
        f"The demo was loaded: hosts web1, web2 and web3, the repository {folder / 'shop.git'}.",
        f"  sign in also as    {'   '.join(people)}",
        f"  a push deploys     cd {folder / 'shop'} && git commit --allow-empty -m 'Try it' && git push",
        f"  what a host has    ls {folder / 'web1' / 'disk' / 'srv'}",
    ]
