"""Every act on cached files."""

from __future__ import annotations
