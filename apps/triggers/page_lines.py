"""Addresses and command lines with which others fire a trigger, ready to be pasted."""

from __future__ import annotations

import json
import shlex
from urllib.parse import quote

from django.conf import settings


def fire_url(name: str) -> str:
    """Where it is fired over HTTP; nothing for a trigger without a name, which only old clients can call."""
    return f"{_public()}/triggers/{quote(name)}/fire" if name else ""


def curl_line(name: str, secret: str) -> str:
    header = shlex.quote(f"Authorization: Bearer {secret}")
    return f'curl -fsS -X POST {shlex.quote(fire_url(name))} \\\n  -H {header} -d \'{{"ref": "main"}}\''


def old_line(name: str) -> str:
    body = json.dumps({"secret": "THE-SERVER-WIDE-SECRET", "trigger": name}, ensure_ascii=False)
    return f"curl -fsS -X POST {shlex.quote(_public() + '/trigger')} -d {shlex.quote(body)}"


def command_line(name: str) -> str:
    return f"manage.py trigger fire {shlex.quote(name)}"


def _public() -> str:
    return str(settings.PUBLIC_URL).rstrip("/")
