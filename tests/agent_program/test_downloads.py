"""Files by way of the panel: whole or not at all."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.agent_program.conftest import Program
from tests.fakes.agent_panel import FakePanel, FakeRun

URL = "https://files.example/web.tar.gz"
DATA = random.Random(1).randbytes(3_000_000)
SUM = hashlib.sha256(DATA).hexdigest()
numbers = count(1)
Fetch = Callable[..., FakeRun]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with nothing else in it."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def fetch(at_work: tuple[Program, FakePanel]) -> Fetch:
    panel = at_work[1]
    panel.files = {URL: DATA, "s3://bucket/key": b"from a bucket"}
    panel.asked = []

    def fetched(dest: Path, url: str = URL, kind: str = "download", **more: str) -> FakeRun:
        fields = "".join(f"      {name}: {value}\n" for name, value in {"url": url, "dest": dest, **more}.items())
        run = panel.fire("files", next(numbers), f"steps:\n  - {kind}:\n{fields}")
        panel.ended(run)
        return run

    return fetched


def test_a_file_comes_whole(fetch: Fetch, at_work: tuple[Program, FakePanel], place: Path) -> None:
    run = fetch(place / "web.tar.gz", cache="true", sha256=SUM)
    assert run.ended["state"] == "succeeded"
    assert (place / "web.tar.gz").read_bytes() == DATA
    assert [path.name for path in place.iterdir()] == ["web.tar.gz"]
    assert SUM in run.text("note")
    assert at_work[1].asked[0] == {"url": URL, "cache": True, "sha256": SUM}


def test_a_file_from_a_bucket(fetch: Fetch, place: Path) -> None:
    assert fetch(place / "x", url="s3://bucket/key", kind="download_s3").ended["state"] == "succeeded"
    assert (place / "x").read_bytes() == b"from a bucket"


def test_a_wrong_sum_leaves_what_was_there(fetch: Fetch, place: Path) -> None:
    dest = place / "web.tar.gz"
    dest.write_bytes(b"the old one")
    dest.chmod(0o640)
    run = fetch(dest, sha256="0" * 64)
    assert run.ended["state"] == "failed"
    assert "SHA-256" in run.ended["summary"]
    assert dest.read_bytes() == b"the old one"
    assert fetch(dest).ended["state"] == "succeeded"
    assert (dest.read_bytes(), dest.stat().st_mode & 0o777) == (DATA, 0o640)
    assert [path.name for path in place.iterdir()] == ["web.tar.gz"]


def test_a_download_that_breaks_off_is_taken_up(fetch: Fetch, at_work: tuple[Program, FakePanel], place: Path) -> None:
    at_work[1].break_file_at = 1_000_000
    assert fetch(place / "x").ended["state"] == "succeeded"
    assert (place / "x").read_bytes() == DATA


@pytest.mark.parametrize(
    ("url", "name", "words"),
    [("https://files.example/none", "x", "404"), (URL, "no/such/x", "does not exist"), (URL, ".", "is a folder")],
)
def test_what_cannot_be_fetched_is_told(url: str, name: str, words: str, fetch: Fetch, place: Path) -> None:
    run = fetch(place / name, url=url)
    assert run.ended["state"] == "failed"
    assert words in run.ended["summary"]
    assert list(place.iterdir()) == []
