"""Every page looked at in light, dark and on a phone, over rows made directly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.models import BusinessHours, Freeze
from apps.environments.models import Environment
from apps.repos.services import repository_fetch
from apps.runs.states import RunState
from tests.browser.conftest import Surfer
from tests.support.gitrepo import GitRepo
from tests.ui import rows

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LOOKS = ({}, {"dark": True}, {"phone": True}, {"phone": True, "dark": True})


def look_name(look: dict[str, bool]) -> str:
    return "-".join(name for name in ("phone", "dark") if look.get(name)) or "light"


@pytest.fixture
def busy(owner: User, git_repo: Callable[..., GitRepo]) -> Environment:
    """An installation in the middle of a working day; the environment returned has most to tell."""
    office = BusinessHours.objects.create(
        name="office", timezone="Europe/Paris", country="FR", weekly={"mon": "08:00-08:01"}
    )
    clusters = rows.fleet_make()
    repo = git_repo("shop")
    for number in range(56):
        subject = rows.SUBJECTS[number % len(rows.SUBJECTS)]
        repo.commit({f"page{number % 7}.html": f"<p>{number}</p>\n"}, subject, push=number == 55)
    shop = repo.declare()
    repository_fetch(repository=shop)
    blog, api = (rows.repository_make(name) for name in ("blog", "payments-api"))
    prod = rows.environment_make(
        shop,
        "prod",
        clusters,
        hours=office,
        order=2,
        auto_deploy=True,
        deploy_as=owner,
        auto_paused_at=timezone.now(),
        auto_paused_reason="Rolled back to 5f3a9c12 by alice.",
    )
    staging = rows.environment_make(shop, "staging", clusters[:1], order=1, auto_deploy=True, deploy_as=owner)
    for number in range(34):
        state = RunState.FAILED if number in (7, 19) else RunState.SUCCEEDED
        rows.deployment_make(
            prod,
            number,
            state=state,
            commit=repo.shas[number + 18],
            ago=timedelta(hours=100 - number * 2.7),
            took=9 + number * 7 % 13,
            hosts_total=6,
            hosts_failed=2 if state == RunState.FAILED else 0,
        )
    rows.deployment_make(staging, 40, ago=timedelta(minutes=50))
    running = rows.deployment_make(staging, 41, state=RunState.RUNNING, ago=timedelta(seconds=20))
    rows.steps_make(running.run, ["web-b1", "web-b2", "web-b3"], 4)
    rows.deployment_make(rows.environment_make(blog, "live", clusters[:1]), 50, ago=timedelta(days=40))
    rows.deployment_make(rows.environment_make(api, "prod", clusters), 61, state=RunState.FAILED)
    rows.environment_make(api, "demo", clusters)
    Freeze.objects.create(
        subject=api.subject, reason="Payment provider migrates tonight.", starts_at=timezone.now(), author_name="owner"
    )
    here = prod.deployed_commit
    rows.releases_make(prod, {"web-b1": here, "web-b2": here, "web-b3": here, "web-g1": here, "web-g2": repo.shas[50]})
    prod.host_releases.filter(host__name="web-g1").update(error="Connection timed out after 10 s (10.0.0.1:22).")
    kept = [
        {"commit": commit, "branch": "main", "folder": f"/srv/{commit[:8]}", "deployed_at": at}
        for commit, at in zip(repo.shas[50:47:-1], ("2026-11-19T10:00:00+00:00",) * 3, strict=True)
    ]
    prod.host_releases.update(releases=kept)
    Environment.objects.filter(pk=prod.pk).update(differs_since=timezone.now() - timedelta(hours=2))
    return prod


@pytest.fixture
def signed(surf: Callable[..., Surfer], live_server: object, owner: User) -> Callable[..., Surfer]:
    def enter(**look: bool) -> Surfer:
        surfer = surf(live_server.url, **look)  # type: ignore[attr-defined]
        surfer.enter("owner")
        return surfer

    return enter


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[3]], ids=look_name)  # each width and each colour once
def test_pages_hold_the_basics(busy: Environment, signed: Callable[..., Surfer], look: dict[str, bool]) -> None:
    surfer = signed(**look)
    pages = {
        "start": "/admin/",
        "control": f"/admin/environments/environment/{busy.pk}/control/",
        "environments": "/admin/environments/environment/",
        "configure": f"/admin/environments/environment/{busy.pk}/change/",
        "deployments": "/admin/environments/deployment/",
    }
    wrong = surfer.look_at(pages, look_name(look))
    assert not wrong, "\n".join(wrong)


def test_cards_on_a_phone_begin_with_their_title(busy: Environment, signed: Callable[..., Surfer]) -> None:
    """Where there is nothing to select, nothing says “Select record”."""
    surfer = signed(phone=True)
    first = "document.querySelector('#result_list .data-row').firstElementChild"
    label = f"getComputedStyle({first}, '::before').content"
    for name in ("environments/deployment", "repos/repository"):
        surfer.go(f"/admin/{name}/")
        assert surfer.page.evaluate(label) == "none", name
        assert surfer.page.evaluate(f"{first}.innerText.trim()"), name
        surfer.shoot(f"{name.split('/')[1]}-cards-phone", full=False)
    surfer.go("/admin/environments/host/")
    assert "elect record" in surfer.page.evaluate(label)
