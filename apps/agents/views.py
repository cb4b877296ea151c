"""The doors of agents that Django answers: enrolment, and files. Programs come here, without cookies."""

from __future__ import annotations

import json
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import sync_to_async
from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from apps.access.actor import Actor, Door
from apps.access.address import address_of
from apps.agents.errors import CodeRefused, TooManyTries
from apps.agents.keys import key_digest
from apps.agents.models import Agent
from apps.agents.services import agent_enrol
from apps.agents.tries import Tries
from apps.files.answer import file_answer
from apps.files.errors import FileError
from apps.files.services import WAIT, file_ask, file_by_sha256
from apps.runs.lines import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

BODY_LIMIT = 16 * 1024  # bytes
ENROL_FIELDS = ("hostname", "version", "system")
tries = Tries()


class _Bad(Exception):
    """What is wrong with a body."""


@csrf_exempt
@never_cache
@require_POST
def enrol(request: HttpRequest) -> HttpResponse:
    """The agent's name and key; 403 for a code that opens nothing, 429 after too many of them."""
    address = address_of(request)
    try:
        tries.check(address)
        data = _body(request)
        enrolled = agent_enrol(
            code=_text(data, "code"),
            actor=Actor(user=None, door=Door.API, address=address),
            **{name: _text(data, name) for name in ENROL_FIELDS},
        )
    except TooManyTries as error:
        return JsonResponse({"error": str(error)}, status=429, headers={"Retry-After": str(error.retry_after)})
    except _Bad as error:
        return JsonResponse({"error": str(error)}, status=400)
    except CodeRefused as error:
        tries.failed(address)
        return JsonResponse({"error": str(error)}, status=403)
    told = {"name": enrolled.agent.name, "key": enrolled.key, "public_key": enrolled.public_key}
    return JsonResponse(told)


def _for_agents(
    view: Callable[..., Coroutine[Any, Any, HttpResponseBase]],
) -> Callable[..., Coroutine[Any, Any, HttpResponseBase]]:
    """Only with an agent's key; what goes wrong with files is told with its status."""

    @wraps(view)
    async def asked(request: HttpRequest, **values: Any) -> HttpResponseBase:
        agent = await sync_to_async(_agent)(request)
        if agent is None:
            return JsonResponse({"error": "No agent has this key."}, status=401)
        try:
            return await view(request, agent, **values)
        except _Bad as error:
            return JsonResponse({"error": str(error)}, status=400)
        except FileError as error:
            return JsonResponse({"error": str(error)}, status=error.status)

    return asked


@csrf_exempt
@never_cache
@require_POST
@_for_agents
async def files(request: HttpRequest, agent: Agent) -> HttpResponse:
    """Have the panel fetch a URL: 200 when it is there, 202 while it is under way."""
    data = _body(request)
    url = _text(data, "url")
    if not url:
        raise _Bad("url is missing.")
    wanted = _text(data, "sha256").lower()
    cached = await sync_to_async(file_ask)(
        url=url, cache=bool(data.get("cache")), by=f"agent {agent.name}", sha256=wanted
    )
    if cached is None:
        return JsonResponse({"wait": WAIT}, status=202)
    if wanted and wanted != cached.sha256:
        error = f"{url} has the SHA-256 {cached.sha256}, and {wanted} is wanted."
        return JsonResponse({"error": error}, status=409)
    return JsonResponse({"sha256": cached.sha256, "size": cached.size})


@csrf_exempt
@require_GET
@_for_agents
async def file(request: HttpRequest, _asker: Agent, sha256: str) -> HttpResponseBase:
    """The bytes of a file that the panel has; ranges are answered."""
    cached = await sync_to_async(file_by_sha256)(sha256.lower())
    if cached is None:
        return JsonResponse({"error": "The panel has no such file (any more): ask for its URL again."}, status=404)
    return await file_answer(request, cached)


def _agent(request: HttpRequest) -> Agent | None:
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        return None
    return Agent.objects.filter(key_digest=key_digest(key.strip())).first()


def _body(request: HttpRequest) -> dict[str, Any]:
    try:
        if int(request.headers.get("Content-Length") or 0) > BODY_LIMIT or len(request.body) > BODY_LIMIT:
            raise _Bad(f"The body is longer than {BODY_LIMIT} bytes.")
        data = json.loads(request.body)
    except (RequestDataTooBig, OSError, ValueError, RecursionError):
        raise _Bad("The body is not JSON.") from None
    if not isinstance(data, dict):
        raise _Bad("The body is no JSON object.")
    return cast(dict[str, Any], data)


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name) or ""
    if not isinstance(value, str):
        raise _Bad(f"{name} is not text.")
    return storable(value)
