"""The plan page as people see it: side by side, on a phone, in the dark, by keyboard, and without scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from apps.runs.models import Step
from apps.runs.states import RunState
from apps.sesam.models import Sync
from apps.sesam.storage import configuration_keep
from tests.browser.conftest import Surfer
from tests.sesam.planned import configuration, node_made, pipe, sync_made, sync_started, two_sides
from tests.support.cast import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LOOKS = {"light": {}, "dark": {"dark": True}, "phone": {"phone": True}, "phone-dark": {"phone": True, "dark": True}}


@pytest.fixture
def open_page(owner: User, surf: Callable[..., Surfer], live_server: Any) -> Callable[..., Surfer]:
    def open_one(address: str, **look: bool) -> Surfer:
        surfer = surf(live_server.url, **look)
        surfer.sign_in("owner", PASSWORD)
        surfer.go(address)
        return surfer

    return open_one


def plan_url(sync: Sync) -> str:
    return f"/admin/sesam/sync/{sync.pk}/plan/"


@pytest.mark.parametrize("look", LOOKS)
def test_a_plan_reads_well(open_page: Callable[..., Surfer], look: str) -> None:
    surfer = open_page(plan_url(sync_made(node_made())), **LOOKS[look])
    page = surfer.page
    assert page.locator(".plan-tile").count() == 8
    assert "Removed" in page.inner_text("#entities")
    assert page.locator(".diff mark").count() > 5
    surfer.shoot(f"plan-{look}")
    assert surfer.faults() == []
