"""Signed push webhooks, many at once, and from a push to the first line of the deployment's log."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench import tree
from bench.installation import SECRET, Installation, installation, settle_down
from bench.table import percentile

if TYPE_CHECKING:
    from bench.table import Table

AT_ONCE, ROUNDS, PUSHES = 50, 10, 8


def measure(table: Table) -> None:
    for database in ("sqlite", "postgresql"):
        table.head(f"Push webhooks, {AT_ONCE} at once, {database}")
        with installation(1, database) as bench:
            tree.make(bench.code, files=20, size=20_000)
            bench.panel.start()
            path = str(bench.fleet.disk / "panel")
            auto = {"auto_deploy": True, "deploy_as": "admin", "branch": "main"}
            bench.declare(all={"path": path, "method": "inplace", "clusters": ["all"], **auto})
            settle_down()
            _answers(table, bench)
            _first_lines(table, bench)


def _answers(table: Table, bench: Installation) -> None:
    """Pushes to a branch that nothing deploys, so that the answers alone are measured."""
    times: list[float] = []
    for number in range(ROUNDS + 1):
        took = asyncio.run(_burst(bench, f"refs/heads/feature/{number}"))
        times += took if number else []  # the first burst warms up
        settle_down()
    table.figure(f"answer, p99 of {len(times)}", percentile(times, 0.99) * 1000, 100, "ms")
    table.say(f"median {percentile(times, 0.5) * 1000:.1f} ms")


def _first_lines(table: Table, bench: Installation) -> None:
    took = []
    for number in range(PUSHES):
        tree.change_one(bench.code, number)
        head = tree.head(bench.code)
        begin = time.time()
        asyncio.run(_burst(bench, "refs/heads/main", after=head, count=1))
        took.append(_first_line_at(bench, head) - begin)
    table.figure("push to the first line of the log, median", percentile(took, 0.5) * 1000, 1500, "ms")
    table.say(f"worst {max(took) * 1000:.0f} ms")


def _first_line_at(bench: Installation, commit: str) -> float:
    """When the first line of the log of that commit's deployment was stored, in seconds since the epoch."""
    code = f"""
import time
from apps.environments.models import Deployment
for _ in range(300):
    found = Deployment.objects.filter(commit="{commit}", run__chunks__isnull=False, run__ended_at__isnull=False).first()
    if found:
        print(found.run.chunks.order_by("seq")[0].at.timestamp())
        break
    time.sleep(0.1)
"""
    return float(bench.panel.python(code).strip())


async def _burst(bench: Installation, ref: str, *, after: str = "f" * 40, count: int = AT_ONCE) -> list[float]:
    """Seconds until the answer of each of `count` deliveries sent at the same moment over connections of their own."""
    at = urlsplit(bench.panel.url)
    ready = [await asyncio.open_connection(at.hostname, at.port) for _ in range(count)]

    async def knock(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
        begin = time.monotonic()
        writer.write(_request(bench, ref, after))
        status = await reader.readline()
        took = time.monotonic() - begin
        writer.close()
        if b" 202 " not in status:
            raise RuntimeError(f"a delivery was answered with {status!r}")
        return took

    return await asyncio.gather(*(knock(reader, writer) for reader, writer in ready))


def _request(bench: Installation, ref: str, after: str) -> bytes:
    body = json.dumps(
        {
            "ref": ref,
            "before": "e" * 40,
            "after": after,
            "deleted": False,
            "forced": False,
            "pusher": {"name": "bench"},
            "repository": {
                "name": "bench",
                "full_name": "bench/bench",
                "clone_url": f"file://{bench.code}",
                "ssh_url": f"file://{bench.code}",
            },
            "commits": [{"id": after, "message": "x" * 200, "modified": ["a", "b", "c"]} for _ in range(10)],
        }
    ).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = {
        "Host": urlsplit(bench.panel.url).netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST /hooks/github HTTP/1.1\r\n{lines}\r\n".encode() + body
