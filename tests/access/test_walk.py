"""Every address of the panel, asked by those who may see little or nothing.

Each row of the database says a word that nobody without a right may read; whatever the address,
the method and the status, an answer that holds the word is a leak.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from apps.access import audit
from apps.access.actor import Actor, Door
from apps.access.examples import OFFICE
from apps.access.levels import Level
from apps.access.models import BusinessHours, Freeze
from apps.access.services import ssh_key_generate
from apps.environments.models import Cluster, Deployment, Environment, Host, HostRelease
from apps.repos.models import Repository
from apps.runs.models import Cause, LogChunk, Run, Step, Stream
from apps.runs.states import RunState
from tests.support.cast import grant

pytestmark = pytest.mark.django_db

WORD = "xqzhidden"
OPERATOR = Actor(user=None, door=Door.COMMAND)


def make(suffix: str) -> Environment:
    """One of everything, each with the word in what it shows."""
    word, now = f"{WORD}{suffix}", timezone.now()
    key = ssh_key_generate(actor=OPERATOR, name=f"{word}-key")
    hours = BusinessHours.objects.create(**OFFICE | {"name": f"{word}-hours"})
    repository = Repository.objects.create(name=f"{word}-repo", url=f"file:///{word}.git", webhook_secret=word)
    host = Host.objects.create(name=f"{word}-host", address="127.0.0.1", port=1, user="deploy", ssh_key=key)
    cluster = Cluster.objects.create(name=f"{word}-cluster")
    cluster.hosts.add(host)
    environment = Environment.objects.create(
        repository=repository, name=f"{word}-env", target_path=f"/srv/{word}", hours=hours
    )
    environment.clusters.add(cluster)
    Freeze.objects.create(subject=environment.subject, reason=word, starts_at=now, author_name=word)
    run = Run.objects.create(
        kind="deploy", subject=environment.subject, subject_path=environment.path, cause=Cause.PERSON,
        requested_name=word, summary=word, state=RunState.FAILED, time_limit=1, silence_limit=1, ended_at=now,
    )  # fmt: skip
    LogChunk.objects.create(run=run, seq=1, stream=Stream.OUT, at=now, first_line=1, text=f"{word}\n")
    Step.objects.create(run=run, stage="copy", host=host.name, position=0, message=word)
    Deployment.objects.create(
        run=run, run_number=run.pk, environment=environment, environment_path=environment.path, ref=word,
        commit="a" * 40, commit_subject=word, requested_name=word, state=RunState.FAILED,
    )  # fmt: skip
    HostRelease.objects.create(environment=environment, host=host, branch=word, commit="a" * 40, read_at=now)
    audit.record(actor=OPERATOR, action="deploy", subject=environment, reasons=[word])
    return environment


def addresses() -> Iterator[str]:
    """Every pattern of the panel, with the key of every row that its page is about (and of one that is not there)."""
    for pattern, model in _patterns(get_resolver().url_patterns, ""):
        if pattern == "health":  # speaks of processes, and says 503 where none runs
            continue
        rows = (model or Run)._default_manager.values_list("pk", flat=True)
        for key in ["access", "999", *map(str, rows)] if "{}" in pattern else [""]:
            yield "/" + pattern.replace("{}", key)


def _patterns(patterns: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for entry in patterns:
        route = getattr(entry.pattern, "_route", None)
        if route is None:  # a regular expression: the admin's catch-all and its lists of apps
            continue
        parts = (prefix + route).split("<")
        text = parts[0] + "".join("{}" + part.partition(">")[2] for part in parts[1:])
        if isinstance(entry, URLResolver):
            yield from _patterns(entry.url_patterns, text)
        elif isinstance(entry, URLPattern):
            yield text, getattr(getattr(entry.callback, "model_admin", None), "model", None)


def leaks(client: Client, own: tuple[str, ...] = (), methods: tuple[str, ...] = ("get", "post")) -> list[str]:
    """Answers that hold the word (but for `own`, which may be read), and crashes."""
    client.raise_request_exception = False
    found = []
    for address in addresses():
        for method in methods:
            response = getattr(client, method)(address, {"q": "x"})
            body = b"".join(response.streaming_content) if response.streaming else response.content
            for word in own:
                body = body.replace(word.encode(), b"")
            if response.status_code >= 500 or WORD.encode() in body:
                found.append(f"{method} {address}: {response.status_code}")
    return found


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Each refusal is logged; here there are thousands."""
    caplog.set_level(logging.CRITICAL, "django.request")


@pytest.mark.database  # every page can be had on each database; `test_urls_outsider` walks there too
def test_walk_reaches_the_pages_it_is_about(owner: User, client: Client) -> None:
    make("")
    client.force_login(owner)
    seen = leaks(client, methods=("get",))
    for part in ("environments/environment/", "runs/run/", "repos/repository/", "access/freeze/", "access/auditentry/"):
        assert any(f"/admin/{part}" in line and line.endswith(": 200") for line in seen), part
    assert not [line for line in seen if line.endswith(": 500")]


def test_nobody_without_a_grant_reads_a_word(outsider: User, client: Client) -> None:
    make("")
    outsider.groups.add(Group.objects.create(name="everybody"))
    client.force_login(outsider)
    assert leaks(client) == []


@pytest.mark.parametrize("level", [Level.VIEW, Level.CONFIGURE])
def test_a_grant_opens_its_subject_only(teammate: User, client: Client, level: Level) -> None:
    make("")
    grant(teammate, make("mine"), level)
    client.force_login(teammate)
    own = [f"{WORD}mine"]
    if level is Level.CONFIGURE:
        own.append(f"{WORD}-hours")  # all business hours may be chosen by who configures
    assert leaks(client, tuple(own), methods=("get",)) == []
