"""The environments' list and form: who may open which, and what is refused before it does harm."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.html import conditional_escape

from apps.access.levels import Level
from apps.access.models import AuditEntry
from apps.access.permissions import level_of
from apps.environments.models import Cluster, Environment
from apps.runs.models import Run
from apps.runs.states import RunState
from tests.support.cast import grant
from tests.ui import rows

pytestmark = [pytest.mark.django_db]

LIST = "/admin/environments/environment/"


@pytest.fixture
def prod() -> Environment:
    return rows.environment_make(rows.repository_make(), "prod", rows.fleet_make())


@pytest.fixture
def configurer(client: Client, teammate: User, prod: Environment) -> Client:
    grant(teammate, prod, Level.CONFIGURE)
    client.force_login(teammate)
    return client


def form_of(environment: Environment, **changes: Any) -> dict[str, Any]:
    """What the browser sends when nothing but `changes` was touched."""
    fields = {
        "name": environment.name,
        "order": environment.order,
        "branch": environment.branch,
        "clusters": [cluster.pk for cluster in environment.clusters.all()],
        "target_path": environment.target_path,
        "remote_user": "",
        "method": environment.method,
        "keep_releases": 5,
        "shared_paths": "",
        "rsync_options": environment.rsync_options,
        "parallel": 20,
        "tolerated_failures": 0,
        "stop_grace": 5,
        "fail_on_tests": "on",
    }
    return fields | changes


def send(client: Client, environment: Environment, **changes: Any) -> Any:
    return client.post(f"{LIST}{environment.pk}/change/", form_of(environment, **changes))


def test_list_shows_only_what_is_shared(configurer: Client, prod: Environment) -> None:
    rows.environment_make(prod.repository, "secret")
    rows.deployment_make(prod, 1)
    html = configurer.get(LIST).content.decode()
    assert "shop/prod" in html
    assert rows.SUBJECTS[1] in html
    assert "secret" not in html
    assert f'href="{LIST}{prod.pk}/control/"' in html
    assert f'href="{LIST}{prod.pk}/change/"' in html


def test_list_offers_the_form_to_configurers_only(client: Client, teammate: User, prod: Environment) -> None:
    grant(teammate, prod, Level.ACT)
    client.force_login(teammate)
    html = client.get(LIST).content.decode()
    assert f'href="{LIST}{prod.pk}/control/"' in html
    assert f"{LIST}{prod.pk}/change/" not in html


def test_list_is_searched(configurer: Client, prod: Environment) -> None:
    assert "shop/prod" in configurer.get(LIST, {"q": "shop"}).content.decode()
    assert "control/" not in configurer.get(LIST, {"q": "nothing like it"}).content.decode()


def test_form_saves_and_returns_to_the_control_page(configurer: Client, prod: Environment) -> None:
    answer = send(configurer, prod, branch="release", shared_paths="uploads\n\n config/local.yml \n")
    assert answer["Location"] == f"{LIST}{prod.pk}/control/"
    prod.refresh_from_db()
    assert prod.branch == "release"
    assert prod.shared_paths == ["uploads", "config/local.yml"]
    assert AuditEntry.objects.filter(action="environment.change", actor="teammate").exists()


def test_saving_leaves_alone_what_work_keeps_on_the_row(prod: Environment) -> None:
    """A run that ended since the row was read must not be undone by whoever changes a setting."""
    Environment.objects.filter(pk=prod.pk).update(deployed_commit="a" * 40, wanted_commit="b" * 40)
    prod.name, prod.branch = "live", "release"
    prod.save_settings()
    prod.refresh_from_db()
    assert (prod.path, prod.branch) == ("shop/live", "release")
    assert (prod.deployed_commit, prod.wanted_commit) == ("a" * 40, "b" * 40)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("target_path", "srv/shop", "absolute path"),
        ("target_path", "/", "absolute path"),
        ("target_path", "/srv/../etc", "absolute path"),
        ("shared_paths", "/etc/passwd", "must lie within the release"),
        ("shared_paths", "ok\n../../etc", "must lie within the release"),
        ("rsync_options", "-az -e 'ssh -i x'", "-e"),
        ("rsync_options", "-az --rsync-path=/tmp/x", "--rsync-path"),
        ("rsync_options", "-az 'open", "quote"),
        ("name", "a b", "letters, digits"),
        ("keep_releases", "0", "greater than or equal to 1"),
        ("auto_deploy", "on", "need an account"),
    ],
)
def test_form_refuses(configurer: Client, prod: Environment, field: str, value: str, word: str) -> None:
    answer = send(configurer, prod, **{field: value})
    assert answer.status_code == 200
    messages = answer.context["adminform"].form.errors.get("deploy_as" if field == "auto_deploy" else field)
    assert len(messages) == 1
    assert word in messages[0]
    assert answer.content.decode().count(conditional_escape(messages[0])) == 1


def test_form_spells_the_folder_in_one_way(configurer: Client, prod: Environment) -> None:
    assert send(configurer, prod, target_path=" /srv//shop/ ").status_code == 302
    prod.refresh_from_db()
    assert prod.target_path == "/srv/shop"


def test_configurer_lends_nobody_elses_rights(
    configurer: Client, prod: Environment, owner: User, teammate: User
) -> None:
    refused = send(configurer, prod, auto_deploy="on", deploy_as=owner.pk)
    assert refused.status_code == 200
    assert "not one of the available choices" in refused.content.decode()
    assert send(configurer, prod, auto_deploy="on", deploy_as=teammate.pk).status_code == 302


def test_configurer_keeps_the_account_that_was_there(configurer: Client, prod: Environment, owner: User) -> None:
    Environment.objects.filter(pk=prod.pk).update(auto_deploy=True, deploy_as=owner)
    assert send(configurer, prod, auto_deploy="on", deploy_as=owner.pk).status_code == 302


def test_environment_cannot_change_its_repository(configurer: Client, prod: Environment) -> None:
    other = rows.repository_make("other")
    send(configurer, prod, repository=other.pk)
    prod.refresh_from_db()
    assert prod.repository.name == "shop"


def test_configurer_of_a_repository_adds_environments(client: Client, teammate: User, prod: Environment) -> None:
    client.force_login(teammate)
    assert client.get(f"{LIST}add/").status_code == 403
    grant(teammate, prod.repository, Level.CONFIGURE)
    rows.repository_make("other")
    html = client.get(f"{LIST}add/").content.decode()
    assert ">shop<" in html
    assert ">other<" not in html
    grant(teammate, prod, Level.CONFIGURE)
    made = client.post(f"{LIST}add/", form_of(prod, name="staging", repository=prod.repository_id))
    assert made.status_code == 302, made.context["adminform"].form.errors
    staging = Environment.objects.get(name="staging")
    assert level_of(teammate, staging) is Level.CONFIGURE
    assert AuditEntry.objects.get(action="grant").behind == "teammate"


def test_configurer_reaches_no_hosts_that_are_only_seen(configurer: Client, prod: Environment, teammate: User) -> None:
    """Who configures runs commands on the hosts: those of an environment that one may merely see are not offered."""
    away = Cluster.objects.create(name="away")
    other = rows.environment_make(rows.repository_make("other"), "prod", [away])
    grant(teammate, other, Level.ACT)
    chosen = [*prod.clusters.values_list("pk", flat=True), away.pk]
    assert send(configurer, prod, clusters=chosen).status_code == 200
    assert away not in prod.clusters.all()
    grant(teammate, other, Level.CONFIGURE)
    assert send(configurer, prod, clusters=chosen).status_code == 302
    assert away in prod.clusters.all()


def test_environment_at_work_is_not_deleted(client: Client, owner: User, prod: Environment) -> None:
    client.force_login(owner)
    work = rows.deployment_make(prod, 1, state=RunState.RUNNING, took=None)
    assert client.post(f"{LIST}{prod.pk}/delete/", {"post": "yes"}).status_code == 403
    above = f"/admin/repos/repository/{prod.repository_id}/delete/"
    client.post(above, {"post": "yes"})
    assert Environment.objects.filter(pk=prod.pk).exists()
    Run.objects.filter(pk=work.run_id).update(state=RunState.FAILED)
    assert client.post(f"{LIST}{prod.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Environment.objects.filter(pk=prod.pk).exists()


def test_same_name_twice_is_refused(client: Client, owner: User, prod: Environment) -> None:
    client.force_login(owner)
    answer = client.post(f"{LIST}add/", form_of(prod, repository=prod.repository_id))
    assert answer.status_code == 200
    assert "This repository has an environment of that name." in answer.content.decode()


def test_deployments_are_read_only(client: Client, owner: User, prod: Environment) -> None:
    deployment = rows.deployment_make(prod, 1)
    client.force_login(owner)
    page = f"/admin/environments/deployment/{deployment.pk}/"
    assert "shop/prod" in client.get("/admin/environments/deployment/").content.decode()
    assert client.post(f"{page}change/", {"commit": "x"}).status_code == 403
    assert client.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/environments/deployment/add/").status_code == 403


class Forms(HTMLParser):
    """Every form with its fields, and what is wrong with the page's structure."""

    def __init__(self) -> None:
        super().__init__()
        self.depth, self.posts, self.tokens = 0, 0, 0
        self.ids: list[str] = []
        self.wrong: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            if self.depth:
                self.wrong.append(f"a form in a form: {given.get('action')}")
            self.depth += 1
            self.posts += given.get("method") == "post"
        self.tokens += tag == "input" and given.get("name") == "csrfmiddlewaretoken"
        nameless = tag in {"input", "select", "textarea"} and self.depth and not given.get("name")
        if nameless and given.get("type") not in {"search", "submit", "checkbox"}:
            self.wrong.append(f"a field without a name: {given}")
        if given.get("id"):
            self.ids.append(given["id"] or "")
        self.inline += [f"{tag} {name}" for name in given if name.startswith("on")]
        if given.get("style"):
            self.inline.append(f"{tag} style")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "form"


def test_control_page_is_sound_html(client: Client, owner: User, prod: Environment) -> None:
    rows.deployment_make(prod, 1)
    rows.freeze_make(prod)
    client.force_login(owner)
    html = client.get(f"{LIST}{prod.pk}/control/").content.decode()
    forms = Forms()
    forms.feed(html.split('<div id="content"')[1])
    assert not forms.wrong
    assert not forms.inline
    assert forms.posts == forms.tokens > 2
    assert len(forms.ids) == len(set(forms.ids))
