"""Several processes and one download, and a process that is killed in the middle of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from apps.files import claims, storage
from apps.files.models import CachedFile
from apps.files.services import file_ask, files_prune
from tests.files.conftest import Cache, wait_for
from tests.files.origin import Asked, Origin
from tests.support.panel import ROOT

pytestmark = pytest.mark.database

OTHER = """
import asyncio, sys, django
django.setup()
from apps.files.services import file_fetch
print("ready", flush=True)
sys.stdin.readline()
row = asyncio.run(file_fetch(sys.argv[1], cache=True))
print(row.sha256, flush=True)
"""


def other_process(url: str) -> subprocess.Popen[str]:
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "deploypanel.settings"}
    argv = [sys.executable, "-c", OTHER, url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(argv, cwd=ROOT, env=env, text=True, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == "ready\n"
    return process  # type: ignore[no-any-return]


def test_two_processes_make_one_download_and_the_second_takes_over_from_a_killed_one(
    cache: Cache, origin: Origin
) -> None:
    gate = threading.Event()

    def answer(asked: Asked) -> None:
        gate.wait(60)
        asked.say(200, b"here")

    url = origin.on("/a", answer)
    with other_process(url) as first, other_process(url) as second:
        try:
            first.stdin.write("go\n")
            first.stdin.flush()
            wait_for(lambda: origin.count("/a"))
            second.stdin.write("go\n")
            second.stdin.flush()
            assert file_ask(url=url, cache=True, by="third") is None
            claim = CachedFile.objects.get().claimed_by
            assert claim.split(":")[1] == str(first.pid)
            assert origin.count("/a") == 1
            first.kill()
            first.wait()
            # It died with its claim. Nobody waits until that is old.
            wait_for(lambda: origin.count("/a") == 2)
            gate.set()
            assert (
                second.stdout.readline().strip() == wait_for(lambda: file_ask(url=url, cache=True, by="third")).sha256
            )
        finally:
            gate.set()
            for process in (first, second):
                process.kill()
    row = CachedFile.objects.get()
    assert (row.attempt, row.attempt_ended, row.downloads) == (2, 2, 1)
    assert not (storage.incoming() / claim).exists()


def test_a_claim_of_another_machine_grows_old(cache: Cache, origin: Origin) -> None:
    url = origin.holds("/a", b"here")
    row = cache.get(url)
    claim = {"claimed_by": "elsewhere:1:1.00:x", "attempt": 2, "began_at": timezone.now()}
    CachedFile.objects.filter(pk=row.pk).update(**claim, claimed_at=timezone.now())
    assert file_ask(url=url, cache=True, by="a") is None
    assert CachedFile.objects.get().claimed_by == "elsewhere:1:1.00:x"
    CachedFile.objects.update(claimed_at=timezone.now() - claims.STALE - timedelta(seconds=1))
    assert cache.get(url, by="a").attempt == 3


def test_who_lost_his_claim_brings_nothing_and_is_ended(
    cache: Cache, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.1)
    gate = threading.Event()

    def answer(asked: Asked) -> None:
        asked.say(200, b"", Content_Length="4")
        gate.wait(60)

    url = origin.on("/a", answer)
    assert file_ask(url=url, cache=False, by="a") is None
    wait_for(lambda: origin.count("/a"))
    CachedFile.objects.update(claimed_by="somebody else", claimed_at=timezone.now())
    wait_for(lambda: list(storage.incoming().iterdir()) == [])  # it gave up, although its origin says nothing
    gate.set()
    row = CachedFile.objects.get()
    assert (row.claimed_by, row.stored_as, row.failure) == ("somebody else", "", "")


def test_what_killed_downloads_left_is_swept_out(cache: Cache) -> None:
    old, young = storage.incoming() / "old", storage.incoming() / "young"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (1, 1))
    files_prune(timezone.now())
    assert (old.exists(), young.exists()) == (False, True)


def test_sweeping_minds_no_download_that_ends_meanwhile(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [storage.incoming() / name for name in ("ending", "old")]
    for part in parts:
        part.write_bytes(b"half")
        os.utime(part, (1, 1))
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(parts))
    parts[0].unlink()  # after it was listed
    files_prune(timezone.now())
    assert not parts[1].exists()
