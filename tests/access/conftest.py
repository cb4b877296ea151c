"""Subjects to ask about: the repository `shop` with its environments `staging` and `prod`."""

from __future__ import annotations

import pytest

from apps.environments.models import Environment
from apps.repos.models import Repository


@pytest.fixture
def shop(db: None) -> Repository:
    return Repository.objects.create(name="shop", url="file:///srv/git/shop.git")


@pytest.fixture
def prod(shop: Repository) -> Environment:
    return Environment.objects.create(repository=shop, name="prod", target_path="/srv/shop")


@pytest.fixture
def staging(shop: Repository) -> Environment:
    return Environment.objects.create(repository=shop, name="staging", target_path="/srv/shop-staging")
