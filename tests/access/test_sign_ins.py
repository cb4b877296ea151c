"""Whoever guesses passwords is stopped, whoever has one seldom is, and an operator lifts it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Barrier, Thread
from unittest.mock import patch

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from apps.access.address import network_of
from apps.access.errors import SignInBlocked
from apps.access.models import AuditEntry, SignInCount
from apps.access.services.sign_ins import sign_in_succeed, sign_in_try
from apps.access.sign_in_bounds import NAME, NAME_FROM_NETWORK, NETWORK, WINDOW
from apps.triggers.housekeeping import sign_ins_prune
from tests.support.cast import PASSWORD

pytestmark = [pytest.mark.database, pytest.mark.django_db]

HERE, ELSEWHERE = "192.0.2.9", "198.51.100.7"


def post(name: str, password: str = "wrong", address: str = HERE) -> HttpResponse:
    page = "/admin/login/?next=/admin/"
    return Client().post(page, {"username": name, "password": password}, REMOTE_ADDR=address)


def fail(times: int, name: str = "owner", address: str = HERE) -> None:
    for _ in range(times):
        sign_in_try(name=name, address=address)


def command(*words: str) -> str:
    out = io.StringIO()
    call_command("sign_ins", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], datetime]:
    """Sets the clock to so long after the first call."""
    start = timezone.now()

    def go(after: timedelta) -> datetime:
        monkeypatch.setattr(timezone, "now", lambda: start + after)
        return start + after

    go(timedelta())
    return go


def test_the_eleventh_try_is_refused_even_with_the_right_password(owner: User) -> None:
    assert {post("owner").status_code for _ in range(NAME_FROM_NETWORK)} == {200}
    answer = post("owner", PASSWORD)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= WINDOW.total_seconds() + 1
    assert "no-store" in answer["Cache-Control"]
    page = answer.content.decode()
    assert "Too many failed sign-ins for this name from your address: none is accepted until" in page
    assert "manage.py sign_ins unblock NAME" in page
    assert "owner@" not in page
    assert PASSWORD not in page
    assert "_auth_user_id" not in answer.wsgi_request.session
    assert post("owner", PASSWORD, ELSEWHERE).status_code == 302


def test_names_that_nobody_has_are_answered_alike(owner: User) -> None:
    told = {}
    for name in ("owner", "nobody-of-us"):
        told[name] = [post(name) for _ in range(NAME_FROM_NETWORK + 1)]
    statuses = {name: [answer.status_code for answer in answers] for name, answers in told.items()}
    assert statuses["owner"] == statuses["nobody-of-us"]
    errors = [[a.context_data["form"].non_field_errors()[0][:60] for a in answers] for answers in told.values()]  # type: ignore[attr-defined]
    assert errors[0] == errors[1]


def test_no_hash_is_computed_and_nothing_written_while_it_is_blocked(
    owner: User, django_assert_num_queries: Callable[[int], object]
) -> None:
    fail(NAME_FROM_NETWORK)
    post("owner")
    before = list(SignInCount.objects.order_by("id").values()), AuditEntry.objects.count()
    with patch.object(MD5PasswordHasher, "encode", side_effect=AssertionError("hashed")):
        assert post("owner", PASSWORD).status_code == 429
        with django_assert_num_queries(1), pytest.raises(SignInBlocked):  # type: ignore[attr-defined]
            fail(1)
    assert (list(SignInCount.objects.order_by("id").values()), AuditEntry.objects.count()) == before


def test_it_is_told_once_in_the_trail_and_without_the_password(owner: User) -> None:
    for _ in range(NAME_FROM_NETWORK + 5):
        post("owner", "my-secret-guess")
    assert AuditEntry.objects.filter(action="login").count() == NAME_FROM_NETWORK
    entry = AuditEntry.objects.get(action="login blocked")
    assert (entry.allowed, entry.actor, entry.address, entry.detail["tried"]) == (False, "nobody", HERE, "owner")
    assert "for this name from your address" in entry.reasons[0]
    rows = str(list(AuditEntry.objects.values())) + str(list(SignInCount.objects.values()))
    assert "my-secret-guess" not in rows


def test_a_success_clears_the_name_from_there_and_nothing_else(owner: User) -> None:
    for _ in range(NAME_FROM_NETWORK - 1):
        post("owner")
    fail(3, address=ELSEWHERE)
    assert post("owner", PASSWORD).status_code == 302
    counts = {(row.name, row.network): row.count for row in SignInCount.objects.all()}
    failed = NAME_FROM_NETWORK - 1
    assert counts == {("owner", ELSEWHERE): 3, ("owner", ""): failed + 3, ("", HERE): failed, ("", ELSEWHERE): 3}
    assert {post("owner").status_code for _ in range(NAME_FROM_NETWORK)} == {200}
    assert post("owner").status_code == 429


def test_an_account_of_ones_own_does_not_help_to_guess_others(teammate: User) -> None:
    for number in range(NETWORK):
        sign_in_try(name=f"person{number}", address=HERE)
        if number < NETWORK - 1:
            sign_in_try(name="teammate", address=HERE)
            sign_in_succeed(name="teammate", address=HERE)
    with pytest.raises(SignInBlocked, match=r"--address 192\.0\.2\.9"):
        fail(1, "person99")
    assert post("teammate", PASSWORD).status_code == 429
    assert post("teammate", PASSWORD, ELSEWHERE).status_code == 302


def test_one_outsider_cannot_lock_a_person_out(owner: User) -> None:
    fail(NAME_FROM_NETWORK, address=ELSEWHERE)
    for _ in range(200):
        with pytest.raises(SignInBlocked):
            fail(1, address=ELSEWHERE)
    assert SignInCount.objects.get(name="owner", network="").count == NAME_FROM_NETWORK
    assert post("owner", PASSWORD).status_code == 302


def test_one_customer_of_a_provider_is_one_outsider() -> None:
    for number in range(NAME_FROM_NETWORK):
        fail(1, address=f"2001:db8:7:{number}::{number}")
    with pytest.raises(SignInBlocked):
        fail(1, address="2001:db8:7:ffff::1")
    fail(1, address="2001:db8:8::1")


def test_many_networks_together_are_stopped_at_a_name(owner: User) -> None:
    for number in range(NAME // NAME_FROM_NETWORK):
        fail(NAME_FROM_NETWORK, address=f"203.0.113.{number}")
    answer = post("owner", PASSWORD)
    assert answer.status_code == 429
    assert "sign-ins for this name: none is accepted" in answer.content.decode()
    fail(1, "teammate")


def test_nothing_new_is_kept_of_a_network_that_is_blocked() -> None:
    for number in range(NETWORK):
        fail(1, f"person{number}")
    before = SignInCount.objects.count()
    for number in range(20):
        with pytest.raises(SignInBlocked):
            fail(1, f"other{number}")
    assert SignInCount.objects.count() == before == 2 * NETWORK + 1


def test_a_block_lasts_from_the_last_failure_and_then_counting_begins_anew(at: Callable[..., datetime]) -> None:
    fail(NAME_FROM_NETWORK - 1)
    last = timedelta(minutes=14)
    at(last)
    fail(1)
    at(last + WINDOW - timedelta(seconds=1))
    with pytest.raises(SignInBlocked) as caught:
        fail(1)
    assert caught.value.retry_after in {1, 2}
    at(last + WINDOW)
    fail(NAME_FROM_NETWORK)
    with pytest.raises(SignInBlocked):
        fail(1)
    assert AuditEntry.objects.filter(action="login blocked").count() == 2


def test_failures_that_are_long_ago_do_not_count(at: Callable[..., datetime]) -> None:
    for number in range(3 * NAME_FROM_NETWORK):
        at(number * timedelta(minutes=2))
        fail(1)


def test_counts_that_are_over_are_pruned_and_others_are_kept(at: Callable[..., datetime]) -> None:
    fail(1, "early")
    now = at(timedelta(minutes=10))
    fail(1, "late", ELSEWHERE)
    assert sign_ins_prune(now) == 0
    assert sign_ins_prune(at(WINDOW)) == 3
    assert set(SignInCount.objects.values_list("name", "network")) == {
        ("late", ELSEWHERE),
        ("late", ""),
        ("", ELSEWHERE),
    }


@pytest.mark.parametrize(
    "fields", [{"username": "owner"}, {"password": "x"}, {}, {"username": "a\0b", "password": "x"}]
)
def test_a_form_that_lacks_something_counts_nothing(db: None, fields: dict[str, str]) -> None:
    assert Client().post("/admin/login/", fields).status_code == 200
    assert not SignInCount.objects.exists()


@pytest.mark.parametrize("name", ["x" * 100_000, "é" * 151, "<script>", "𝕠𝕨𝕟𝕖𝕣"])
def test_odd_names_are_counted_too(db: None, name: str) -> None:
    for _ in range(NAME_FROM_NETWORK):
        assert post(name).status_code == 200
    answer = post(name)
    assert answer.status_code == 429
    assert "<script>alert" not in answer.content.decode()


def test_behind_the_panels_proxy_its_callers_are_told_apart(owner: User, settings: object) -> None:
    settings.USE_X_FORWARDED_HOST = True  # type: ignore[attr-defined]
    fail(NAME_FROM_NETWORK, address=ELSEWHERE)
    page, fields = "/admin/login/?next=/admin/", {"username": "owner", "password": PASSWORD}
    forged = Client().post(page, fields, headers={"X-Forwarded-For": f"{HERE}, {ELSEWHERE}"})
    assert forged.status_code == 429
    assert Client().post(page, fields, headers={"X-Forwarded-For": HERE}).status_code == 302


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("2001:db8:7:8::1", "2001:db8:7::/48"),
        ("2001:db8:7::/48", "2001:db8:7::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", "unknown"),
        ("y" * 500, "y" * 64),
    ],
)
def test_whom_an_address_counts_as(address: str, network: str) -> None:
    assert network_of(address) == network


def test_the_command_lists_and_lifts(owner: User) -> None:
    assert command("list") == "Nobody is blocked.\n"
    fail(NAME_FROM_NETWORK)
    fail(NAME_FROM_NETWORK - 1, "teammate")
    assert command("list").startswith(f"owner from {HERE}: until ")
    assert [row["name"] for row in json.loads(command("list", "--json"))] == ["owner"]
    assert command("unblock", "owner") == "Signing in is possible again.\n"
    assert post("owner", PASSWORD).status_code == 302
    assert SignInCount.objects.filter(name="teammate").count() == 2
    entry = AuditEntry.objects.get(action="login unblock")
    assert (entry.door, entry.detail["name"]) == ("command", "owner")


def test_the_command_lifts_what_stops_a_network_or_a_name_or_all(owner: User) -> None:
    for number in range(NETWORK):
        fail(1, f"person{number}")
    assert command("list").startswith(f"any name from {HERE}: until ")
    assert post("owner", PASSWORD).status_code == 429
    command("unblock", "--address", HERE)
    assert post("owner", PASSWORD).status_code == 302
    for number in range(NAME // NAME_FROM_NETWORK):
        fail(NAME_FROM_NETWORK, address=f"203.0.113.{number}")
    assert "owner from anywhere" in command("list")
    command("unblock", "--all")
    assert not SignInCount.objects.exists()
    assert command("unblock", "--all") == "Nothing was counted.\n"


@pytest.mark.parametrize("words", [(), ("owner", "--all"), ("owner", "--address", HERE), ("ownr",), ("--address", "?")])
def test_the_command_says_what_is_wrong(db: None, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        call_command("sign_ins", "unblock", *words, stderr=io.StringIO())
    assert stopped.value.code == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("begun", [False, True])
def test_of_many_at_once_no_more_than_the_limit_are_looked_at(transactional_db: None, begun: bool) -> None:
    crowd, let_in, refused = 24, list[int](), list[str]()
    if begun:  # the rows are there, and over: all want to begin them anew
        fail(NAME_FROM_NETWORK)
        SignInCount.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
    start = Barrier(crowd)

    def guess(number: int) -> None:
        try:
            start.wait(60)
            sign_in_try(name="owner", address=HERE)
            let_in.append(number)
        except SignInBlocked as blocked:
            refused.append(str(blocked))
        finally:
            connection.close()

    _all_at_once([Thread(target=guess, args=(number,)) for number in range(crowd)])
    assert (len(let_in), len(refused)) == (NAME_FROM_NETWORK, crowd - NAME_FROM_NETWORK)
    assert {row.count for row in SignInCount.objects.all()} == {NAME_FROM_NETWORK}
    assert AuditEntry.objects.filter(action="login blocked").count() == 1


@pytest.mark.django_db(transaction=True)
def test_tries_successes_and_pruning_at_once_neither_fail_nor_miscount(transactional_db: None) -> None:
    wrong = list[BaseException]()
    start = Barrier(8)

    def work(number: int) -> None:
        try:
            start.wait(60)
            for turn in range(12):
                name, address = f"person{(number + turn) % 3}", f"192.0.2.{number % 2}"
                if number == 7:
                    sign_ins_prune(timezone.now() + WINDOW + WINDOW)
                elif number % 2:
                    sign_in_try(name=name, address=address)
                else:
                    sign_in_try(name=name, address=address)
                    sign_in_succeed(name=name, address=address)
        except SignInBlocked:
            pass
        except BaseException as error:
            wrong.append(error)
        finally:
            connection.close()

    _all_at_once([Thread(target=work, args=(number,)) for number in range(8)])
    assert wrong == []
    assert all(row.count <= NETWORK for row in SignInCount.objects.all())


def _all_at_once(threads: list[Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
