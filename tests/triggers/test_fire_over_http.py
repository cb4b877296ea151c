"""`POST /triggers/NAME/fire` through the desk: whose secret opens, what is answered, and a key that comes twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.access.actor import Actor, Door
from apps.access.levels import Level
from apps.access.models import AuditEntry, BusinessHours
from apps.access.services import api_token_create
from apps.triggers import desk
from apps.triggers.fire_views import header_text
from apps.triggers.models import Firing, Trigger
from apps.triggers.services.secrets import server_secret_set, trigger_secret_rotate
from tests.support.cast import grant
from tests.triggers.desks import desk_open

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
OPERATOR = Actor(user=None, door=Door.COMMAND)


@dataclass
class Told:
    status: int
    data: dict[str, Any]
    headers: dict[str, str]


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[desk.Desk]:
    with desk_open(monkeypatch) as opened:
        yield opened


Fire = Callable[..., Told]


@pytest.fixture
def fire(application: desk.Desk) -> Fire:
    def ask(secret: str = "", body: bytes = b"", path: str = "/triggers/web/fire", **more: Any) -> Told:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return asyncio.run(
            _asked(application, path, body, headers | more.get("headers", {}), more.get("method", "POST"))
        )

    return ask


async def _asked(application: desk.Desk, path: str, body: bytes, headers: dict[str, str], method: str) -> Told:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [*raw, (b"content-length", str(len(body)).encode())],
        "client": ("192.0.2.7", 4711),
        "server": ("127.0.0.1", 8000),
    }
    await application(scope, receive, send)
    found = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Told(sent[0]["status"], json.loads(sent[1]["body"] or b"{}"), found)


@pytest.fixture
def web(transactional_db: None) -> Trigger:
    return Trigger.objects.create(name="web")


@pytest.fixture
def secret(web: Trigger) -> str:
    return trigger_secret_rotate(trigger=web, actor=OPERATOR)


def token_of(user: User) -> str:
    return api_token_create(actor=Actor(user=user, door=Door.ADMIN), name="pipeline", days=1)[1]


def test_with_the_triggers_secret(web: Trigger, secret: str, fire: Fire) -> None:
    told = fire(secret, b'{"ref": "refs/heads/main", "n": [1, null]}')
    firing = Firing.objects.get()
    assert told.status == 202
    expected = {"firing": firing.pk, "trigger": "web", "state": "fired", "count": 1, "text": "", "opens_at": None}
    assert told.data == expected
    assert firing.payload == {"ref": "refs/heads/main", "n": [1, None]}
    assert (firing.source, firing.by, firing.address) == ("http", "secret", "192.0.2.7")
    assert fire(headers={"X-Deploypanel-Token": secret}).data["count"] == 2
    assert fire(headers={"Authorization": f"bearer  {secret} "}).data["count"] == 3
    assert secret not in str(AuditEntry.objects.values()) + str(Trigger.objects.values()) + str(Firing.objects.values())


def test_a_name_with_a_slash_or_any_letters(web: Trigger, fire: Fire) -> None:
    for name in ("team/web", "größe 木", "a?b", "fire"):
        trigger = Trigger.objects.create(name=name)
        plain = trigger_secret_rotate(trigger=trigger, actor=OPERATOR, secret="größe 木")
        assert fire(plain, path=f"/triggers/{name}/fire").data["trigger"] == name
        assert fire("größe", path=f"/triggers/{name}/fire").status == 401
    assert fire("x", path="/triggers//fire").status == 418
    assert fire("x", path="/triggers/fire").status == 418


def test_who_is_not_let_in_learns_nothing(web: Trigger, secret: str, fire: Fire) -> None:
    Trigger.objects.create(name="api")
    answers = [
        fire(),
        fire("wrong"),
        fire(secret[:-1]),
        fire(secret, path="/triggers/api/fire"),
        fire(secret, path="/triggers/unknown/fire"),
        fire("dp_" + "x" * 43),
        fire(secret, path="/triggers/web\x00/fire"),
        fire(headers={"Authorization": f"Basic {secret}"}),
    ]
    assert {(one.status, one.data["error"], one.headers["x-deploypanel-reason"]) for one in answers} == {
        (401, answers[0].data["error"], answers[0].headers["x-deploypanel-reason"])
    }
    assert answers[0].headers["www-authenticate"].startswith("Bearer")
    assert not Firing.objects.exists()


def test_the_server_wide_secret_fires_what_there_is(web: Trigger, fire: Fire, settings: Any) -> None:
    server_secret_set(actor=OPERATOR, secret="of all")
    assert fire("of all").status == 202
    assert fire("of all", path="/triggers/unknown/fire").status == 404
    settings.PROSTAGMA_SECRET = "of the environment"
    assert fire("of all").status == 401
    assert fire("of the environment").status == 202
    assert Trigger.objects.count() == 1


def test_an_api_token_may_what_its_person_may(web: Trigger, teammate: User, owner: User, fire: Fire) -> None:
    token = token_of(teammate)
    assert fire(token).status == 404
    grant(teammate, web, Level.VIEW)
    told = fire(token)
    assert told.status == 403
    assert "fire_in_hours" in told.headers["x-deploypanel-reason"]
    assert told.headers["x-deploypanel-reason"].isascii()
    grant(teammate, web, Level.ACT)
    assert fire(token).status == 202
    assert Firing.objects.get().user == teammate
    assert fire(token, path="/triggers/unknown/fire").status == 404
    User.objects.filter(pk=teammate.pk).update(is_active=False)
    assert fire(token).status == 401
    assert fire(token_of(owner)).status == 202


def test_hours_bind_secrets_and_an_override_is_for_administrators(
    web: Trigger, secret: str, owner: User, fire: Fire
) -> None:
    web.hours = BusinessHours.objects.create(name="never", timezone="UTC", weekly={})
    web.save()
    closed = fire(secret, headers={"X-Deploypanel-Override": "I know"})
    assert closed.status == 403
    assert "never" in closed.headers["x-deploypanel-reason"]
    over = fire(token_of(owner), headers={"X-Deploypanel-Override": "mends the größe"})
    assert over.status == 202
    assert Firing.objects.get().override == "mends the größe"
    in_two_days = (timezone.now() + timedelta(days=2)).strftime("%a").lower()
    web.hours.weekly = {in_two_days: "08:00-18:00"}
    web.hours.save()
    Trigger.objects.update(when_closed="hold")
    held = fire(secret)
    assert (held.status, held.data["state"], held.data["count"]) == (202, "held", None)
    assert held.data["opens_at"]


def test_a_key_that_comes_twice(web: Trigger, secret: str, fire: Fire) -> None:
    key = {"Idempotency-Key": "build-17"}
    first = fire(secret, b'{"n": 1}', headers=key)
    again = fire(secret, b'{"n": 1}', headers=key)
    assert (first.status, again.status) == (202, 202)
    assert first.data == again.data
    assert fire(secret, b'{"n": 2}', headers=key).status == 409
    assert fire(secret, b'{"n": 1}').data["count"] == 2
    for bad in ("two words", "x" * 201, "ö"):
        assert fire(secret, headers={"Idempotency-Key": bad}).status == 400
    web.refresh_from_db()
    assert web.count == 2


def test_limits(web: Trigger, secret: str, fire: Fire) -> None:
    assert fire(secret, b'"' + b"x" * 65_535 + b'"').status == 413
    assert fire(secret, b'"' + b"x" * 65_535).status == 400
    for bad in (b"{", b"NaN", b'{"n": 1e999}', b'"\\u0000"', b'"\\ud800"', b"\xff", b"[" * 50_000, b"9" * 5000):
        assert fire(secret, bad).status == 400, bad[:20]
    for method in ("GET", "HEAD", "PUT", "OPTIONS"):
        told = fire(secret, method=method)
        assert (told.status, told.headers["allow"]) == (405, "POST")
    Trigger.objects.update(rate_limit=1)
    assert fire(secret).status == 202
    many = fire(secret)
    assert many.status == 429
    assert int(many.headers["retry-after"]) >= 1
    Trigger.objects.update(enabled=False, rate_limit=None)
    assert fire(secret).status == 403


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200), key=st.text(max_size=20), path=st.text(min_size=1, max_size=20))
def test_no_bytes_make_a_500(web: Trigger, secret: str, fire: Fire, body: bytes, key: str, path: str) -> None:
    headers = {"Idempotency-Key": key.encode("utf-8", "replace").decode(), "X-Deploypanel-Override": key[:5]}
    headers = {name: value.encode("utf-8", "replace").decode() for name, value in headers.items()}
    assert fire(secret, body, headers=headers).status in {202, 400, 403, 409}
    assert fire(secret, body, path=f"/triggers/{path}/fire").status in {202, 400, 401, 418}


def test_a_reason_fits_into_a_header() -> None:
    assert header_text("No: “größe”\r\nSet-Cookie: x – y…") == 'No: "gr??e" Set-Cookie: x - y...'
    assert len(header_text("x" * 9000)) == 500
