"""The hooks as forges call them: answers, who is believed, once and only once, and what is started."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.access.actor import Actor, Door
from apps.access.errors import Refused
from apps.environments.models import Deployment, Environment
from apps.repos.models import Repository
from apps.repos.services import repository_fetch
from apps.runs.models import Run
from apps.triggers import services, signatures
from apps.triggers.models import Delivery
from tests.support.gitrepo import GitRepo
from tests.triggers.conftest import SECRET, body_of, headers_of

pytestmark = [pytest.mark.django_db, pytest.mark.database]
Call = Callable[..., Any]
B = "b2" * 20


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What workers were rung for, by this app and by repos."""
    found: list[tuple[object, ...]] = []
    monkeypatch.setattr("apps.repos.services.fetch.ring", lambda *a: found.append(a))
    monkeypatch.setattr("apps.triggers.services.poll.ring", lambda *a: found.append(a))
    return found


URLS = {
    "github_push": "https://github.com/greenhouse/shop",
    "gitlab_push": "ssh://git@gitlab.shop.example/greenhouse/plants/shop.git",
    "gitea_push": "https://gitea.shop.example/Greenhouse/Shop.git",
    "bitbucket_push": "git@bitbucket.org:greenhouse/shop.git",
    "git_push": "file:///srv/git/shop.git",
}


@pytest.mark.parametrize("payload", URLS)
def test_a_push_deploys(staging: Environment, call: Call, payload: str) -> None:
    forge = payload.removesuffix("_push")
    Repository.objects.update(url=URLS[payload])
    answer = call(forge, payload)
    assert answer.status_code == 202, answer.content
    data = answer.json()
    run = Run.objects.get()
    assert data["runs"] == [run.pk]
    assert data["outcomes"] == [{"environment": "shop/staging", "run": run.pk, "text": f"run #{run.pk} started"}]
    deployment = Deployment.objects.get()
    assert (deployment.commit, deployment.ref, deployment.run_id) == (B, "main", run.pk)
    delivery = Delivery.objects.get()
    assert (delivery.forge, delivery.ref, delivery.after, delivery.pusher) == (forge, "refs/heads/main", B, "developer")
    assert list(delivery.runs.all()) == [run]
    assert delivery.handled_at


def test_the_form_that_github_can_send(staging: Environment, call: Call) -> None:
    body = urlencode({"payload": body_of("github_push").decode()}).encode()
    answer = call("github", body=body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 202
    assert Run.objects.count() == 1


def test_a_branch_with_slashes(staging: Environment, call: Call) -> None:
    Environment.objects.update(branch="feature/tulips/red")
    assert call("github", "github_forced").json()["runs"]
    assert Deployment.objects.get().branch in {"", "feature/tulips/red"}
    assert Deployment.objects.get().ref == "feature/tulips/red"


@pytest.mark.parametrize("payload", ["github_deleted", "github_tag", "github_first", "github_forced"])
def test_what_no_environment_deploys_is_fetched(
    staging: Environment, call: Call, rings: list[tuple[object, ...]], payload: str
) -> None:
    if payload == "github_deleted":
        Environment.objects.update(branch="feature/tulips")
    if payload == "github_tag":
        Environment.objects.update(branch="v1.2")
    answer = call("github", payload)
    assert answer.status_code == 202
    assert answer.json()["runs"] == []
    assert Run.objects.count() == 0
    assert rings == [("apps.repos.tasks.fetch", staging.repository_id)]


def test_several_changes_in_one_call(staging: Environment, call: Call) -> None:
    Repository.objects.update(url=URLS["bitbucket_push"])
    call("bitbucket", "bitbucket_push")
    delivery = Delivery.objects.get()
    assert [push["ref"] for push in delivery.pushes] == [
        "refs/heads/main",
        "refs/tags/v1.2",
        "refs/heads/feature/tulips",
    ]


def test_ping_is_answered(shop: Repository, call: Call) -> None:
    answer = call("github", "github_ping", event="ping")
    assert answer.status_code == 200
    assert Delivery.objects.count() == 0


@pytest.mark.parametrize("event", ["issues", "release", "workflow_run"])
def test_events_that_are_not_used(shop: Repository, call: Call, event: str) -> None:
    answer = call("github", "github_issue", event=event)
    assert (answer.status_code, answer.content) == (204, b"")
    assert Delivery.objects.count() == 0


def test_both_secrets_are_live(staging: Environment, shop: Repository, call: Call) -> None:
    actor = Actor(user=staging.deploy_as, door=Door.ADMIN)
    fresh = _renewed(shop, actor)
    for number, secret in enumerate((fresh, SECRET)):
        assert call("github", "github_push", secret=secret, delivery=str(number)).status_code == 202
    from apps.repos.services import webhook_secret_drop_old

    webhook_secret_drop_old(repository=shop, actor=actor)
    assert call("github", "github_push", secret=SECRET, delivery="3").status_code == 401
    assert call("github", "github_push", secret=fresh, delivery="4").status_code == 202


def _renewed(shop: Repository, actor: Actor) -> str:
    from apps.repos.services import webhook_secret_renew

    fresh = webhook_secret_renew(repository=shop, actor=actor)
    assert len(fresh) >= 32
    return fresh


def test_who_has_no_secret_learns_nothing(staging: Environment, call: Call, caplog: pytest.LogCaptureFixture) -> None:
    """The same answer, byte for byte, for a wrong secret, none, an unknown repository, one without a secret."""
    Repository.objects.create(name="bare", url="git@github.com:greenhouse/bare.git")
    caplog.set_level(logging.INFO)
    unknown = {"repository": {"full_name": "nobody/nothing", "clone_url": "https://github.com/nobody/nothing.git"}}
    bare = {"repository": {"full_name": "greenhouse/bare"}}
    answers = [
        call("github", "github_push", secret="wrong"),
        call("github", "github_push", headers={"X-GitHub-Event": "push"}),
        call("github", "github_push", headers={}),
        call("github", "github_push", changes=unknown),
        call("github", "github_push", changes=unknown, secret=""),
        call("github", "github_push", changes=bare, secret=""),
        call("github", "github_push", path="/hooks/github?repository=nothing"),
        call("github", "github_push", path="/hooks/github?repository=bare"),
        call("github", "github_ping", event="ping", secret="wrong"),
        call("github", "github_issue", event="issues", secret="wrong"),
        call("github", body=b"{}", secret="wrong"),
        call("github", "github_push", changes={"ref": 7}, secret="wrong"),
    ]
    seen = {(answer.status_code, answer.content, tuple(sorted(answer.headers.items()))) for answer in answers}
    assert len(seen) == 1
    assert answers[0].status_code == 401
    assert Delivery.objects.count() == 0
    assert "unknown repository" in caplog.text  # the operator's log may tell


def test_the_same_work_for_known_and_unknown(shop: Repository, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not measured, counted: secrets opened, signatures compared, and questions to the database."""
    from cryptography.fernet import MultiFernet

    from apps.triggers.services import deliver

    calls: list[str] = []
    deliver._decoy()
    real_decrypt, real = MultiFernet.decrypt, signatures.is_genuine
    shop.webhook_secret_old = "former"
    shop.save()
    monkeypatch.setattr(MultiFernet, "decrypt", lambda *a, **k: calls.append("open") or real_decrypt(*a, **k))
    monkeypatch.setattr(signatures, "is_genuine", lambda *a: calls.append("check") or real(*a))
    work = []
    for changes in ({}, {"repository": {"full_name": "nobody/nothing"}}):
        calls.clear()
        with CaptureQueriesContext(connection) as queries:
            assert call("github", "github_push", secret="wrong", changes=changes).status_code == 401
        work.append([*sorted(calls), len(queries)])
    assert work[0] == work[1] == ["check", "open", "open", 2]


def test_a_delivery_seen_before_does_nothing(staging: Environment, call: Call) -> None:
    first = call("github", "github_push", delivery="one")
    again = call("github", "github_push", delivery="one")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["runs"] == first.json()["runs"]
    assert again.json()["repeated"] is True
    assert (Run.objects.count(), Delivery.objects.count()) == (1, 1)
    assert call("github", "github_push", delivery="two").json()["runs"] == []  # it coalesces
    assert Delivery.objects.count() == 2


def test_a_delivery_without_a_number_is_known_by_its_body(staging: Environment, call: Call) -> None:
    for _ in range(2):
        call("git", "git_push")
    assert Delivery.objects.count() == 1
    call("git", "git_push", changes={"at": "later"})
    assert Delivery.objects.count() == 2


def test_a_delivery_that_could_not_be_finished_leaves_nothing(
    staging: Environment, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.triggers.services import deliver

    def broken(**_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(deliver, "pushes_handle", broken)
        with pytest.raises(ZeroDivisionError):
            call("github", "github_push", delivery="one")
    assert Delivery.objects.count() == 0
    assert call("github", "github_push", delivery="one").json()["runs"]  # sent again, it is new


def test_ten_pushes_ring_for_one_fetch(shop: Repository, call: Call, rings: list[tuple[object, ...]]) -> None:
    for number in range(10):
        call("github", "github_push", delivery=str(number))
    assert rings == [("apps.repos.tasks.fetch", shop.pk)]
    Repository.objects.update(fetch_rung_at=timezone.now() - timedelta(seconds=90))  # it was lost
    call("github", "github_push", delivery="late")
    assert len(rings) == 2


def test_pushes_ring_again_once_the_fetch_has_begun(
    shop: Repository, call: Call, rings: list[tuple[object, ...]], git_repo: Callable[..., GitRepo]
) -> None:
    code = git_repo("code")
    code.commit({"a": "1\n"})
    for number in range(3):
        call("github", "github_push", delivery=str(number))
    shop.url = code.declare().url  # somewhere that can be fetched
    repository_fetch(repository=shop)
    for number in range(3):
        call("github", "github_push", delivery=f"after{number}")
    assert rings == [("apps.repos.tasks.fetch", shop.pk)] * 2


def test_two_repositories_of_one_address_each_get_it_when_they_share_a_secret(staging: Environment, call: Call) -> None:
    Repository.objects.create(name="other", url="https://github.com/greenhouse/shop.git", webhook_secret=SECRET)
    Repository.objects.create(name="third", url="https://github.com/greenhouse/shop.git", webhook_secret="another")
    call("github", "github_push")
    assert set(Delivery.objects.values_list("repository__name", flat=True)) == {"shop", "other"}


def test_the_panels_own_name_in_the_query(staging: Environment, call: Call) -> None:
    Repository.objects.update(url="file:///srv/git/elsewhere.git")
    assert call("github", "github_push").status_code == 401
    assert call("github", "github_push", path="/hooks/github?repository=shop").status_code == 202


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ({"body": b"{"}, 400, "not JSON"),
        ({"body": b"[1]"}, 400, "no object"),
        ({"body": b"x=1", "content_type": "application/x-www-form-urlencoded"}, 400, "payload"),
        ({"payload": "github_push", "changes": {"ref": 7}}, 400, "ref"),
        ({"payload": "github_push", "changes": {"after": "$(id)"}}, 400, "commit"),
    ],
)
def test_bodies_that_cannot_be_read(
    shop: Repository, call: Call, options: dict[str, Any], status: int, says: str
) -> None:
    answer = call("github", **options)
    assert answer.status_code == status
    assert says in answer.json()["error"]


def test_other_methods_and_forges(client: Client, shop: Repository) -> None:
    for method in ("get", "put", "delete", "head"):
        assert getattr(client, method)("/hooks/github").status_code == 405
    assert client.post("/hooks/nowhere", b"{}", content_type="application/json").status_code == 404


def test_a_body_that_is_too_large(client: Client, shop: Repository, settings: Any) -> None:
    settings.HOOK_BODY_LIMIT = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = client.post("/hooks/github", b"x" * 1001, content_type="application/json")
    assert answer.status_code == 413
    assert client.post("/hooks/github", b"x" * 1000, content_type="application/json").status_code == 400


def test_deliveries_keep_no_secret(staging: Environment, call: Call) -> None:
    Repository.objects.update(url=URLS["gitea_push"])
    call("gitea", "gitea_push", changes={"note": f"it is {SECRET}"})
    kept = json.dumps(list(Delivery.objects.values()), default=str)
    assert SECRET not in kept
    assert "is-told-by-old-versions" not in kept
    assert "Sell tulips" in kept


def test_text_for_a_person_who_pushes(staging: Environment, call: Call) -> None:
    answer = call("git", "git_push", accept="text/plain")
    assert answer.status_code == 202
    assert answer.content.decode() == f"shop/staging: run #{Run.objects.get().pk} started\n"


def test_paused_and_refused_are_told(staging: Environment, call: Call) -> None:
    Environment.objects.update(deploy_as=User.objects.create_user("nobody"))
    text = call("github", "github_push").json()["outcomes"][0]["text"]
    assert text.startswith("refused: nobody lacks the right")
    assert Run.objects.count() == 0


def test_send_again(staging: Environment, call: Call, owner: User, outsider: User) -> None:
    call("github", "github_push", delivery="one")
    Run.objects.update(state="failed")
    delivery = Delivery.objects.get()
    with pytest.raises(Refused):
        services.delivery_resend(delivery=delivery, actor=Actor(user=outsider, door=Door.ADMIN))
    again = services.delivery_resend(delivery=delivery, actor=Actor(user=owner, door=Door.ADMIN))
    assert again.replay_of == delivery
    assert again.runs.count() == 1
    assert Run.objects.count() == 2


def test_prune(staging: Environment, call: Call, settings: Any) -> None:
    call("github", "github_push", delivery="one")
    call("github", "github_push", delivery="two")
    Delivery.objects.filter(delivery_id="one").update(received_at=timezone.now() - timedelta(days=31))
    assert services.deliveries_prune(timezone.now()) == 1
    assert Delivery.objects.get().delivery_id == "two"
    assert Run.objects.exists()


def test_few_questions_to_the_database(staging: Environment, call: Call) -> None:
    with CaptureQueriesContext(
        connection,
    ) as refused:
        call("github", "github_push", secret="wrong")
    assert len(refused) <= 3
    with CaptureQueriesContext(connection) as taken:
        call("github", "github_push")
    print(f"refused: {len(refused)} queries, deployed: {len(taken)}")
    assert len(taken) <= 60


def test_hook_needs_no_session_and_no_csrf(staging: Environment) -> None:
    strict = Client(enforce_csrf_checks=True)
    body = body_of("github_push")
    answer = strict.post("/hooks/github", body, content_type="application/json", headers=headers_of("github", body))
    assert answer.status_code == 202
    assert not answer.cookies
