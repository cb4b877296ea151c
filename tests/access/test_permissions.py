"""Levels: what is implied, what is not, and how many queries it takes to know."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access.levels import Level
from apps.access.permissions import level_of, levels_of, subjects_visible
from apps.environments.models import Environment
from apps.repos.models import Repository
from tests.support.cast import grant

pytestmark = pytest.mark.database


@pytest.mark.parametrize("level", list(Level))
def test_level_of_is_the_level_given(teammate: User, prod: Environment, level: Level) -> None:
    grant(teammate, prod, level)
    assert level_of(teammate, prod) is level


@pytest.mark.parametrize("given", list(Level))
@pytest.mark.parametrize("least", [level for level in Level if level])
def test_subjects_visible_from_a_level_on(teammate: User, prod: Environment, given: Level, least: Level) -> None:
    grant(teammate, prod, given)
    assert (subjects_visible(teammate, "environment", least).count() == 1) is (given >= least)


def test_level_of_takes_the_highest_of_person_and_groups(teammate: User, prod: Environment) -> None:
    for name, level in (("a", Level.ACT), ("b", Level.VIEW)):
        group = Group.objects.create(name=name)
        teammate.groups.add(group)
        grant(group, prod, level)
    grant(teammate, prod, Level.IN_HOURS)
    assert level_of(teammate, prod) is Level.ACT


def test_repository_is_visible_through_an_environment_and_no_more(
    teammate: User, shop: Repository, prod: Environment, staging: Environment
) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    assert levels_of(teammate, [shop, prod, staging]) == {
        shop.pk: Level.VIEW,
        prod.pk: Level.CONFIGURE,
        staging.pk: Level.NONE,
    }
    assert set(subjects_visible(teammate).values_list("path", flat=True)) == {"shop", "shop/prod"}


def test_environment_is_not_visible_through_its_repository(teammate: User, shop: Repository, prod: Environment) -> None:
    grant(teammate, shop, Level.CONFIGURE)
    assert level_of(teammate, prod) is Level.NONE


def test_nobody_holds_nothing(outsider: User, prod: Environment) -> None:
    assert level_of(outsider, prod) is Level.NONE
    assert level_of(AnonymousUser(), prod) is Level.NONE
    assert level_of(None, prod) is Level.NONE
    assert not subjects_visible(outsider).exists()
    assert not subjects_visible(AnonymousUser()).exists()


def test_person_switched_off_holds_nothing(owner: User, teammate: User, prod: Environment) -> None:
    grant(teammate, prod, Level.CONFIGURE)
    for user in (owner, teammate):
        user.is_active = False
        assert level_of(user, prod) is Level.NONE
        assert not subjects_visible(user).exists()


def test_superuser_holds_everything(owner: User, prod: Environment) -> None:
    assert level_of(owner, prod) is Level.CONFIGURE
    assert subjects_visible(owner).count() == 2


def test_levels_of_many_takes_few_queries(teammate: User, shop: Repository) -> None:
    environments = [
        Environment.objects.create(repository=shop, name=f"e{number}", target_path="/srv") for number in range(100)
    ]
    group = Group.objects.create(name="team")
    teammate.groups.add(group)
    for number, environment in enumerate(environments):
        grant(group if number % 2 else teammate, environment, Level.IN_HOURS)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        levels = levels_of(teammate, environments)
        visible = list(subjects_visible(teammate, "environment", Level.IN_HOURS))
    assert set(levels.values()) == {Level.IN_HOURS}
    assert len(visible) == 100
    assert len(queries) <= 3


def test_levels_of_more_subjects_than_fit_in_a_list_of_ids(
    teammate: User, shop: Repository, prod: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.access.permissions.MANY", 1)
    grant(teammate, prod, Level.ACT)
    assert levels_of(teammate, [shop, prod]) == {shop.pk: Level.VIEW, prod.pk: Level.ACT}


def test_grants_go_with_their_subject(teammate: User, prod: Environment) -> None:
    grant(teammate, prod, Level.ACT)
    prod.delete()
    assert not subjects_visible(teammate).exists()
