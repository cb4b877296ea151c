"""What `/metrics` tells, computed from the database: the same whichever web process of however many is asked.

The one module that knows prometheus-client. Every family is a handful of aggregates over indexed or small tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Max, Min, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from apps.agents.models import Agent
from apps.agents.presence import online_count
from apps.files.models import CachedFile
from apps.runs.models import Beat, Run
from apps.runs.queue_state import queue_state
from apps.runs.states import ACTIVE, RunState
from apps.runs.tally import RUN_SECONDS, totals
from apps.triggers.models import Firing, Trigger
from apps.triggers.tallies import SERIES, START_SECONDS
from deploypanel.process_figures import process_figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

TRIGGERS_NAMED = 500  # the eldest; whoever knows the old clients' secret can make any number of triggers
OTHERS = "(others)"


def exposition() -> bytes:
    """All metrics in Prometheus' text format 0.0.4; raises DatabaseError when the database does not answer."""
    registry = CollectorRegistry()
    registry.register(PanelMetrics())
    return generate_latest(registry)


class PanelMetrics(Collector):
    """Collects everything anew each time it is asked."""

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for part in (_triggers, _agents, _runs_at_work, _runs_ended, _queue, _deliveries, _cache, _beats, _processes):
            yield from part()


def _triggers() -> Iterator[Metric]:
    firings = CounterMetricFamily("deploypanel_firings", "Firings of a trigger: its count.", labels=["trigger"])
    named = Trigger.objects.order_by("pk").values_list("pk", "name", "count")[:TRIGGERS_NAMED]
    for _pk, name, count in named:
        firings.add_metric([name], count)
    if len(named) == TRIGGERS_NAMED:
        others = Trigger.objects.filter(pk__gt=named[TRIGGERS_NAMED - 1][0]).aggregate(total=Sum("count"))
        firings.add_metric([OTHERS], others["total"] or 0)
    yield firings
    held = Firing.objects.filter(state__in=[Firing.State.HELD, Firing.State.CHECKING]).count()
    yield GaugeMetricFamily("deploypanel_firings_waiting", "Firings that are held or looked at.", value=held)
    yield _histogram(
        "deploypanel_firing_start_seconds",
        "From a firing to the start of a run it led to.",
        ["kind"],
        totals("starts", SERIES["starts"]),
        START_SECONDS,
    )


def _agents() -> Iterator[Metric]:
    # One that is off, or not yet a machine, is not missed: the difference of the two is what an alarm can be made of.
    agents = (
        Agent.objects.filter(enabled=True).exclude(key_digest="").only("enabled", "session", "key_digest", "seen_at")
    )
    yield GaugeMetricFamily("deploypanel_agents", "Agents that are enrolled and switched on.", value=len(agents))
    online = online_count(agents, timezone.now())
    yield GaugeMetricFamily("deploypanel_agents_online", "Agents that are connected.", value=online)


def _runs_at_work() -> Iterator[Metric]:
    active = GaugeMetricFamily("deploypanel_runs_active", "Runs that have not ended.", labels=["kind", "state"])
    found = Run.objects.filter(state__in=ACTIVE).order_by().values("kind", "state").annotate(number=Count("pk"))
    for row in found:
        active.add_metric([row["kind"], row["state"]], row["number"])
    yield active
    oldest = Run.objects.filter(state=RunState.QUEUED).aggregate(at=Min("queued_at"))["at"]
    age = max((timezone.now() - oldest).total_seconds(), 0) if oldest else 0
    yield GaugeMetricFamily(
        "deploypanel_runs_queued_oldest_seconds", "How long the eldest queued run waits.", value=age
    )


def _runs_ended() -> Iterator[Metric]:
    ended = totals("runs", SERIES["runs"])
    runs = CounterMetricFamily("deploypanel_runs", "Runs that have ended.", labels=["kind", "state"])
    for labels, values in sorted(ended.items()):
        runs.add_metric(labels, values[0])
    yield runs
    text = "From a run's start to its end."
    yield _histogram("deploypanel_run_seconds", text, ["kind", "state"], ended, RUN_SECONDS)


def _queue() -> Iterator[Metric]:
    state = queue_state()
    yield GaugeMetricFamily("deploypanel_queue_tasks", "Tasks that wait for a worker, up to 1000.", value=state.waiting)
    text = "How long the eldest of them waits."
    yield GaugeMetricFamily("deploypanel_queue_oldest_seconds", text, value=state.oldest)


def _deliveries() -> Iterator[Metric]:
    text = "Deliveries of push webhooks, by forge and the HTTP status they were answered with."
    family = CounterMetricFamily("deploypanel_deliveries", text, labels=["forge", "status"])
    for labels, values in sorted(totals("deliveries", SERIES["deliveries"]).items()):
        family.add_metric(labels, values[0])
    yield family


def _cache() -> Iterator[Metric]:
    kept = CachedFile.objects.aggregate(
        bytes=Sum("size"), hits=Sum("hits"), served=Sum("bytes_served"), downloads=Sum("downloads")
    )
    files = CachedFile.objects.exclude(stored_as="").count()
    # What rows that are gone had counted.
    gone = totals("cache", lambda _after, _until: {}).get((), [0.0, 0.0, 0.0])
    yield GaugeMetricFamily("deploypanel_cache_files", "Files in the cache.", value=files)
    yield GaugeMetricFamily("deploypanel_cache_bytes", "Their size.", value=kept["bytes"] or 0)
    for place, (name, text) in enumerate(
        (
            ("hits", "Files served from the cache."),
            ("served_bytes", "Bytes served from the cache."),
            ("downloads", "Downloads into the cache."),
        )
    ):
        value = (kept[name.removesuffix("_bytes")] or 0) + gone[place]
        yield CounterMetricFamily(f"deploypanel_cache_{name}", text, value=value)


def _beats() -> Iterator[Metric]:
    text = "Seconds since a process of that role said that it lives."
    family = GaugeMetricFamily("deploypanel_beat_age_seconds", text, labels=["role"])
    now = timezone.now()
    for row in Beat.objects.order_by().values("role").annotate(last=Max("at")):
        family.add_metric([row["role"]], max((now - row["last"]).total_seconds(), 0))
    yield family


def _processes() -> Iterator[Metric]:
    """Of the machine that answers."""
    families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
        "resident_memory_bytes": GaugeMetricFamily(
            "deploypanel_process_resident_memory_bytes", "Resident memory.", labels=["role", "pid"]
        ),
        "cpu_seconds": CounterMetricFamily(
            "deploypanel_process_cpu_seconds", "CPU time, user and system.", labels=["role", "pid"]
        ),
        "open_fds": GaugeMetricFamily("deploypanel_process_open_fds", "Open files.", labels=["role", "pid"]),
        "start_time_seconds": GaugeMetricFamily(
            "deploypanel_process_start_time_seconds", "Start, since the epoch.", labels=["role", "pid"]
        ),
    }
    for process in process_figures():
        for name, family in families.items():
            family.add_metric([process.role, str(process.pid)], getattr(process, name))
    yield from families.values()


def _histogram(
    name: str, text: str, labels: Sequence[str], found: dict[tuple[str, ...], list[float]], ends: Sequence[float]
) -> HistogramMetricFamily:
    """`found` as `spread` counts it: rows, rows with a duration, their sum, and those not longer than each end."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values in sorted(found.items()):
        _rows, timed, seconds, *below = values[1]
        buckets = [(str(float(end)), number) for end, number in zip(ends, below, strict=True)]
        family.add_metric(values[0], [*buckets, ("+Inf", timed)], seconds)
    return family
