"""`GET /trigger` and `POST /trigger` a second on one web process, over connections that are kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.installation import SECRET, panel_prepared, settle_down
from bench.table import percentile
from tests.support.postgres import private_postgres

if TYPE_CHECKING:
    from bench.table import Table
    from tests.support.panel import Panel

CLIENTS, READS, FIRES = 50, 4000, 1500


def measure(table: Table) -> None:
    for database in ("sqlite", "postgresql"):
        table.head(f"Old clients, {CLIENTS} connections to one web process, {database}")
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deploypanel-bench-")))
            panel = panel_prepared(folder, stack.enter_context(private_postgres()) if database == "postgresql" else "")
            stack.callback(panel.kill)
            panel.env["DEPLOYPANEL_PROSTAGMA_SECRET"] = SECRET
            panel.start()
            settle_down()
            asyncio.run(_load(panel, "POST", CLIENTS))  # warms up
            _rate(table, panel, "GET", READS)
            _rate(table, panel, "POST", FIRES)
            _counted(table, panel)


def _rate(table: Table, panel: Panel, method: str, number: int) -> None:
    begin = time.monotonic()
    times, errors = asyncio.run(_load(panel, method, number))
    rate = number / (time.monotonic() - begin)
    worst = percentile(times, 0.99) * 1000
    table.say(f"{method} /trigger: {rate:.0f} requests a second, p99 of the answers {worst:.0f} ms")
    table.figure(f"{method} /trigger, errors in {number}", errors, 0, "errors")


def _counted(table: Table, panel: Panel) -> None:
    """Whether the count tells each of the POSTs."""
    code = "from apps.triggers.models import Trigger; print(Trigger.objects.get(name='bench').count)"
    count = int(panel.python(code).strip())
    table.figure("POSTs that the count does not tell", abs(CLIENTS + FIRES - count), 0, "firings")


async def _load(panel: Panel, method: str, number: int) -> tuple[list[float], int]:
    """Seconds for each answer, and how many were no 200; the requests are shared out among the clients."""
    at = urlsplit(panel.url)
    body = json.dumps({"secret": SECRET, "trigger": "bench"})
    raw = f"{method} /trigger HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    left = iter(range(number))
    times: list[float] = []
    errors = 0

    async def client() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        for _ in left:
            begin = time.monotonic()
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            times.append(time.monotonic() - begin)
            errors += not head.startswith(b"HTTP/1.1 200 ")
        writer.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return times, errors


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
