"""The sign-in page that says why it looks at no password."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from apps.access.services.sign_ins import sign_in_try
from apps.access.sign_in_bounds import NAME_FROM_NETWORK
from tests.browser.conftest import BASICS, CONTRAST, Surfer
from tests.browser.test_pages import LOOKS, look_name
from tests.support.cast import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("look", LOOKS, ids=look_name)
def test_who_is_blocked_reads_until_when(
    owner: User, live_server: LiveServer, surf: Callable[..., Surfer], look: dict[str, bool]
) -> None:
    for _ in range(NAME_FROM_NETWORK):
        sign_in_try(name="owner", address="127.0.0.1")
    surfer = surf(live_server.url, **look)
    surfer.page = surfer.page.context.new_page()  # whose console nobody reads: the browser complains of any 429
    page = surfer.go("/admin/login/")
    page.fill("#id_username", "owner")
    page.fill("#id_password", PASSWORD)
    with page.expect_response("**/admin/login/**") as answer:
        page.click("#login-form button[type=submit]")
    assert answer.value.status == 429
    page.wait_for_selector("text=Too many failed sign-ins for this name from your address")
    assert page.input_value("#id_password") == ""
    surfer.settle()
    surfer.shoot(f"sign-in-blocked-{look_name(look)}")
    assert page.evaluate(BASICS) == []
    faint = page.evaluate(CONTRAST.replace("#main", "#page"))
    assert [fault for fault in faint if "“*”" not in fault] == []  # the theme's mark of a required field
