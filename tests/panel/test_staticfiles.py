"""Static files as the web process answers them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import RequestFactory

from deploypanel.staticfiles import StaticFilesMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = b"body { margin: 0 }\n" * 100


@pytest.fixture
def serve(tmp_path: Path, settings: Any) -> Callable[..., HttpResponseBase]:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "page.css").write_bytes(TEXT)
    settings.STATIC_ROOT = tmp_path / "static"

    def not_static(_: HttpRequest) -> HttpResponse:
        return HttpResponse(status=404)

    middleware = StaticFilesMiddleware(not_static)

    def one(method: str = "GET", path: str = "page.css", **headers: str) -> HttpResponseBase:
        request = RequestFactory().generic(method, f"{settings.STATIC_URL}{path}", headers=headers)
        answer: HttpResponseBase = middleware(request)
        return answer

    return one


def test_a_file_is_no_stream_for_a_stream_is_warned_of_under_asgi(serve: Callable[..., HttpResponse]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = serve()
    assert (answer.status_code, answer.streaming, answer.content) == (200, False, TEXT)
    assert answer["Content-Type"].startswith("text/css")
    assert answer["Content-Length"] == str(len(TEXT))


def test_parts_heads_and_what_the_browser_has_already(serve: Callable[..., HttpResponse]) -> None:
    part = serve(range="bytes=0-3")
    assert (part.status_code, part.content, part["Content-Length"]) == (206, TEXT[:4], "4")
    head = serve("HEAD")
    assert (head.status_code, head.content, head["Content-Length"]) == (200, b"", str(len(TEXT)))
    same = serve(**{"If-Modified-Since": serve()["Last-Modified"]})
    assert (same.status_code, same.content, "Content-Type" in same) == (304, b"", False)
    assert serve(path="none.css").status_code == 404
