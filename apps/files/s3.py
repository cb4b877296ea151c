"""The door to S3, Amazon's or any store that speaks it: as an origin of files, and as the place where they are kept.

The endpoint is the administrator's word, so no address is checked here. Credentials are the settings' alone: those of
the environment, or of the machine, are not for whoever asks for a file.
"""

from __future__ import annotations

import secrets
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from apps.files.errors import FileError, FileMissing, FileNotStored
from apps.files.intake import PIECE, Got, Intake, Wish
from apps.files.store_trouble import Right, answer_words, away_words
from apps.files.wire import reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from apps.files.models import CacheSettings
    from apps.files.patience import Watch

CONNECT, SILENCE = 10, 60  # seconds
TRIAL_CONNECT, TRIAL_SILENCE = 5, 10  # seconds, where a person waits for it
_MISSING = {"NoSuchKey", "NoSuchBucket", "404"}


@dataclass(frozen=True)
class Login:
    """Where the store is, and who asks. Without a key what is public can be read."""

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)

    @classmethod
    def of(cls, settings: CacheSettings) -> Login:
        """Raises DecryptionError."""
        return cls(settings.s3_endpoint, settings.s3_region, settings.s3_access_key, settings.s3_secret_key)


def download(wish: Wish, login: Login, watch: Watch, into: IO[bytes]) -> Got:
    """Fetch the object. Raises FileError and its kinds."""
    asked: dict[str, Any] = {"Bucket": wish.address.host, "Key": wish.address.path}
    if wish.etag:
        asked["IfNoneMatch"] = wish.etag
    intake = Intake(into, wish.limit)
    with _told(f"s3://{wish.address.host}"):
        try:
            answer = _client(login).get_object(**asked)
        except _errors().ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 304 and wish.etag:
                return Got(unchanged=True)
            raise
        with answer["Body"] as body:
            intake.announced(int(answer.get("ContentLength") or 0))
            while piece := body.read(PIECE):
                intake.write(piece)
                if not watch.left:
                    raise FileError(f"It took longer than {watch.seconds:g} seconds.")
    return Got(
        size=intake.size,
        sha256=intake.sha256,
        content_type=str(answer.get("ContentType") or "")[:200],
        etag=str(answer.get("ETag") or "")[:300],
    )


def put(login: Login, bucket: str, key: str, part: Path) -> None:
    """Raises FileNotStored."""
    from boto3.s3.transfer import TransferConfig

    try:
        with _told(f"s3://{bucket}"):
            _client(login).upload_file(str(part), bucket, key, Config=TransferConfig(use_threads=False))
    except FileError as error:
        raise FileNotStored(f"It could not be stored: {error}") from None


def size_of(login: Login, bucket: str, key: str) -> int:
    """In bytes. Raises FileMissing, FileError."""
    with _told(f"s3://{bucket}"):
        return int(_client(login).head_object(Bucket=bucket, Key=key)["ContentLength"])


def pieces(login: Login, bucket: str, key: str, start: int, length: int) -> Iterator[bytes]:
    """The object's bytes from `start` on. Raises FileMissing, FileError, before the first piece or between two."""
    if not length:
        return
    with _told(f"s3://{bucket}"):
        span = f"bytes={start}-{start + length - 1}"
        with _client(login).get_object(Bucket=bucket, Key=key, Range=span)["Body"] as body:
            while piece := body.read(PIECE):
                yield piece


def delete(login: Login, bucket: str, key: str) -> None:
    """That it is not there is what was wanted. Raises FileError."""
    with _told(f"s3://{bucket}"):
        _client(login).delete_object(Bucket=bucket, Key=key)


def bucket_try(login: Login, bucket: str) -> bool:
    """Ask for one name of the bucket; False where the key is good, or none is given, and may not list.

    Raises FileError with the remedy.
    """
    with _trial_client(login, bucket) as client:
        try:
            with _tried(login, bucket, Right.LIST):
                answer = client.list_objects_v2(Bucket=bucket, MaxKeys=1)
        except _NotLet:
            return False
    if not answer.get("Name"):  # whatever answers 200 to all would pass
        raise FileError(answer_words("", Right.LIST, bucket, login.endpoint, has_key=bool(login.access_key)))
    return True


def storage_try(login: Login, bucket: str, key: str) -> None:
    """Write an object of a few bytes, read it and delete it. Raises FileError with the remedy."""
    content = secrets.token_bytes(16)
    asked = {"Bucket": bucket, "Key": key}
    with _trial_client(login, bucket) as client:
        with _tried(login, bucket, Right.WRITE):
            client.put_object(**asked, Body=content)
        try:
            with _tried(login, bucket, Right.READ), client.get_object(**asked)["Body"] as body:
                came = body.read(len(content) + 1)
        finally:
            with _tried(login, bucket, Right.DELETE):
                client.delete_object(**asked)
    if came != content:
        raise FileError(answer_words("", Right.READ, bucket, login.endpoint, has_key=bool(login.access_key)))


class _NotLet(FileError):
    """The store knows who asks, and does not let him."""


@contextmanager
def _tried(login: Login, bucket: str, right: Right) -> Iterator[None]:
    """What goes wrong with a trial, in a sentence that says what to do."""
    from botocore.parsers import ResponseParserError

    errors = _errors()
    try:
        yield
    except (errors.ClientError, errors.ParamValidationError, ResponseParserError, ValueError) as error:
        unfit = {errors.ParamValidationError: "BadBucket", errors.InvalidRegionError: "BadRegion"}
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        if not isinstance(error, (errors.ClientError, ResponseParserError)):
            code = unfit.get(type(error), "BadEndpoint")
        kind = _NotLet if code == "AccessDenied" else FileError
        raise kind(answer_words(code, right, bucket, login.endpoint, has_key=bool(login.access_key))) from None
    except (errors.BotoCoreError, errors.HTTPClientError, OSError) as error:
        is_tls = isinstance(error, errors.SSLError)
        raise FileError(away_words(reason(error), login.endpoint, is_tls=is_tls)) from None


@contextmanager
def _trial_client(login: Login, bucket: str) -> Iterator[Any]:
    """Of its own: a trial tries the connection, too."""
    with _tried(login, bucket, Right.LIST):
        made = _made(login, connect_timeout=TRIAL_CONNECT, read_timeout=TRIAL_SILENCE, tries=1)
    with closing(made) as client:
        yield client


@lru_cache(maxsize=8)
def _client(login: Login) -> Any:
    """Kept: to make one takes longer than most downloads."""
    return _made(login, connect_timeout=CONNECT, read_timeout=SILENCE, tries=2)


def _made(login: Login, *, connect_timeout: float, read_timeout: float, tries: int) -> Any:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"total_max_attempts": tries, "mode": "standard"},
        proxies={},
        signature_version=None if login.access_key else UNSIGNED,
        s3={"addressing_style": "path" if login.endpoint else "auto"},
        # Stores of others do not know the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
    )
    session = boto3.session.Session(
        aws_access_key_id=login.access_key or None,
        aws_secret_access_key=login.secret_key or None,
        region_name=login.region or "us-east-1",
    )
    return session.client("s3", endpoint_url=login.endpoint or None, config=config)


def _errors() -> Any:
    from botocore import exceptions

    return exceptions


@contextmanager
def _told(what: str) -> Iterator[None]:
    """What goes wrong with the store, in a sentence."""
    errors = _errors()
    try:
        yield
    except errors.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))[:60]
        kind = FileMissing if code in _MISSING else FileError
        raise kind(f"{what} answered {code or 'with an error'}.") from None
    except (errors.BotoCoreError, errors.HTTPClientError, _transfer_failed(), OSError, ValueError) as error:
        raise FileError(f"{what} could not be asked: {type(error).__name__}.") from None


def _transfer_failed() -> Any:
    from boto3.exceptions import Boto3Error

    return Boto3Error
