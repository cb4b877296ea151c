"""The admin of hosts and clusters: who sees what, and what the buttons do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from apps.access.levels import Level
from apps.environments.models import Cluster, Environment, Host
from apps.repos.models import Repository
from tests.support.cast import grant
from tests.support.sshd import Fleet

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet(sshd_fleet: Callable[..., Fleet]) -> Fleet:
    return sshd_fleet(2)


@pytest.fixture
def hosts(fleet: Fleet, tmp_path: object) -> list[Host]:
    """web1 in the cluster blue of shop/prod; web2 in the cluster green of shop/secret."""
    hosts = fleet.declare()
    repository = Repository.objects.create(name="shop", url="file:///srv/git/shop.git")
    for host, name, color in zip(hosts, ("prod", "secret"), ("blue", "green"), strict=True):
        environment = Environment.objects.create(repository=repository, name=name, target_path=f"{fleet.disk}/{name}")
        cluster = Cluster.objects.create(name=color)
        cluster.hosts.set(hosts if color == "green" else [host])
        environment.clusters.set([cluster])
    return hosts


def page(host: Host, act: str = "page") -> str:
    return reverse(f"admin:environments_host_{act}", args=[host.pk])


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_owner_checks_a_host(owner: User, hosts: list[Host]) -> None:
    client = signed_in(owner)
    assert b"Never checked" in client.get(page(hosts[0])).content
    answer = client.post(page(hosts[0], "check"), follow=True)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "web1: Ready" in text
    assert "rsync version" in text
    listed = client.get(reverse("admin:environments_host_changelist")).content.decode()
    assert "Ready" in listed
    assert "Pinned" in listed


def test_owner_scans_and_pins_a_changed_key(owner: User, hosts: list[Host], fleet: Fleet) -> None:
    client = signed_in(owner)
    fleet[0].change_host_key()
    text = client.post(page(hosts[0], "scan")).content.decode()
    assert "The host key has changed." in text
    assert Host.objects.get(name="web1").host_key != fleet[0].host_key
    answer = client.post(page(hosts[0], "pin"), {"key": fleet[0].host_key}, follow=True)
    assert "from now on only the key SHA256:" in answer.content.decode()
    assert Host.objects.get(name="web1").host_key == fleet[0].host_key
    assert "no public host key" in client.post(page(hosts[0], "pin"), {"key": "x"}, follow=True).content.decode()


def test_page_of_a_host_that_is_down_or_unknown_to_us(owner: User, hosts: list[Host], fleet: Fleet) -> None:
    client = signed_in(owner)
    Host.objects.filter(pk=hosts[0].pk).update(host_key="")
    assert "Nobody has confirmed yet" in client.get(page(hosts[0])).content.decode()
    assert "It is the same: pin it" in client.post(page(hosts[0], "scan")).content.decode()
    fleet[0].stop()
    text = client.post(page(hosts[0], "scan")).content.decode()
    assert "Nothing listens" in text
    assert "Failed: reachable" in client.post(page(hosts[0], "check"), follow=True).content.decode()


@pytest.mark.parametrize("act", ["check", "scan", "pin"])
def test_buttons_are_posts(owner: User, hosts: list[Host], act: str) -> None:
    client = signed_in(owner)
    assert client.get(page(hosts[0], act)).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner)
    assert strict.post(page(hosts[0], act)).status_code == 403


def test_outsider_sees_no_host_and_no_cluster(outsider: User, hosts: list[Host]) -> None:
    client = signed_in(outsider)
    for host in hosts:
        assert client.get(page(host)).status_code == 404
        for act in ("check", "scan", "pin"):
            assert client.post(page(host, act)).status_code == 404
    for model in ("host", "cluster"):
        assert client.get(reverse(f"admin:environments_{model}_changelist")).status_code == 403
    assert b"Fleet" not in client.get(reverse("admin:index")).content


def test_teammate_sees_the_hosts_of_visible_environments_only(teammate: User, hosts: list[Host]) -> None:
    grant(teammate, Environment.objects.get(name="prod"), Level.VIEW)
    client = signed_in(teammate)
    text = client.get(reverse("admin:environments_host_changelist")).content.decode()
    assert "web1" in text
    assert "web2" not in text
    assert "green" not in text
    assert client.get(page(hosts[1])).status_code == 404
    text = client.get(page(hosts[0])).content.decode()
    assert "shop/prod" in text
    assert "shop/secret" not in text
    assert "green" not in text
    assert "Check host" not in text
    assert "Scan host key" not in text
    assert "Refused" in client.post(page(hosts[0], "check"), follow=True).content.decode()
    assert "may not change hosts" in client.post(page(hosts[0], "scan"), follow=True).content.decode()
    before = hosts[0].host_key
    client.post(page(hosts[0], "pin"), {"key": hosts[1].host_key})
    assert Host.objects.get(pk=hosts[0].pk).host_key == before
    clusters = client.get(reverse("admin:environments_cluster_changelist")).content.decode()
    assert "blue" in clusters
    assert "green" not in clusters
    change = reverse("admin:environments_host_change", args=[hosts[0].pk])
    assert client.post(change, {"name": "mine"}).status_code == 403


def test_teammate_who_may_deploy_checks_and_sees_only_his_targets(teammate: User, hosts: list[Host]) -> None:
    grant(teammate, Environment.objects.get(name="prod"), Level.IN_HOURS)
    text = signed_in(teammate).post(page(hosts[0], "check"), follow=True).content.decode()
    assert "web1: Ready" in text
    assert "/prod can be written" in text
    assert "secret" not in text


def test_host_manager_needs_only_djangos_permission(teammate: User, hosts: list[Host]) -> None:
    for name in ("change_host", "add_host"):
        teammate.user_permissions.add(Permission.objects.get(codename=name))
    client = signed_in(teammate)
    assert "web2" in client.get(reverse("admin:environments_host_changelist")).content.decode()
    assert client.get(page(hosts[1])).status_code == 200
    change = reverse("admin:environments_host_change", args=[hosts[1].pk])
    assert client.get(change).status_code == 200


def test_form_keeps_labels_as_words_and_refuses_bad_values(owner: User, hosts: list[Host]) -> None:
    client = signed_in(owner)
    change = reverse("admin:environments_host_change", args=[hosts[0].pk])
    form = client.get(change).context["adminform"].form
    data = {name: field.initial for name, field in form.fields.items()} | form.initial
    data = {name: value for name, value in data.items() if value not in (None, [], "")}
    answer = client.post(change, data | {"labels": "web, paris"})
    assert answer.status_code == 302, answer.context["errors"]
    assert answer["Location"] == page(hosts[0])
    assert Host.objects.get(pk=hosts[0].pk).labels == ["web", "paris"]
    assert "paris" in client.get(reverse("admin:environments_host_changelist") + "?q=paris").content.decode()
    text = client.post(change, data | {"host_key": "rubbish", "address": "-x"}).content.decode()
    assert "no public host key" in text
    assert "A host name or an IP address is needed." in text
    text = client.post(change, data | {"jump_host": hosts[0].pk}).content.decode()
    assert "go round in a circle" in text


def test_chosen_hosts_are_checked_at_once(owner: User, hosts: list[Host], fleet: Fleet) -> None:
    fleet[1].stop()
    data = {"action": "check_chosen", "_selected_action": [host.pk for host in hosts]}
    answer = signed_in(owner).post(reverse("admin:environments_host_changelist"), data, follow=True)
    text = answer.content.decode()
    assert "web1: Ready" in text
    assert "web2: Failed: reachable" in text


def test_cluster_form_offers_hosts(owner: User, hosts: list[Host]) -> None:
    client = signed_in(owner)
    change = reverse("admin:environments_cluster_change", args=[Cluster.objects.get(name="blue").pk])
    assert client.post(change, {"name": "blue", "hosts": [host.pk for host in hosts]}).status_code == 302
    assert Cluster.objects.get(name="blue").hosts.count() == 2
    found = client.get(
        reverse("admin:autocomplete"),
        {"term": "web2", "app_label": "environments", "model_name": "cluster", "field_name": "hosts"},
    ).json()
    assert [row["text"] for row in found["results"]] == ["web2"]
