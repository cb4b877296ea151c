"""A cached file is answered as a static file is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.http.response import HttpResponseBase
from django.test import AsyncRequestFactory
from django.utils import timezone
from django.utils.http import http_date

from apps.files.answer import file_answer
from apps.files.errors import FileMissing
from apps.files.models import CachedFile
from apps.files.services import files_delete
from tests.files.conftest import Cache, run_async
from tests.files.origin import Origin

BODY = bytes(range(100)) * 10_000


@pytest.fixture
def row(cache: Cache, origin: Origin) -> CachedFile:
    return cache.get(origin.holds("/a.html", BODY, Content_Type="text/html"))


def answered(row: CachedFile, **headers: str) -> tuple[HttpResponseBase, bytes]:
    async def ask() -> tuple[HttpResponseBase, bytes]:
        response: Any = await file_answer(AsyncRequestFactory().get("/", headers=headers), row)
        body = b"".join([piece async for piece in response]) if response.streaming else response.content
        response.close()
        return response, body

    return run_async(ask())


def test_the_whole(row: CachedFile) -> None:
    response, body = answered(row)
    assert (response.status_code, body) == (200, BODY)
    assert response["Content-Length"] == str(len(BODY))
    assert response["Content-Type"] == "application/octet-stream", "never the origin's: a page of it would be ours"
    assert (response["ETag"], response["Accept-Ranges"]) == (f'"{row.sha256}"', "bytes")
    row.refresh_from_db()
    assert (row.hits, row.bytes_served) == (1, len(BODY))


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-0", 0, 0), ("10-19", 10, 19), ("999990-", 999_990, 999_999), ("-5", 999_995, 999_999),
     ("5-99999999999", 5, 999_999), ("-99999999999", 0, 999_999), (" 300000-600000 ", 300_000, 600_000)],
)  # fmt: skip
def test_a_part(row: CachedFile, asked: str, first: int, last: int) -> None:
    response, body = answered(row, Range=f"bytes={asked}")
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {first}-{last}/{len(BODY)}"
    assert body == BODY[first : last + 1]
    assert response["Content-Length"] == str(len(body))


@pytest.mark.parametrize("asked", ["1000000-", "1000001-1000002", "-0"])
def test_a_part_that_is_not_there(row: CachedFile, asked: str) -> None:
    response, _ = answered(row, Range=f"bytes={asked}")
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{len(BODY)}")


@pytest.mark.parametrize("asked", ["bytes=5-1", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes=1", "x"])
def test_what_cannot_be_understood_is_answered_with_the_whole(row: CachedFile, asked: str) -> None:
    response, body = answered(row, Range=asked)
    assert (response.status_code, len(body)) == (200, len(BODY))


def test_who_has_it_is_told_so(row: CachedFile) -> None:
    assert row.stored_at is not None
    date = http_date(row.stored_at.timestamp())
    before = http_date(row.stored_at.timestamp() - 60)
    for headers in (
        {"If-None-Match": f'"{row.sha256}"'},
        {"If-None-Match": f'"x", W/"{row.sha256}"'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": date},
    ):
        response, body = answered(row, **headers)
        assert (response.status_code, body) == (304, b""), headers
        assert not response.has_header("Content-Type")
    for headers in (
        {"If-None-Match": '"x"'},
        {"If-Modified-Since": before},
        {"If-Modified-Since": "soon"},
        {"If-None-Match": '"x"', "If-Modified-Since": date},
    ):
        assert answered(row, **headers)[0].status_code == 200, headers


def test_a_part_of_what_has_changed_is_the_whole(row: CachedFile) -> None:
    assert row.stored_at is not None
    date = http_date(row.stored_at.timestamp())
    for condition, status in ((f'"{row.sha256}"', 206), (date, 206), ('"x"', 200), (f'W/"{row.sha256}"', 200)):
        headers = {"Range": "bytes=0-9", "If-Range": condition}
        assert answered(row, **headers)[0].status_code == status, condition


def test_an_empty_file(cache: Cache, origin: Origin) -> None:
    row = cache.get(origin.holds("/empty", b""))
    assert answered(row)[1] == b""
    assert answered(row, Range="bytes=0-")[0].status_code == 416


def test_a_file_that_is_replaced_meanwhile_is_answered_as_it_is_now(
    cache: Cache, origin: Origin, row: CachedFile
) -> None:
    origin.holds("/a.html", b"new")
    cache.get(row.url)
    response, body = answered(row)  # as it was read before
    assert body == b"new"
    assert response["ETag"] != f'"{row.sha256}"'


def test_a_file_that_has_gone_is_missing(row: CachedFile) -> None:
    files_delete(rows=[CachedFile.objects.get()])
    with pytest.raises(FileMissing, match="left the cache"):
        answered(row)


def test_who_reads_is_not_disturbed_when_the_file_goes(row: CachedFile) -> None:
    async def ask() -> bytes:
        response: Any = await file_answer(AsyncRequestFactory().get("/"), row)
        await asyncio.to_thread(files_delete, rows=[await CachedFile.objects.aget()])
        return b"".join([piece async for piece in response])

    assert run_async(ask()) == BODY


def test_dates_are_whole_seconds(row: CachedFile) -> None:
    late = timezone.now().replace(microsecond=999_999) - timedelta(days=1)
    CachedFile.objects.update(stored_at=late)
    row.refresh_from_db()
    first, _ = answered(row)
    assert answered(row, **{"If-Modified-Since": first["Last-Modified"]})[0].status_code == 304
