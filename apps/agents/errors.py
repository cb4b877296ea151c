"""What can be wrong with what an agent asks."""

from __future__ import annotations
