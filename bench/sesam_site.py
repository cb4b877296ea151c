"""What the Sesam section measures with: a repository, nodes in a process of their own, and a panel that knows both."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import tree
from bench.installation import panel_prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.panel import Panel

PIPES, SYSTEMS, EXTRAS = 2_000, 200, 500
ROOT = Path(__file__).resolve().parent.parent
JWT = "token-of-the-bench"
Entity = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """`tagging` gives ETags and `plain` none; both have what `code`, the working copy that is followed, has."""

    panel: Panel
    code: Path
    tagging: str
    plain: str
    entities: tuple[Entity, ...]

    def change(self, number: int) -> None:
        """One more commit, which changes one pipe."""
        write(self.code, [self.entities[0] | {"description": f"change {number}"}])
        tree.commit(self.code, f"Change {number}")

    def probe(self, *arguments: str, **env: str) -> dict[str, Any]:
        """What a measurement within the panel's own code says: see `sesam_probe`."""
        argv = [sys.executable, "-m", "bench.sesam_probe", *arguments]
        done = subprocess.run(argv, env=self.panel.env | env, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{arguments[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        return dict(json.loads(done.stdout))


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Everything, with the panel not started; all of it is gone afterwards."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deploypanel-bench-")))
        entities = entities_made()
        code = folder / "code"
        code.mkdir()
        write(code, entities)
        tree.git(code, "init", "-q", "-b", "main")
        tree.commit(code, "First commit")
        state = folder / "node.json"
        empty: dict[str, Any] = {"variables": {}, "secrets": {}, "system_secrets": {}, "unknown": {}}
        state.write_text(json.dumps({"entities": {one["_id"]: one for one in entities}} | empty))
        tagging = stack.enter_context(_node(state))
        plain = stack.enter_context(_node(state, "--no-etags"))
        panel = panel_prepared(folder)
        stack.callback(panel.kill)
        made = Site(panel, code, tagging, plain, tuple(entities))
        made.probe("setup", str(code), tagging, plain)
        yield made


def entities_made() -> list[Entity]:
    """Pipes of about the size that real ones have, reading from systems and from each other."""
    systems = [
        {"_id": f"system-{number}", "type": "system:url", "url_pattern": f"https://s{number}.example/%s"}
        for number in range(SYSTEMS)
    ]
    rules = [["add", f"property-{step}", ["concat", "_S.first", " ", f"_S.name-{step}"]] for step in range(12)]
    pipes = [
        {
            "_id": f"pipe-{number}",
            "type": "pipe",
            "source": {"type": "dataset", "dataset": f"pipe-{number - 1}" if number else "start"},
            "transform": {"type": "dtl", "rules": {"default": [["copy", "*"], *rules]}},
            "sink": {"type": "dataset", "dataset": f"pipe-{number}"},
            "pump": {"schedule_interval": 30 + number % 60},
        }
        for number in range(PIPES)
    ]
    return [*pipes, *systems]


def write(code: Path, entities: Sequence[Entity]) -> None:
    for one in entities:
        path = code / "node" / f"{one['type'].split(':')[0]}s" / f"{one['_id']}.conf.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(one, indent=2))


@contextlib.contextmanager
def _node(state: Path, *arguments: str) -> Iterator[str]:
    """The address of a node that has what `state` says, in a process of its own."""
    argv = [sys.executable, "-m", "tests.fakes.sesam_node", "--jwt", JWT, "--state", str(state), "--deploying", "0"]
    own = state.with_name(f"node{len(arguments)}.json")
    own.write_bytes(state.read_bytes())
    argv[argv.index(str(state))] = str(own)
    process = subprocess.Popen(
        [*argv, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()
