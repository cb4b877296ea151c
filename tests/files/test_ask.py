"""Who asks gets what is there, and one download serves all who wait for it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextvars import ContextVar
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.files import storage
from apps.files.errors import FileError, FileMissing, FileNotStored, FileRefused, FileTooLarge
from apps.files.models import CachedFile, FileWish
from apps.files.services import ask as asking
from apps.files.services import file_ask, file_by_sha256, file_fetch, file_kept
from tests.files.conftest import Cache, run_async, wait_for
from tests.files.origin import Asked, Origin

pytestmark = pytest.mark.database
asyncio_task: ContextVar[int] = ContextVar("asyncio_task")


def test_a_file_is_downloaded_and_kept(cache: Cache, origin: Origin) -> None:
    url = origin.holds("/a.bin", b"here", Content_Type="text/plain")
    row = cache.get(url)
    assert cache.content(row) == b"here"
    assert row.sha256 == hashlib.sha256(b"here").hexdigest()
    assert (row.size, row.content_type, row.failure, row.downloads) == (4, "text/plain", "", 1)
    assert file_kept(url) == row
    assert file_by_sha256(row.sha256) == row
    assert list(storage.incoming().iterdir()) == []
    assert not FileWish.objects.exists()
    row.refresh_from_db()
    assert (row.hits, row.bytes_served, row.bytes_fetched) == (1, 4, 4)


def test_who_wants_it_anew_gets_it_anew(cache: Cache, origin: Origin) -> None:
    url = origin.holds("/a", b"one", ETag='"one"')
    first = cache.get(url)
    origin.holds("/a", b"two", ETag='"two"')
    second = cache.get(url)
    assert cache.content(second) == b"two"
    assert not storage.is_there(first.stored_as), "what was replaced is deleted"
    assert [path for path, headers in origin.asked if "if-none-match" in headers] == []


def test_who_takes_a_copy_gets_it_when_the_origin_says_that_it_is_good(cache: Cache, origin: Origin) -> None:
    url = origin.holds("/a", b"one", ETag='"one"')
    first = cache.get(url, cache=True)
    second = cache.get(url, cache=True)
    assert (second.stored_as, second.downloads) == (first.stored_as, 1)
    assert [headers.get("if-none-match") for _, headers in origin.asked] == [None, '"one"']
    origin.holds("/a", b"two", ETag='"two"')
    assert cache.content(cache.get(url, cache=True)) == b"two"


def test_a_copy_does_while_the_origin_fails_and_not_when_the_file_is_gone(cache: Cache, origin: Origin) -> None:
    url = origin.holds("/a", b"one")
    cache.get(url)
    origin.on("/a", lambda asked: asked.say(500))
    assert cache.content(cache.get(url, cache=True)) == b"one"
    assert "500" in CachedFile.objects.get().failure
    with pytest.raises(FileError, match="500"):
        cache.get(url)
    origin.on("/a", lambda asked: asked.say(404))
    with pytest.raises(FileMissing):
        cache.get(url, cache=True)
    assert file_kept(url) is not None, "old clients read what is kept"


def test_a_checksum_that_is_kept_needs_no_question(cache: Cache, origin: Origin) -> None:
    url = origin.holds("/a", b"one")
    row = cache.get(url)
    assert file_ask(url=url, cache=False, by="b", sha256=row.sha256.upper()) == row
    assert origin.count("/a") == 1


def test_failures_are_told_and_kept(cache: Cache, origin: Origin) -> None:
    with pytest.raises(FileMissing, match="answered 404"):
        cache.get(origin.url("/none?token=abc"))
    row = CachedFile.objects.get()
    assert (row.fault, row.claimed_by, row.stored_as) == ("missing", "", "")
    assert "abc" not in row.url + row.failure
    cache.set(file_limit=3)
    with pytest.raises(FileTooLarge):
        cache.get(origin.holds("/a", b"four"))
    with pytest.raises(FileRefused):
        cache.get("http://169.254.169.254/latest/meta-data/")
    cache.set(allowed=["https://a.example"])
    with pytest.raises(FileRefused, match="not among"):
        cache.get(origin.holds("/b", b"b"))
    assert CachedFile.objects.count() == 3, "what is not on the list leaves nothing behind"


def test_a_folder_that_cannot_be_written_is_a_sentence(cache: Cache, origin: Origin, data_folder) -> None:  # type: ignore[no-untyped-def]
    (data_folder / "files").write_text("in the way")
    with pytest.raises(FileNotStored, match="cannot be written"):
        cache.get(origin.holds("/a", b"a"))


def test_many_who_ask_at_once_share_one_download(cache: Cache, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, looked, look = threading.Event(), set(), asking._looked
    monkeypatch.setattr(asking, "JOIN", timedelta(minutes=1))

    def noted(url: str, cache: bool, needed: int) -> tuple[CachedFile | None, int]:
        if needed:  # not the first look
            looked.add(asyncio_task.get())
        return look(url, cache, needed)

    monkeypatch.setattr(asking, "_looked", noted)

    def answer(asked: Asked) -> None:
        gate.wait(60)
        asked.say(200, b"here")

    url = origin.on("/a", answer)

    async def all_at_once() -> list[CachedFile]:
        async def one(number: int) -> CachedFile:
            asyncio_task.set(number)
            return await file_fetch(url, cache=number % 2 == 0)

        waiting = [asyncio.ensure_future(one(number)) for number in range(20)]
        while len(looked) < 20:
            await asyncio.sleep(0.01)
        gate.set()
        return await asyncio.gather(*waiting)

    rows = run_async(all_at_once())
    assert {row.sha256 for row in rows} == {hashlib.sha256(b"here").hexdigest()}
    assert origin.count("/a") == 1


def test_a_download_that_began_long_ago_does_not_answer_who_wants_it_anew(
    cache: Cache, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may bring what was there before the reason for asking."""
    gate, bodies = threading.Event(), iter([b"old", b"new"])

    def answer(asked: Asked) -> None:
        body = next(bodies)
        gate.wait(60)
        asked.say(200, body)

    url = origin.on("/a", answer)
    assert file_ask(url=url, cache=False, by="first") is None
    wait_for(lambda: origin.count("/a"))
    monkeypatch.setattr(asking, "JOIN", timedelta(0))
    assert file_ask(url=url, cache=False, by="late") is None
    assert file_ask(url=url, cache=True, by="patient") is None
    gate.set()
    # Each gets his answer, whatever came after it.
    assert wait_for(lambda: file_ask(url=url, cache=True, by="patient"))
    assert cache.content(wait_for(lambda: file_ask(url=url, cache=False, by="late"))) == b"new"
    assert file_ask(url=url, cache=False, by="first") is not None
    assert origin.count("/a") == 2


def test_an_answer_that_nobody_took_is_not_given_to_a_later_question(cache: Cache, origin: Origin) -> None:
    url = origin.holds("/a", b"one")
    assert file_ask(url=url, cache=False, by="agent a") is None
    wait_for(lambda: CachedFile.objects.get().attempt_ended)
    FileWish.objects.update(asked_at=timezone.now() - asking.ASKING - timedelta(seconds=1))
    origin.holds("/a", b"two")
    assert cache.content(cache.get(url, by="agent a")) == b"two"


def test_waiting_has_an_end(cache: Cache, origin: Origin) -> None:
    gate = threading.Event()
    url = origin.on("/a", lambda asked: (gate.wait(60), asked.say(200))[1])
    with pytest.raises(FileError, match=r"in 0\.1 seconds"):
        run_async(file_fetch(url, cache=False, timeout=0.1))
    gate.set()


def test_what_vanished_from_the_folder_is_downloaded_again(cache: Cache, origin: Origin) -> None:
    url = origin.holds("/a", b"one", ETag='"one"')
    row = cache.get(url)
    (storage.kept_folder() / row.stored_as.partition(":")[2]).unlink()
    assert file_kept(url) is None
    with pytest.raises(FileMissing):
        cache.content(row)
    assert cache.content(cache.get(url, cache=True)) == b"one"
