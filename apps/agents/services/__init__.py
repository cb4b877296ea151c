"""Every act on agents."""

from __future__ import annotations

from apps.agents.services.orders import order_request

__all__ = ["order_request"]
