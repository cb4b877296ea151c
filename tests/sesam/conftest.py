"""A fake node, one with TLS, and a fake Vault, for every test of the Sesam part."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.fixtures import authority, fake_node, fake_node_tls, fake_vault, fake_vault_tls
from tests.fakes.sesam_node import FakeNode
from tests.sesam.engine import MakeSetting, setting_made, tiny_patience
from tests.support.gitrepo import GitRepo

__all__ = ["authority", "fake_node", "fake_node_tls", "fake_vault", "fake_vault_tls"]


@pytest.fixture
def make_dev(git_repo: Callable[..., GitRepo], fake_node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> MakeSetting:
    """Makes the node “dev”, with those fields, and nobody waits long for the fake behind it."""
    tiny_patience(monkeypatch)
    return lambda **fields: setting_made(git_repo("conf"), fake_node, **fields)
