"""The least recently used leave when the cache is full; what is deleted is gone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from apps.files import storage
from apps.files.errors import FileTooLarge
from apps.files.models import CachedFile
from apps.files.selectors import bytes_kept
from apps.files.services import file_kept, files_delete, files_prune
from tests.files.conftest import Cache, wait_for
from tests.files.origin import Origin


def on_disk() -> list[Path]:
    return [path for path in storage.kept_folder().rglob("*") if path.is_file()]


def test_the_least_recently_used_leave(cache: Cache, origin: Origin) -> None:
    cache.set(total_limit=35)
    urls = [origin.holds(f"/{number}", bytes(10)) for number in range(4)]
    for url in urls[:3]:
        cache.get(url)
    cache.content(CachedFile.objects.get(url=urls[0]))  # used again
    cache.get(urls[3])
    wait_for(lambda: bytes_kept() <= 35)
    assert [file_kept(url) is not None for url in urls] == [True, False, True, True]
    assert len(on_disk()) == 3
    gone = CachedFile.objects.get(url=urls[1])
    assert (gone.sha256, gone.size, gone.etag, gone.downloads) == ("", 0, "", 1)
    assert cache.content(cache.get(urls[1], cache=True)) == bytes(10)


def test_what_is_larger_than_the_cache_is_refused(cache: Cache, origin: Origin) -> None:
    cache.set(total_limit=35)
    url = origin.holds("/0", bytes(10))
    cache.get(url)
    with pytest.raises(FileTooLarge):
        cache.get(origin.holds("/big", bytes(36)))
    assert file_kept(url) is not None, "nothing left for what did not come"


def test_a_smaller_limit_holds_after_the_next_tidying(cache: Cache, origin: Origin) -> None:
    for number in range(3):
        cache.get(origin.holds(f"/{number}", bytes(10)))
    cache.set(total_limit=15)
    files_prune(timezone.now())
    assert bytes_kept() == 10
    assert len(on_disk()) == 1


def test_what_is_deleted_is_gone(cache: Cache, origin: Origin) -> None:
    cache.get(origin.holds("/0", bytes(10)))
    assert files_delete(rows=list(CachedFile.objects.all())) == 1
    assert on_disk() == []
    assert not CachedFile.objects.exists()


def test_what_is_not_kept_is_forgotten_in_time(cache: Cache, origin: Origin) -> None:
    cache.get(origin.holds("/0", bytes(10)))
    for number in range(2):
        CachedFile.objects.create(url=f"u{number}", url_digest=str(number), used_at=timezone.now())
    CachedFile.objects.exclude(url="u1").update(used_at=timezone.now() - timedelta(days=31))
    files_prune(timezone.now())
    assert set(CachedFile.objects.values_list("url", flat=True)) == {origin.url("/0"), "u1"}
