"""Deploying to 20 hosts against plain rsync to the same 20 hosts with the same parallelism."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import tree
from bench.installation import installation, seconds, settle_down
from bench.plain import rsync_all

if TYPE_CHECKING:
    from bench.table import Table

HOSTS = 20
FILES, SIZE = 5_000, 50_000_000
ROUNDS = 5


def measure(table: Table) -> None:
    table.head(f"Deploying {FILES} files, {SIZE // 1_000_000} MB to {HOSTS} hosts, against plain rsync -az --delete")
    with installation(HOSTS, "sqlite") as bench:
        tree.make(bench.code, files=FILES, size=SIZE)
        bench.panel.start()
        path = str(bench.fleet.disk / "panel")
        bench.declare(all={"path": path, "method": "inplace", "clusters": ["all"], "parallel": HOSTS})
        # Plain rsync begins with the files at hand; so does the panel, which has the code since it was declared.
        bench.panel.manage("repos", "fetch", "bench")
        first = bench.deploy("bench/all")
        settle_down()
        table.ratio("first time", [seconds(first)], [rsync_all(bench.fleet, bench.code, "plain")], 1.15)
        ours, plain = [], []
        for number in range(ROUNDS):
            tree.change_one(bench.code, number)
            settle_down()
            plain.append(rsync_all(bench.fleet, bench.code, "plain"))
            settle_down()
            ours.append(seconds(bench.deploy("bench/all")))
        table.ratio("one changed file", ours, plain, 1.0)
