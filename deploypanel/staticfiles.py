"""Static files as an installation serves them: named by their content, compressed, cached for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage

if TYPE_CHECKING:
    from django.http import HttpRequest
    from whitenoise.responders import StaticFile


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Also the imports between our JavaScript modules name the hashed files.

    Otherwise a browser could mix modules of two versions after an upgrade.
    """

    support_js_module_import_aggregation = True


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """Reads a file whole, for all are small. Django's ASGI handler would too, and warn of it in the log."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        content = b""
        if found.file is not None:  # 304 and HEAD have none
            with found.file as file:
                content = file.read()
        answer = HttpResponse(content, status=int(found.status))
        del answer["Content-Type"]  # its own is among the headers, where it has one
        for name, value in found.headers:
            answer[name] = value
        return answer
