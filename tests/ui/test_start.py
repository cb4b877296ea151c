"""The start page: what each person sees there, and at what price."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.access.levels import Level
from apps.access.models import BusinessHours
from apps.environments.models import Environment
from apps.repos.models import Repository
from apps.runs.states import RunState
from tests.support.cast import grant
from tests.triggers import rows as trigger_rows
from tests.ui import rows

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("page", ["/admin/", "/admin/start.json", "/admin/environments/environment/"])
@pytest.mark.parametrize("superuser", [True, False], ids=["owner", "teammate"])
def test_queries_do_not_grow(owner: User, teammate: User, page: str, superuser: bool) -> None:
    team = Group.objects.create(name="team")
    teammate.groups.add(team)
    user = owner if superuser else teammate
    counts = []
    for number in (5, 45):
        for environment in installation_more(number):
            grant(team, environment, Level.ACT)
        client = signed_in(user)
        client.get(page)
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(page)
        assert answer.status_code == 200
        counts.append(len(queries))
    assert Environment.objects.count() == 50
    assert counts[0] == counts[1], counts
    assert counts[1] <= 46


def installation_more(number: int) -> list[Environment]:
    """Ten repositories of five environments in all, made in two steps."""
    clusters = rows.fleet_make()
    hours, _ = BusinessHours.objects.get_or_create(name="office", defaults={"timezone": "UTC", "weekly": {}})
    start = Environment.objects.count()
    made = []
    for index in range(start, start + number):
        if index % 5 == 0:
            rows.repository_make(f"repo{index // 5}")
        repository = Repository.objects.get(name=f"repo{index // 5}")
        environment = rows.environment_make(repository, f"env{index}", clusters, hours=hours, auto_deploy=True)
        rows.deployment_make(environment, index)
        running = rows.deployment_make(environment, index + 1, state=RunState.RUNNING)
        rows.steps_make(running.run, ["web-b1"], 1)
        rows.freeze_make(environment)
        made.append(environment)
    return made


def test_environment_tells_what_goes_on(owner: User) -> None:
    (environment,) = installation_more(1)
    Environment.objects.filter(pk=environment.pk).update(
        auto_paused_at=timezone.now(), differs_since=timezone.now() - timedelta(hours=1)
    )
    html = signed_in(owner).get("/admin/").content.decode()
    for word in (rows.SUBJECTS[0], "Running", "1 of 3 steps", "Frozen", "Closed", "Auto-deploy paused", "Hosts differ"):
        assert word in html, word


def test_failure_is_counted(owner: User) -> None:
    environment = rows.environment_make(rows.repository_make())
    rows.deployment_make(environment, 1, state=RunState.FAILED)
    html = signed_in(owner).get("/admin/start.json").json()
    assert "<b>1</b><span>last run failed</span>" in html["start-figures"]
    assert "Failed" in html["start-board"]


def test_teammate_sees_only_what_is_shared(teammate: User) -> None:
    shop = rows.repository_make()
    prod, secret = (rows.environment_make(shop, name) for name in ("prod", "secret"))
    rows.deployment_make(prod, 1)
    rows.deployment_make(secret, 2)
    rows.environment_make(rows.repository_make("backoffice"), "live")
    grant(teammate, prod, Level.VIEW)
    client = signed_in(teammate)
    for page in ("/admin/", "/admin/start.json"):
        html = client.get(page).content.decode()
        assert "prod" in html
        assert "secret" not in html
        assert "backoffice" not in html
        assert rows.SUBJECTS[2] not in html


def test_outsider_gets_a_kind_word(outsider: User) -> None:
    rows.deployment_make(rows.environment_make(rows.repository_make()), 1)
    rows.freeze_make(None, "Nobody is told")
    html = signed_in(outsider).get("/admin/").content.decode()
    assert "Nothing is shared with you yet" in html
    assert "shop" not in html
    assert "Nobody is told" not in html


def test_empty_installation_says_what_to_do(owner: User) -> None:
    html = signed_in(owner).get("/admin/").content.decode()
    for word in ("Add an SSH key", "Add a host", "Add a repository", "Add an environment", "manage.py apply"):
        assert word in html


def test_global_freeze_stands_above(owner: User) -> None:
    rows.environment_make(rows.repository_make())
    rows.freeze_make(None, "Christmas")
    html = signed_in(owner).get("/admin/").content.decode()
    assert "Everything is frozen by Olga" in html
    assert "Christmas" in html


def test_live_part_asks_for_the_login(client: Client) -> None:
    assert client.get("/admin/start.json").status_code == 302


def test_root_leads_to_the_admin(client: Client) -> None:
    assert client.get("/")["Location"] == "/admin/"
    assert client.get("/favicon.ico").status_code == 302


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_error_pages_stand_alone(status: int) -> None:
    from django.template.loader import render_to_string

    html = render_to_string(f"{status}.html")
    assert html.count("<h1>") == 1
    assert f">{status}<" in html
    assert "<script" not in html


def test_missing_page_is_ours(client: Client) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_triggers_stand_on_the_board_as_far_as_they_are_seen(owner: User, teammate: User) -> None:
    web, secret = trigger_rows.trigger_make("web"), trigger_rows.trigger_make("zebrafish", enabled=False)
    web.agents.add(trigger_rows.agent_make(online=False))
    trigger_rows.agent_effect_make(trigger_rows.firing_make(web), web.agents.get(), RunState.FAILED)
    grant(teammate, web, Level.VIEW)
    for user, seen in ((owner, True), (teammate, False)):
        html = signed_in(user).get("/admin/").content.decode()
        for word in ("count 1", "0 of 1 agent connected", "No agent connected", "Failed"):
            assert word in html, word
        assert (str(secret) in html) is seen
    board = signed_in(owner).get("/admin/start.json").json()["start-triggers"]
    assert board.index("web") < board.index("zebrafish")  # what needs somebody comes first


def test_triggers_do_not_add_queries(owner: User) -> None:
    counts = []
    for first, last in ((0, 2), (2, 20)):
        for number in range(first, last):
            trigger = trigger_rows.trigger_make(f"job{number}")
            trigger.agents.add(trigger_rows.agent_make(f"agent{number}"))
            trigger_rows.agent_effect_make(trigger_rows.firing_make(trigger), trigger.agents.get(), RunState.RUNNING)
        client = signed_in(owner)
        client.get("/admin/start.json")
        with CaptureQueriesContext(connection) as queries:
            client.get("/admin/start.json")
        counts.append(len(queries))
    assert counts[0] == counts[1]
