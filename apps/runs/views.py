"""A run's log over HTTP: as text to keep, by line to scroll, by content to search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.views import redirect_to_login
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.runs.models import Run
from apps.runs.reading import paced
from apps.runs.selectors import run_visible_to
from apps.runs.transcript import Line, lines_from, lines_matching, text_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

LINES_MOST = 1000  # in one answer
MATCHES_MOST = 10_000
SHOWN_MOST = 4000  # characters of one line; the whole line is in log.txt


def _for_viewers(view: Callable[[HttpRequest, Run], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Calls the view with the run, when the signed-in person may see it; everyone else gets 404."""

    @require_GET
    @never_cache
    def checked(request: HttpRequest, run_id: int) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        run = Run.objects.filter(pk=run_id).first()
        if run is None or not run_visible_to(request.user, run):
            raise Http404
        return view(request, run)

    return checked


@_for_viewers
def log_text(request: HttpRequest, run: Run) -> HttpResponseBase:
    """The whole log, or that of `?host=` (empty: the panel itself), as far as it is written."""
    parts = text_parts(run.pk, _asked(request, "host"))
    response = StreamingHttpResponse(
        # Django's ASGI handler would collect a plain iterator in memory first.
        paced(parts) if isinstance(request, ASGIRequest) else parts,
        content_type="text/plain; charset=utf-8",
    )
    kind = "attachment" if "download" in request.GET else "inline"
    response["Content-Disposition"] = f'{kind}; filename="run-{run.pk}.log"'
    # A proxy that gathers answers would keep the reader of a long log waiting.
    response["X-Accel-Buffering"] = "no"
    return response


@_for_viewers
def log_lines(request: HttpRequest, run: Run) -> HttpResponseBase:
    """Lines by number: `?from=` (the first is 1) and `?count=` (at most 1,000)."""
    start = max(1, _number(request, "from", 1))
    count = min(LINES_MOST, max(0, _number(request, "count", LINES_MOST)))
    lines = [_line_json(line) for line in lines_from(run.pk, start, count)]
    return JsonResponse({"from": start, "total": run.log_lines, "lines": lines})


@_for_viewers
def log_matches(request: HttpRequest, run: Run) -> HttpResponseBase:
    """The newest 10,000 lines of `?host=` and `?stream=` that contain `?text=`.

    `upto`: the last line that was looked at.
    """
    host, stream, text = (_asked(request, name) for name in ("host", "stream", "text"))
    found, cut = lines_matching(run.pk, host=host, stream=stream, text=text or "", most=MATCHES_MOST)
    upto = max([run.log_lines, *(line.number for line in found[-1:])])
    return JsonResponse({"upto": upto, "cut": cut, "lines": [_line_json(line) for line in found]})


def _line_json(line: Line) -> list[Any]:
    text = line.text
    if len(text) > SHOWN_MOST:
        text = f"{text[:SHOWN_MOST]} … {len(text) - SHOWN_MOST} more characters"
    return [line.number, line.host, line.stream, int(line.at.timestamp() * 1000), text]


def _asked(request: HttpRequest, name: str) -> str | None:
    """A word of the address. PostgreSQL takes no NUL, and no host, stream or line has one."""
    given = request.GET.get(name)
    return given and given.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _number(request: HttpRequest, name: str, default: int) -> int:
    given = request.GET.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else default
