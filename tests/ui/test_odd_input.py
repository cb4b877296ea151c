"""What no page ever sends, from people who are signed in: an answer, and never a fault."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.environments.models import Environment
from apps.runs.models import Run
from tests.ui import rows

pytestmark = [pytest.mark.django_db, pytest.mark.database]
NUL, DIGITS = "a\x00b", "9" * 5000


@pytest.fixture
def signed(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


@pytest.fixture
def page() -> str:
    environment = rows.environment_make(rows.repository_make(), "prod", rows.fleet_make())
    return f"/admin/environments/environment/{environment.pk}"


@pytest.mark.parametrize(
    ("act", "fields"),
    [
        ("pause", {"reason": NUL}),
        ("deploy", {"confirmed": "1", "overriding": "1", "override": NUL}),
        ("rollback", {"confirmed": "1", "override": NUL}),
        ("rollback", {"confirmed": "1", "commit": NUL}),
        ("preview", {"ref": NUL}),
        ("grants", {"holder": NUL}),
    ],
)
def test_a_nul_in_a_form(signed: Client, page: str, act: str, fields: dict[str, str]) -> None:
    assert signed.post(f"{page}/{act}/", fields).status_code == 400
    assert Run.objects.count() == 0
    assert Environment.objects.get().auto_paused_at is None


@pytest.mark.parametrize(
    "address",
    [
        "/admin/runs/run/?kind=",
        "/admin/runs/run/?state__exact=",
        "/admin/environments/host/?cluster=",
        "{page}/grants/?q=",
    ],
)
def test_a_nul_in_an_address(signed: Client, page: str, address: str) -> None:
    assert signed.get(address.format(page=page) + "%00").status_code == 400


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("{page}/control/?preview={digits}", 200),
        ("{page}/control/?page={digits}", 200),
        ("{page}/commits/?page={digits}", 400),
        ("/admin/environments/host/?cluster={digits}", 400),
        ("/admin/triggers/delivery/{digits}/change/", 404),
        ("/admin/runs/run/{digits}/change/", 404),
    ],
)
def test_thousands_of_digits(signed: Client, page: str, address: str, status: int) -> None:
    assert signed.get(address.format(page=page, digits=DIGITS)).status_code == status


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 40])
@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/admin/environments/environment/{digits}/control/", 404),
        ("/admin/environments/environment/{digits}/change/", 404),
        ("/admin/sesam/node/{digits}/control/", 404),
        ("/admin/sesam/node/{digits}/compare/", 404),
        ("/admin/sesam/node/{digits}/change/", 404),
        ("/admin/repos/repository/{digits}/change/", 404),
        ("/admin/sesam/node/?subject__exact={digits}", 400),
        ("/admin/sesam/sync/?node__subject__exact={digits}", 400),
        ("/admin/sesam/node/?q={digits}", 200),
    ],
)
def test_no_row_has_such_a_number(signed: Client, address: str, status: int, digits: str) -> None:
    assert signed.get(address.format(digits=digits)).status_code == status


def test_a_choice_among_rows_of_one_that_cannot_be(client: Client, admin_user: User) -> None:
    rows.repository_make()
    client.force_login(admin_user)
    form = {"name": "n", "repository": "9" * 30, "extras-TOTAL_FORMS": "0", "extras-INITIAL_FORMS": "0"}
    answer = client.post("/admin/sesam/node/add/", form)
    # SQLite cannot be asked for such a number; PostgreSQL can, and the form says that there is no such row.
    assert answer.status_code == 400 or "Select a valid choice" in answer.content.decode()


def test_thousands_of_digits_for_a_holder(signed: Client, page: str) -> None:
    answer = signed.post(f"{page}/grants/", {"holder": f"user:{DIGITS}", "level": "view"}, follow=True)
    assert "Choose a person or a group." in answer.content.decode()
