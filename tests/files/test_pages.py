"""The file cache in the admin: the list, one file, deleting, and the settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.access.models import AuditEntry
from apps.files import storage
from apps.files.models import CachedFile, CacheSettings
from apps.files.sizes import size_exact, size_read, size_shown
from tests.files.conftest import Cache
from tests.files.origin import Origin

LIST = "/admin/files/cachedfile/"
SETTINGS = "/admin/files/cachesettings/"
pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def form(**values: Any) -> dict[str, Any]:
    usual = {"file_limit": "1 GB", "total_limit": "20 GB", "time_limit": "60", "storage": "folder"}
    names = ("allowed", "private_allowed", "s3_endpoint", "s3_region", "s3_access_key", "s3_secret_key")
    return dict.fromkeys(names, "") | {"storage_bucket": "", "storage_prefix": ""} | usual | values


def test_an_empty_cache_says_what_it_is_for(page: Client) -> None:
    text = page.get(LIST).content.decode()
    assert "Nothing was downloaded yet" in text
    assert "No cached files yet" not in text  # said once
    assert SETTINGS in text


def test_the_list_tells_what_is_kept_and_what_failed(page: Client) -> None:
    now = timezone.now()
    kept = {"sha256": "a" * 64, "size": 3 << 20, "stored_as": "folder:x", "hits": 7, "used_at": now}
    CachedFile.objects.create(url="https://a.example/big.tar?token=…", url_digest="1", **kept)
    CachedFile.objects.create(url="https://b.example/x", url_digest="2", failure="It said <b>no</b>.", fault="missing")
    text = page.get(LIST).content.decode()
    for words in ("big.tar", "3.0 MB", "1 file</strong>, 3.0 MB of 20.0 GB", "Not there", "It said &lt;b&gt;no"):
        assert words in text, words
    assert "b.example" not in page.get(LIST, {"state": "kept"}).content.decode()
    assert "big.tar" not in page.get(LIST, {"state": "failed"}).content.decode()
    one = page.get(f"{LIST}{CachedFile.objects.get(url_digest='1').pk}/change/").content.decode()
    assert "a" * 64 in one
    assert 'name="_save"' not in one


def test_the_list_takes_few_queries(page: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(30):
        CachedFile.objects.create(url=f"https://a.example/{number}", url_digest=str(number))
    page.get(LIST)
    with django_assert_max_num_queries(20):
        page.get(LIST)


def test_deleting_deletes_what_is_kept(cache: Cache, origin: Origin, page: Client) -> None:
    rows = [cache.get(origin.holds(f"/{number}", b"text")) for number in range(3)]
    page.post(f"{LIST}{rows[0].pk}/delete/", {"post": "yes"})
    assert not storage.is_there(rows[0].stored_as)
    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in rows[1:]], "post": "yes"}
    page.post(LIST, chosen)
    assert not CachedFile.objects.exists()
    assert not any(storage.is_there(row.stored_as) for row in rows)
    assert AuditEntry.objects.filter(action="cachedfile.delete").count() == 3


def test_settings_are_made_and_changed(page: Client) -> None:
    answer = page.get(SETTINGS, follow=True)
    assert answer.redirect_chain[-1][0] == f"{SETTINGS}add/"
    page.post(f"{SETTINGS}add/", form(allowed="https://A.example\n\n*.example.org", private_allowed="10.0.0.0/8"))
    row = CacheSettings.objects.get()
    assert (row.allowed, row.private_allowed) == (["https://a.example", "*.example.org"], ["10.0.0.0/8"])
    assert (row.file_limit, row.total_limit) == (1 << 30, 20 << 30)
    answer = page.get(SETTINGS, follow=True)
    assert answer.redirect_chain[-1][0] == f"{SETTINGS}{row.pk}/change/"
    text = answer.content.decode()
    assert 'value="1 GB"' in text
    assert "*.example.org" in text
    page.post(f"{SETTINGS}add/", form())
    assert CacheSettings.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"allowed": "ftp://a.example"}, "ftp://a.example: An origin is"),
        ({"private_allowed": "10.0.0.0/99"}, "10.0.0.0/99: Name an address"),
        ({"file_limit": "much"}, "Write a size such as"),
        ({"total_limit": "9999999 TB"}, "Write a size such as"),
        ({"time_limit": "0"}, "1 to 86400 seconds"),
        ({"storage": "s3"}, "Name the bucket"),
        ({"s3_endpoint": "file:///etc"}, "Write https://s3.example"),
        ({"s3_access_key": "key"}, "belong together"),
    ],
)
def test_settings_that_mean_nothing_are_refused(page: Client, values: dict[str, str], words: str) -> None:
    answer = page.post(f"{SETTINGS}add/", form(**values))
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not CacheSettings.objects.exists()


def test_the_secret_key_is_not_sent_elsewhere(page: Client) -> None:
    keys = {"s3_endpoint": "https://s3.example", "s3_access_key": "key"}
    page.post(f"{SETTINGS}add/", form(**keys, s3_secret_key="sesame"))
    row = CacheSettings.objects.get()
    assert row.s3_secret_key == "sesame"
    change = f"{SETTINGS}{row.pk}/change/"
    assert "sesame" not in page.get(change).content.decode()
    answer = page.post(change, form(**keys | {"s3_endpoint": "https://evil.example"}))
    assert "The endpoint is another one" in answer.content.decode()
    page.post(change, form(**keys | {"s3_region": "north"}))
    row.refresh_from_db()
    assert (row.s3_region, row.s3_secret_key) == ("north", "sesame")


def test_outsider_gets_nothing(client: Client, outsider: User) -> None:
    client.force_login(outsider)
    for address in (LIST, SETTINGS, f"{SETTINGS}add/"):
        assert client.get(address).status_code in {302, 403}, address


@pytest.mark.parametrize(("text", "size"), [("1 GB", 1 << 30), ("1.5 kb", 1536), ("10", 10), ("2 GiB", 2 << 30)])
def test_sizes(text: str, size: int) -> None:
    assert size_read(text) == size
    assert size_read(size_exact(size)) == size


def test_sizes_shown() -> None:
    assert [size_shown(size) for size in (0, 999, 1536, 200 << 20)] == ["0 B", "999 B", "1.5 KB", "200 MB"]
