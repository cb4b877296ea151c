"""The worker's door. It may come twice, or late."""

from __future__ import annotations

from apps.sesam.services.check import nodes_check


def check(*ids: int) -> None:
    nodes_check(ids=ids)
