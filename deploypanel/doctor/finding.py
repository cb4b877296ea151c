"""One thing that is wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`about` names the thing (`host web1`), `text` what is wrong with it, `remedy` what to do or type."""

    about: str
    text: str
    remedy: str
