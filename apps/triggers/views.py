"""The forges' door: read the request, call the service, answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from apps.access.address import address_of
from apps.triggers.body import body_of
from apps.triggers.errors import HookError
from apps.triggers.services import hook_receive
from apps.triggers.services.deliver import Call
from apps.triggers.signatures import FORGES

if TYPE_CHECKING:
    from django.http import HttpRequest

    from apps.triggers.services import Answer


@csrf_exempt  # forges have no cookie of ours: they sign the body
@never_cache
@require_POST
def hook(request: HttpRequest, forge: str) -> HttpResponse:
    """202 with the runs it started, 200 for a ping, 204 for what is not used; 400, 401, 413 with a reason."""
    if forge not in FORGES:
        return JsonResponse({"error": f"There are hooks for {', '.join(FORGES)}."}, status=404)
    try:
        answer = hook_receive(call=_call(request, forge))
    except HookError as error:
        return JsonResponse({"error": str(error)}, status=error.status)
    return _response(request, answer)


def _call(request: HttpRequest, forge: str) -> Call:
    return Call(
        forge=forge,
        headers=request.headers,
        body=body_of(request, settings.HOOK_BODY_LIMIT),
        content_type=request.content_type or "",
        name=request.GET.get("repository", "")[:80].replace("\x00", ""),
        address=address_of(request),
    )


def _response(request: HttpRequest, answer: Answer) -> HttpResponse:
    if answer.status == 204:
        return HttpResponse(status=204)
    if "text/plain" in request.headers.get("Accept", "") and answer.status == 202:
        told = answer.data["outcomes"]
        lines = (f"{line['environment'] or line.get('node') or 'push'}: {line['text']}" for line in told)
        return HttpResponse(
            "".join(f"{line}\n" for line in lines), status=202, content_type="text/plain; charset=utf-8"
        )
    return JsonResponse(answer.data, status=answer.status)
