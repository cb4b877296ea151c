"""`/metrics`: what it tells, that counters never go down, and who may read it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from apps.agents.models import Agent
from apps.files.models import CachedFile
from apps.files.services import files_delete
from apps.repos.models import Repository
from apps.runs.models import Run, Tally
from apps.runs.services import runs_prune
from apps.runs.tally import tally_add, tally_fold, totals
from apps.triggers.models import Delivery, Effect, Firing, Trigger
from apps.triggers.tallies import SERIES, tallies_fold
from deploypanel import environment, metric_families, metrics
from tests.support.runner import wait_until

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    metrics.latest.forget()


def run_made(state: str = "succeeded", *, kind: str = "deploy", ended: datetime = NOW, took: float = 2) -> Run:
    times = {"queued_at": ended, "started_at": ended - timedelta(seconds=took), "ended_at": ended}
    limits = {"time_limit": 60, "silence_limit": 60}
    return Run.objects.create(kind=kind, state=state, cause="person", exclusive=False, **times, **limits)


def read(**meta: Any) -> dict[str, float]:
    """Every sample by its name and labels, as a Prometheus server reads them."""
    metrics.latest.forget()
    answer = Client().get("/metrics", **meta)
    assert answer.status_code == 200, answer.content
    found = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        assert family.type in {"counter", "gauge", "histogram"}, family
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            assert (sample.name, labels) not in found
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@pytest.mark.django_db
def test_an_empty_panel_can_be_read() -> None:
    answer = Client().get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = read()
    assert found["deploypanel_agents_online"] == 0
    assert found["deploypanel_queue_oldest_seconds"] == 0
    assert any(name.startswith("deploypanel_process_resident_memory_bytes{") for name in found)


@pytest.mark.django_db
def test_what_is_told() -> None:
    trigger = Trigger.objects.create(name='a "b"\\\nc', count=7)
    firing = Firing.objects.create(trigger=trigger, state="fired", source="http", cause="trigger", fired_at=NOW)
    run = run_made("failed", kind="agent", ended=NOW + timedelta(seconds=70.12), took=70)
    Effect.objects.create(firing=firing, trigger=trigger, target="web1", state="started", run=run)
    Firing.objects.create(trigger=trigger, state="held", source="http", cause="trigger")
    now = timezone.now()
    Agent.objects.create(name="on", session="s", key_digest="k", seen_at=now)
    Agent.objects.create(name="silent", session="s", key_digest="k", seen_at=now - timedelta(hours=1))
    Agent.objects.create(name="off", session="s", key_digest="k", seen_at=now, enabled=False)
    Agent.objects.create(name="no machine yet")
    Run.objects.filter(pk=run_made(ended=now - timedelta(seconds=90)).pk).update(state="queued", ended_at=None)
    repository = Repository.objects.create(name="shop", url="file:///shop")
    Delivery.objects.create(forge="gitea", delivery_id="1", repository=repository, event="push", answer=202)
    CachedFile.objects.create(url="u", url_digest="d", stored_as="x", size=11, hits=3, bytes_served=33, downloads=1)
    found = read()
    # As the parser gives it back: quotes, backslashes and newlines were escaped.
    assert found['deploypanel_firings_total{trigger=a "b"\\\nc}'] == 7
    assert found["deploypanel_firings_waiting"] == 1
    assert found["deploypanel_firing_start_seconds_bucket{kind=agent,le=0.1}"] == 0
    assert found["deploypanel_firing_start_seconds_bucket{kind=agent,le=0.15}"] == 1
    assert found["deploypanel_firing_start_seconds_sum{kind=agent}"] == pytest.approx(0.12)
    assert (found["deploypanel_agents"], found["deploypanel_agents_online"]) == (2, 1)
    assert found["deploypanel_runs_total{kind=agent,state=failed}"] == 1
    assert found["deploypanel_run_seconds_bucket{kind=agent,le=60.0,state=failed}"] == 0
    assert found["deploypanel_run_seconds_bucket{kind=agent,le=300.0,state=failed}"] == 1
    assert found["deploypanel_run_seconds_count{kind=agent,state=failed}"] == 1
    assert found["deploypanel_run_seconds_sum{kind=agent,state=failed}"] == pytest.approx(70)
    assert found["deploypanel_runs_active{kind=deploy,state=queued}"] == 1
    assert found["deploypanel_runs_queued_oldest_seconds"] == pytest.approx(90, abs=30)
    assert found["deploypanel_deliveries_total{forge=gitea,status=202}"] == 1
    assert (found["deploypanel_cache_files"], found["deploypanel_cache_bytes"]) == (1, 11)
    assert (found["deploypanel_cache_hits_total"], found["deploypanel_cache_served_bytes_total"]) == (3, 33)


@pytest.mark.django_db
@pytest.mark.database
def test_counters_do_not_go_down_when_rows_are_deleted(settings: Any) -> None:
    old = timezone.now() - timedelta(days=settings.RUN_KEEP_DAYS + 1)
    for number in range(3):
        run_made(ended=old, took=number)
    run_made(ended=timezone.now())
    CachedFile.objects.create(url="u", url_digest="d", hits=3, bytes_served=33, downloads=1)
    names = (
        "deploypanel_runs_total{kind=deploy,state=succeeded}",
        "deploypanel_run_seconds_bucket{kind=deploy,le=1.0,state=succeeded}",
        "deploypanel_run_seconds_sum{kind=deploy,state=succeeded}",
        "deploypanel_cache_hits_total",
    )
    before = [read()[name] for name in names]
    assert before == [4, 2, pytest.approx(5), 3]
    tallies_fold(timezone.now())
    assert [read()[name] for name in names] == before
    assert runs_prune(timezone.now()) == 3
    files_delete(rows=CachedFile.objects.all())
    assert [read()[name] for name in names] == before
    tallies_fold(timezone.now())
    run_made(ended=timezone.now())
    assert read()[names[0]] == 5


@pytest.mark.django_db
def test_each_row_is_counted_once_wherever_the_fold_stands() -> None:
    ends = [NOW + timedelta(seconds=17 * number) for number in range(40)]
    for end in ends:
        run_made(ended=end, took=1)
    for seconds in range(0, 900, 30):
        tally_fold("runs", SERIES["runs"], NOW + timedelta(seconds=seconds))
        assert totals("runs", SERIES["runs"])[("deploy", "succeeded")][:3] == [40, 40, pytest.approx(40)]
    tally_fold("runs", SERIES["runs"], NOW)  # a clock that was set back
    assert totals("runs", SERIES["runs"])[("deploy", "succeeded")][0] == 40


@pytest.mark.django_db(transaction=True)
@pytest.mark.database
def test_sums_and_folds_at_the_same_time_lose_nothing() -> None:
    for number in range(20):
        run_made(ended=NOW + timedelta(seconds=number))

    def work() -> None:
        try:
            for _ in range(10):
                tally_add("cache", (), [1, 2.5])
            tally_fold("runs", SERIES["runs"], timezone.now())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads), 60)
    assert Tally.objects.get(series="cache").values == [40, 100]
    assert totals("runs", SERIES["runs"])[("deploy", "succeeded")][0] == 20


@pytest.mark.django_db
def test_triggers_beyond_number_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_families, "TRIGGERS_NAMED", 3)
    for number in range(5):
        Trigger.objects.create(name=f"t{number}", count=10**number)
    found = read()
    assert found["deploypanel_firings_total{trigger=t2}"] == 100
    assert found["deploypanel_firings_total{trigger=(others)}"] == 11_000
    assert "deploypanel_firings_total{trigger=t3}" not in found


@pytest.mark.django_db
def test_it_costs_the_same_however_much_there_is(django_assert_max_num_queries: Any) -> None:
    for number in range(50):
        run_made(("succeeded", "failed")[number % 2], kind=("deploy", "sync")[number % 3 % 2])
    with django_assert_max_num_queries(22):
        metric_families.exposition()


@pytest.mark.django_db
def test_many_who_ask_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(metrics, "FRESH", 60.0)
    monkeypatch.setattr(metrics, "exposition", lambda: asked.append(1) or b"x 1\n")
    assert {Client().get("/metrics").content for _ in range(5)} == {b"x 1\n"}
    assert len(asked) == 1


@pytest.mark.parametrize("method", ["head", "options", "post", "put", "delete", "patch"])
@pytest.mark.parametrize("path", ["/metrics", "/prostagma/metrics"])
def test_another_method_is_a_405_without_a_word(method: str, path: str) -> None:
    answer = getattr(Client(enforce_csrf_checks=True), method)(path)
    assert (answer.status_code, answer.content) == (405, b"")


def test_a_database_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> bytes:
        raise OperationalError("secret.example:5432 refused")

    monkeypatch.setattr(metrics, "exposition", away)
    answer = Client().get("/metrics")
    assert (answer.status_code, answer.content) == (503, b"The database does not answer.\n")


HERE, PROXY, FAR = "127.0.0.1", "10.0.0.9", "203.0.113.7"


@pytest.mark.parametrize(
    ("asker", "headers", "given", "status"),
    [
        (HERE, {}, {}, 200),
        ("::1", {}, {}, 200),
        ("::ffff:127.0.0.1", {}, {}, 200),
        (FAR, {}, {}, 403),
        ("", {}, {}, 403),  # a Unix socket
        # Through a proxy of this machine that nobody declared, everybody seems to be here.
        (HERE, {"X-Forwarded-For": FAR}, {}, 403),
        (HERE, {"X-Forwarded-For": HERE}, {}, 403),
        (HERE, {"Forwarded": f"for={HERE}"}, {}, 403),
        (HERE, {"Via": "1.1 proxy"}, {}, 403),
        (FAR, {"X-Forwarded-For": HERE}, {}, 403),
        # An allow-list.
        (FAR, {}, {"METRICS_ALLOW": "203.0.113.0/24"}, 200),
        ("::ffff:203.0.113.7", {}, {"METRICS_ALLOW": "203.0.113.0/24"}, 200),
        (PROXY, {}, {"METRICS_ALLOW": "203.0.113.0/24"}, 403),
        (HERE, {}, {"METRICS_ALLOW": "203.0.113.0/24"}, 200),
        (PROXY, {"X-Forwarded-For": FAR}, {"METRICS_ALLOW": "203.0.113.0/24"}, 403),
        (PROXY, {"X-Forwarded-For": FAR}, {"METRICS_ALLOW": "10.0.0.0/8"}, 403),
        # A token.
        (FAR, {"Authorization": "Bearer t0ken"}, {"METRICS_TOKEN": "t0ken"}, 200),
        (FAR, {"Authorization": "bearer  t0ken "}, {"METRICS_TOKEN": "t0ken"}, 200),
        (FAR, {"Authorization": "Bearer t0ke"}, {"METRICS_TOKEN": "t0ken"}, 403),
        (FAR, {"Authorization": "Bearer täken"}, {"METRICS_TOKEN": "t0ken"}, 403),
        (FAR, {"Authorization": "t0ken"}, {"METRICS_TOKEN": "t0ken"}, 403),
        (FAR, {"Authorization": "Bearer "}, {}, 403),
        (HERE, {}, {"METRICS_TOKEN": "t0ken"}, 403),
        (FAR, {}, {"METRICS_TOKEN": "t0ken", "METRICS_ALLOW": "203.0.113.7"}, 200),
        # Behind a declared proxy: what it added counts, never what the caller put before it.
        (PROXY, {"X-Forwarded-For": FAR}, {"BEHIND": True, "METRICS_ALLOW": "203.0.113.7"}, 200),
        (PROXY, {"X-Forwarded-For": f"{FAR}, 198.51.100.1"}, {"BEHIND": True, "METRICS_ALLOW": "203.0.113.7"}, 403),
        (PROXY, {"X-Forwarded-For": f"{HERE}, {FAR}"}, {"BEHIND": True}, 403),
        (HERE, {"X-Forwarded-For": HERE}, {"BEHIND": True}, 403),
        (HERE, {"X-Forwarded-For": "nonsense"}, {"BEHIND": True, "METRICS_ALLOW": "0.0.0.0/0"}, 403),
        (HERE, {}, {"BEHIND": True}, 200),
    ],
)
def test_who_may_read(
    asker: str,
    headers: dict[str, str],
    given: dict[str, Any],
    status: int,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "exposition", lambda: b"x 1\n")
    settings.METRICS_TOKEN = given.get("METRICS_TOKEN", "")
    settings.METRICS_ALLOW = [ip_network(given["METRICS_ALLOW"])] if "METRICS_ALLOW" in given else []
    settings.BEHIND_PROXY = settings.USE_X_FORWARDED_HOST = given.get("BEHIND", False)
    answer = Client().get("/metrics", headers=headers, REMOTE_ADDR=asker)
    assert answer.status_code == status, answer.content


def test_networks_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETWORKS", "10.0.0.7, 192.168.3.4/16,fd00::/8")
    assert [str(one) for one in environment.networks("NETWORKS")] == ["10.0.0.7/32", "192.168.0.0/16", "fd00::/8"]
    monkeypatch.setenv("NETWORKS", "10.0.0.7,prometheus")
    with pytest.raises(ImproperlyConfigured, match="NETWORKS: 'prometheus' is no address"):
        environment.networks("NETWORKS")
