"""A fake node, one with TLS, and a fake Vault, for every test of the Sesam part."""

from __future__ import annotations

from tests.fakes.fixtures import authority, fake_node, fake_node_tls, fake_vault, fake_vault_tls

__all__ = ["authority", "fake_node", "fake_node_tls", "fake_vault", "fake_vault_tls"]
