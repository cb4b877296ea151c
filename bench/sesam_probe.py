"""Measurements within the panel's own code: `python -m bench.sesam_probe NAME …` prints what it found as JSON.

Times are in seconds; CPU time counts this process with its threads and every program that it ran.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from collections.abc import Callable

NODES = 100
Measures = dict[str, Any]


def setup(code: str, tagging: str, plain: str) -> Measures:
    """The rows: one node on a repository of its real size, and many that each have a repository of their own."""
    from apps.repos.models import Repository
    from apps.repos.services import repository_fetch
    from apps.sesam.models import Node
    from bench.sesam_site import JWT

    repository = Repository.objects.create(name="conf", url=f"file://{code}")
    repository_fetch(repository=repository)
    for name, url in (("tagging", tagging), ("plain", plain)):
        Node.objects.create(name=name, url=url, jwt=JWT, repository=repository, sync_root="node", interval=None)
    return {}


def checks(name: str, rounds: str) -> Measures:
    """Checks of one node that find nothing new."""
    from apps.sesam.models import Node
    from apps.sesam.services.check import nodes_check

    node = Node.objects.get(name=name)
    first = _timed(lambda: nodes_check(ids=[node.pk]))
    found = [_timed(lambda: nodes_check(ids=[node.pk])) for _ in range(int(rounds))]
    node.refresh_from_db()
    return _summary(found) | {"first": first[0], "state": node.state, "detail": node.state_detail, "peak": _peak()}


def plan(name: str, rounds: str) -> Measures:
    """A whole plan: download, read Git's side, compare."""
    from apps.repos.selectors import commit_resolve
    from apps.sesam.client import NodeClient
    from apps.sesam.desired import desired_read
    from apps.sesam.models import Node
    from apps.sesam.plan import plan_made
    from apps.sesam.rules import Rules

    node = Node.objects.select_related("repository").get(name=name)
    assert node.repository is not None
    repository = node.repository

    def once() -> None:
        with NodeClient.of(node) as client:
            before = client.configuration().configuration
        commit = commit_resolve(repository, "main").sha
        plan_made(before, desired_read(node=node, commit=commit).configuration, Rules.of(node))

    return _summary([_timed(once) for _ in range(int(rounds))]) | {"peak": _peak()}


def many(url: str, folder: str, own: str) -> Measures:
    """A full round of `NODES` nodes; `own`: with a repository each, else all on one."""
    from django.utils import timezone

    from apps.sesam.models import Node
    from apps.sesam.services.check import nodes_check

    rows(url, folder, own)
    ids = list(Node.objects.filter(name__startswith="many-").values_list("pk", flat=True))

    def once() -> None:
        began = timezone.now()
        while left := Node.objects.filter(pk__in=ids).exclude(checked_at__gte=began).values_list("pk", flat=True):
            nodes_check(ids=list(left))

    once()  # compares
    compared = _peak()
    found = []
    for _ in range(3):
        time.sleep(3)  # so that no other node's look is fresh enough
        found.append(_timed(once))
    states = sorted(set(Node.objects.filter(pk__in=ids).values_list("state", flat=True)))
    return _summary(found) | {"states": states, "peak": compared, "nodes": len(ids)}


def rows(url: str, folder: str, own: str) -> Measures:
    """`NODES` nodes that are watched each minute; `own`: with a repository each, else all on one."""
    from apps.repos.models import Repository
    from apps.sesam.models import Node
    from bench.sesam_site import JWT

    big = Repository.objects.get(name="conf")
    repositories = _repositories(Path(folder)) if int(own) else [big] * NODES
    Node.objects.filter(name__startswith="many-").delete()
    for number, repository in enumerate(repositories):
        Node.objects.create(
            name=f"many-{number}", url=url, jwt=JWT, repository=repository, sync_root="node", interval=60
        )
    return {}


def looked(seconds: str) -> Measures:
    """How many of them were looked at in the last `seconds`; 0: how many are due now."""
    from datetime import timedelta

    from django.utils import timezone

    from apps.sesam.models import Node

    nodes, now = Node.objects.filter(name__startswith="many-"), timezone.now()
    counted = nodes.filter(checked_at__gte=now - timedelta(seconds=float(seconds)))
    looks = counted if float(seconds) else nodes.filter(check_after__lte=now)
    return {"nodes": nodes.count(), "looks": looks.count()}


def unwatch() -> Measures:
    """None of them is looked at by itself any more."""
    from apps.sesam.models import Node

    Node.objects.update(interval=None, check_after=None)
    return {}


def expansion(rounds: str) -> Measures:
    """500 pipes of an extra node that write to the master: a replica of each on either side."""
    from apps.sesam.expansion import ExtraSpec, expand
    from apps.sesam.source import SourceSettings, source_read
    from bench.sesam_expansion import EXTRA, TEMPLATES, files

    settings = SourceSettings(
        layout="multi", whitelist_file="none", variables_files=("none",), template_paths=(TEMPLATES,)
    )
    held = files()
    source = source_read(held, settings)
    extras = [ExtraSpec(name=EXTRA, template_path=TEMPLATES, proxy=False)]
    found = [_timed(lambda: expand(source, master_name="main", extras=extras, ci=False)) for _ in range(int(rounds))]
    made = expand(source, master_name="main", extras=extras, ci=False)
    replicas = sum(len(share.replicas) for share in made.shares.values())
    wrong = [str(problem) for problem in made.problems if problem.is_error]
    return _summary(found) | {"replicas": replicas, "problems": wrong[:3]}


def _repositories(folder: Path) -> list[Any]:
    from apps.repos.models import Repository
    from apps.repos.services import repository_fetch

    made = []
    for number in range(NODES):
        row, _ = Repository.objects.get_or_create(name=f"own-{number}", defaults={"url": f"file://{folder}"})
        repository_fetch(repository=row)
        made.append(row)
    return made


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    began, used = time.monotonic(), _cpu()
    work()
    return time.monotonic() - began, _cpu() - used


def _cpu() -> float:
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _peak() -> float:
    """The most memory that this process had so far, in MB."""
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def _summary(found: list[tuple[float, float]]) -> Measures:
    return {"wall": statistics.median(one[0] for one in found), "cpu": statistics.median(one[1] for one in found)}


PROBES: dict[str, Callable[..., Measures]] = {
    "setup": setup, "checks": checks, "plan": plan, "many": many, "expansion": expansion,
    "rows": rows, "looked": looked, "unwatch": unwatch,
}  # fmt: skip

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploypanel.settings")
    django.setup()
    print(json.dumps(PROBES[sys.argv[1]](*sys.argv[2:])))
