"""Secrets at rest: sealed in memory, never shown, never lost, rotated."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from apps.access import secrets
from apps.access.checks import key_ring
from apps.access.errors import DecryptionError, InputError
from apps.access.fields import Sealed, is_set
from apps.access.models import AuditEntry, SshKey
from apps.access.services.rotation import secret_fields
from apps.repos.models import Repository

pytestmark = pytest.mark.database

SECRET = "s3cr3t-value-nobody-may-see"


@pytest.fixture
def repository(db: None) -> Repository:
    return Repository.objects.create(name="shop", url="https://git.example.com/shop.git", access_token=SECRET)


def raw(table: str = "repos_repository", column: str = "access_token") -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")
        return str(cursor.fetchone()[0])


def other_key(settings: Any) -> str:
    settings.KEY_RING = Fernet.generate_key().decode()
    return str(settings.KEY_RING)


def test_secret_is_encrypted_in_the_database(repository: Repository) -> None:
    assert SECRET not in raw()
    assert Repository.objects.get().access_token == SECRET


def test_empty_stays_empty(repository: Repository) -> None:
    assert raw(column="webhook_secret") == ""
    assert Repository.objects.get().webhook_secret == ""
    assert not is_set(Repository.objects.get(), "webhook_secret")
    assert is_set(Repository.objects.get(), "access_token")


@pytest.mark.parametrize("fresh", [True, False])
def test_row_carries_no_text_about(repository: Repository, fresh: bool) -> None:
    row = Repository.objects.get() if fresh else repository
    assert row.access_token == SECRET  # reading it leaves nothing behind
    for shown in (
        repr(row),
        str(row),
        repr(row.__dict__),
        repr(vars(row)),
        str(pickle.dumps(row.__dict__["access_token"].token)),
    ):
        assert SECRET not in shown
    assert SECRET not in serializers.serialize("json", [row])
    assert SECRET not in repr(Repository.objects.values())


def test_wrong_key_breaks_only_the_use_and_says_where(repository: Repository, settings: Any) -> None:
    other_key(settings)
    row = Repository.objects.get()  # lists go on working
    assert [str(one) for one in Repository.objects.all()] == ["shop"]
    assert is_set(row, "access_token")
    with pytest.raises(DecryptionError, match=r"repository #\d+, access token") as raised:
        _ = row.access_token
    assert raw() not in str(raised.value)


def test_wrong_key_never_destroys(repository: Repository, settings: Any) -> None:
    good, before = settings.KEY_RING, raw()
    other_key(settings)
    row = Repository.objects.get()
    row.url = "https://git.example.com/other.git"
    row.save()
    assert raw() == before
    settings.KEY_RING = good
    assert Repository.objects.get().access_token == SECRET


def test_wrong_key_is_mended_by_a_new_value(repository: Repository, settings: Any) -> None:
    other_key(settings)
    row = Repository.objects.get()
    row.access_token = "new"
    row.save()
    assert Repository.objects.get().access_token == "new"


def test_deferred_secret_is_fetched_when_read(repository: Repository) -> None:
    row = Repository.objects.defer("access_token").get()
    assert "access_token" not in row.__dict__
    assert is_set(row, "access_token")
    assert Repository.objects.defer("access_token").get().access_token == SECRET


def test_refresh_keeps_it_sealed(repository: Repository) -> None:
    repository.refresh_from_db()
    assert isinstance(repository.__dict__["access_token"], Sealed)


def test_values_are_sealed() -> None:
    assert repr(Sealed("token")) == "<sealed>"
    assert str(Sealed("token")) == "<sealed>"
    assert f"{Sealed('token')}" == "<sealed>"


def test_debug_page_and_logs_show_no_key_and_no_secret(
    repository: Repository, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DEBUG = True
    settings.BROKER_PASSWORD = Fernet.generate_key().decode()
    other_key(settings)
    row = Repository.objects.get()
    try:
        _ = row.access_token
    except DecryptionError as error:
        logging.getLogger("apps").exception("It failed for %r and %s: %s", row, row.__dict__, error)
        request = RequestFactory().get("/", HTTP_COOKIE="sessionid=cookie-of-someone")
        reporter = ExceptionReporter(request, type(error), error, error.__traceback__)
        page = reporter.get_traceback_html() + reporter.get_traceback_text()
    for hidden in (SECRET, settings.KEY_RING, settings.SECRET_KEY, settings.BROKER_PASSWORD):
        assert hidden not in page
        assert hidden not in caplog.text


# --- rotation ---------------------------------------------------------------------------------


def rotate(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("secrets_rotate", *arguments, stdout=out, stderr=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_every_encrypted_field_is_found_once() -> None:
    found = {f"{model._meta.label}.{name}" for model, name in secret_fields()}
    assert {
        "access.SshKey.private_key",
        "repos.Repository.access_token",
        "repos.Repository.webhook_secret",
        "repos.Repository.webhook_secret_old",
    } <= found
    assert len(found) == len(secret_fields())


def test_rotation_writes_with_the_newest_key(repository: Repository, settings: Any) -> None:
    old = settings.KEY_RING
    new = Fernet.generate_key().decode()
    settings.KEY_RING = f"{new}\n{old}"
    assert rotate()[0] == 0
    settings.KEY_RING = new  # the old one is not needed any more
    assert Repository.objects.get().access_token == SECRET
    detail = AuditEntry.objects.get(action="secrets.rotate").detail
    assert detail["rotated"] == {"repos.Repository.access_token": 1}


def test_rotation_is_safe_to_repeat_and_can_be_tried_first(repository: Repository, settings: Any) -> None:
    settings.KEY_RING = f"{Fernet.generate_key().decode()},{settings.KEY_RING}"
    before = raw()
    _, text = rotate("--dry-run")
    assert "repos.Repository.access_token: 1 would be written anew" in text
    assert raw() == before
    status, text = rotate("--json")
    assert status == 0
    assert json.loads(text)["rotated"]["repos.Repository.access_token"] == 1
    after = raw()
    _, text = rotate()
    assert "repos.Repository.access_token: 0 written anew, 1 with the newest key already" in text
    assert raw() == after


def test_rotation_in_batches(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.access.services.rotation.BATCH", 2)
    for number in range(5):
        SshKey.objects.create(name=f"key{number}", private_key=f"private {number}")
    settings.KEY_RING = f"{Fernet.generate_key().decode()},{settings.KEY_RING}"
    _, text = rotate()
    assert "access.SshKey.private_key: 5 written anew" in text
    assert [key.private_key for key in SshKey.objects.all()] == [f"private {number}" for number in range(5)]


def test_rotation_reports_what_it_cannot_read_and_goes_on(repository: Repository, settings: Any) -> None:
    first, before = settings.KEY_RING, raw()
    other_key(settings)
    SshKey.objects.create(name="fleet", private_key="private")
    settings.KEY_RING = f"{Fernet.generate_key().decode()},{settings.KEY_RING}"
    status, text = rotate()
    assert status == 1
    assert f"repository #{repository.pk}, access_token: no key of the ring opens it" in text
    assert raw() == before
    assert SECRET not in text
    assert "access.SshKey.private_key: 1 written anew" in text
    settings.KEY_RING = first
    assert Repository.objects.get().access_token == SECRET


def test_rotation_keeps_a_secret_that_changes_meanwhile(repository: Repository, settings: Any) -> None:
    from apps.access.services import rotation

    old = settings.KEY_RING
    settings.KEY_RING = f"{Fernet.generate_key().decode()},{old}"
    report = rotation.RotationReport(rotated={"repos.Repository.access_token": 0})
    batch = list(Repository.objects.values_list("pk", "access_token"))
    Repository.objects.update(access_token="changed")
    rotation._rotate_batch(Repository, "access_token", batch, report, dry_run=False)
    assert Repository.objects.get().access_token == "changed"
    assert report.rotated["repos.Repository.access_token"] == 0


@pytest.fixture
def ring_in_file(data_folder: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DEPLOYPANEL_KEY_RING", raising=False)
    monkeypatch.delenv("DEPLOYPANEL_KEY_RING_FILE", raising=False)
    path = data_folder / "key_ring"
    path.write_text(settings.KEY_RING + "\n")
    path.chmod(0o600)
    settings.KEY_RING = str(settings.KEY_RING)  # so that it is put back afterwards: the command changes it
    return path


def test_new_key_goes_first_into_the_ring_file(ring_in_file: Path, repository: Repository, settings: Any) -> None:
    old = settings.KEY_RING
    status, text = rotate("--new-key")
    assert status == 0
    keys = ring_in_file.read_text().split()
    assert len(keys) == 2
    assert keys[1] == old
    assert not any(key in text for key in keys)
    assert stat.S_IMODE(ring_in_file.stat().st_mode) == 0o600
    # A process that still has the old ring in memory reads the file when it must.
    settings.KEY_RING = old
    assert Repository.objects.get().access_token == SECRET
    settings.KEY_RING = "\n".join(keys)
    assert rotate("--drop-old-keys")[0] == 0
    assert ring_in_file.read_text().split() == keys[:1]
    assert Repository.objects.get().access_token == SECRET


def test_old_keys_stay_while_something_needs_them(ring_in_file: Path, repository: Repository, settings: Any) -> None:
    keys = [Fernet.generate_key().decode(), Fernet.generate_key().decode()]
    settings.KEY_RING = "\n".join(keys)
    ring_in_file.write_text(settings.KEY_RING)
    assert rotate("--drop-old-keys")[0] == 1
    assert ring_in_file.read_text().split() == keys


def test_new_key_needs_a_file(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYPANEL_KEY_RING", "x")
    status, text = rotate("--new-key")
    assert status == 2
    assert "DEPLOYPANEL_KEY_RING" in text
    assert rotate("--new-key", "--dry-run")[0] == 2


@pytest.mark.parametrize("ring", ["", "not-a-key", "c2hvcnQ="])
def test_check_finds_an_unusable_ring(settings: Any, ring: str) -> None:
    settings.KEY_RING = ring
    (message,) = key_ring()
    assert message.id == "access.E001"
    assert not ring or ring not in message.msg


def test_check_finds_a_ring_that_others_can_read(ring_in_file: Path) -> None:
    assert key_ring() == []
    ring_in_file.chmod(0o644)
    assert [message.id for message in key_ring()] == ["access.W001"]


def test_ring_write_keeps_the_old_file_when_it_fails(ring_in_file: Path) -> None:
    before = ring_in_file.read_text()
    os.mkdir(ring_in_file.with_name("key_ring.new"))  # noqa: PTH102
    with pytest.raises(OSError, match="key_ring"):
        secrets.ring_write(["x"])
    assert ring_in_file.read_text() == before


def test_ring_write_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYPANEL_KEY_RING", "x")
    with pytest.raises(InputError):
        secrets.ring_write(["x"])
