"""What fires a trigger besides people: pushes, by branch and by changed paths, and the ends of other runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.access.models import AuditEntry
from apps.environments.models import Deployment, Environment
from apps.environments.services import deploy_request
from apps.repos.models import Repository
from apps.repos.services import repository_fetch
from apps.runs.models import Cause, Run
from apps.runs.services import run_settle
from apps.runs.services.reap import Watch
from apps.runs.states import RunState
from apps.triggers import services, tasks
from apps.triggers.models import Action, EndSource, Firing, PushSource, Trigger
from apps.triggers.services.ended import run_ended
from apps.triggers.services.pushed import firings_check_due
from apps.triggers.webhooks import PushEvent
from tests.support.gitrepo import GitRepo
from tests.support.runner import OPERATOR
from tests.triggers.firing import begun, ended, fire, trigger_with

pytestmark = pytest.mark.django_db
ZEROS = ""


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr("apps.repos.services.fetch.ring", lambda *given, **_: found.append(given))
    monkeypatch.setattr("apps.triggers.services.pushed.ring", lambda *given, **_: found.append(given))
    return found


def pushed(repository: Repository, branch: str = "main", before: str = "1" * 40, after: str = "2" * 40) -> Any:
    push = PushEvent(ref=f"refs/heads/{branch}", before=before, after=after, pusher="ana")
    return services.pushes_handle(repository=repository, pushes=[push], address="192.0.2.7")


def listens(trigger: Trigger, repository: Repository, **fields: Any) -> PushSource:
    return PushSource.objects.create(trigger=trigger, repository=repository, **fields)


def test_a_push_fires_the_triggers_of_its_branch(shop: Repository, rung: list[Any]) -> None:
    main, releases, off = trigger_with("web1"), trigger_with(name="releases"), trigger_with(name="off", enabled=False)
    listens(main, shop, branches=["main"])
    listens(releases, shop, branches=["release/*"])
    listens(off, shop)
    handled = pushed(shop)
    assert [(line["trigger"], line["text"]) for line in handled.lines] == [("web", "trigger web fired, count 1")]
    firing = Firing.objects.get()
    assert (firing.source, firing.cause, firing.by, firing.behind, firing.address) == (
        "push",
        "push",
        "panel",
        "ana",
        "192.0.2.7",
    )
    assert firing.payload == {
        "repository": "shop",
        "ref": "refs/heads/main",
        "branch": "main",
        "before": "1" * 40,
        "after": "2" * 40,
        "pusher": "ana",
    }
    assert firing.effects.get().run is not None
    pushed(shop, "release/2")
    assert Trigger.objects.get(name="releases").count == 1
    pushed(shop, "other", after=ZEROS)
    assert Firing.objects.count() == 2
    assert ("apps.repos.tasks.fetch", shop.pk) in rung


def test_pushes_of_several_branches_fire_once_for_each(shop: Repository, rung: list[Any]) -> None:
    second, first = trigger_with(name="second"), trigger_with(name="first")
    listens(first, shop, branches=["main"])
    listens(second, shop)
    listens(second, shop, branches=["ma*"])  # the same trigger twice
    pushes = [PushEvent(ref=f"refs/heads/{name}", before="1" * 40, after="2" * 40) for name in ("main", "dev")]
    handled = services.pushes_handle(repository=shop, pushes=pushes)
    assert [line["text"] for line in handled.lines] == [
        "trigger second fired, count 1",
        "trigger second fired, count 2",
        "trigger first fired, count 1",
    ]
    assert [firing.payload["branch"] for firing in second.firings.order_by("count")] == ["main", "dev"]


def test_a_push_that_the_gate_refuses_is_told(shop: Repository, rung: list[Any]) -> None:
    listens(trigger_with(rate_limit=1), shop)
    pushed(shop)
    handled = pushed(shop)
    assert "refused: The trigger web was fired 1 times" in handled.lines[0]["text"]
    assert AuditEntry.objects.filter(action="fire", allowed=False).count() == 1


def test_a_hook_tells_what_it_fired(call: Callable[..., Any], staging: Environment, shop: Repository) -> None:
    listens(trigger_with("web1"), shop)
    for _ in range(2):  # the same delivery twice
        answer = call("github", "github_push", delivery="d1")
        assert answer.status_code == 202
    assert "trigger web fired, count 1" in [line["text"] for line in answer.json()["outcomes"]]
    assert Trigger.objects.get().count == 1


class TestPaths:
    @pytest.fixture
    def repo(self, git_repo: Callable[..., GitRepo]) -> GitRepo:
        repo = git_repo("till")
        repo.commit({"README.md": "1\n", "web/a.js": "1\n"})
        return repo

    @pytest.fixture
    def till(self, repo: GitRepo, rung: list[Any]) -> Repository:
        repository = repo.declare()
        repository_fetch(repository=repository)
        return repository

    @staticmethod
    def checked(later: timedelta = timedelta(0)) -> Firing:
        """As the clock and a worker do it."""
        firings_check_due(timezone.now() + later)
        firing = Firing.objects.latest("pk")
        tasks.firings_check(firing.pk)
        firing.refresh_from_db()
        return firing

    def test_only_pushes_that_change_such_paths_fire(self, repo: GitRepo, till: Repository, rung: list[Any]) -> None:
        listens(trigger_with("web1"), till, paths=["web/**"])
        first = repo.shas[-1]
        second = repo.commit({"README.md": "2\n"})
        rung.clear()
        handled = pushed(till, before=first, after=second)
        assert handled.lines[0]["text"] == "trigger web fires if the push changes what it asks for"
        assert ("apps.repos.tasks.fetch", till.pk) in rung
        assert self.checked().state == "checking"  # the mirror has not the commit yet
        repository_fetch(repository=till)
        firing = self.checked()
        assert (firing.state, firing.count) == ("ignored", None)
        assert firing.text == "None of its 1 changed files is one that the trigger asks for."

        third = repo.commit({"web/a.js": "2\n"})
        pushed(till, before=second, after=third)
        repository_fetch(repository=till)
        firing = self.checked()
        assert (firing.state, firing.count, firing.text) == ("fired", 1, "")
        assert firing.effects.get().run is not None
        tasks.firings_check(firing.pk)
        assert Trigger.objects.get().count == 1

    def test_a_new_branch_has_changed_all_that_it_has(self, repo: GitRepo, till: Repository) -> None:
        listens(trigger_with(), till, paths=["web/**"])
        pushed(till, "feature", before="", after=repo.shas[-1])
        assert self.checked().state == "fired"

    def test_a_source_without_paths_goes_before_one_with(self, repo: GitRepo, till: Repository) -> None:
        trigger = trigger_with()
        listens(trigger, till, paths=["web/**"])
        listens(trigger, till, branches=["main"])
        pushed(till, after=repo.shas[-1])
        assert [firing.state for firing in Firing.objects.all()] == ["fired"]

    def test_a_commit_that_never_comes_is_given_up(self, till: Repository) -> None:
        listens(trigger_with(), till, paths=["web/**"])
        pushed(till)
        now, watch = timezone.now(), Watch()
        Repository.objects.update(fetched_at=None, fetch_error="no route to host")
        for seconds in range(0, 15 * 60, 4):
            firings_check_due(now + timedelta(seconds=seconds), watch)
        firing = Firing.objects.get()
        assert firing.state == "checking"
        for seconds in range(15 * 60, 16 * 60, 4):
            firings_check_due(now + timedelta(seconds=seconds), watch)
        firing.refresh_from_db()
        assert (firing.state, firing.text) == ("refused", "Which files changed could not be seen: no route to host")

    def test_while_the_panel_was_away_no_commit_is_given_up(self, repo: GitRepo, till: Repository) -> None:
        listens(trigger_with(), till, paths=["web/**"])
        first = repo.shas[-1]
        second = repo.commit({"web/a.js": "2\n"})
        pushed(till, before=first, after=second)
        Firing.objects.update(received_at=timezone.now() - timedelta(hours=3))
        Repository.objects.update(fetched_at=timezone.now() - timedelta(hours=4))
        assert self.checked().state == "checking"
        repository_fetch(repository=till)
        assert self.checked(timedelta(minutes=1)).state == "fired"

    def test_a_commit_that_is_not_there_any_more_is_ignored(self, till: Repository) -> None:
        listens(trigger_with(), till, paths=["web/**"])
        pushed(till)
        Firing.objects.update(received_at=timezone.now() - timedelta(minutes=2))
        Repository.objects.update(fetched_at=timezone.now())
        firing = self.checked(timedelta(minutes=1))
        assert (firing.state, "a later push has replaced it" in firing.text) == ("ignored", True)

    def test_what_is_looked_at_is_looked_at_ever_more_seldom(self, till: Repository, rung: list[Any]) -> None:
        listens(trigger_with(), till, paths=["web/**"])
        pushed(till)
        now = timezone.now()
        looks = [firings_check_due(now + timedelta(seconds=second)) for second in range(120)]
        assert 8 <= sum(looks) <= 40


class TestEnds:
    @pytest.fixture
    def deployed(self, staging: Environment) -> Run:
        run = deploy_request(environment=staging, actor=OPERATOR, cause=Cause.COMMAND, commit="4f2a" * 10).run
        assert run is not None
        return begun(run)

    def test_the_end_of_a_run_fires_once(self, deployed: Run, staging: Environment) -> None:
        trigger = trigger_with("web1")
        EndSource.objects.create(trigger=trigger, of=staging)
        ended(deployed)
        run_settle(run_id=deployed.pk)
        run_ended(Run.objects.get(pk=deployed.pk))  # as after a worker was killed
        firing = Firing.objects.get()
        assert (firing.count, firing.source, firing.by, firing.behind, firing.depth) == (
            1,
            "run",
            "panel",
            "operator",
            0,
        )
        assert firing.ended_run == deployed
        assert firing.payload["commit"] == "4f2a" * 10
        assert (firing.payload["of"], firing.payload["state"], firing.payload["run"]) == (
            "shop/staging",
            "succeeded",
            deployed.pk,
        )

    @pytest.mark.parametrize(("states", "count"), [([], 0), (["succeeded"], 0), (["failed", "lost"], 1)])
    def test_only_ends_that_are_asked_for_fire(
        self, deployed: Run, staging: Environment, states: list[str], count: int
    ) -> None:
        trigger = trigger_with()
        EndSource.objects.create(trigger=trigger, of=staging, states=states)
        run_ended(ended(deployed, RunState.FAILED))
        assert Trigger.objects.get().count == count

    def test_looks_and_previews_end_without_a_word(self, deployed: Run, staging: Environment) -> None:
        EndSource.objects.create(trigger=trigger_with(), of=staging)
        Run.objects.update(exclusive=False, kind="preview")
        run_ended(ended(Run.objects.get()))
        assert Firing.objects.count() == 0

    def test_the_commit_goes_on_to_the_next_environment(self, deployed: Run, staging: Environment, owner: User) -> None:
        prod = Environment.objects.create(
            repository=staging.repository, name="prod", branch="main", target_path="/srv/prod"
        )
        prod.clusters.set(staging.clusters.all())
        trigger = trigger_with()
        EndSource.objects.create(trigger=trigger, of=staging)
        Action.objects.create(trigger=trigger, kind="deploy", environment=prod, commit_from="/commit")
        run_ended(ended(deployed))
        tasks.firing_advance(Firing.objects.get().pk)
        assert Deployment.objects.get(environment=prod).commit == "4f2a" * 10

    def test_triggers_that_fire_each_other_come_to_an_end(self) -> None:
        ping, pong = trigger_with("web1", name="ping"), trigger_with("web1", name="pong")
        EndSource.objects.create(trigger=ping, of=pong)
        EndSource.objects.create(trigger=pong, of=ping)
        fire(ping)
        for _ in range(20):
            for run in Run.objects.filter(state="queued"):
                run_ended(ended(begun(run)))
        assert Firing.objects.count() == 9
        assert "in a circle" in AuditEntry.objects.filter(allowed=False).get().reasons[0]
