"""Giving rights: by the service and by its page, and every way to get more than one has."""

from __future__ import annotations

import itertools

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from apps.access.actor import Actor, Door
from apps.access.errors import Refused
from apps.access.levels import Level
from apps.access.models import AuditEntry, SubjectUserPermission
from apps.access.permissions import granted_levels, level_of
from apps.access.services import grant_set, grants_on
from apps.environments.models import Environment
from apps.repos.models import Repository
from tests.support.cast import grant

pytestmark = pytest.mark.database

OPERATOR = Actor(user=None, door=Door.COMMAND)


def by(user: User) -> Actor:
    return Actor(user=user, door=Door.ADMIN)


def page(subject: Environment) -> str:
    return f"/admin/environments/environment/{subject.pk}/grants/"


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(Level, 2)))
def test_grant_set_leaves_one_row(teammate: User, prod: Environment, before: Level, after: Level) -> None:
    grant_set(actor=OPERATOR, subject=prod, holder=teammate, level=before)
    assert grant_set(actor=OPERATOR, subject=prod, holder=teammate, level=after)
    assert level_of(teammate, prod) is after
    assert SubjectUserPermission.objects.count() == (1 if after else 0)


def test_grant_set_tells_whether_it_changed_anything(teammate: User, prod: Environment) -> None:
    assert grant_set(actor=OPERATOR, subject=prod, holder=teammate, level=Level.ACT)
    assert not grant_set(actor=OPERATOR, subject=prod, holder=teammate, level=Level.ACT)
    entry = AuditEntry.objects.get(action="grant")
    assert entry.detail == {"holder": "user teammate", "before": "none", "after": "deploy"}
    assert entry.subject == "shop/prod"


@pytest.mark.parametrize("held", [level for level in Level if level < Level.CONFIGURE])
@pytest.mark.parametrize("wanted", list(Level)[1:])
def test_grant_set_needs_configure(
    teammate: User, outsider: User, prod: Environment, held: Level, wanted: Level
) -> None:
    grant(teammate, prod, held)
    for holder in (teammate, outsider):
        if held is wanted and holder is teammate:
            continue
        with pytest.raises(Refused):
            grant_set(actor=by(teammate), subject=prod, holder=holder, level=wanted)
    assert level_of(teammate, prod) is held
    assert level_of(outsider, prod) is Level.NONE
    assert AuditEntry.objects.filter(action="grant", allowed=False).exists()


def test_grant_set_stops_at_the_subject(
    teammate: User, shop: Repository, prod: Environment, staging: Environment
) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    for subject in (shop, staging):
        with pytest.raises(Refused):
            grant_set(actor=by(teammate), subject=subject, holder=teammate, level=Level.VIEW)


def test_grant_set_by_somebody_switched_off(teammate: User, outsider: User, prod: Environment) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    teammate.is_active = False
    with pytest.raises(Refused):
        grant_set(actor=by(teammate), subject=prod, holder=outsider, level=Level.VIEW)


def test_grant_set_for_a_group_and_by_who_holds_through_one(teammate: User, outsider: User, prod: Environment) -> None:
    team = Group.objects.create(name="team")
    teammate.groups.add(team)
    grant_set(actor=OPERATOR, subject=prod, holder=team, level=Level.CONFIGURE)
    grant_set(actor=by(teammate), subject=prod, holder=outsider, level=Level.ACT)
    assert grants_on(prod) == {outsider: Level.ACT, team: Level.CONFIGURE}


def test_superuser_can_hold_an_explicit_right(owner: User, prod: Environment) -> None:
    grant_set(actor=by(owner), subject=prod, holder=owner, level=Level.ACT)
    assert granted_levels(owner, [prod.pk]) == {prod.pk: Level.ACT}


# --- the page ---------------------------------------------------------------------------------


def test_page_shows_and_sets_for_who_configures(
    client: Client, teammate: User, outsider: User, prod: Environment
) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    client.force_login(teammate)
    text = client.get(page(prod)).content.decode()
    assert "teammate" in text
    assert "outsider" not in text
    assert "outsider" in client.get(page(prod), {"q": "outs"}).content.decode()
    answer = client.post(page(prod), {"holder": f"user:{outsider.pk}", "level": "deploy_in_hours"}, follow=True)
    assert "outsider now has “deploy_in_hours” on shop/prod" in answer.content.decode()
    assert level_of(outsider, prod) is Level.IN_HOURS
    client.post(page(prod), {"holder": f"user:{outsider.pk}", "level": ["view", "none"]})
    assert level_of(outsider, prod) is Level.NONE


@pytest.mark.parametrize("level", [Level.VIEW, Level.IN_HOURS, Level.ACT])
@pytest.mark.parametrize("method", ["get", "post"])
def test_page_is_closed_below_configure(
    client: Client, teammate: User, prod: Environment, level: Level, method: str
) -> None:
    grant(teammate, prod, level)
    client.force_login(teammate)
    answer = getattr(client, method)(page(prod), {"holder": f"user:{teammate.pk}", "level": "configure"})
    assert answer.status_code == 403
    assert level_of(teammate, prod) is level


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_page_is_not_there_for_outsiders(client: Client, outsider: User, prod: Environment, method: str) -> None:
    client.force_login(outsider)
    assert getattr(client, method)(page(prod)).status_code in {403, 404, 405}
    assert client.get(f"/admin/environments/environment/{prod.pk + 1000}/grants/").status_code in {403, 404}
    client.logout()
    assert getattr(client, method)(page(prod)).status_code == 302


def test_page_needs_the_token(teammate: User, prod: Environment) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    client = Client(enforce_csrf_checks=True)
    client.force_login(teammate)
    answer = client.post(page(prod), {"holder": f"user:{teammate.pk}", "level": "view"})
    assert answer.status_code == 403
    assert level_of(teammate, prod) is Level.CONFIGURE


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"holder": "user:99999", "level": "view"},
        {"holder": "user:x", "level": "view"},
        {"holder": "subject:1", "level": "view"},
        {"holder": "group:", "level": "view"},
        {"holder": "user:SELF", "level": "owner"},
        {"holder": "user:SELF", "level": ""},
    ],
)
def test_page_explains_bad_input(client: Client, owner: User, prod: Environment, data: dict[str, str]) -> None:
    client.force_login(owner)
    data = {key: value.replace("SELF", str(owner.pk)) for key, value in data.items()}
    answer = client.post(page(prod), data, follow=True)
    assert answer.status_code == 200
    assert any(word in answer.content.decode() for word in ("Choose a person", "no right is called"))
    assert not SubjectUserPermission.objects.exists()


def test_page_does_not_change_by_get(client: Client, owner: User, outsider: User, prod: Environment) -> None:
    client.force_login(owner)
    client.get(page(prod), {"holder": f"user:{outsider.pk}", "level": "configure"})
    assert level_of(outsider, prod) is Level.NONE


def test_page_of_many_holders_in_few_queries(
    client: Client, owner: User, prod: Environment, django_assert_max_num_queries: object
) -> None:
    people = User.objects.bulk_create(User(username=f"dev{number:03}") for number in range(120))
    for person in people:
        grant(person, prod, Level.VIEW)
    client.force_login(owner)
    client.get(page(prod))
    with django_assert_max_num_queries(25):  # type: ignore[operator]
        text = client.get(page(prod), {"q": "dev"}).content.decode()
    assert "dev049" in text
    assert "dev050" not in text
    assert "Page 1 of 3" in text
    assert "dev119" in client.get(page(prod), {"page": 3}).content.decode()


def test_hostile_names_are_text(client: Client, owner: User, prod: Environment) -> None:
    grant(User.objects.create_user("<script>alert(1)</script>"), prod, Level.VIEW)
    client.force_login(owner)
    text = client.get(page(prod), {"q": '"><script>alert(2)</script>'}).content.decode()
    assert "<script>alert" not in text
