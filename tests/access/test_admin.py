"""The admin of access: hours, keys, people, the trail; and what ScopedModelAdmin promises its heirs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory

from apps.access import audit, gate
from apps.access.actor import Actor, Door
from apps.access.admin_site import ScopedModelAdmin, actor_of
from apps.access.errors import InputError
from apps.access.examples import OFFICE
from apps.access.levels import Level
from apps.access.models import AuditEntry, BusinessHours, SshKey
from apps.access.services import ssh_key_create, ssh_key_generate
from apps.access.ssh_keys import fingerprint, private_key_make, public_key_of
from apps.environments.models import Environment
from apps.repos.models import Repository
from tests.support.cast import PASSWORD, grant

pytestmark = [pytest.mark.database, pytest.mark.django_db]

OPERATOR = Actor(user=None, door=Door.COMMAND)
HOURS = "/admin/access/businesshours/"
KEYS = "/admin/access/sshkey/"


@pytest.fixture
def at_work(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


# --- hours ------------------------------------------------------------------------------------


def hours_form(**values: str) -> dict[str, str]:
    fields = ("name", "timezone", "country", "subdivision", "half_day_until", "closed_days", "open_days")
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return {**dict.fromkeys((*fields, *days), ""), "name": "office", "timezone": "Europe/Paris", **values}


def test_hours_are_written_a_line_a_day(at_work: Client) -> None:
    data = hours_form(
        mon="08:00-18:30", fri="8:00-12:00, 13:00-14:00", country="FR", half_day_until="13:00",
        closed_days="12-24\n2026-05-15\n", open_days="05-08 09:00-12:00\n2026-11-11: 08:00-10:00, 11:00-12:00",
    )  # fmt: skip
    assert at_work.post(f"{HOURS}add/", data).status_code == 302
    hours = BusinessHours.objects.get()
    assert hours.weekly == {"mon": "08:00-18:30", "fri": "8:00-12:00, 13:00-14:00"}
    assert hours.closed == ["12-24", "2026-05-15"]
    assert hours.open == {"05-08": "09:00-12:00", "2026-11-11": "08:00-10:00, 11:00-12:00"}
    page = at_work.get(f"{HOURS}{hours.pk}/change/").content.decode()
    for text in ("The next 14 days", "8:00-12:00, 13:00-14:00", "2026-05-15", "2026-11-11 08:00-10:00, 11:00-12:00"):
        assert text in page
    assert "office" in at_work.get(HOURS).content.decode()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tue": "8-18"}, "tue: “8-18” is not a window"),
        ({"closed_days": "24-12"}, "24-12: the calendar has no such day"),
        ({"open_days": "12-24"}, "12-24: no window"),
        ({"open_days": "12-24 nine"}, "12-24: “nine” is not a window"),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus: no such time zone"),
        ({"country": "XX"}, "XX: no such country"),
        ({"country": "DE", "subdivision": "XX"}, "DE has no such subdivision"),
        ({"subdivision": "BY"}, "A subdivision needs its country"),
    ],
)
def test_hours_say_what_is_wrong(at_work: Client, values: dict[str, str], message: str) -> None:
    answer = at_work.post(f"{HOURS}add/", hours_form(**values))
    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert not BusinessHours.objects.exists()


def test_hours_that_cannot_be_read_are_shown_as_such(at_work: Client) -> None:
    hours = BusinessHours.objects.create(name="old", timezone="Europe/Paris", weekly={"mon": "nonsense"})
    assert "cannot be read" in at_work.get(f"{HOURS}{hours.pk}/change/").content.decode()
    assert "Cannot be read" in at_work.get(HOURS).content.decode()


def test_hours_are_seen_through_a_subject_and_changed_by_permission(
    client: Client, teammate: User, prod: Environment
) -> None:
    hours = BusinessHours.objects.create(**OFFICE)
    page = f"{HOURS}{hours.pk}/change/"
    grant(teammate, prod, Level.VIEW)
    client.force_login(teammate)
    assert client.get(HOURS).status_code == 403
    prod.hours = hours
    prod.save()
    assert client.get(page).status_code == 200
    assert client.post(page, hours_form()).status_code == 403
    teammate.user_permissions.add(Permission.objects.get(codename="change_businesshours"))
    assert client.post(page, hours_form(mon="01:00-02:00")).status_code == 302
    assert BusinessHours.objects.get().weekly == {"mon": "01:00-02:00"}
    entry = AuditEntry.objects.get(action="businesshours.change")
    assert entry.actor == "teammate"


# --- SSH keys ---------------------------------------------------------------------------------


def test_key_is_made_here_and_never_shown(at_work: Client) -> None:
    answer = at_work.post(f"{KEYS}add/", {"name": "fleet", "private_key": "", "generate": "on"}, follow=True)
    assert answer.status_code == 200
    key = SshKey.objects.get()
    page = at_work.get(f"{KEYS}{key.pk}/change/").content.decode()
    assert fingerprint(key.public_key) in page
    assert key.public_key in page
    assert "PRIVATE KEY" not in page
    assert key.private_key.splitlines()[2] not in page
    assert "PRIVATE" not in str(AuditEntry.objects.get(action="ssh_key.add").detail)


def test_key_is_pasted_kept_replaced_and_renamed(at_work: Client) -> None:
    first, second = private_key_make(), private_key_make()
    at_work.post(f"{KEYS}add/", {"name": "fleet", "private_key": first.replace("\n", "\r\n")})
    key = SshKey.objects.get()
    assert key.private_key == first
    page = f"{KEYS}{key.pk}/change/"
    assert at_work.post(page, {"name": "web", "private_key": ""}).status_code == 302
    key = SshKey.objects.get()
    assert (key.name, key.private_key) == ("web", first)
    at_work.post(page, {"name": "web", "private_key": second})
    key = SshKey.objects.get()
    assert key.public_key == public_key_of(second, comment="web")
    entry = AuditEntry.objects.get(action="ssh_key.replace")
    assert entry.detail["former"] == fingerprint(public_key_of(first))


def encrypted() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"secret")).decode()


def weak() -> str:
    key = rsa.generate_private_key(65537, 1024)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def old_kind() -> str:
    key = dsa.generate_private_key(1024)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "nonsense", "not a private key"),
        (lambda: public_key_of(private_key_make()), "not a private key"),
        (lambda: private_key_make()[:200], "not a private key"),
        (encrypted, "has a passphrase"),
        (weak, "too weak"),
        (old_kind, "Only ed25519, ECDSA and RSA"),
        (lambda: "", "Paste a private key"),
    ],
)
def test_key_that_will_not_do_is_explained_and_not_repeated(at_work: Client, make: Any, message: str) -> None:
    given = make()
    page = at_work.post(f"{KEYS}add/", {"name": "fleet", "private_key": given}).content.decode()
    assert message in page
    assert not given or given.splitlines()[-1] not in page.replace("nonsense-", "")
    assert not SshKey.objects.exists()


def test_key_services_refuse_the_same() -> None:
    with pytest.raises(InputError, match="not a private key"):
        ssh_key_create(actor=OPERATOR, name="fleet", private_key="nonsense")
    ssh_key_generate(actor=OPERATOR, name="fleet")
    with pytest.raises(InputError, match="SSH key fleet"):
        ssh_key_generate(actor=OPERATOR, name="fleet")


def test_made_key_is_one_that_openssh_reads(tmp_path: Path) -> None:
    key = ssh_key_generate(actor=OPERATOR, name="fleet")
    path = tmp_path / "key"
    path.write_text(key.private_key)
    path.chmod(0o600)
    shown = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True).stdout
    assert shown.split()[:2] == key.public_key.split()[:2]
    printed = subprocess.run(["ssh-keygen", "-l", "-f", path], capture_output=True, text=True, check=True).stdout
    assert fingerprint(key.public_key) in printed


def test_key_that_no_ring_opens_can_still_be_replaced(at_work: Client, settings: Any) -> None:
    from cryptography.fernet import Fernet

    key = ssh_key_generate(actor=OPERATOR, name="fleet")
    settings.KEY_RING = Fernet.generate_key().decode()
    page = f"{KEYS}{key.pk}/change/"
    assert at_work.get(KEYS).status_code == 200
    assert at_work.get(page).status_code == 200
    answer = at_work.post(page, {"name": "fleet", "private_key": ""})
    assert "cannot be read with the installation" in answer.content.decode()
    assert at_work.post(page, {"name": "fleet", "generate": "on", "private_key": ""}).status_code == 302
    assert "PRIVATE KEY" in SshKey.objects.get().private_key


# --- people -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["/admin/auth/user/", "/admin/auth/group/", "/admin/auth/user/add/"])
def test_people_are_for_superusers_whatever_the_model_permissions(client: Client, teammate: User, page: str) -> None:
    teammate.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    client.force_login(teammate)
    assert client.get(page).status_code == 403
    assert client.post(f"/admin/auth/user/{teammate.pk}/change/", {"is_superuser": "on"}).status_code == 403
    assert not User.objects.get(pk=teammate.pk).is_superuser


def person_form(user: User, **values: str) -> dict[str, str]:
    return {"username": user.username, "first_name": "", "last_name": "", "email": "", **values}


def test_last_administrator_stays(at_work: Client, owner: User) -> None:
    page = f"/admin/auth/user/{owner.pk}/change/"
    for values in ({"is_active": "on", "is_staff": "on"}, {"is_superuser": "on", "is_staff": "on"}):
        assert "last active administrator" in at_work.post(page, person_form(owner, **values)).content.decode()
    assert at_work.post(f"/admin/auth/user/{owner.pk}/delete/", {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": owner.pk, "post": "yes"}
    at_work.post("/admin/auth/user/", action)
    assert User.objects.get(pk=owner.pk).is_superuser
    User.objects.create_superuser("second", password=PASSWORD)
    assert at_work.post(page, person_form(owner, is_active="on", is_staff="on")).status_code == 302


def test_person_is_added_with_a_password_that_is_not_told(at_work: Client) -> None:
    data = {"username": "new", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert at_work.post("/admin/auth/user/add/", data).status_code == 302
    assert User.objects.get(username="new").check_password(PASSWORD)
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


def test_person_without_staff_cannot_enter(client: Client, teammate: User, prod: Environment) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    User.objects.filter(pk=teammate.pk).update(is_staff=False)
    client.force_login(teammate)
    for page in ("/admin/", "/admin/environments/environment/", f"/admin/environments/environment/{prod.pk}/grants/"):
        assert client.get(page).status_code == 302


# --- the trail --------------------------------------------------------------------------------


def test_trail_is_read_and_nothing_else(at_work: Client, prod: Environment) -> None:
    entry = audit.record(actor=OPERATOR, action="deploy", subject=prod, allowed=False, reasons=["Frozen."])
    assert "shop/prod" in at_work.get("/admin/access/auditentry/?q=shop&allowed__exact=0").content.decode()
    page = f"/admin/access/auditentry/{entry.pk}/"
    assert "Frozen." in at_work.get(f"{page}change/").content.decode()
    for address in (f"{page}change/", f"{page}delete/", "/admin/access/auditentry/add/"):
        assert at_work.post(address, {"post": "yes", "actor": "nobody"}).status_code == 403


# --- what heirs of ScopedModelAdmin get -------------------------------------------------------


def request_of(user: User, path: str = "/") -> Any:
    request = RequestFactory().get(path, REMOTE_ADDR="192.0.2.1")
    request.user = user
    return request


@pytest.mark.parametrize("level", list(Level))
def test_scoped_admin_asks_the_policy(teammate: User, prod: Environment, staging: Environment, level: Level) -> None:
    grant(teammate, prod, level)
    scoped = ScopedModelAdmin(Environment, admin.site)
    request = request_of(teammate)
    assert list(scoped.get_queryset(request)) == ([prod] if level else [])
    assert scoped.has_module_permission(request) is bool(level)
    assert scoped.has_view_permission(request, prod) is bool(level)
    assert scoped.has_change_permission(request, prod) is (level is Level.CONFIGURE)
    assert scoped.has_delete_permission(request, prod) is (level is Level.CONFIGURE)
    assert not scoped.has_view_permission(request, staging)
    assert not scoped.has_add_permission(request)


def test_scoped_admin_asks_once_per_request(
    teammate: User, prod: Environment, django_assert_max_num_queries: Any
) -> None:
    grant(teammate, prod, Level.ACT)
    scoped, request = ScopedModelAdmin(Environment, admin.site), request_of(teammate)
    with django_assert_max_num_queries(3):
        for _ in range(10):
            scoped.has_view_permission(request, prod)
            scoped.has_view_permission(request)


def test_scoped_action_checks_each_row(
    teammate: User, prod: Environment, staging: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    told: list[str] = []
    monkeypatch.setattr("apps.access.admin_site.messages.error", lambda _request, text: told.append(text))

    class Heir(ScopedModelAdmin):
        actions = ("touch",)

        def touch(self, request: Any, queryset: Any) -> None:
            done.extend(str(one) for one in queryset)

    grant(teammate, prod, Level.CONFIGURE)
    grant(teammate, staging, Level.VIEW)
    heir, request = Heir(Environment, admin.site), request_of(teammate, "/?x=1")
    function = heir.get_actions(request)["touch"][0]
    function(heir, request, heir.get_queryset(request))
    assert done == []
    assert "shop/staging" in told[0]
    function(heir, request, heir.get_queryset(request).filter(pk=prod.pk))
    assert done == ["shop/prod"]


def test_scoped_choices(teammate: User, shop: Repository, prod: Environment) -> None:
    Repository.objects.create(name="blog", url="file:///srv/git/blog.git")
    grant(teammate, prod, Level.CONFIGURE)
    scoped, request = ScopedModelAdmin(Environment, admin.site), request_of(teammate)
    field = scoped.formfield_for_foreignkey(Environment._meta.get_field("repository"), request)
    assert [str(one) for one in field.queryset] == ["shop"]
    people = scoped.formfield_for_foreignkey(Environment._meta.get_field("deploy_as"), request)
    assert list(people.queryset) == [teammate]


def test_actor_of_a_request_behind_our_proxy(owner: User, settings: Any) -> None:
    request = request_of(owner)
    request.META["HTTP_X_FORWARDED_FOR"] = "203.0.113.66, 198.51.100.7"
    assert actor_of(request).address == "192.0.2.1"  # nobody asked us to believe that header
    settings.USE_X_FORWARDED_HOST = True
    assert actor_of(request).address == "198.51.100.7"


def test_what_a_service_refuses_while_saving_is_told(at_work: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_given: Any) -> None:
        raise InputError("The vault is shut.")

    monkeypatch.setattr("apps.access.admin.keys.ssh_key_create", refuse)
    answer = at_work.post(f"{KEYS}add/", {"name": "fleet", "private_key": "", "generate": "on"}, follow=True)
    assert "The vault is shut." in answer.content.decode()
    assert not AuditEntry.objects.filter(action__startswith="ssh").exists()


def test_refusal_while_saving_leaves_its_row_in_the_trail(
    at_work: Client, monkeypatch: pytest.MonkeyPatch, prod: Environment
) -> None:
    def refuse(**_given: Any) -> None:
        nobody = Actor(user=None, door=Door.ADMIN)
        gate.require(actor=nobody, act=gate.Act.CONFIGURE, subject=prod, action="freeze")  # rolled back with the form

    monkeypatch.setattr("apps.access.admin.freezes.freeze_create", refuse)
    at_work.post("/admin/access/freeze/add/", {"subject": prod.pk, "reason": "audit"})
    [entry] = AuditEntry.objects.filter(allowed=False)
    assert (entry.action, entry.actor) == ("freeze.save", "owner")
    assert "switched off or not signed in" in entry.reasons[0]


def test_a_secrets_box_has_the_name_and_the_description_that_its_form_gives() -> None:
    from apps.access.forms import SecretWidget

    html = SecretWidget().render("value", None, {"id": "id_value", "aria-label": "Value", "aria-describedby": "h<"})
    assert 'id="id_value"' in html
    assert 'aria-label="Value"' in html
    assert 'aria-describedby="h&lt;"' in html


def test_an_empty_list_says_what_belongs_into_it(client: Client, owner: User) -> None:
    client.force_login(owner)
    text = client.get("/admin/access/apitoken/").content.decode()
    assert "No API tokens yet" in text
    assert "a program acts as you" in text
    assert 'href="/admin/access/apitoken/add/' in text
    text = client.get("/admin/access/apitoken/?q=nothing").content.decode()
    assert "Nothing fits" in text
    assert "yet</h2>" not in text
