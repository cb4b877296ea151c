"""The demo's Sesam nodes: the tests' own node on loopback ports, each a process that keeps its state in a file.

They speak the API of a real node. Where the tests are not at hand, as in a container's image, there are none.
"""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from deploypanel.demo.ports import free_ports, port_answers

NAMES = ("dev", "main", "warehouse")
FIRST_PORT = 9042
CONF = Path(__file__).parent / "conf"
# One folder of `conf` on top of the other is one commit after the other.
COMMITS = (
    ("1", "Shop Data Team", "Bring customers and products together"),
    ("2", "Shop Data Team", "Take orders from the web shop, give it customers and products"),
    ("3", "Shop Data Team", "Let the warehouse pick orders, and tell its stock"),
)
SECRETS = ("crm-token", "erp-password")
SECRETS_FILE = "conf-secrets.json"
# Its token is read here, so that no list of processes shows it. It may begin with a dash: so it is said in one word.
START = """
import pathlib, runpy, sys
root, token = sys.argv[1:3]
sys.argv[1:3] = ["--jwt=" + pathlib.Path(token).read_text().strip()]
sys.path.insert(0, root)
runpy.run_module("tests.fakes.sesam_node", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class DemoNode:
    name: str
    folder: Path

    @property
    def disk(self) -> Path:
        """What the node has: entities, variables and secrets."""
        return self.folder / "state.json"

    @property
    def token(self) -> Path:
        return self.folder / "jwt"

    @property
    def port(self) -> int:
        return int((self.folder / "port").read_text(encoding="ascii"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def is_up(self) -> bool:
        return port_answers(self.port)

    @property
    def argv(self) -> list[str]:
        own = [str(settings.BASE_DIR), str(self.token), "--port", str(self.port), "--state", str(self.disk)]
        return [sys.executable, "-c", START, *own]


def nodes_can_run() -> bool:
    return (Path(settings.BASE_DIR) / "tests" / "fakes" / "sesam_node.py").exists()


def demo_nodes(folder: Path) -> list[DemoNode]:
    """The nodes that were made there and can run here."""
    nodes = [DemoNode(name, folder / f"node-{name}") for name in NAMES]
    return [node for node in nodes if (node.folder / "port").exists()] if nodes_can_run() else []


def nodes_make(folder: Path) -> list[DemoNode]:
    """Ports, tokens and what the nodes have to begin with; the values of the secrets. None where none can run."""
    if not nodes_can_run():
        return []
    for name, port in zip(NAMES, free_ports(len(NAMES), FIRST_PORT), strict=True):
        node = DemoNode(name, folder / f"node-{name}")
        node.folder.mkdir(parents=True, exist_ok=True)
        (node.folder / "port").write_text(f"{port}\n", encoding="ascii")
        _write_secret(node.token, secrets.token_urlsafe(24))
        node.disk.write_text(json.dumps(_before(name)), encoding="utf-8")
    _write_secret(folder / SECRETS_FILE, json.dumps({name: secrets.token_urlsafe(12) for name in SECRETS}))
    return demo_nodes(folder)


def _before(name: str) -> dict[str, Any]:
    """`main` has what was right two commits ago, and something of its own: there is a plan to look at."""
    there: dict[str, Any] = {}
    if name == "main":
        files = [file for part in ("1", "2") for file in sorted((CONF / part).rglob("*.conf.json"))]
        entities = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        there = {entity["_id"]: entity for entity in [*entities, _forgotten()]}
    variables = {"crm-url": "https://crm.shop.example", "erp-host": "erp-old.shop.example"} if there else {}
    return {"entities": there, "variables": variables, "secrets": {}, "system_secrets": {}, "unknown": {}}


def _forgotten() -> dict[str, Any]:
    source = {"type": "dataset", "dataset": "global-order"}
    sink = {"type": "csv_endpoint", "columns": ["number", "status"]}
    return {"_id": "order-export-tmp", "type": "pipe", "source": source, "sink": sink}


def _write_secret(path: Path, text: str) -> None:
    path.write_text(f"{text}\n", encoding="utf-8")
    path.chmod(0o600)


def sections(nodes: list[DemoNode]) -> dict[str, list[dict[str, Any]]]:
    """What is declared of them; file names are relative to the demo's folder."""
    if not nodes:
        return {}
    common = {"repository": "conf", "branch": "main", "secret_store": "demo"}
    both = ["variables", "secrets"]
    own = {node.name: {"name": node.name, "url": node.url, "jwt_file": f"node-{node.name}/jwt"} for node in nodes}
    dev = {"layout": "single", "sync_root": "hub/node", "variables": ["variables/variables-test.json"]}
    main = {"layout": "multi", "root": "hub", "environment": "test"}
    return {
        "secret_stores": [{"name": "demo", "kind": "panel", "secrets_file": SECRETS_FILE}],
        "nodes": [
            {**own["dev"], **common, **dev, "verify": both, "upload": both, "apply": "schedule", "interval": 30},
            {**own["main"], **common, **main, "verify": both, "upload": both, "apply": "manual", "interval": 60},
            {**own["warehouse"], "verify": ["variables"], "upload": ["variables"], "apply": "manual", "interval": 60},
        ],
        "extra_nodes": [
            {"master": "main", "name": "warehouse", "template_path": "extra_nodes/warehouse/", "node": "warehouse"}
        ],
    }
