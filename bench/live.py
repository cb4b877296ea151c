"""From a remote process printing a line to that line in a browser's WebSocket, while many print and many watch."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import websockets

from bench import tree
from bench.installation import MANAGE, Installation, installation, seconds, settle_down
from bench.table import percentile

if TYPE_CHECKING:
    from bench.table import Table

HOSTS, LINES_PER_SECOND, VIEWERS, LASTS = 20, 250, 50, 10
CHATTER = f"""\
#!/usr/bin/env python3
import time
due = time.time()
for _ in range({LINES_PER_SECOND * LASTS}):
    print("at", time.time(), "x" * 60, flush=True)
    due += 1 / {LINES_PER_SECOND}
    time.sleep(max(0, due - time.time()))
"""


def measure(table: Table) -> None:
    for database in ("sqlite", "postgresql"):
        table.head(f"{HOSTS} hosts print {LINES_PER_SECOND} lines/s each, {VIEWERS} viewers, {database}")
        with installation(HOSTS, database) as bench:
            tree.make(bench.code, files=20, size=20_000)
            tree.write_script(bench.code, "deploy.sh", CHATTER)
            bench.panel.start()
            path = str(bench.fleet.disk / "panel")
            bench.declare(all={"path": path, "method": "inplace", "clusters": ["all"], "parallel": HOSTS})
            _latency(table, bench)
            if database == "sqlite":
                _cost_of_logging(table, bench)


def _latency(table: Table, bench: Installation) -> None:
    lines, ages = asyncio.run(_watched(bench))
    expected = HOSTS * LINES_PER_SECOND * LASTS
    table.say(f"{lines:,} lines reached the first viewer of {expected:,} printed, {len(ages):,} of them live")
    table.figure("line to viewer, median", percentile(ages, 0.5) * 1000, 150, "ms")
    table.figure("line to viewer, p95", percentile(ages, 0.95) * 1000, 400, "ms")
    if lines != expected:
        table.missed.append(f"{expected - lines:,} lines did not reach the viewer")


async def _watched(bench: Installation) -> tuple[int, list[float]]:
    """Start a deployment and let 50 clients watch it to its end.

    Gives how many lines came to the first of them, and the ages in seconds of those that were printed after all
    clients had caught up with what was there when they came.
    """
    argv = [*MANAGE, "deploy", "bench/all", "--override", "measuring"]
    await asyncio.to_thread(subprocess.run, argv, env=bench.panel.env, check=True, capture_output=True)
    listed = await asyncio.to_thread(bench.panel.manage, "runs", "list", "--json")
    number = json.loads(listed.stdout)[0]["id"]
    cookie = "; ".join(f"{name}={value}" for name, value in bench.session().cookies.items())
    address = f"{bench.panel.url.replace('http', 'ws')}/ws/runs/{number}/?after=0"
    headers = {"Cookie": cookie, "Origin": bench.panel.url}

    caught_up: list[float] = []

    async def view(*, reads: bool) -> tuple[list[float], list[float]]:
        printed: list[float] = []
        seen: list[float] = []
        async with websockets.connect(address, additional_headers=headers, max_size=None, compression=None) as socket:
            async for message in socket:
                assert isinstance(message, str)
                now = time.time()
                if message.startswith('{"type":"caught_up"'):
                    caught_up.append(now)
                if reads or message.startswith('{"type":"run"'):
                    frame = json.loads(message)
                    new = _printed(frame)
                    printed += new
                    seen += [now] * len(new)
                    if frame["type"] == "run" and frame["run"]["ended"]:
                        break
        return printed, seen

    printed, seen = (await asyncio.gather(*(view(reads=number == 0) for number in range(VIEWERS))))[0]
    live = sorted(caught_up)[VIEWERS - 1]
    return len(printed), [came - at for at, came in zip(printed, seen, strict=True) if at > live]


def _printed(frame: dict[str, Any]) -> list[float]:
    """When each line of a log frame was printed, by the host's clock (which is this machine's)."""
    lines = (
        line for chunk in frame.get("chunks", ()) if chunk["stream"] == "out" for line in chunk["text"].split("\n")
    )
    return [float(line.split()[1]) for line in lines if line.startswith("at ")]


def _cost_of_logging(table: Table, bench: Installation) -> None:
    """The same run with its output stored, and thrown away after the first kilobyte."""
    logged, thrown = [], []
    for _ in range(3):
        settle_down()
        logged.append(seconds(bench.deploy("bench/all")))
        bench.panel.stop()
        bench.panel.env["DEPLOYPANEL_RUN_LOG_LIMIT"] = "1024"
        bench.panel.start()
        settle_down()
        thrown.append(seconds(bench.deploy("bench/all")))
        bench.panel.stop()
        del bench.panel.env["DEPLOYPANEL_RUN_LOG_LIMIT"]
        bench.panel.start()
    table.ratio("a run with its log stored, against thrown away", logged, thrown, 1.1)
