"""Power goes in the middle of a sync's writes; when the panel is back, the node is whole again, with nobody's help."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.fakes.sesam_node import FakeNode
from tests.sesam.engine import METADATA, conf_files, pipe
from tests.support.gitrepo import GitRepo
from tests.support.panel import Panel, wait_for

pytestmark = pytest.mark.panel

MADE = """
from apps.repos.models import Repository
from apps.sesam.models import Node
repository = Repository.objects.create(name="conf", url={repository!r})
Node.objects.create(
    name="dev", url={url!r}, jwt={jwt!r}, repository=repository, sync_root="conf", interval=None,
    upload=["variables"], variables_files=["v.json"],
)
"""
SEEN = """
import json
from apps.runs.models import Run
from apps.sesam.models import Node
node = Node.objects.get()
print(json.dumps([node.state, node.state_detail, node.owed_id, [run.state for run in Run.objects.order_by("pk")]]))
"""


def test_power_cut_in_the_middle_of_the_writes(
    panel: Panel, git_repo: Callable[..., GitRepo], fake_node: FakeNode
) -> None:
    repo = git_repo("conf")
    files = {"conf/v.json": json.dumps({"x": 2})}
    repo.commit({**conf_files(pipe("a", name="new"), METADATA), **files})
    fake_node.put(pipe("a"), METADATA)
    fake_node.variables = {"x": 1}
    panel.python(MADE.format(repository=repo.url, url=fake_node.url, jwt=fake_node.jwt))
    fake_node.faults.add("PUT", "/api/config", "never")
    panel.manage("sesam", "sync", "dev")
    wait_for(lambda: ("PUT", "/api/config") in fake_node.requests, 60, panel.output)
    assert fake_node.variables == {"x": 2}
    panel.kill()
    panel.start()

    def seen() -> list[object]:
        return list(json.loads(panel.python(SEEN)))

    wait_for(lambda: seen()[2] is None and seen()[0] != "half", 90, lambda: f"{seen()}\n{panel.output()}")
    assert fake_node.variables == {"x": 1}
    assert fake_node.entities["a"] == pipe("a")
    assert seen()[3] == ["lost"]
    panel.manage("sesam", "sync", "dev", "--follow")
    assert fake_node.variables == {"x": 2}
    assert fake_node.entities["a"]["name"] == "new"
