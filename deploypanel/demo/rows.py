"""What the demo declares to the panel, in the words of `manage.py apply`."""

from __future__ import annotations

import getpass
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from apps.access.actor import Actor, Door
from apps.access.examples import OFFICE
from deploypanel.declaration.apply import declaration_apply
from deploypanel.demo.agent import NAME as AGENT
from deploypanel.demo.sesam import sections

if TYPE_CHECKING:
    from deploypanel.demo.hosts import DemoHost
    from deploypanel.demo.sesam import DemoNode

PEOPLE = ("alice", "bob")
TRIGGERS = ("build", "smoke")
SCRIPTS = Path(__file__).parent / "scripts"


def declaration(folder: Path, hosts: list[DemoHost], nodes: list[DemoNode]) -> dict[str, Any]:
    """The whole demo as a declaration; file names are relative to the demo's folder."""
    return {
        "ssh_keys": [{"name": "demo", "private_key_file": "id_ed25519"}],
        "business_hours": [OFFICE],
        "hosts": [
            {
                "name": host.name,
                "address": "127.0.0.1",
                "port": host.port,
                "user": getpass.getuser(),
                "ssh_key": "demo",
                "host_key": host.host_key,
            }
            for host in hosts
        ],
        "clusters": [{"name": "blue", "hosts": ["web1", "web2"]}, {"name": "green", "hosts": ["web3"]}],
        "repositories": [_repository(folder, name) for name in ("shop", *(["conf"] if nodes else []))],
        "environments": [_staging(folder), _prod(folder)],
        "users": [
            _person("alice", {"shop/staging": "deploy", "shop/prod": "deploy_in_hours"}, nodes, "sync", "fire"),
            _person("bob", {"shop/staging": "deploy", "shop/prod": "view"}, nodes, "view", "view"),
            {"name": "auto", "grants": [{"environment": "shop/staging", "permission": "deploy"}]},
        ],
        **sections(nodes),
        "agents": [{"name": AGENT, "note": "The demo's own, on this machine."}],
        "triggers": [_build(), _smoke()],
    }


def _build() -> dict[str, Any]:
    """Fired by pushes and by people; the agent does the work."""
    return {
        "name": "build",
        "agents": [AGENT],
        "build_script": "build.yaml",
        "on_push": {"repository": "shop", "branches": ["main"]},
    }


def _smoke() -> dict[str, Any]:
    """Fired by the end of a deployment; the panel does the work, over SSH."""
    return {
        "name": "smoke",
        "after": {"run_of": "shop/staging"},
        "does": [{"script": "smoke.yaml", "cluster": "blue"}],
    }


def _repository(folder: Path, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "url": (folder / f"{name}.git").as_uri(),
        "webhook_secret_file": f"{name}.git/hooks/deploypanel.secret",
        "owners": ["alice"],
    }


def _staging(folder: Path) -> dict[str, Any]:
    return {
        "repository": "shop",
        "name": "staging",
        "order": 1,
        "branch": "main",
        "path": str(folder / "host" / "srv" / "staging" / "shop"),
        "method": "inplace",
        "clusters": ["blue", "green"],
        "auto_deploy": True,
        "deploy_as": "auto",
    }


def _prod(folder: Path) -> dict[str, Any]:
    return {
        "repository": "shop",
        "name": "prod",
        "order": 2,
        "branch": "main",
        "path": str(folder / "host" / "srv" / "shop"),
        "method": "symlink",
        "clusters": ["blue", "green"],
        "hours": OFFICE["name"],
        "keep_releases": 5,
        "shared_paths": ["uploads"],
    }


def _person(name: str, grants: dict[str, str], nodes: list[DemoNode], right: str, firing: str) -> dict[str, Any]:
    """Everybody may sync `dev`; `right` is what this person may do with the other nodes, `firing` with triggers."""
    rights = [{"environment": path, "permission": permission} for path, permission in grants.items()]
    rights += [{"node": node.name, "permission": "sync" if node.name == "dev" else right} for node in nodes]
    rights += [{"trigger": trigger, "permission": firing} for trigger in TRIGGERS]
    return {"name": name, "password_file": f"{name}.password", "staff": True, "grants": rights}


def rows_make(folder: Path, hosts: list[DemoHost], nodes: list[DemoNode]) -> None:
    """Write the declaration and its scripts beside the demo, and apply it as an operator would."""
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
    path = folder / "demo.yaml"
    text = yaml.safe_dump(declaration(folder, hosts, nodes), sort_keys=False, allow_unicode=True, width=110)
    path.write_text(f"# What `manage.py demo load` has applied; try `manage.py dump`.\n{text}", encoding="utf-8")
    operator = Actor(user=None, door=Door.COMMAND)
    declaration_apply(data=path.read_bytes(), file=str(path), folder=folder, actor=operator)
