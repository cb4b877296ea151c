"""The small parts by themselves: signatures, the journal, what is masked."""

from __future__ import annotations

import base64
import errno
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from deploypanel_agent.delivery import Delivery
from deploypanel_agent.held import Holdings
from deploypanel_agent.journal import Journal
from deploypanel_agent.masking import Mask
from deploypanel_agent.output import PIECE, Output
from deploypanel_agent.signature import is_key, is_signed


def test_signatures() -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = private.public_key().public_numbers()
    key = {"n": f"{numbers.n:x}", "e": numbers.e}
    good = private.sign(b"text", padding.PKCS1v15(), hashes.SHA256())
    sha1 = private.sign(b"text", padding.PKCS1v15(), hashes.SHA1())
    as_text = base64.b64encode(good).decode()
    assert is_key(key)
    assert is_signed(key, b"text", as_text)
    assert not is_signed(key, b"other", as_text)
    for wrong in (sha1, good[:-1], b"\0" + good, bytes(256), b"\xff" * 256, b""):
        assert not is_signed(key, b"text", base64.b64encode(wrong).decode())
    assert not is_signed(key, b"text", as_text + "!")
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key().public_numbers()
    for odd in (None, {}, {"n": "x", "e": 3}, {"n": f"{weak.n:x}", "e": 65537}):
        assert not is_key(odd)


def _log(text: str) -> dict[str, Any]:
    return {"at": "now", "kind": "log", "stream": "out", "text": text}


def test_a_journal_that_was_torn_ends_before_the_tear(tmp_path: Path) -> None:
    path = tmp_path / "events"
    journal = Journal(path)
    journal.append({"kind": "started"}, key="started")
    journal.append_output("x", [(_log("one\n"), 4), (_log("two\n"), 8)])
    assert not journal.append({"kind": "started"}, key="started")
    journal.close()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        again = Journal(path)
        assert again.count == whole[:cut].count(b"\n")
        assert again.taken("x") == {3: 8, 2: 4}.get(again.count, 0)
        again.append(_log("new\n"))
        assert [event["kind"] for event in again.read(again.count, 1)] == ["log"]
        assert again.read(again.count + 1, 1000) == []
        again.close()


def test_a_journal_is_read_in_pieces(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events", base=5)
    for number in range(20):
        journal.append(_log(f"{number}\n" * 10))
    assert journal.count == 25
    found, first = [], 6
    while first <= journal.count:
        events = journal.read(first, 300)
        assert events
        found += events
        first += len(events)
    assert [event["text"].split()[0] for event in found] == [str(number) for number in range(20)]
    journal.close()


@given(st.integers(0, 40), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_no_cut_goes_through_a_secret(before: int, step: int) -> None:
    """A line that is too long is cut, but the key in it stays masked wherever it stands."""
    import tempfile

    secret = "the-key-of-this-agent-0123456789"
    line = "x" * (PIECE - before) + secret + "y" * PIECE + secret + "z" * step
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "events")
        path = Path(folder) / "out"
        output = Output(path, stream="out", key="o", journal=journal, mask=Mask([secret]), limit=10**9)
        path.write_text(line)
        output.take(lambda: "now")
        output.take(lambda: "now", final=True)
        told = "".join(event["text"].rstrip("\n") for event in _all(journal))
        output.close()
        journal.close()
    assert told == line.replace(secret, "•••")


class CrampedJournal(Journal):
    """On a disk that is full while this file takes more than so much of it."""

    def __init__(self, path: Path, other: Path, room: int) -> None:
        super().__init__(path)
        self._other, self._room = other, room

    def append_output(self, key: str, events: list[tuple[dict[str, Any], int]]) -> None:
        if self._other.stat().st_blocks * 512 > self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append_output(key, events)


def test_output_that_fills_the_disk_is_let_go_of_but_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("".join(f"line {number}\n" for number in range(200_000)))
    journal = CrampedJournal(tmp_path / "events", path, 512 * 1024)
    output = Output(path, stream="out", key="o", journal=journal, mask=Mask([]), limit=10**9)
    assert output.take(lambda: "now")
    output.take(lambda: "now", final=True)
    output.close()
    texts = [event["text"] for event in journal.read(1, 10**9)]
    assert "bytes of output are left out here: the agent's disk is full." in texts[0]
    assert texts[-1].endswith("line 199999\n")
    assert "\0" not in "".join(texts)
    assert path.stat().st_blocks * 512 < 512 * 1024


def test_a_disk_that_is_full_of_other_things_is_told_to_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("line\n")
    output = Output(
        path, stream="out", key="o", journal=CrampedJournal(tmp_path / "e", path, 0), mask=Mask([]), limit=9
    )
    with pytest.raises(OSError, match="No space left"):
        output.take(lambda: "now")
    output.close()


def test_events_are_sent_again_from_what_the_panel_has(tmp_path: Path) -> None:
    held = Holdings(tmp_path).take({"run": 1, "trigger": "web", "count": 1})
    for number in range(10):
        held.journal.append(_log(f"{number}\n"))
    delivery = Delivery()
    delivery.begin([held])
    assert delivery.due() == []  # the panel has not said yet what it has
    delivery.stored(1, 4)
    (message,) = delivery.due()
    assert (message["first"], len(message["events"])) == (5, 6)
    assert delivery.due() == []
    delivery.stored(1, 4)  # a gap: it stored nothing
    assert delivery.due()[0]["first"] == 5
    delivery.stored(1, 10)
    assert delivery.due() == []
    delivery.stored(1, 2)  # it was restored from a backup
    assert delivery.due()[0]["first"] == 3
    held.journal.close()


def test_a_message_stays_below_what_the_panel_takes(tmp_path: Path) -> None:
    held = Holdings(tmp_path).take({"run": 1, "trigger": "web", "count": 1})
    for _ in range(30):
        held.journal.append(_log("\x01" * PIECE + "\n"))  # six bytes each as JSON
    delivery = Delivery()
    delivery.add(held)
    messages = delivery.due()
    assert messages
    assert max(len(json.dumps(message, ensure_ascii=False).encode()) for message in messages) < 256 * 1024
    held.journal.close()


def _all(journal: Journal) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < journal.count:
        found += journal.read(len(found) + 1, 100_000)
    return found
