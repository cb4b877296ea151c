"""Whoever was granted nothing learns nothing, from any address the panel has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from apps.access.models import BusinessHours
from apps.environments.models import Environment
from apps.repos.models import Repository
from apps.runs.models import LogChunk
from apps.sesam.models import ExtraNode, Node, SecretStore, StoredSecret
from tests.sesam import rows as node_rows
from tests.triggers import rows as trigger_rows
from tests.ui import rows

pytestmark = [pytest.mark.django_db, pytest.mark.database]

# A word in every name, subject, line and reason that exists: it must appear nowhere.
SECRET = "zebrafish"
# They speak to machines, tell nothing of any object, and have tests of their own.
PUBLIC = {"health", "metrics", "hooks/", "static/", "trigger", "prostagma/"}
OPEN_TO_ALL = {"", "favicon.ico", "agent/deploypanel-agent.pyz", "admin/login/", "admin/jsi18n/", "admin/logout/"}


@pytest.fixture
def everything(db: None) -> dict[str, int]:
    """One row of each model, all of them named by the secret word; their numbers by model."""
    repository = rows.repository_make(SECRET, fetch_error=f"{SECRET} cannot be reached")
    hours = BusinessHours.objects.create(name=f"{SECRET}-hours", timezone="UTC", weekly={})
    clusters = rows.fleet_make(1, 1)
    clusters[0].hosts.update(name=f"{SECRET}-host", address=f"{SECRET}.example.com")
    clusters[0].name = f"{SECRET}-cluster"
    clusters[0].save()
    environment = rows.environment_make(repository, f"{SECRET}-prod", clusters, hours=hours)
    deployment = rows.deployment_make(environment, 1)
    deployment.commit_subject = f"Feed the {SECRET}"
    deployment.save()
    preview = rows.deployment_make(environment, 2).run
    preview.kind, preview.result = "preview", {"subject": SECRET}
    preview.save()
    LogChunk.objects.create(
        run=deployment.run, seq=1, stream="out", at=timezone.now(), first_line=1, text=f"{SECRET}\n"
    )
    nodes_make(repository)
    trigger_make(environment)
    rows.freeze_make(environment, f"{SECRET} spawns")
    rows.freeze_make(None, f"{SECRET} sleeps")
    Group.objects.create(name=f"{SECRET}s")
    User.objects.create_user(f"{SECRET}-keeper", password="x")
    Environment.objects.filter(pk=environment.pk).update(auto_paused_reason=SECRET)
    return {
        model._meta.label_lower: found.pk for model in apps.get_models() if (found := model._default_manager.first())
    }


def nodes_make(repository: Repository) -> None:
    store = SecretStore.objects.create(name=f"{SECRET}-vault", url=f"https://{SECRET}.example", mount=SECRET, token="t")
    StoredSecret.objects.create(store=store, name=f"{SECRET}-key", value=SECRET)
    node = node_rows.node_make(SECRET, repository, layout="multi", secret_store=store, state_detail=SECRET)
    had = node_rows.configuration(node_rows.pipe(SECRET), variables={SECRET: SECRET})
    sync = node_rows.sync_make(node, 1, before=had, wanted=had, commit_subject=f"Feed the {SECRET}")
    node_rows.snapshot_make(node, had, sync)
    fed = node_rows.node_make(f"{SECRET}-fed", repository)
    Node.objects.filter(pk=fed.pk).update(repository=None)
    ExtraNode.objects.create(master=node, name=SECRET, template_path=f"extra_nodes/{SECRET}/", node=fed)


def trigger_make(environment: Environment) -> None:
    trigger = trigger_rows.trigger_make(SECRET, script=f"steps: [{{shell: {SECRET}}}]", schedule="@daily")
    trigger.agents.add(trigger_rows.agent_make(f"{SECRET}-agent", note=SECRET))
    trigger.actions.create(kind="deploy", environment=environment, when={"equals": {"/x": SECRET}})
    trigger.push_sources.create(repository=environment.repository, branches=[SECRET])
    trigger.end_sources.create(of=environment.subject, states=[])
    firing = trigger_rows.firing_make(trigger, payload={SECRET: SECRET}, by=SECRET, text=SECRET)
    trigger_rows.agent_effect_make(firing, trigger.agents.get(), summary=SECRET)
    trigger_rows.firing_make(trigger, state="held", by=SECRET)


def addresses(numbers: dict[str, int], resolver: Any = None, before: str = "") -> Iterator[str]:
    """Every address pattern filled with numbers of rows that exist, and some that do not."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix(r"\Z")
        if isinstance(pattern, URLResolver):
            yield from addresses(numbers, pattern, before + route)
        elif isinstance(pattern, URLPattern):
            yield from filled(before + route, numbers)


def filled(route: str, numbers: dict[str, int]) -> Iterator[str]:
    if "<" not in route and "(" not in route:
        yield route
        return
    # An admin page gets the number of a row of its own model; any other page all there are.
    model = ".".join(route.removeprefix("admin/").split("/")[:2])
    for number in {numbers[model], 999_999} if model in numbers else {*numbers.values(), 999_999}:
        address = re.sub(r"<(?:int|str|path|slug):\w+>|<\w+>", str(number), route)
        yield re.sub(r"\(\?P<app_label>[^)]*\)", "environments", address)


def visitors(kind: str) -> Client:
    client = Client(raise_request_exception=True)
    if kind != "anonymous":
        client.force_login(User.objects.create_user("visitor", password="x", is_staff=kind == "staff"))
    return client


@pytest.mark.parametrize("kind", ["anonymous", "visitor", "staff"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_outsider_learns_nothing(everything: dict[str, int], kind: str, method: str) -> None:
    client = visitors(kind)
    seen = 0
    for address in addresses(everything):
        if any(address.startswith(prefix) for prefix in PUBLIC) or address == "admin/logout/":
            continue
        answer = getattr(client, method)(f"/{address}", {"q": "z"} if method == "get" else {"confirmed": "1"})
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert answer.status_code < 500, address
        assert SECRET not in body.decode(errors="replace").lower(), address
        assert SECRET not in answer.get("Location", ""), address
        if kind != "staff" and address not in OPEN_TO_ALL and answer.status_code == 200:
            assert b'id="login-form"' in body, f"{address} is open"
        seen += 1
    assert seen > 100


def test_walk_reaches_what_there_is(everything: dict[str, int], owner: User) -> None:
    """The same walk as a superuser meets the word, so that its absence above means something."""
    client = Client()
    client.force_login(owner)
    met = set()
    seen = ("admin/", "admin/start.json", "admin/environments/environment/", "admin/runs/run/", "admin/sesam/node/")
    seen += ("admin/triggers/trigger/", "admin/triggers/firing/", "admin/agents/agent/")
    for address in seen:
        if SECRET in client.get(f"/{address}").content.decode():
            met.add(address)
    assert met == set(seen)
    walked = set(addresses(everything))
    number = everything["environments.environment"]
    assert f"admin/environments/environment/{number}/control/" in walked
    assert f"admin/sesam/node/{everything['sesam.node']}/control/" in walked
    assert f"admin/sesam/sync/{everything['sesam.sync']}/plan/" in walked
    assert f"admin/sesam/secretstore/{everything['sesam.secretstore']}/test/" in walked
    trigger = everything["triggers.trigger"]
    assert f"admin/triggers/trigger/{trigger}/control/" in walked
    assert f"admin/triggers/firing/{everything['triggers.firing']}/release/" in walked
    assert f"admin/agents/agent/{everything['agents.agent']}/code/" in walked
    assert f"runs/{everything['runs.run']}/log.txt" in walked
    assert f"admin/repos/repository/{everything['repos.repository']}/compare/file/" in walked
