"""A repository's pages: who sees what, and what the buttons do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.access.levels import Level
from apps.access.models import AuditEntry
from apps.environments.models import Environment
from apps.repos import services
from apps.repos.models import Repository
from apps.runs.presentation import subject_page
from tests.support.cast import grant
from tests.support.gitrepo import GitRepo

pytestmark = [pytest.mark.django_db, pytest.mark.database]
Factory = Callable[..., GitRepo]


@pytest.fixture
def shop(git_repo: Factory) -> GitRepo:
    shop = git_repo()
    shop.history(35, "Change <b>{}</b>")
    shop.tag("v1", "First")
    shop.branch("feature/x")
    shop.commit({"b": "1\n"}, "On a branch")
    return shop


@pytest.fixture
def repository(shop: GitRepo) -> Repository:
    repository = shop.declare()
    services.repository_fetch(repository=repository)
    repository.refresh_from_db()
    return repository


def url(name: str, repository: Repository) -> str:
    return reverse(f"admin:repos_repository_{name}", args=[repository.pk])


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    monkeypatch.setattr("apps.repos.services.fetch.ring", lambda *a: found.append(a))
    return found


def test_page_shows_commits_branches_and_tags(
    client: Client, owner: User, repository: Repository, shop: GitRepo
) -> None:
    client.force_login(owner)
    page = client.get(url("page", repository)).content.decode()
    for text in ("Change &lt;b&gt;34&lt;/b&gt;", "feature/x", "v1", shop.shas[34][:8], "Shop Coder", "/hooks/github"):
        assert text in page, text
    assert "Change &lt;b&gt;2&lt;/b&gt;" not in page
    second = client.get(url("page", repository), {"page": "2"}).content.decode()
    assert "Change &lt;b&gt;2&lt;/b&gt;" in second
    found = client.get(url("page", repository), {"search": "<b>7</b>"}).content.decode()
    assert "Change &lt;b&gt;7&lt;/b&gt;" in found
    assert "Change &lt;b&gt;8&lt;/b&gt;" not in found
    branch = client.get(url("page", repository), {"ref": "feature/x"}).content.decode()
    assert "On a branch" in branch


@pytest.mark.parametrize(
    "query",
    [{"ref": "nowhere"}, {"ref": "--all"}, {"page": "-1"}, {"page": "x"}, {"page": "9" * 50}, {"page": "9999"},
     {"search": "\x00"}, {"search": "--exec=x"}, {"ref": "\x00"}, {"ref": "é" * 500}],
)  # fmt: skip
def test_odd_queries(client: Client, owner: User, repository: Repository, query: dict[str, str]) -> None:
    client.force_login(owner)
    assert client.get(url("page", repository), query).status_code == 200
    assert client.get(url("compare", repository), {"old": query.get("ref", "x"), "new": "main"}).status_code == 200


def test_page_of_one_that_was_never_fetched(client: Client, owner: User, git_repo: Factory) -> None:
    client.force_login(owner)
    repository = git_repo().declare(url="git@git.shop.example:shop.git", fetch_error="<script>")
    page = client.get(url("page", repository)).content.decode()
    assert "No host key is pinned" in page
    assert "was not fetched yet" in page
    assert "<script>" not in page.replace("<script src", "")


def test_compare(client: Client, owner: User, repository: Repository, shop: GitRepo) -> None:
    client.force_login(owner)
    page = client.get(url("compare", repository), {"old": shop.shas[30], "new": "feature/x"}).content.decode()
    assert "On a branch" in page
    assert "<b>5</b>" in page
    wrong = client.get(url("compare", repository), {"old": "nope", "new": "main"}).content.decode()
    assert "has no branch" in wrong


def test_environments_are_those_one_sees(
    client: Client, owner: User, teammate: User, repository: Repository, shop: GitRepo
) -> None:
    seen = Environment.objects.create(
        repository=repository, name="staging", target_path="/srv/a", deployed_commit=shop.shas[34]
    )
    Environment.objects.create(repository=repository, name="hidden-prod", target_path="/srv/b")
    grant(teammate, seen, Level.VIEW)
    client.force_login(teammate)
    for address in (url("page", repository), reverse("admin:repos_repository_changelist")):
        page = client.get(address).content.decode()
        assert "staging" in page
        assert "hidden-prod" not in page


def test_who_only_sees_it(client: Client, teammate: User, repository: Repository) -> None:
    grant(teammate, repository, Level.VIEW)
    client.force_login(teammate)
    page = client.get(url("page", repository)).content.decode()
    for text in ("Fetch now", "/hooks/github", "Renew", "Configure</a>"):
        assert text not in page
    assert client.get(reverse("admin:repos_repository_change", args=[repository.pk])).url == url("page", repository)
    for act in ("fetch", "renew", "drop_old", "pin", "scan"):
        client.post(url(act, repository))
    repository.refresh_from_db()
    assert not repository.webhook_secret
    assert AuditEntry.objects.filter(allowed=False).count() >= 4


def test_a_run_leads_to_its_repository_s_page(repository: Repository) -> None:
    assert subject_page(repository.subject) == url("page", repository)


def test_outsiders_and_strangers_get_nothing(client: Client, outsider: User, repository: Repository) -> None:
    for address in ("page", "live", "compare", "patch"):
        assert client.get(url(address, repository)).status_code == 302
    client.force_login(outsider)
    for address in ("page", "live", "compare", "patch"):
        assert client.get(url(address, repository)).status_code == 404
    for act in ("fetch", "renew", "drop_old", "pin", "scan"):
        assert client.post(url(act, repository)).status_code == 404


def test_acts_are_posts(client: Client, owner: User, repository: Repository) -> None:
    client.force_login(owner)
    for act in ("fetch", "renew", "drop_old", "pin", "scan"):
        assert client.get(url(act, repository)).status_code == 405


def test_fetch_now(client: Client, owner: User, repository: Repository, rings: list[Any]) -> None:
    client.force_login(owner)
    assert client.post(url("fetch", repository)).status_code == 302
    assert rings == [("apps.repos.tasks.fetch", repository.pk)]


def test_secrets_are_shown_once_and_rotate(client: Client, owner: User, repository: Repository) -> None:
    client.force_login(owner)
    first = client.post(url("renew", repository))
    repository.refresh_from_db()
    secret = repository.webhook_secret
    assert secret in first.content.decode()
    assert "no-store" in first.headers["Cache-Control"]
    client.post(url("renew", repository))
    repository.refresh_from_db()
    assert repository.webhook_secret_old == secret
    for address in (url("page", repository), reverse("admin:repos_repository_change", args=[repository.pk])):
        page = client.get(address).content.decode()
        assert secret not in page
        assert repository.webhook_secret not in page
    client.post(url("drop_old", repository))
    repository.refresh_from_db()
    assert not repository.webhook_secret_old
    assert secret not in str(list(AuditEntry.objects.values()))


def test_form_takes_good_and_refuses_bad(client: Client, owner: User, rings: list[Any]) -> None:
    client.force_login(owner)
    add = reverse("admin:repos_repository_add")
    bad = client.post(add, {"name": "shop", "url": "https://developer:pass@shop.example/x.git", "host_keys": "rubbish"})
    assert "Put it into the token field" in bad.content.decode()
    assert "no public host key" in bad.content.decode()
    good = client.post(
        add, {"name": "shop", "url": "git@shop.example:x.git", "access_token": "t0ken", "webhook_secret": "s"}
    )
    repository = Repository.objects.get()
    assert good.url == url("page", repository)
    assert (repository.access_token, repository.webhook_secret) == ("t0ken", "s")
    assert rings == [("apps.repos.tasks.fetch", repository.pk)]
    Environment.objects.create(repository=repository, name="prod", target_path="/srv/a")
    change = reverse("admin:repos_repository_change", args=[repository.pk])
    client.post(change, {"name": "store", "url": repository.url})
    repository.refresh_from_db()
    assert repository.access_token == "t0ken"  # left blank: kept
    assert Environment.objects.get().path == "store/prod"


def test_configurer_gets_neither_the_token_nor_the_machine_s_folders(
    client: Client, teammate: User, rings: list[Any]
) -> None:
    repository = Repository.objects.create(name="shop", url="https://shop.example/a.git", access_token="t0ken")
    grant(teammate, repository, Level.CONFIGURE)
    client.force_login(teammate)
    change = reverse("admin:repos_repository_change", args=[repository.pk])

    def send(url: str, **more: str) -> Any:
        answer = client.post(change, {"name": "shop", "url": url, **more})
        return answer.context["adminform"].form.errors if answer.status_code == 200 else {}

    assert "enter its token" in str(send("https://elsewhere.example/a.git"))
    assert "enter its token" in str(send("https://shop.example:8443/a.git"))
    assert "Only an administrator" in str(send("file:///srv/git/secret.git", access_token_clear="on"))
    repository.refresh_from_db()
    assert repository.url == "https://shop.example/a.git"
    assert not send("https://shop.example/b.git")  # the same server: the token stays
    assert not send("https://elsewhere.example/a.git", access_token="another")


def test_list_is_quick(client: Client, owner: User, repository: Repository, django_assert_max_num_queries: Any) -> None:
    for number in range(10):
        Repository.objects.create(name=f"r{number}", url=f"https://shop.example/{number}.git")
    client.force_login(owner)
    with django_assert_max_num_queries(20):
        page = client.get(reverse("admin:repos_repository_changelist")).content.decode()
    assert "On a branch" in page
