"""Downloads of build scripts over SSH: fetched by the panel once, copied to each host, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.environments import ssh
from apps.environments.models import Host
from apps.environments.pipeline.fleet import StepFailed
from apps.environments.pipeline.script_files import Files
from apps.environments.services import script_request
from apps.environments.ssh_upload import UploadRefused, upload
from apps.files import storage
from apps.files.models import CachedFile, CacheSettings
from apps.runs.models import Cause
from apps.runs.states import RunState
from apps.triggers.models import Trigger
from tests.support.runner import OPERATOR, run_now
from tests.support.site import cell, explain
from tests.support.sshd import Fleet

CONTENT = os.urandom(3_000_000)


class Origin:
    """A web server on loopback that has one file."""

    def __init__(self) -> None:
        asked = self.asked = Counter[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked[self.path] += 1
                found = self.path == "/web.tar"
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(CONTENT) if found else 0))
                self.end_headers()
                self.wfile.write(CONTENT if found else b"")

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(5)


def test_a_download_reaches_every_host_and_is_made_once(
    transactional_db: None, sshd_fleet: Callable[..., Fleet], origin: Origin
) -> None:
    fleet = sshd_fleet(2)
    hosts = fleet.declare()
    CacheSettings.objects.create(private_allowed=["127.0.0.1"])
    trigger = Trigger(name="web")
    trigger.save()
    (fleet[0].root / "deep").mkdir()
    (fleet[1].root / "deep").mkdir()
    (fleet[1].root / "deep" / "web.tar").write_text("as it was before")
    digest = hashlib.sha256(CONTENT).hexdigest()
    url = f"{origin.url}/web.tar"
    script = (
        "steps:\n"
        f"  - {{download: {{url: '{url}', dest: web.tar, sha256: {digest}}}, cwd: deep}}\n"
        f"  - {{download: {{url: '{origin.url}/gone', dest: gone}}, continue_on_error: true}}\n"
        f"  - {{download: {{url: '{url}', dest: wrong, sha256: {'0' * 64}}}, continue_on_error: true}}\n"
        f"  - {{download: {{url: '{url}', dest: deep, cache: true}}, continue_on_error: true}}\n"
        f"  - {{download: {{url: '{url}', dest: nowhere/web.tar, cache: true}}}}\n"
    )
    run = run_now(
        script_request(
            subject=trigger, name="web", script=script, hosts=hosts, cluster=None, actor=OPERATOR, cause=Cause.TRIGGER
        )
    )
    assert run.state == RunState.FAILED, explain(run)
    for number in range(2):
        assert (fleet[number].root / "deep" / "web.tar").read_bytes() == CONTENT
        assert not (fleet[number].root / "wrong").exists()
        assert not (fleet[number].root / "gone").exists()
        assert not list(fleet[number].root.rglob("*.part"))
    assert cell(run, "1 download", "web2").message == f"{len(CONTENT)} bytes"
    assert "404" in cell(run, "2 download", "web1").message
    assert "has the SHA-256" in cell(run, "3 download", "web1").message
    assert "is a folder" in cell(run, "4 download", "web1").message
    assert "nowhere/web.tar could not be written" in run.summary
    assert origin.asked["/web.tar"] <= 3  # once for each step that may not take what is kept, at most


def test_what_is_damaged_in_the_cache_is_never_sent_whole(transactional_db: None, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(CONTENT)
    stored_as = storage.keep(part, "0" * 64, CacheSettings())
    row = CachedFile.objects.create(url="https://a.example/x", sha256="0" * 64, size=len(CONTENT), stored_as=stored_as)
    work: Any = SimpleNamespace(check=lambda: None, log=SimpleNamespace())
    sent: list[int] = []
    with pytest.raises(StepFailed, match="is damaged in the file cache"):
        sent.extend(len(piece) for piece in Files(work).pieces(row))
    assert 0 < sum(sent) < len(CONTENT)
    row.sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert b"".join(Files(work).pieces(row)) == CONTENT


@pytest.mark.django_db
def test_an_upload_that_ends_early_changes_nothing(sshd_fleet: Callable[..., Fleet]) -> None:
    fleet = sshd_fleet(1)
    (host,) = fleet.declare()
    there = fleet[0].root / "it's here"
    there.write_text("before")
    there.chmod(0o750)
    with ssh.connect(Host.objects.get(pk=host.pk)) as connection:
        with pytest.raises(UploadRefused, match="Only 3 of 5 bytes came"):
            upload(connection, [b"abc"], 5, "it's here")
        assert there.read_text() == "before"
        upload(connection, iter([b"ab", b"", b"cde"]), 5, "it's here")
        upload(connection, [], 0, "-empty")
    assert there.read_bytes() == b"abcde"
    assert there.stat().st_mode & 0o777 == 0o750
    assert (fleet[0].root / "-empty").read_bytes() == b""
    assert sorted(path.name for path in fleet[0].root.iterdir()) == ["-empty", "it's here"]
