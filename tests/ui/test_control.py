"""The control page by level: who sees what, who may press what, and what is said when the answer is no."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.access.levels import Level
from apps.access.models import AuditEntry, BusinessHours, Freeze
from apps.environments.models import Deployment, Environment
from apps.runs.models import Run
from apps.runs.states import RunState
from tests.support.cast import grant
from tests.support.gitrepo import GitRepo
from tests.ui import rows

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PAGES = ("control/", "live/", "commits/", "between/", "change/", "grants/", "history/", "delete/")
ACTS = ("deploy", "rollback", "preview", "pause", "resume", "refresh")


@pytest.fixture
def prod() -> Environment:
    return rows.environment_make(rows.repository_make(), "prod", rows.fleet_make(), auto_deploy=True)


def address(environment: Environment, page: str) -> str:
    return f"/admin/environments/environment/{environment.pk}/{page}"


@pytest.fixture
def as_level(client: Client, teammate: User, prod: Environment) -> Callable[[Level], Client]:
    def sign_in(level: Level) -> Client:
        grant(teammate, prod, level)
        client.force_login(teammate)
        return client

    return sign_in


@pytest.mark.parametrize("page", PAGES)
def test_outsider_finds_nothing(client: Client, outsider: User, prod: Environment, page: str) -> None:
    client.force_login(outsider)
    answer = client.get(address(prod, page))
    assert answer.status_code in {302, 403, 404}
    assert b"shop" not in answer.content
    if page in {"control/", "live/", "commits/", "between/"}:
        assert answer.status_code == 404


@pytest.mark.parametrize("act", ACTS)
def test_outsider_cannot_act(client: Client, outsider: User, prod: Environment, act: str) -> None:
    client.force_login(outsider)
    assert client.post(address(prod, f"{act}/"), {"confirmed": "1"}).status_code == 404


def test_anonymous_is_sent_to_the_login(client: Client, prod: Environment) -> None:
    answer = client.get(address(prod, "control/"))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_viewer_sees_no_buttons(as_level: Callable[[Level], Client], prod: Environment) -> None:
    rows.deployment_make(prod, 1)
    html = as_level(Level.VIEW).get(address(prod, "control/")).content.decode()
    assert rows.SUBJECTS[1] in html
    for word in ("Deploy…", "Roll back", "Preview", "Refresh", "Configure", "Grants"):
        assert f">{word}<" not in html
    assert 'method="post"' not in html.split('id="content"')[1]


@pytest.mark.parametrize("act", ACTS)
def test_viewer_is_refused_and_recorded(as_level: Callable[[Level], Client], prod: Environment, act: str) -> None:
    rows.deployment_make(prod, 1)
    rows.deployment_make(prod, 2)
    runs = Run.objects.count()
    answer = as_level(Level.VIEW).post(address(prod, f"{act}/"), {"confirmed": "1", "reason": "no"})
    assert answer.status_code == 403
    assert "lacks the right “deploy_in_hours” on shop/prod" in answer.content.decode()
    assert Run.objects.count() == runs
    entry = AuditEntry.objects.get(actor="teammate", allowed=False)
    assert entry.subject == "shop/prod"


def test_deployer_sees_buttons_but_no_settings(as_level: Callable[[Level], Client], prod: Environment) -> None:
    html = as_level(Level.IN_HOURS).get(address(prod, "control/")).content.decode()
    assert ">Deploy…<" in html
    assert ">Preview<" in html
    assert ">Configure<" not in html
    assert as_level(Level.IN_HOURS).get(address(prod, "change/")).status_code in {200, 403}
    assert b'name="target_path"' not in as_level(Level.IN_HOURS).get(address(prod, "change/")).content


def test_configurer_gets_to_the_form_and_the_grants(as_level: Callable[[Level], Client], prod: Environment) -> None:
    client = as_level(Level.CONFIGURE)
    html = client.get(address(prod, "control/")).content.decode()
    assert ">Configure<" in html
    assert ">Grants<" in html
    assert b'name="target_path"' in client.get(address(prod, "change/")).content


def test_deploy_starts_a_run(as_level: Callable[[Level], Client], prod: Environment) -> None:
    answer = as_level(Level.IN_HOURS).post(address(prod, "deploy/"), {"confirmed": "1", "branch": "main"})
    deployment = Deployment.objects.get()
    assert answer.status_code == 302
    assert answer["Location"] == f"/admin/runs/run/{deployment.run_id}/change/"
    assert (deployment.ref, deployment.requested_name, deployment.state) == ("main", "teammate", "queued")


def test_deploy_to_one_cluster(as_level: Callable[[Level], Client], prod: Environment) -> None:
    form = {"confirmed": "1", "branch": "main", "target": "cluster:blue"}
    as_level(Level.ACT).post(address(prod, "deploy/"), form)
    assert Deployment.objects.get().target == "blue"


@pytest.mark.parametrize("target", ["cluster:other", "host:nowhere", "planet:mars", "blue"])
def test_deploy_to_a_strange_target(as_level: Callable[[Level], Client], prod: Environment, target: str) -> None:
    answer = as_level(Level.ACT).post(
        address(prod, "deploy/"), {"confirmed": "1", "branch": "main", "target": target}, follow=True
    )
    assert "is no cluster or host of shop/prod" in answer.content.decode()
    assert not Deployment.objects.exists()


def test_deploy_by_get_is_refused(as_level: Callable[[Level], Client], prod: Environment) -> None:
    client = as_level(Level.CONFIGURE)
    for act in ACTS:
        assert client.get(address(prod, f"{act}/")).status_code == 405


def test_deploy_needs_the_form_token(as_level: Callable[[Level], Client], prod: Environment, teammate: User) -> None:
    as_level(Level.ACT)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(teammate)
    assert strict.post(address(prod, "deploy/"), {"confirmed": "1"}).status_code == 403
    assert not Deployment.objects.exists()


def test_second_deploy_names_the_first(as_level: Callable[[Level], Client], prod: Environment) -> None:
    client = as_level(Level.ACT)
    client.post(address(prod, "deploy/"), {"confirmed": "1"})
    first = Deployment.objects.get()
    answer = client.post(address(prod, "deploy/"), {"confirmed": "1"}, follow=True)
    assert f"#{first.run_id}" in answer.content.decode()
    assert Deployment.objects.count() == 1


def test_deploy_asks_without_a_script(as_level: Callable[[Level], Client], git_repo: Callable[..., GitRepo]) -> None:
    """Without JavaScript the confirmation is a page that names commit and target."""
    environment, repo = mirrored(git_repo)
    teammate = User.objects.get(username="teammate") if User.objects.filter(username="teammate") else None
    assert teammate is not None
    grant(teammate, environment, Level.ACT)
    client = Client()
    client.force_login(teammate)
    answer = client.post(address(environment, "deploy/"), {"branch": "main", "target": "cluster:blue"})
    html = answer.content.decode()
    assert answer.status_code == 200
    assert repo.shas[-1][:8] in html
    assert "cluster:blue" in html
    assert not Deployment.objects.exists()


def mirrored(git_repo: Callable[..., GitRepo], commits: int = 10) -> tuple[Environment, GitRepo]:
    """An environment whose repository exists, with the mirror fetched."""
    from apps.repos.services import repository_fetch

    repo = git_repo("store")
    for number in range(commits):
        repo.commit({"index.html": f"<p>{number}"}, f"Change number {number}", push=number == commits - 1)
    repository = repo.declare()
    repository_fetch(repository=repository)
    repository.refresh_from_db()
    return rows.environment_make(repository, "prod", rows.fleet_make()), repo


def test_commits_are_paged_and_searched(client: Client, owner: User, git_repo: Callable[..., GitRepo]) -> None:
    environment, repo = mirrored(git_repo, 60)
    client.force_login(owner)
    first = client.get(address(environment, "commits/")).json()
    assert (len(first["commits"]), first["more"], first["page"]) == (50, True, 1)
    assert first["commits"][0] | {"at": ""} == {
        "sha": repo.shas[-1],
        "short": repo.shas[-1][:8],
        "subject": "Change number 59",
        "author": first["commits"][0]["author"],
        "at": "",
    }
    second = client.get(address(environment, "commits/"), {"page": "2"}).json()
    assert second["more"] is False
    assert not {commit["sha"] for commit in second["commits"]} & {commit["sha"] for commit in first["commits"]}
    found = client.get(address(environment, "commits/"), {"search": "number 42"}).json()
    assert [commit["subject"] for commit in found["commits"]] == ["Change number 42"]


@pytest.mark.parametrize("query", [{"branch": "nope"}, {"page": "0"}, {"page": "x"}, {"branch": "a;touch x"}])
def test_commits_of_nothing(
    client: Client, owner: User, git_repo: Callable[..., GitRepo], query: dict[str, str]
) -> None:
    environment, _ = mirrored(git_repo)
    client.force_login(owner)
    answer = client.get(address(environment, "commits/"), query)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_between_counts_commits_and_files(client: Client, owner: User, git_repo: Callable[..., GitRepo]) -> None:
    environment, repo = mirrored(git_repo)
    client.force_login(owner)
    assert "first deployment" in client.get(address(environment, "between/")).json()["html"]
    Environment.objects.filter(pk=environment.pk).update(deployed_commit=repo.shas[-6])
    told = client.get(address(environment, "between/"), {"ref": "main"}).json()
    assert (told["added"], told["removed"], told["files"], told["same"]) == (5, 0, 1, False)
    back = client.get(address(environment, "between/"), {"ref": repo.shas[-8]}).json()
    assert (back["added"], back["removed"]) == (0, 2)
    Environment.objects.filter(pk=environment.pk).update(deployed_commit="f" * 40)
    lost = client.get(address(environment, "between/"), {"ref": "main"}).json()
    assert lost["compared"] is False
    assert "no longer in the repository" in lost["html"]


def test_page_without_a_mirror_still_takes_a_ref(as_level: Callable[[Level], Client], prod: Environment) -> None:
    html = as_level(Level.ACT).get(address(prod, "control/")).content.decode()
    assert "The commits cannot be listed." in html
    assert 'name="ref"' in html


# --- the gate on the page -------------------------------------------------------------------------


@pytest.fixture
def closed(prod: Environment) -> Environment:
    """Hours that have just ended on every day of the week."""
    prod.hours = BusinessHours.objects.create(
        name="never", timezone="UTC", weekly={}, open={"2090-01-01": "08:00-09:00"}
    )
    prod.save()
    return prod


def test_closed_hours_name_the_rule(as_level: Callable[[Level], Client], closed: Environment) -> None:
    html = as_level(Level.IN_HOURS).get(address(closed, "control/")).content.decode()
    assert "Outside business hours." in html
    assert "disabled>Deploy…" in html
    assert "Override and deploy" not in html
    assert as_level(Level.IN_HOURS).post(address(closed, "deploy/"), {"confirmed": "1"}).status_code == 403


def test_deploy_when_it_opens_waits(as_level: Callable[[Level], Client], prod: Environment) -> None:
    Freeze.objects.create(
        reason="Sale", starts_at=timezone.now(), ends_at=timezone.now() + timezone.timedelta(hours=5), author_name="o"
    )
    client = as_level(Level.ACT)
    html = client.get(address(prod, "control/")).content.decode()
    assert "Deploy when it opens" in html
    client.post(address(prod, "deploy/"), {"confirmed": "1", "when_open": "1"})
    run = Deployment.objects.get().run
    assert run is not None
    assert run.state == RunState.WAITING
    page = client.get(address(prod, "control/")).content.decode()
    assert f"Deploy #{run.pk} waits until" in page


def test_freeze_banner_says_who_and_why(as_level: Callable[[Level], Client], prod: Environment) -> None:
    Freeze.objects.create(subject=prod.subject, reason="Audit week", starts_at=timezone.now(), author_name="Olga")
    html = as_level(Level.VIEW).get(address(prod, "control/")).content.decode()
    assert "shop/prod is frozen by Olga, until someone ends it." in html
    assert "Audit week" in html


def test_superuser_overrides_with_a_reason(client: Client, owner: User, closed: Environment) -> None:
    client.force_login(owner)
    assert "Override and deploy" in client.get(address(closed, "control/")).content.decode()
    silent = client.post(address(closed, "deploy/"), {"confirmed": "1", "overriding": "1"}, follow=True)
    assert "say why" in silent.content.decode()
    client.post(address(closed, "deploy/"), {"confirmed": "1", "overriding": "1", "override": "Shop is down"})
    run = Deployment.objects.get().run
    assert run is not None
    assert run.override_reason == "Shop is down"


def test_override_of_a_teammate_counts_for_nothing(as_level: Callable[[Level], Client], closed: Environment) -> None:
    form = {"confirmed": "1", "overriding": "1", "override": "I want to"}
    assert as_level(Level.IN_HOURS).post(address(closed, "deploy/"), form).status_code == 403


def test_paused_auto_deploy_is_resumed(as_level: Callable[[Level], Client], prod: Environment) -> None:
    client = as_level(Level.IN_HOURS)
    client.post(address(prod, "pause/"), {"reason": "Looking into it"})
    assert "Looking into it" in client.get(address(prod, "control/")).content.decode()
    client.post(address(prod, "resume/"))
    prod.refresh_from_db()
    assert prod.auto_paused_at is None


def test_rollback_from_the_page(as_level: Callable[[Level], Client], prod: Environment) -> None:
    rows.deployment_make(prod, 1)
    rows.deployment_make(prod, 2)
    client = as_level(Level.ACT)
    asked = client.post(address(prod, "rollback/"), {"commit": rows.sha(1)})
    assert asked.status_code == 200
    assert rows.sha(1)[:8] in asked.content.decode()
    answer = client.post(address(prod, "rollback/"), {"commit": rows.sha(1), "confirmed": "1"})
    newest = Deployment.objects.first()
    assert newest is not None
    assert answer["Location"] == f"/admin/runs/run/{newest.run_id}/change/"
    assert (newest.action, newest.commit) == ("rollback", rows.sha(1))
    prod.refresh_from_db()
    assert prod.auto_paused_at is not None


def test_preview_comes_back_to_the_page(as_level: Callable[[Level], Client], prod: Environment) -> None:
    client = as_level(Level.IN_HOURS)
    answer = client.post(address(prod, "preview/"), {"branch": "main", "target": "host:web-b1"})
    run = Run.objects.get(kind="preview")
    assert f"preview={run.pk}" in answer["Location"]
    page = client.get(answer["Location"]).content.decode()
    assert "Asking the repository and the hosts." in page
    result = {
        "commit": rows.sha(5),
        "subject": "Show the price",
        "hosts": {"web-b1": {"commit": rows.sha(4), "added": 3, "changed": 2, "deleted": 0}},
        "gate": {"allowed": True, "rules": []},
    }
    Run.objects.filter(pk=run.pk).update(result=result, state="succeeded", ended_at=timezone.now())
    part = client.get(address(prod, f"preview/{run.pk}/")).json()["control-preview"]
    assert "data-ended" in part
    assert "Show the price" in part


def test_preview_of_another_environment_is_not_shown(as_level: Callable[[Level], Client], prod: Environment) -> None:
    other = rows.environment_make(prod.repository, "secret")
    run = rows.deployment_make(other, 3).run
    client = as_level(Level.CONFIGURE)
    assert client.get(address(prod, f"preview/{run.pk}/")).status_code == 404
    assert "Preview of" not in client.get(address(prod, f"control/?preview={run.pk}")).content.decode()


def test_hosts_tell_what_they_run(as_level: Callable[[Level], Client], prod: Environment) -> None:
    rows.deployment_make(prod, 1)
    rows.deployment_make(prod, 2)
    rows.releases_make(prod, {"web-b1": rows.sha(2), "web-b2": rows.sha(1)})
    prod.host_releases.filter(host__name="web-b2").update(branch="fix")
    html = as_level(Level.VIEW).get(address(prod, "control/")).content.decode()
    for word in ("In sync", "Differs", "Unknown", "1 of 3 in sync"):
        assert word in html


def test_history_is_paged(as_level: Callable[[Level], Client], prod: Environment) -> None:
    for number in range(17):
        rows.deployment_make(prod, number)
    client = as_level(Level.VIEW)
    first = client.get(address(prod, "control/")).content.decode()
    assert "Page 1 of 2" in first
    assert "How long the last 17 deployments took" in first
    assert "Page 2 of 2" in client.get(address(prod, "control/?page=2")).content.decode()
    assert "Page 2 of 2" in client.get(address(prod, "control/?page=99")).content.decode()
    assert "Page 1 of 2" in client.get(address(prod, "control/?page=x")).content.decode()


def test_live_parts_are_those_of_the_level(as_level: Callable[[Level], Client], prod: Environment) -> None:
    rows.deployment_make(prod, 1, state=RunState.RUNNING)
    told = as_level(Level.VIEW).get(address(prod, "live/")).json()
    assert set(told) == {"control-head", "control-banners", "control-running", "control-fleet"}
    assert "Deploying" in told["control-head"]
    assert "csrfmiddlewaretoken" not in "".join(told.values())
    more = as_level(Level.IN_HOURS).get(address(prod, "live/")).json()
    assert {"control-gate", "control-releases"} < set(more)


def test_hostile_words_are_escaped(as_level: Callable[[Level], Client], prod: Environment) -> None:
    rows.deployment_make(prod, 1)
    prod.deployments.update(commit_subject="<script>alert(1)</script>", requested_name='"><img src=x>')
    html = as_level(Level.ACT).get(address(prod, "control/")).content.decode()
    assert "<script>alert(1)" not in html
    assert "<img src=x>" not in html
