"""What a panel that runs spends in a real minute on watching many nodes of which none changes."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psutil

from bench.installation import settle_down

if TYPE_CHECKING:
    from pathlib import Path

    from bench.sesam_site import Site
    from bench.table import Table

SECONDS = 60.0  # as long as the nodes' interval: each is looked at once
LIMIT = 20.0  # % of one core
COMPARED_WITHIN = 180.0  # seconds
ROLES = ("worker", "clock", "command")


def measure(table: Table, bench: Site, small: Path) -> None:
    """`small` is a working copy of hardly anything: what is measured is the watching."""
    for words, url in (("with ETags", bench.tagging), ("without ETags", bench.plain)):
        bench.probe("rows", url, str(small), "1")
        bench.panel.start()
        nodes = _compared(bench)
        settle_down()
        began, used = time.monotonic(), _cpu(bench)
        rounds = int(bench.probe("looked", "0")["looks"])
        time.sleep(max(0.0, SECONDS - (time.monotonic() - began)))
        spent, took = _cpu(bench) - used, time.monotonic() - began
        looks = int(bench.probe("looked", str(took))["looks"])
        idle = _idle(bench)
        bench.panel.stop()
        share = 100 * spent / took
        table.figure(f"a panel that runs, {nodes} nodes each minute, {words}", share, LIMIT, "% of one core")
        table.say(
            f"{spent:.1f} s of CPU in {took:.0f} s of workers, clock, supervisor and Git, {looks} nodes looked at; "
            f"{rounds} were due at the start; with nothing to watch it is {idle:.1f} %"
        )


def _compared(bench: Site) -> int:
    """Wait until each node was looked at and compared; how many there are."""
    deadline = time.monotonic() + COMPARED_WITHIN
    while (found := bench.probe("looked", "3600"))["looks"] < found["nodes"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {found['looks']} of {found['nodes']} nodes were looked at")
        time.sleep(1)
    return int(found["nodes"])


def _idle(bench: Site) -> float:
    """Percent of one core that the same processes take when no node is due."""
    bench.probe("unwatch")
    settle_down()
    began, used = time.monotonic(), _cpu(bench)
    time.sleep(10)
    return 100 * (_cpu(bench) - used) / (time.monotonic() - began)


def _cpu(bench: Site) -> float:
    """CPU seconds so far: of all processes but the web's, with the programs that they ran to their end."""
    assert bench.panel.process is not None
    times = psutil.Process(bench.panel.process.pid).cpu_times()
    total = float(times.user + times.system)
    for process in bench.panel.processes(*ROLES):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
