"""Repositories without webhooks, looked at over file://: what is new is told once, and only what is new."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.environments.models import Deployment, Environment
from apps.repos.errors import GitError
from apps.repos.models import Repository
from apps.runs.models import Run
from apps.triggers import services
from apps.triggers.selectors import repositories_due
from tests.support.gitrepo import GitRepo
from tests.triggers.conftest import SECRET, body_of, headers_of

pytestmark = [pytest.mark.django_db, pytest.mark.database]
Factory = Callable[..., GitRepo]


@pytest.fixture
def till(git_repo: Factory) -> GitRepo:
    till = git_repo("till")
    till.commit({"a": "1\n"})
    return till


@pytest.fixture
def polled(till: GitRepo, staging: Environment) -> Repository:
    """`staging`'s repository, now at a real address and looked at every 5 minutes."""
    Repository.objects.update(url=till.url, poll_interval=300)
    return Repository.objects.get()


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    monkeypatch.setattr("apps.repos.services.fetch.ring", lambda *a: found.append(a))
    monkeypatch.setattr("apps.triggers.services.poll.ring", lambda *a: found.append(a))
    return found


def poll(repository: Repository) -> services.Handled | None:
    return services.repository_poll(repository_id=repository.pk)


def test_the_first_look_only_remembers(polled: Repository, till: GitRepo, rings: list[object]) -> None:
    handled = poll(polled)
    assert handled is not None
    assert handled.runs == []
    assert Run.objects.count() == 0
    polled.refresh_from_db()
    assert polled.polled_refs == {"refs/heads/main": till.shas[0]}
    assert rings == [("apps.repos.tasks.fetch", polled.pk)]


def test_what_is_new_deploys_once(polled: Repository, till: GitRepo, rings: list[object]) -> None:
    poll(polled)
    assert poll(polled) is None
    sha = till.commit({"a": "2\n"})
    handled = poll(polled)
    assert handled is not None
    assert len(handled.runs) == 1
    assert Deployment.objects.get().commit == sha
    assert poll(polled) is None
    assert Run.objects.count() == 1


def test_a_fetch_in_between_hides_nothing(polled: Repository, till: GitRepo, rings: list[object]) -> None:
    from apps.repos.services import repository_fetch

    poll(polled)
    till.commit({"a": "2\n"})
    repository_fetch(repository=polled)
    handled = poll(polled)
    assert handled is not None
    assert handled.runs


def test_what_a_webhook_told_is_no_news(polled: Repository, till: GitRepo, client: object, rings: list[object]) -> None:
    poll(polled)
    before, after = till.shas[0], till.commit({"a": "2\n"})
    body = body_of("git_push", before=before, after=after)
    answer = client.post("/hooks/git?repository=shop", body, "application/json", headers=headers_of("git", body))  # type: ignore[attr-defined]
    assert len(answer.json()["runs"]) == 1
    assert poll(polled) is None
    assert Run.objects.count() == 1
    assert SECRET


def test_forced_deleted_and_new_branches(polled: Repository, till: GitRepo, rings: list[object]) -> None:
    till.branch("feature/x")
    till.commit({"b": "1\n"})
    poll(polled)
    till.delete("feature/x")
    till.switch("main")
    till.git("reset", "-q", "--hard", till.shas[0])
    forced = till.commit({"a": "forced\n"})
    till.branch("other")
    till.push("other")
    handled = poll(polled)
    assert handled is not None
    assert Deployment.objects.get().commit == forced
    polled.refresh_from_db()
    assert set(polled.polled_refs) == {"refs/heads/main", "refs/heads/other"}


def test_an_error_is_kept_and_cleared(polled: Repository, till: GitRepo, rings: list[object]) -> None:
    poll(polled)
    away = till.bare.with_suffix(".away")
    till.bare.rename(away)
    with pytest.raises(GitError):
        poll(polled)
    polled.refresh_from_db()
    assert "no repository" in polled.fetch_error
    services.repositories_poll(ids=[polled.pk])  # quiet: one broken repository stops nothing
    services.repositories_poll(ids=[999_999])
    away.rename(till.bare)
    poll(polled)
    polled.refresh_from_db()
    assert polled.fetch_error == ""


def test_who_is_due(polled: Repository, owner: User) -> None:
    now = timezone.now()
    Repository.objects.create(name="never", url="https://shop.example/a.git")
    fresh = Repository.objects.create(name="fresh", url="https://shop.example/b.git", poll_interval=60, polled_at=now)
    assert [one.pk for one in repositories_due(now)] == [polled.pk]
    later = now + timedelta(seconds=61)
    assert [one.pk for one in repositories_due(later)] == [polled.pk, fresh.pk]


def test_due_ones_are_claimed_once(polled: Repository, rings: list[object]) -> None:
    now = timezone.now()
    assert services.polls_start_due(now) == [polled.pk]
    assert services.polls_start_due(now) == []
    assert rings == [("apps.triggers.tasks.poll", polled.pk)]
    assert services.polls_start_due(now + timedelta(seconds=299)) == []
    assert services.polls_start_due(now + timedelta(seconds=301)) == [polled.pk]


@pytest.mark.django_db(transaction=True)
def test_several_are_looked_at_together(polled: Repository, git_repo: Factory, rings: list[object]) -> None:
    others = []
    for name in ("one", "two", "three"):
        repo = git_repo(name)
        repo.commit({"a": "1\n"})
        others.append(repo.declare(poll_interval=60))
    services.repositories_poll(ids=[polled.pk, *(one.pk for one in others)])
    assert Repository.objects.filter(polled_refs__isnull=False).count() == 4
