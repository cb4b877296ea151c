"""S3 as an origin and as the place where files are kept, against moto's server."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import boto3
import pytest
from django.test import AsyncRequestFactory

from apps.files.answer import file_answer
from apps.files.errors import FileError, FileMissing, FileRefused, FileTooLarge
from apps.files.models import CachedFile
from apps.files.services import file_kept, files_delete
from tests.files.conftest import Cache, run_async, wait_for
from tests.files.origin import Origin

BODY = os.urandom(700_000)


@pytest.fixture
def bucket(store: str, cache: Cache) -> Any:
    login = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    s3 = boto3.resource("s3", endpoint_url=store, **login)
    made = s3.Bucket("artefacts")
    made.create()
    settings = cache.settings
    settings.s3_endpoint, settings.s3_access_key, settings.s3_secret_key = store, "key", "secret"
    settings.save()
    yield made
    made.objects.delete()
    made.delete()
    s3.meta.client.close()


def test_an_object_is_downloaded_and_asked_about_again(cache: Cache, bucket: Any) -> None:
    bucket.put_object(Key="shop/a b.tar", Body=BODY)
    row = cache.get("s3://artefacts/shop/a b.tar")
    assert row.sha256 == hashlib.sha256(BODY).hexdigest()
    assert cache.content(row) == BODY
    assert cache.get("s3://artefacts/shop/a b.tar", cache=True).downloads == 1
    bucket.put_object(Key="shop/a b.tar", Body=b"new")
    assert cache.content(cache.get("s3://artefacts/shop/a b.tar", cache=True)) == b"new"


def test_failures_are_sentences(cache: Cache, bucket: Any) -> None:
    with pytest.raises(FileMissing, match="NoSuchKey"):
        cache.get("s3://artefacts/none")
    with pytest.raises(FileMissing, match="NoSuchBucket"):
        cache.get("s3://nowhere/none")
    bucket.put_object(Key="a", Body=b"1234")
    cache.set(file_limit=3)
    with pytest.raises(FileTooLarge):
        cache.get("s3://artefacts/a")
    cache.set(s3_endpoint="http://127.0.0.1:9")
    with pytest.raises(FileError, match="could not be asked"):
        cache.get("s3://artefacts/a")
    cache.set(allowed=["s3://other"])
    with pytest.raises(FileRefused):
        cache.get("s3://artefacts/a")


def test_files_are_kept_in_a_bucket(cache: Cache, bucket: Any, origin: Origin) -> None:
    cache.set(storage="s3", storage_bucket="artefacts", storage_prefix="/panel/cache/")
    row = cache.get(origin.holds("/a", BODY))
    keys = [one.key for one in bucket.objects.all()]
    assert keys == [row.stored_as.removeprefix("s3:artefacts/")]
    assert keys[0].startswith(f"panel/cache/{row.sha256[:2]}/{row.sha256}")
    assert cache.content(row) == BODY
    assert part_of(row, "bytes=650000-650009") == BODY[650_000:650_010]
    origin.holds("/a", b"new")
    new = cache.get(row.url)
    wait_for(lambda: [one.key for one in bucket.objects.all()] == [new.stored_as.removeprefix("s3:artefacts/")])
    # What comes later is kept in the folder; what is kept stays readable.
    cache.set(storage="folder")
    assert cache.content(new) == b"new"
    files_delete(rows=list(CachedFile.objects.all()))
    assert list(bucket.objects.all()) == []


def test_what_vanished_from_the_bucket_is_downloaded_again(cache: Cache, bucket: Any, origin: Origin) -> None:
    cache.set(storage="s3", storage_bucket="artefacts")
    url = origin.holds("/a", b"here", ETag='"one"')
    row = cache.get(url)
    bucket.objects.delete()
    with pytest.raises(FileMissing):
        cache.content(row)
    assert file_kept(url) is None
    assert cache.content(cache.get(url, cache=True)) == b"here"


def part_of(row: CachedFile, span: str) -> bytes:
    async def ask() -> bytes:
        response: Any = await file_answer(AsyncRequestFactory().get("/", headers={"Range": span}), row)
        assert response.status_code == 206
        return b"".join([piece async for piece in response])

    return run_async(ask())
