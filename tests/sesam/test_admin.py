"""Nodes, syncs and secret stores in the admin: who may open which, and what is refused before it does harm."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.access.fields import is_set
from apps.access.levels import Level
from apps.access.models import AuditEntry
from apps.access.permissions import level_of
from apps.repos.models import Repository
from apps.runs.states import RunState
from apps.sesam.forms import is_elsewhere
from apps.sesam.models import ExtraNode, Node, SecretStore, StoredSecret
from tests.fakes.vault import FakeVault
from tests.sesam import rows
from tests.support.cast import grant
from tests.ui.rows import repository_make

pytestmark = [pytest.mark.django_db]

LIST = "/admin/sesam/node/"
STORES = "/admin/sesam/secretstore/"


@pytest.fixture
def node(db: None) -> Node:
    return rows.node_make("dev")


@pytest.fixture
def configurer(client: Client, teammate: User, node: Node) -> Client:
    grant(teammate, node, Level.CONFIGURE)
    client.force_login(teammate)
    return client


@pytest.fixture
def vault(db: None) -> SecretStore:
    return SecretStore.objects.create(
        name="vault", url="https://vault.example:8200", mount="kv", token="hvs.unmistakable"
    )


@pytest.fixture
def keeper(client: Client, outsider: User) -> Client:
    """Someone with Django's own permissions on secret stores."""
    outsider.user_permissions.set(Permission.objects.filter(content_type__model__in=["secretstore", "storedsecret"]))
    client.force_login(outsider)
    return client


def form_of(node: Node, **changes: Any) -> dict[str, Any]:
    """What the browser sends when nothing but `changes` was touched."""
    fields = {
        "name": node.name, "repository": node.repository_id or "", "branch": node.branch, "enabled": "on",
        "url": node.url, "jwt": "", "ca_bundle": "", "verify_tls": "on",
        "layout": node.layout, "sync_root": node.sync_root, "environment": node.environment,
        "variables_files": "", "whitelist_file": "", "config_group": "",
        "verify": node.verify, "upload": node.upload, "secret_store": node.secret_store_id or "",
        "protected": "", "ignore": "", "apply_mode": node.apply_mode, "interval": "60", "sync_as": "",
        "removal_limit": "10", "removal_share": "20", "keep_snapshots": "20", "snapshot_days": "90",
        "extras-TOTAL_FORMS": "0", "extras-INITIAL_FORMS": "0",
    }  # fmt: skip
    return {key: value for key, value in (fields | changes).items() if value is not None}


def send(client: Client, node: Node, **changes: Any) -> Any:
    return client.post(f"{LIST}{node.pk}/change/", form_of(node, **changes))


def errors_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.headers
    form = answer.context["adminform"].form
    inline = [one.formset for one in answer.context["inline_admin_formsets"]]
    told = [form.errors.as_text(), *(f"{one.errors} {one.non_form_errors()}" for one in inline)]
    return unescape(" ".join(told))


def extra_form(**fields: Any) -> dict[str, Any]:
    wanted = {"name": "eidsiva", "template_path": "extra_nodes/eidsiva/", "repository": "", "branch": "", "node": ""}
    return {"extras-TOTAL_FORMS": "1"} | {f"extras-0-{name}": value for name, value in (wanted | fields).items()}


# --- nodes --------------------------------------------------------------------------------------


def test_list_shows_only_what_is_shared(configurer: Client, node: Node) -> None:
    rows.node_make("hidden-one")
    rows.sync_make(node, 1)
    html = configurer.get(LIST).content.decode()
    assert f'href="{LIST}{node.pk}/control/"' in html
    assert f'href="{LIST}{node.pk}/change/"' in html
    assert rows.SUBJECTS[1] in html
    assert "hidden-one" not in html


@pytest.mark.database
@pytest.mark.parametrize("who", ["owner", "teammate"])
def test_list_asks_as_often_for_many(client: Client, request: pytest.FixtureRequest, node: Node, who: str) -> None:
    person = request.getfixturevalue(who)
    client.force_login(person)

    def more(numbers: range) -> None:
        for number in numbers:
            made = rows.node_make(f"node-{number}")
            grant(person, made, Level.CONFIGURE)
            rows.sync_make(made, number)
            fed = rows.node_make(f"fed-{number}")
            Node.objects.filter(pk=fed.pk).update(repository=None)
            grant(person, fed, Level.VIEW)
            ExtraNode.objects.create(master=made, name=f"fed-{number}", template_path="extra_nodes/x/", node=fed)

    def count() -> int:
        with CaptureQueriesContext(connection) as found:
            assert client.get(LIST).status_code == 200
        return len(found)

    more(range(2))
    before = count()
    more(range(2, 10))
    assert count() == before


@pytest.mark.parametrize(
    "query", ["?q=dev", "?state__exact=in_sync", "?apply_mode__exact=manual", "?layout__exact=single"]
)
def test_list_is_searched_and_filtered(configurer: Client, node: Node, query: str) -> None:
    assert f"{LIST}{node.pk}/control/" in configurer.get(f"{LIST}{query}").content.decode()


def test_form_saves_lists_as_lines(configurer: Client, node: Node) -> None:
    assert (
        send(configurer, node, protected="watcher\n\n other ", ignore="a#/b\r\nc", variables_files="none").status_code
        == 302
    )
    node.refresh_from_db()
    assert (node.protected, node.ignore, node.variables_files) == (["watcher", "other"], ["a#/b", "c"], ["none"])
    assert node.jwt == rows.TOKEN


def test_form_saves_what_to_verify(configurer: Client, node: Node) -> None:
    send(configurer, node, verify=["variables"], upload=["variables"])
    node.refresh_from_db()
    assert (node.verify, node.upload) == (["variables"], ["variables"])
    assert "choose where they come from" in errors_of(send(configurer, node, upload=["secrets"]))


def test_form_refuses_an_ignore_rule_that_cannot_be_read(configurer: Client, node: Node) -> None:
    assert "names no id" in errors_of(send(configurer, node, ignore="#/a"))


def test_form_keeps_what_work_wrote_meanwhile(configurer: Client, node: Node) -> None:
    configurer.get(f"{LIST}{node.pk}/change/")
    Node.objects.filter(pk=node.pk).update(applied_commit="f" * 40, state="drifted")
    send(configurer, node, sync_root="elsewhere")
    node.refresh_from_db()
    assert (node.applied_commit, node.state, node.sync_root) == ("f" * 40, "drifted", "elsewhere")


@pytest.mark.parametrize("url", ["https://evil.example/api", "http://dev.example/api", "https://dev.example:8443/api",
                                 "https://dev.example/other/api"])  # fmt: skip
def test_token_is_not_sent_elsewhere(configurer: Client, node: Node, url: str) -> None:
    assert "enter the node's token anew" in errors_of(send(configurer, node, url=url))
    node.refresh_from_db()
    assert node.url == "https://dev.example/api"
    assert send(configurer, node, url=url, jwt="another-token").status_code == 302
    node.refresh_from_db()
    assert node.jwt == "another-token"


@pytest.mark.parametrize("url", ["https://user:secret@dev.example/api", "https://dev.example/api?token=x",
                                 "dev.example", "file:///etc/passwd", "https:///api", "https://[::1"])  # fmt: skip
def test_address_that_is_none_is_refused(configurer: Client, node: Node, url: str) -> None:
    assert "address is needed" in errors_of(send(configurer, node, url=url, jwt="another-token"))


@pytest.mark.parametrize("change", [{"verify_tls": None}, {"ca_bundle": "-----BEGIN CERTIFICATE-----\nmine"}])
def test_token_is_not_shown_to_whom_nobody_vouched_for(
    configurer: Client, node: Node, vault: SecretStore, change: dict[str, Any]
) -> None:
    """With that and a hand on the way to the node, its token and secrets could be read."""
    assert "enter the node's token anew" in errors_of(send(configurer, node, **change))
    Node.objects.filter(pk=node.pk).update(secret_store=vault, upload=["secrets"])
    node.refresh_from_db()
    answer = errors_of(send(configurer, node, **change, jwt="mine"))
    assert "enter the node's token anew" not in answer
    assert "this store's secrets would go there" in answer
    Node.objects.filter(pk=node.pk).update(secret_store=None, upload=[])
    node.refresh_from_db()
    assert send(configurer, node, **change, jwt="mine").status_code == 302


def test_trust_that_is_only_tightened_keeps_the_token(configurer: Client, node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(verify_tls=False)
    node.refresh_from_db()
    assert send(configurer, node, ca_bundle="-----BEGIN").status_code == 302
    node.refresh_from_db()
    assert node.verify_tls
    assert send(configurer, node, ca_bundle="  -----BEGIN\r\n").status_code == 302


def test_stores_secrets_are_not_lent_to_another_repository(
    configurer: Client, node: Node, vault: SecretStore, teammate: User
) -> None:
    Node.objects.filter(pk=node.pk).update(secret_store=vault, upload=["secrets"])
    node.refresh_from_db()
    mine = repository_make("mine")
    grant(teammate, mine, Level.CONFIGURE)
    assert "another repository would say what for" in errors_of(send(configurer, node, repository=mine.pk))
    teammate.user_permissions.add(Permission.objects.get(codename="change_secretstore"))
    assert send(configurer, node, repository=mine.pk).status_code == 302


def test_token_does_not_outlive_an_emptied_address(configurer: Client, node: Node) -> None:
    """In two steps it is not sent elsewhere, either."""
    ci = {"layout": "multi", "environment": "ci", "url": ""}
    assert "enter the node's token anew" in errors_of(send(configurer, node, **ci))
    assert send(configurer, node, **ci, jwt_clear="on").status_code == 302
    node.refresh_from_db()
    assert not is_set(node, "jwt")


@pytest.mark.parametrize("url", ["https://dev.example/api/", "https://DEV.example:443", "https://dev.example"])
def test_same_address_spelled_otherwise_keeps_the_token(configurer: Client, node: Node, url: str) -> None:
    assert send(configurer, node, url=url).status_code == 302


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("", "", False), ("", "https://a", True), ("https://a", "", True), ("https://a", "https://a/api", False),
     ("https://a", "https://[::1", True), ("https://a", "https://a?x", True)],
)  # fmt: skip
def test_is_elsewhere(before: str, after: str, expected: bool) -> None:
    assert is_elsewhere(before, after) is expected


def test_anothers_store_is_not_aimed_elsewhere(configurer: Client, node: Node, vault: SecretStore) -> None:
    Node.objects.filter(pk=node.pk).update(secret_store=vault, upload=["secrets"])
    node.refresh_from_db()
    evil: dict[str, Any] = {"url": "https://evil.example/api", "jwt": "mine"}
    assert "this store's secrets would go there" in errors_of(send(configurer, node, **evil))
    assert send(configurer, node, **evil, secret_store="", upload=None).status_code == 302


def test_stores_are_chosen_by_those_who_may_change_them(
    configurer: Client, node: Node, vault: SecretStore, teammate: User
) -> None:
    assert "Select a valid choice" in errors_of(send(configurer, node, secret_store=vault.pk))
    teammate.user_permissions.add(Permission.objects.get(codename="change_secretstore"))
    assert send(configurer, node, secret_store=vault.pk).status_code == 302


def test_nobody_lends_rights_of_others(configurer: Client, node: Node, owner: User, teammate: User) -> None:
    assert "Select a valid choice" in errors_of(send(configurer, node, sync_as=owner.pk))
    assert send(configurer, node, sync_as=teammate.pk).status_code == 302


def test_node_does_not_move_to_anothers_repository(configurer: Client, node: Node) -> None:
    other = repository_make("secret-conf")
    assert "Select a valid choice" in errors_of(send(configurer, node, repository=other.pk))


@pytest.mark.database
def test_configurer_of_a_repository_adds_a_node(client: Client, teammate: User) -> None:
    assert client.get(f"{LIST}add/").status_code == 302
    client.force_login(teammate)
    assert client.get(f"{LIST}add/").status_code == 403
    repository = repository_make("conf")
    grant(teammate, repository, Level.CONFIGURE)
    wanted = form_of(Node(name="new", repository=repository, url="https://new.example/api"), jwt="t")
    assert client.post(f"{LIST}add/", wanted).status_code == 302
    assert level_of(teammate, Node.objects.get(name="new")) == Level.CONFIGURE


def test_grants_page_names_the_rights_of_a_node(configurer: Client, node: Node) -> None:
    assert "sync_in_hours" in configurer.get(f"{LIST}{node.pk}/grants/").content.decode()


def test_node_at_work_is_not_deleted(configurer: Client, node: Node) -> None:
    assert configurer.get(f"{LIST}{node.pk}/delete/").status_code == 200
    rows.sync_make(node, 1, state=RunState.RUNNING)
    assert configurer.get(f"{LIST}{node.pk}/delete/").status_code == 403


# --- extra nodes --------------------------------------------------------------------------------


@pytest.fixture
def master(node: Node) -> Node:
    Node.objects.filter(pk=node.pk).update(layout="multi")
    node.refresh_from_db()
    return node


def test_extra_node_through_a_repository(configurer: Client, master: Node, teammate: User) -> None:
    target = repository_make("eidsiva-conf")
    refused = send(configurer, master, **extra_form(repository=target.pk))
    assert "Select a valid choice" in errors_of(refused)
    grant(teammate, target, Level.CONFIGURE)
    assert send(configurer, master, **extra_form(repository=target.pk, branch="master")).status_code == 302
    assert ExtraNode.objects.get().repository == target


@pytest.mark.database
def test_extra_node_straight_to_a_node(configurer: Client, master: Node, teammate: User) -> None:
    fed = rows.node_make("fed")
    Node.objects.filter(pk=fed.pk).update(repository=None)
    assert "Select a valid choice" in errors_of(send(configurer, master, **extra_form(node=fed.pk)))
    grant(teammate, fed, Level.CONFIGURE)
    assert send(configurer, master, **extra_form(node=fed.pk)).status_code == 302
    assert ExtraNode.objects.get().node == fed


def test_extra_node_of_others_leads_nowhere_else(configurer: Client, master: Node, teammate: User) -> None:
    """What somebody else chose may stay as it is, but its credentials push to no other branch."""
    target = repository_make("eidsiva-conf")
    ExtraNode.objects.create(master=master, name="eidsiva", template_path="extra_nodes/eidsiva/", repository=target)
    held = held_extra(target) | {"extras-0-template_path": "extra_nodes/eidsiva/"}
    assert send(configurer, master, **held).status_code == 302
    assert "Only who may configure eidsiva-conf" in errors_of(
        send(configurer, master, **held | {"extras-0-branch": "production"})
    )
    grant(teammate, target, Level.CONFIGURE)
    assert send(configurer, master, **held | {"extras-0-branch": "production"}).status_code == 302


def test_extra_node_with_a_store_is_fed_by_whom_the_stores_keepers_choose(
    configurer: Client, master: Node, vault: SecretStore, teammate: User
) -> None:
    fed = rows.node_make("fed", secret_store=vault)
    Node.objects.filter(pk=fed.pk).update(repository=None)
    grant(teammate, fed, Level.CONFIGURE)
    assert "fed uses a secret store" in errors_of(send(configurer, master, **extra_form(node=fed.pk)))
    teammate.user_permissions.add(Permission.objects.get(codename="change_secretstore"))
    assert send(configurer, master, **extra_form(node=fed.pk)).status_code == 302


def test_extra_node_goes_one_way(configurer: Client, master: Node) -> None:
    assert "Choose one" in errors_of(send(configurer, master, **extra_form()))


def test_single_node_has_no_extra_nodes(configurer: Client, node: Node, teammate: User) -> None:
    target: Repository = repository_make("eidsiva-conf")
    grant(teammate, target, Level.CONFIGURE)
    answer = send(configurer, node, **extra_form(repository=target.pk))
    assert "Only a node with the multi-node layout" in answer.content.decode()
    assert not ExtraNode.objects.exists()
    both = send(configurer, node, **extra_form(repository=target.pk), layout="multi")
    assert both.status_code == 302
    assert "Only a node with the multi-node layout" in errors_of(send(configurer, node, **held_extra(target)))


def held_extra(target: Repository) -> dict[str, Any]:
    held = ExtraNode.objects.get()
    return extra_form(repository=target.pk) | {
        "extras-INITIAL_FORMS": "1", "extras-0-id": held.pk, "extras-0-master": held.master_id,
    }  # fmt: skip


# --- syncs --------------------------------------------------------------------------------------


@pytest.mark.database
def test_syncs_are_read_only_and_scoped(configurer: Client, node: Node) -> None:
    had = rows.configuration(rows.pipe("a"))
    sync = rows.sync_make(node, 1, before=had, wanted=had)
    rows.sync_make(rows.node_make("hidden-one"), 2)
    html = configurer.get("/admin/sesam/sync/").content.decode()
    assert rows.SUBJECTS[1] in html
    assert f"/admin/sesam/sync/{sync.pk}/plan/" in html
    assert "hidden-one" not in html
    assert configurer.get("/admin/sesam/sync/add/").status_code == 403
    assert configurer.post(f"/admin/sesam/sync/{sync.pk}/delete/", {"post": "yes"}).status_code == 403


# --- secret stores ------------------------------------------------------------------------------


def store_form(store: SecretStore, **changes: Any) -> dict[str, Any]:
    fields = {
        "name": store.name, "kind": store.kind, "url": store.url, "kv_version": "2", "mount": store.mount,
        "path_prefix": "", "field": "", "namespace": "", "ca_bundle": "", "auth": store.auth, "auth_mount": "",
        "token": "", "role_id": "", "secret_id": "",
        "secrets-TOTAL_FORMS": "0", "secrets-INITIAL_FORMS": "0",
    }  # fmt: skip
    return fields | changes


@pytest.mark.parametrize("page", ["", "add/", "{}/page/", "{}/change/", "{}/test/"])
def test_stores_are_for_who_was_permitted(configurer: Client, vault: SecretStore, page: str) -> None:
    address = STORES + page.format(vault.pk)
    answer = configurer.post(address) if "test" in page else configurer.get(address)
    assert answer.status_code in {403, 404}
    assert b"vault.example" not in answer.content


def test_store_never_shows_its_secrets(keeper: Client, vault: SecretStore) -> None:
    StoredSecret.objects.create(store=vault, name="crm-key", value="unmistakable-value")
    for page in ("", f"{vault.pk}/page/", f"{vault.pk}/change/"):
        html = keeper.get(STORES + page).content.decode()
        assert "unmistakable" not in html


def test_stores_token_is_not_sent_elsewhere(keeper: Client, vault: SecretStore) -> None:
    address, evil = f"{STORES}{vault.pk}/change/", "https://evil.example:8200"
    assert "enter it anew" in errors_of(keeper.post(address, store_form(vault, url=evil)))
    assert keeper.post(address, store_form(vault, url=evil, token="mine")).status_code == 302
    vault.refresh_from_db()
    assert (vault.url, vault.token) == (evil, "mine")


def test_stores_token_is_not_shown_to_whom_nobody_vouched_for(keeper: Client, vault: SecretStore) -> None:
    changed = store_form(vault, ca_bundle="-----BEGIN CERTIFICATE-----")
    assert "Who vouches for the address has changed" in errors_of(keeper.post(f"{STORES}{vault.pk}/change/", changed))


def test_panels_own_store_takes_secrets(keeper: Client) -> None:
    own = SecretStore.objects.create(name="own", kind="panel")
    given = {"secrets-TOTAL_FORMS": "1", "secrets-0-name": "crm-key", "secrets-0-value": "unmistakable-value"}
    assert keeper.post(f"{STORES}{own.pk}/change/", store_form(own, **given)).status_code == 302
    secret = StoredSecret.objects.get()
    assert secret.value == "unmistakable-value"
    kept = given | {"secrets-INITIAL_FORMS": "1", "secrets-0-id": secret.pk, "secrets-0-store": own.pk}
    kept |= {"secrets-0-name": "crm-token", "secrets-0-value": ""}
    assert keeper.post(f"{STORES}{own.pk}/change/", store_form(own, **kept)).status_code == 302
    secret.refresh_from_db()
    assert (secret.name, secret.value) == ("crm-token", "unmistakable-value")


def test_log_in_is_tested(keeper: Client, vault: SecretStore, fake_vault: FakeVault) -> None:
    fake_vault.put("crm-key", "unmistakable-value")
    SecretStore.objects.filter(pk=vault.pk).update(url=fake_vault.url, mount="sesam/kv2")
    vault.refresh_from_db()
    vault.token = "root-token"
    vault.save()
    html = keeper.post(f"{STORES}{vault.pk}/test/", {"names": "crm-key\nerp-key"}).content.decode()
    assert "The panel gets in." in html
    assert "1 of 2 names are there." in html
    assert "Not there: erp-key." in html
    assert "unmistakable-value" not in html
    assert AuditEntry.objects.filter(action="test secret store").exists()


def test_log_in_that_fails_is_told(keeper: Client, vault: SecretStore, fake_vault: FakeVault) -> None:
    SecretStore.objects.filter(pk=vault.pk).update(url=fake_vault.url, mount="sesam/kv2")
    html = keeper.post(f"{STORES}{vault.pk}/test/", {"names": "a"}).content.decode()
    assert "The panel does not get in." in html
    assert "hvs.unmistakable" not in html
    assert keeper.get(f"{STORES}{vault.pk}/test/").status_code == 405


def test_store_page_names_only_visible_nodes(keeper: Client, vault: SecretStore, outsider: User) -> None:
    seen = rows.node_make("seen", secret_store=vault)
    rows.node_make("unseen", secret_store=vault)
    grant(outsider, seen, Level.VIEW)
    html = keeper.get(f"{STORES}{vault.pk}/page/").content.decode()
    assert ">seen<" in html
    assert "unseen" not in html
