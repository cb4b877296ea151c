"""The pages of the file cache in a browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.files.models import CachedFile, CacheSettings
from tests.browser.conftest import Surfer
from tests.browser.test_pages import LOOKS, look_name

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[3]], ids=look_name)  # each width and each colour once
def test_pages_hold_the_basics(
    surf: Callable[..., Surfer], live_server: object, owner: User, look: dict[str, bool]
) -> None:
    surfer = surf(live_server.url, **look)  # type: ignore[attr-defined]
    surfer.enter("owner")
    wrong = surfer.look_at({"files-empty": "/admin/files/cachedfile/"}, look_name(look))
    settings = CacheSettings.objects.create(allowed=["https://a.example"], private_allowed=["10.0.0.0/8"])
    kept = {"sha256": "a" * 64, "size": 31 << 20, "stored_as": "folder:x", "hits": 7, "used_at": timezone.now()}
    address = "https://releases.example.org/shop/builds/2026/11/shop-frontend-1.44.2-linux-x86_64.tar.gz?signature=…"
    row = CachedFile.objects.create(url=address, url_digest="1", fetched_at=timezone.now(), **kept)
    failure = "https://releases.example.org answered 404."
    CachedFile.objects.create(url="https://b.example/x", url_digest="2", failure=failure, fault="missing")
    CachedFile.objects.create(url="s3://artefacts/old.tar", url_digest="3")
    pages = {
        "files": "/admin/files/cachedfile/",
        "file": f"/admin/files/cachedfile/{row.pk}/change/",
        "files-settings": f"/admin/files/cachesettings/{settings.pk}/change/",
    }
    wrong += surfer.look_at(pages, look_name(look))
    assert not wrong, "\n".join(wrong)
