"""The file cache's settings in a declaration: one mapping, made, changed, kept, refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.access.models import AuditEntry
from apps.files.models import CacheSettings
from deploypanel.declaration.dump import declaration_dump
from tests.declaration.conftest import Apply, problems

pytestmark = pytest.mark.django_db

CACHE = """\
file_cache:
  allowed: ["https://A.example", "s3://artefacts"]
  private_allowed: [10.2.0.0/16]
  file_limit: 500 MB
  total_limit: 1.5 GB
  time_limit: 60
  s3_endpoint: https://s3.example
  s3_region: north
  s3_access_key: key
  s3_secret_key: an-open-sesame
  storage: s3
  storage_bucket: files
  storage_prefix: panel
"""


def test_apply_makes_the_settings(apply: Apply) -> None:
    assert apply(CACHE, dry_run=True).lines()[0] == "created file cache settings"
    assert not CacheSettings.objects.exists()
    apply(CACHE)
    row = CacheSettings.objects.get()
    assert (row.allowed, row.private_allowed) == (["https://a.example", "s3://artefacts"], ["10.2.0.0/16"])
    assert (row.file_limit, row.total_limit, row.time_limit) == (500 << 20, 1536 << 20, 60)
    assert (row.s3_endpoint, row.s3_region) == ("https://s3.example", "north")
    assert (row.s3_access_key, row.s3_secret_key) == ("key", "an-open-sesame")
    assert (row.storage, row.storage_bucket, row.storage_prefix) == ("s3", "files", "panel")
    entry = AuditEntry.objects.get(action="cachesettings.add")
    assert (entry.detail["by"], "sesame" in str(entry.detail)) == ("apply", False)


def test_apply_and_dump_agree(apply: Apply) -> None:
    assert "file_cache" not in declaration_dump()
    apply(CACHE)
    assert apply(CACHE).changes == []
    text = declaration_dump()
    assert "sesame" not in text
    for line in ("file_cache:\n  allowed: [", "\n  file_limit: 500 MB\n", "\n  s3_secret_key: (kept)\n"):
        assert line in text, text
    assert apply(text, remove=True).changes == []
    CacheSettings.objects.all().delete()
    assert "there is nothing to keep" in problems(apply, text)[0]
    apply(text.replace("(kept)\n  storage", "an-open-sesame\n  storage"))
    assert declaration_dump() == text


def test_what_is_not_said_stays_and_what_changed_is_told(apply: Apply, folder: Path) -> None:
    apply("file_cache: {}")
    assert not CacheSettings.objects.exists()
    apply(CACHE)
    (folder / "s3.secret").write_text("another\n")
    lines = apply("file_cache: {total_limit: 30 GB, allowed: , s3_secret_key_file: s3.secret}").lines()
    assert lines == [
        "changed file cache settings",
        "    allowed: [https://a.example, s3://artefacts] → []",
        "    total_limit: 1536 MB → 30 GB",
        "    s3_secret_key: changed",
        "1 changed",
    ]
    row = CacheSettings.objects.get()
    assert (row.allowed, row.total_limit, row.s3_secret_key, row.time_limit) == ([], 30 << 30, "another", 60)
    detail = str(AuditEntry.objects.get(action="cachesettings.change").detail)
    assert "total_limit" in detail
    assert "another" not in detail


def test_settings_are_never_pruned(apply: Apply) -> None:
    apply(CACHE)
    assert apply("file_cache:", remove=True).lines() == [
        "kept file cache settings: they are never pruned",
        "nothing to change",
    ]
    assert CacheSettings.objects.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file_cache: [{time_limit: 1}]", "1:13: file_cache: a mapping is needed here, not a list"),
        ("file_cache: {bucket: a}", "1:22: file_cache.bucket: no such key in file_cache"),
        ("file_cache: {file_limit: much}", "1:26: file_cache.file_limit: Write a size such as"),
        ("file_cache: {file_limit: [1]}", "1:26: file_cache.file_limit: text is needed here, not a list"),
        ("file_cache: {time_limit: 0}", "1:26: file_cache.time_limit: 1 to 86400 seconds."),
        ("file_cache: {allowed: [ftp://a]}", "1:23: file_cache.allowed: ftp://a: An origin is"),
        ("file_cache: {private_allowed: [10.0.0.0/99]}", "1:31: file_cache.private_allowed: 10.0.0.0/99: Name an"),
        ("file_cache: {s3_endpoint: file:///etc}", "1:27: file_cache.s3_endpoint: Write https://s3.example"),
        ("file_cache: {s3_access_key: key}", "1:13: file_cache: An access key and its secret key belong together."),
        ("file_cache: {s3_secret_key: (kept)}", "1:29: file_cache.s3_secret_key: there is nothing to keep"),
        ("file_cache: {storage: tape}", "1:23: file_cache.storage: 'tape' is none of folder, s3"),
        ("file_cache: {storage: s3}", "1:13: file_cache: Name the bucket that the files are kept in."),
    ],
)
def test_what_can_mean_nothing_is_refused_at_its_place(apply: Apply, text: str, words: str) -> None:
    [problem] = problems(apply, text)
    assert problem.startswith(words)
    assert not CacheSettings.objects.exists()
