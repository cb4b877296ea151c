"""The S3 store of the settings is tried: one small request for each bucket, while a person waits."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from apps.access import audit
from apps.access.errors import InputError
from apps.files import s3
from apps.files.address import address_read
from apps.files.errors import FileError
from apps.files.guard import Guard
from apps.files.models import CacheSettings
from apps.files.selectors import cache_settings
from apps.files.store_trouble import store_name

if TYPE_CHECKING:
    from apps.access.actor import Actor

LONGEST = 30.0  # seconds for all of it: time-outs of sockets count silence only
_UNLISTED = (
    "s3://{bucket} at {store} answers, and does not let its names be listed. That is well where only s3:GetObject is "
    "given; whether a file can be read shows when one is asked for."
)


@dataclass(frozen=True)
class Trial:
    level: Literal["success", "warning", "error"]
    sentence: str


def store_try(*, actor: Actor, bucket: str = "") -> list[Trial]:
    """Try the bucket named; or that in which files are kept, and those that the settings let be asked.

    Where files are kept a small object is written, read and deleted; of others one name is asked for. What is wrong
    with the store is told, not raised. Raises InputError, FileRefused, DecryptionError.
    """
    settings = cache_settings()
    buckets = _buckets(settings, bucket.strip().removeprefix("s3://").rstrip("/"))
    login = s3.Login.of(settings)
    found: list[Trial] = []
    ended: Future[None] = Future()

    def work() -> None:  # it asks no database
        try:
            for name in buckets:
                found.append(_tried(login, name, settings))
            ended.set_result(None)
        except Exception as error:  # noqa: BLE001 - who waits raises it
            ended.set_exception(error)

    threading.Thread(target=work, name="files-trial", daemon=True).start()
    try:
        ended.result(LONGEST)
        trials = found
    except TimeoutError:
        trials = list(found)
        rest = ", ".join(buckets[len(trials) :])
        sentence = f"{store_name(login.endpoint)} did not answer for {rest} in {LONGEST:g} seconds."
        trials.append(Trial("error", f"{sentence} Correct the endpoint, or see why it is slow."))
    ok = not any(trial.level == "error" for trial in trials)
    detail = {"object": str(settings), "endpoint": store_name(login.endpoint), "buckets": buckets, "ok": ok}
    audit.record(actor=actor, action="cachesettings.try", detail=detail)
    return list(dict.fromkeys(trials))  # a wrong key is told once


def _buckets(settings: CacheSettings, named: str) -> list[str]:
    """Raises InputError where there is none, FileRefused for one that nobody could ask for a file."""
    kept = [settings.storage_bucket] if settings.storage == CacheSettings.Storage.S3 else []
    if named and named not in kept:
        address = address_read(f"s3://{named}/file")
        Guard.of(settings).admit(address)
        named = address.host
    listed = [entry.removeprefix("s3://") for entry in settings.allowed if entry.startswith("s3://")]
    if not (buckets := [named] if named else [*kept, *listed]):
        raise InputError("Name a bucket to try: the settings name none.")
    return list(dict.fromkeys(buckets))


def _tried(login: s3.Login, bucket: str, settings: CacheSettings) -> Trial:
    place = {"bucket": bucket, "store": store_name(login.endpoint)}
    try:
        if settings.storage == CacheSettings.Storage.S3 and bucket == settings.storage_bucket:
            name = f"{settings.storage_prefix.strip('/')}/trial-{secrets.token_hex(6)}".lstrip("/")
            s3.storage_try(login, bucket, name)
            return Trial("success", "Files can be kept in s3://{bucket} at {store}.".format(**place))
        if s3.bucket_try(login, bucket):
            return Trial("success", "The panel gets in to s3://{bucket} at {store}.".format(**place))
        return Trial("warning", _UNLISTED.format(**place))
    except FileError as error:
        return Trial("error", str(error))
