"""Where programs fire triggers: the old protocol's `/trigger`, and `POST /triggers/NAME/fire`.

Both are answered by the desk (desk.py), past the middleware: nobody who calls here has a cookie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from apps.access.address import address_of
from apps.access.errors import Conflict, InputError, NotFound, PanelError, Refused
from apps.triggers import old_protocol
from apps.triggers.body import body_of
from apps.triggers.errors import BadBody, RateLimited, TooLarge, Unauthorised, Unreadable
from apps.triggers.services.called import FireCall, trigger_called
from apps.triggers.services.old_clients import old_count, old_fire

if TYPE_CHECKING:
    from django.http import HttpRequest

    from apps.triggers.models import Firing

FIRE_BODY_MOST = 64 * 1024  # bytes
WRONG = "No secret or API token was given that opens this trigger: Authorization: Bearer …"
STATUS: tuple[tuple[type[PanelError], int], ...] = (
    (BadBody, 400),
    (Unreadable, 400),
    (TooLarge, 413),
    (NotFound, 404),
    (InputError, 400),
    (Refused, 403),
    (Conflict, 409),
    (RateLimited, 429),
)
REASON_MOST = 500  # characters
PLAIN = str.maketrans({"“": '"', "”": '"', "’": "'", "–": "-", "…": "...", "→": "->", "×": "x"})


@csrf_exempt  # it has no cookie of ours: the body holds the secret
def old_trigger(request: HttpRequest) -> HttpResponse:
    """GET tells the count, POST fires. Statuses and bodies are the old server's; a reason stands in a header."""
    if request.method not in {"GET", "POST"}:
        return _empty(405, Allow="GET, POST")
    try:
        call = old_protocol.call_read(body_of(request, old_protocol.BODY_MOST))
        if request.method == "POST":
            old_fire(call=call, address=address_of(request))
            return _empty(200)
        told = old_protocol.count_answer(call.trigger, old_count(call=call, address=address_of(request)))
    except Unauthorised:
        return _empty(403, **{"X-Deploypanel-Reason": "The secret is missing or wrong."})
    except PanelError as error:
        return _empty(_status(error), **_headers(error))
    return HttpResponse(told, content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


@csrf_exempt  # it has no cookie of ours: a header holds the secret
def fire(request: HttpRequest, name: str) -> HttpResponse:
    """202 with the firing; 400, 401, 403, 404, 405, 409, 413, 429 with `{"error"}`, and the reason in a header."""
    if request.method != "POST":
        return JsonResponse({"error": "Send a POST."}, status=405, headers={"Allow": "POST"})
    try:
        firing = trigger_called(call=_call(request, name))
    except Unauthorised:
        headers = {"WWW-Authenticate": 'Bearer realm="trigger"', "X-Deploypanel-Reason": header_text(WRONG)}
        return JsonResponse({"error": WRONG}, status=401, headers=headers)
    except PanelError as error:
        told = {"error": str(error)}
        if isinstance(error, Refused) and error.decision.opens_at:
            told["opens_at"] = error.decision.opens_at.isoformat()
        return JsonResponse(told, status=_status(error), headers=_headers(error))
    return JsonResponse(_told(firing), status=202, headers={"Cache-Control": "no-store"})


def _call(request: HttpRequest, name: str) -> FireCall:
    return FireCall(
        name=name,
        secret=_secret(request),
        body=body_of(request, FIRE_BODY_MOST),
        key=request.headers.get("Idempotency-Key", ""),
        override=_utf8(request.headers.get("X-Deploypanel-Override", "")),
        address=address_of(request),
    )


def _secret(request: HttpRequest) -> str:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.headers.get("X-Deploypanel-Token", "")
    return _utf8(given.strip())


def _utf8(header: str) -> str:
    """A header's text, which arrives as one letter for each byte."""
    return header.encode("latin-1", "replace").decode("utf-8", "replace")


def _told(firing: Firing) -> dict[str, object]:
    return {
        "firing": firing.pk,
        "trigger": firing.trigger.name,
        "state": firing.state,
        "count": firing.count,
        "text": firing.text,
        "opens_at": firing.opens_at.isoformat() if firing.opens_at else None,
    }


def _status(error: PanelError) -> int:
    """Raises the error itself where no caller is at fault: that is a 500, and stands in the log."""
    found = next((status for kind, status in STATUS if isinstance(error, kind)), None)
    if found is None:
        raise error
    return found


def _headers(error: PanelError) -> dict[str, str]:
    headers = {} if isinstance(error, BadBody) else {"X-Deploypanel-Reason": header_text(str(error))}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after)
    return headers


def header_text(text: str) -> str:
    """A sentence as a header can carry it: one line of ASCII."""
    plain = " ".join(text.translate(PLAIN).split())[:REASON_MOST]
    return "".join(letter if " " <= letter <= "~" else "?" for letter in plain)


def _empty(status: int, **headers: str) -> HttpResponse:
    response = HttpResponse(status=status, headers=headers)
    del response.headers["Content-Type"]  # of nothing
    return response
