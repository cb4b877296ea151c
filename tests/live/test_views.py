"""The log over HTTP, the list and the page in the admin: contents, rights, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.access.levels import Level
from apps.access.models import AuditEntry, Subject
from apps.runs.models import Run
from apps.runs.presentation import duration_text
from tests.live.writer import Log
from tests.support.cast import grant

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(run: Run) -> str:
    return reverse("admin:runs_run_change", args=[run.pk])


def addresses(run_id: int) -> list[str]:
    found = [reverse(f"runs:{name}", args=[run_id]) for name in ("log", "lines", "matches")]
    return [*found, reverse("admin:runs_run_change", args=[run_id]), reverse("admin:runs_run_history", args=[run_id])]


def text_of(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


# --- Text ---


def test_log_is_plain_text(owner: User, log: Log) -> None:
    log.write("$ git fetch", stream="note")
    log.write("\x1b[31m<script>alert(1)</script>\x1b[0m", host="web1")
    response = client_of(owner).get(f"/runs/{log.run.pk}/log.txt")
    assert text_of(response) == "$ git fetch\nweb1: <script>alert(1)</script>\n"
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"] == f'inline; filename="run-{log.run.pk}.log"'
    assert "no-store" in response["Cache-Control"]


def test_log_of_one_host(owner: User, log: Log) -> None:
    log.write("panel")
    log.write("one", host="web1")
    log.write("two", host="web2")
    client = client_of(owner)
    assert text_of(client.get(f"/runs/{log.run.pk}/log.txt?host=web2")) == "two\n"
    assert text_of(client.get(f"/runs/{log.run.pk}/log.txt?host=")) == "panel\n"
    assert text_of(client.get(f"/runs/{log.run.pk}/log.txt?host=none")) == ""


async def test_log_is_streamed_under_asgi(owner: User, log: Log) -> None:
    from tests.live.writer import in_database

    await in_database(log.many, chunks=100)
    client = AsyncClient()
    await client.aforce_login(owner)
    response = await client.get(f"/runs/{log.run.pk}/log.txt?download")
    assert response.is_async
    assert response["Content-Disposition"].startswith("attachment")
    body = b"".join([part async for part in response.streaming_content])
    assert body.count(b"\n") == 10_000
    await sync_to_async(connections.close_all)()  # of the thread that the view ran in


def test_log_grows_while_it_runs(owner: User, log: Log) -> None:
    client = client_of(owner)
    assert text_of(client.get(f"/runs/{log.run.pk}/log.txt")) == ""
    log.write("first")
    assert text_of(client.get(f"/runs/{log.run.pk}/log.txt")) == "first\n"


# --- Lines ---


def test_lines_by_number(owner: User, log: Log) -> None:
    log.many(chunks=30, host="web1")
    body = client_of(owner).get(f"/runs/{log.run.pk}/lines.json?from=1001&count=3").json()
    assert (body["from"], body["total"]) == (1001, 3000)
    assert [line[:3] + line[4:] for line in body["lines"]] == [
        [number, "web1", "out", f"line {number}"] for number in (1001, 1002, 1003)
    ]


@pytest.mark.parametrize(
    ("query", "first", "count"),
    [
        ("", 1, 1000),
        ("?from=0&count=5", 1, 5),
        ("?from=x&count=-3", 1, 1000),
        ("?from=2990&count=99999", 2990, 11),
        ("?from=999999999", 0, 0),
        ("?count=0", 0, 0),
    ],
)
def test_lines_take_any_numbers(owner: User, log: Log, query: str, first: int, count: int) -> None:
    log.many(chunks=30)
    lines = client_of(owner).get(f"/runs/{log.run.pk}/lines.json{query}").json()["lines"]
    assert len(lines) == count
    assert not lines or lines[0][0] == first


def test_long_line_is_clipped_in_the_viewer_only(owner: User, log: Log) -> None:
    log.write("x" * 60_000)
    client = client_of(owner)
    (line,) = client.get(f"/runs/{log.run.pk}/lines.json").json()["lines"]
    assert line[4] == "x" * 4000 + " … 56000 more characters"
    assert len(text_of(client.get(f"/runs/{log.run.pk}/log.txt"))) == 60_001


def test_matches_by_host_and_text(owner: User, log: Log) -> None:
    log.write("copy A", "other", host="web1")
    log.write("Copy B", host="web2")
    client = client_of(owner)
    address = f"/runs/{log.run.pk}/matches.json"
    body = client.get(address, {"text": "COPY"}).json()
    assert [line[4] for line in body["lines"]] == ["copy A", "Copy B"]
    assert (body["upto"], body["cut"]) == (3, False)
    assert [line[4] for line in client.get(address, {"host": "web1"}).json()["lines"]] == ["copy A", "other"]
    assert client.get(address, {"text": "%"}).json()["lines"] == []
    log.write("copy: no space", host="web1", stream="err")
    errors = client.get(address, {"stream": "err"}).json()
    assert [(line[0], line[2], line[4]) for line in errors["lines"]] == [(4, "err", "copy: no space")]
    assert client.get(address, {"stream": "out", "host": "web2", "text": "c"}).json()["lines"][0][4] == "Copy B"
    for odd in ({"stream": "\x00"}, {"host": "\x00"}, {"text": "\x00"}, {"stream": "nonesuch"}):
        assert client.get(address, odd).json()["lines"] == []


# --- Rights ---


def test_outsider_cannot_tell_a_run_from_none(outsider: User, log: Log) -> None:
    client = client_of(outsider)
    for run_id in (log.run.pk, log.run.pk + 1000):
        assert {client.get(address).status_code for address in addresses(run_id)} <= {403, 404}
    log.write("secret")
    for address in addresses(log.run.pk):
        assert b"secret" not in client.get(address).content
    assert client.post(f"/admin/runs/run/{log.run.pk}/stop/").status_code == 404


def test_anonymous_is_asked_to_sign_in(log: Log) -> None:
    for run_id in (log.run.pk, log.run.pk + 1000):
        for address in addresses(run_id):
            response = Client().get(address)
            assert response.status_code == 302
            assert response["Location"].startswith("/admin/login/")


def test_viewer_sees_runs_of_granted_subjects_only(
    teammate: User, subject: Subject, make_run: Callable[..., Run]
) -> None:
    other = Subject.objects.create(kind="environment", path="blog/prod")
    mine, theirs, orphan = make_run(), make_run(subject=other, subject_path="blog/prod"), make_run(subject=None)
    grant(teammate, subject, Level.VIEW)
    client = client_of(teammate)
    answers = [client.get(f"/runs/{run.pk}/log.txt").status_code for run in (mine, theirs, orphan)]
    assert answers == [200, 404, 404]
    listed = client.get(reverse("admin:runs_run_changelist")).content.decode()
    assert f"#{mine.pk}<" in listed
    assert "blog/prod" not in listed
    assert client.get(page_of(mine)).status_code == 200
    assert client.get(page_of(theirs)).status_code == 404


def test_nobody_makes_changes_or_deletes_runs(owner: User, log: Log) -> None:
    client = client_of(owner)
    assert client.get("/admin/runs/run/add/").status_code == 403
    assert client.post(f"/admin/runs/run/{log.run.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Run.objects.filter(pk=log.run.pk).exists()
    assert client.get(reverse("admin:runs_run_history", args=[log.run.pk])).status_code == 302
    for nonsense in ("x", "1x", "0", "99999999999999999999", "-1"):
        assert client.get(f"/admin/runs/run/{nonsense}/change/").status_code == 404


# --- The page ---


def page_data(response: Any) -> dict[str, Any]:
    page = response.content.decode()
    start = page.index('<script id="run-data" type="application/json">') + 46
    return json.loads(page[start : page.index("</script>", start)])


def test_page_begins_with_state_steps_and_the_end_of_the_log(owner: User, log: Log) -> None:
    log.many(chunks=100)
    log.step("web1", "copy", "failed", message="</script><b>no space</b>")
    response = client_of(owner).get(page_of(log.run))
    data = page_data(response)
    assert data["run"]["state"] == "running"
    assert data["steps"][0]["message"] == "</script><b>no space</b>"
    assert data["after"] == 80
    assert data["mayStop"] is True
    page = response.content.decode()
    assert "<b>no space</b>" not in page
    assert "style=" not in page[page.index('id="run"') : page.index('id="run-data"')]


def test_page_costs_the_same_whatever_the_log(owner: User, log: Log) -> None:
    client = client_of(owner)
    client.get(page_of(log.run))
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(page_of(log.run))
        counts.append(len(queries))
        log.many(chunks=15, lines=100)
        for number in range(30):
            log.step(f"web{number}", "copy", "running")
    assert counts[0] == counts[1]


def test_list_costs_the_same_for_one_or_many(owner: User, make_run: Callable[..., Run]) -> None:
    client = client_of(owner)
    address = reverse("admin:runs_run_changelist")
    make_run()
    client.get(address)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        counts.append(len(queries))
        for _ in range(30):
            make_run(state="succeeded")
    assert counts[0] == counts[1]


@pytest.mark.parametrize("query", ["?state__exact=running", "?kind=deploy", "?q=shop", "?q=ann", "?cause__exact=push"])
def test_list_is_filtered_and_searched(owner: User, make_run: Callable[..., Run], query: str) -> None:
    wanted = make_run(cause="push")
    make_run(kind="preview", state="lost", subject_path="x", requested_name="x", cause="person")
    page = client_of(owner).get(reverse("admin:runs_run_changelist") + query).content.decode()
    assert f"#{wanted.pk}<" in page
    assert f"#{wanted.pk + 1}<" not in page


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "9 s"),
        (59.9, "59 s"),
        (187, "3 min 07 s"),
        (7500, "2 h 05 min"),
        (-3, "0.0 s"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    began = timezone.now()
    assert duration_text(began, began + timedelta(seconds=seconds)) == words
    assert duration_text(None, None) == ""


# --- Stop ---


def test_stop_asks_the_gate_and_is_recorded(teammate: User, subject: Subject, log: Log) -> None:
    grant(teammate, subject, Level.VIEW)
    client = client_of(teammate)
    assert page_data(client.get(page_of(log.run)))["mayStop"] is False
    client.post(f"/admin/runs/run/{log.run.pk}/stop/")
    assert Run.objects.get(pk=log.run.pk).state == "running"
    grant(teammate, subject, Level.IN_HOURS)
    assert page_data(client.get(page_of(log.run)))["mayStop"] is True
    response = client.post(f"/admin/runs/run/{log.run.pk}/stop/")
    assert response["Location"] == page_of(log.run)
    run = Run.objects.get(pk=log.run.pk)
    assert (run.state, run.stop_requested_by) == ("stopping", "teammate")
    assert list(AuditEntry.objects.filter(action="stop").order_by("id").values_list("allowed", flat=True)) == [
        False,
        True,
    ]


def test_stop_is_a_post_with_a_token(owner: User, log: Log) -> None:
    assert client_of(owner).get(f"/admin/runs/run/{log.run.pk}/stop/").status_code == 405
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(owner)
    assert careful.post(f"/admin/runs/run/{log.run.pk}/stop/").status_code == 403
    assert Run.objects.get(pk=log.run.pk).state == "running"


# --- Content-Security-Policy ---


def test_policy_allows_no_inline_script(owner: User, log: Log) -> None:
    client = client_of(owner)
    for address in (page_of(log.run), reverse("admin:runs_run_changelist"), reverse("admin:login")):
        policy = dict(part.strip().split(" ", 1) for part in client.get(address)["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert "'unsafe-inline'" not in policy["script-src"]
        assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
        assert "*" not in " ".join(policy.values())
        assert "http" not in " ".join(policy.values())
