"""Nodes with 2,000 pipes and 200 systems: what checks, plans, syncs and expansion cost."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from bench import sesam_live, tree
from bench.installation import MANAGE, seconds, settle_down
from bench.sesam_site import EXTRAS, JWT, PIPES, SYSTEMS, Site, site

if TYPE_CHECKING:
    import psutil

    from bench.table import Table

ROUNDS = 15
MINUTE = 60.0
MEMORY = 300  # MB


def measure(table: Table) -> None:
    with site() as bench:
        table.head(f"A Sesam node with {PIPES} pipes and {SYSTEMS} systems, real Git over file://")
        _checks(table, bench)
        _plan(table, bench)
        small = _small(bench)
        _many(table, bench, small)
        sesam_live.measure(table, bench, small)
        _sync(table, bench)
        _expansion(table, bench)


def _checks(table: Table, bench: Site) -> None:
    for name, url, words in (("tagging", bench.tagging, "with ETags"), ("plain", bench.plain, "without ETags")):
        found = bench.probe("checks", name, str(ROUNDS))
        if found["state"] != "in_sync":
            raise RuntimeError(f"{name} is {found['state']}: {found['detail']}")
        wall, cpu = _baseline(bench, url, etag=name == "tagging")
        table.ratio(f"check without change, {words}", [found["wall"]], [wall], 2.0, digits=3)
        table.say(f"CPU {found['cpu'] * 1000:.0f} ms, baseline {cpu * 1000:.0f} ms (git ls-remote and a plain GET)")
        table.say(f"the first, which compares: {found['first'] * 1000:.0f} ms")
        table.figure(f"peak memory of the checking process, {words}", found["peak"], MEMORY, "MB")


def _baseline(bench: Site, url: str, *, etag: bool) -> tuple[float, float]:
    """Median wall and CPU seconds of `git ls-remote` and one GET of the configuration, with nothing around them."""
    tag = _get(url, "")[0] if etag else ""
    walls, cpus = [], []
    for _ in range(ROUNDS):
        began, used = time.monotonic(), _cpu()
        subprocess.run(["git", "ls-remote", f"file://{bench.code}", "refs/heads/main"], check=True, capture_output=True)
        _get(url, tag)
        walls.append(time.monotonic() - began)
        cpus.append(_cpu() - used)
    return statistics.median(walls), statistics.median(cpus)


def _get(url: str, etag: str) -> tuple[str, bytes]:
    head = {"Authorization": f"bearer {JWT}", "Accept": "application/zip"} | ({"If-None-Match": etag} if etag else {})
    try:
        with urlopen(Request(f"{url}/config", headers=head), timeout=30) as answer:
            return answer.headers.get("ETag", ""), answer.read()
    except OSError as error:
        if getattr(error, "code", 0) != 304:
            raise
        return etag, b""


def _plan(table: Table, bench: Site) -> None:
    found = bench.probe("plan", "plain", "3")
    table.figure("a whole plan: download, read Git's side, compare", found["wall"], 5, "s")
    table.figure("peak memory of the planning process", found["peak"], MEMORY, "MB")


def _small(bench: Site) -> Path:
    """A working copy with one pipe."""
    small = bench.code.with_name("small")
    small.mkdir()
    (small / "node" / "pipes").mkdir(parents=True)
    (small / "node" / "pipes" / "a.conf.json").write_text(json.dumps({"_id": "a", "type": "pipe"}))
    tree.git(small, "init", "-q", "-b", "main")
    tree.commit(small, "First commit")
    return small


def _many(table: Table, bench: Site, small: Path) -> None:
    for words, url, own in (
        ("with ETags, each with a repository of its own", bench.tagging, "1"),
        ("without ETags, each with a repository of its own", bench.plain, "1"),
        ("with ETags, all on one repository", bench.tagging, "0"),
    ):
        found = bench.probe("many", url, str(small), own)
        share = found["cpu"] / MINUTE * 100
        table.figure(f"{found['nodes']} nodes each minute, {words}", share, 20, "% of one core")
        table.say(
            f"from the CPU time of one whole round, {found['cpu']:.1f} s, Git's included; it took {found['wall']:.1f} s"
        )
        table.figure(f"peak memory when all of them are compared, {found['states'][0]}", found["peak"], MEMORY, "MB")


def _sync(table: Table, bench: Site) -> None:
    """One changed pipe, applied by a run: asked for on the command line, carried out by a runner."""
    bench.panel.start()
    settle_down()
    took, peak = [], 0.0
    for number in range(3):
        bench.change(number)
        with _Watched(bench) as watched:
            argv = [*MANAGE, "sesam", "sync", "plain", "--follow"]
            done = subprocess.run(argv, env=bench.panel.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the sync failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        newest = json.loads(bench.panel.manage("runs", "list", "--json").stdout)[0]
        took.append(seconds(newest))
        peak = max(peak, watched.peak)
    table.figure("one changed pipe applied and read back", statistics.median(took), 15, "s")
    table.figure("peak memory of the runner", peak, MEMORY, "MB")


class _Watched:
    """The most memory that runners had while a block ran, in MB."""

    def __init__(self, bench: Site) -> None:
        self.peak = 0.0
        self._bench = bench
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for process in self._bench.panel.processes("runner"):
                self.peak = max(self.peak, _high_water(process))


def _high_water(process: psutil.Process) -> float:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), default=0.0)


def _expansion(table: Table, bench: Site) -> None:
    found = bench.probe("expansion", "5")
    if found["problems"] or found["replicas"] < 2 * EXTRAS:
        raise RuntimeError(f"{found['replicas']} replicas: {found['problems']}")
    table.figure(f"expansion of {EXTRAS} pipes into {found['replicas']} replicas", found["wall"], 1, "s")


def _cpu() -> float:
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)
