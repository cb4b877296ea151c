"""A sync from Git to the node, when nothing breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.runs.states import RunState
from apps.sesam.models import Snapshot
from apps.sesam.states import NodeState
from tests.fakes.sesam_node import FakeNode
from tests.sesam.engine import (
    METADATA,
    Setting,
    log_of,
    pipe,
    setting_made,
    steps_of,
    system,
    tiny_patience,
)
from tests.support.gitrepo import GitRepo

pytestmark = pytest.mark.django_db


@pytest.fixture
def dev(git_repo: Callable[..., GitRepo], fake_node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Setting:
    tiny_patience(monkeypatch)
    return setting_made(git_repo("conf"), fake_node)


def test_sync_makes_the_node_as_git_has_it(dev: Setting) -> None:
    dev.hold(pipe("a"), pipe("old"), METADATA)
    sha = dev.commit(pipe("a", name="A"), pipe("b"), system("s"), METADATA)
    row = dev.sync()
    assert row.state == RunState.SUCCEEDED, log_of(row)
    assert set(dev.fake.entities) == {"a", "b", "s", "node"}
    assert row.counts["new"] == 2
    assert row.counts["changed"] == row.counts["removed"] == row.counts["unchanged"] == 1
    dev.node.refresh_from_db()
    assert dev.node.applied_commit == dev.node.attempted_commit == sha == row.commit
    assert dev.node.state == NodeState.IN_SYNC
    assert Snapshot.objects.get().entities == 3
    assert "2 new, 1 changed, 1 removed" in row.run.summary
    assert steps_of(row)["read back"] == "succeeded"
