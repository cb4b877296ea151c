"""Files that were downloaded for others, and what may be downloaded."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from apps.access.errors import InputError
from apps.access.fields import EncryptedTextField, is_set
from apps.files.address import endpoint_read
from apps.files.guard import origins_checked, private_checked

LONGEST_TIME = 24 * 3600


class CacheSettings(models.Model):
    """One row: limits, what may be asked for, and where S3 is."""

    class Storage(models.TextChoices):
        FOLDER = "folder", "The data folder"
        S3 = "s3", "An S3 bucket"

    allowed = models.JSONField(
        default=list,
        blank=True,
        help_text="Origins that may be asked: https://a.example, *.example.org, s3://bucket. Empty: any public one.",
    )
    private_allowed = models.JSONField(
        default=list,
        blank=True,
        help_text="Private addresses that may be asked all the same: 10.1.2.3, 10.2.0.0/16, files.internal.",
    )
    file_limit = models.PositiveBigIntegerField(default=2 * 1024**3, help_text="Bytes of one file.")
    total_limit = models.PositiveBigIntegerField(default=20 * 1024**3, help_text="Bytes of all files together.")
    time_limit = models.PositiveIntegerField(default=900, help_text="Seconds for one download.")

    # S3 as a source, any store that speaks it.
    s3_endpoint = models.CharField("S3 endpoint", max_length=300, blank=True, help_text="Empty: Amazon's own.")
    s3_region = models.CharField("S3 region", max_length=60, blank=True)
    s3_access_key = models.CharField("access key", max_length=200, blank=True)
    s3_secret_key = EncryptedTextField("secret key", blank=True, help_text="It is never shown again.")

    storage = models.CharField(max_length=10, choices=Storage, default=Storage.FOLDER)
    storage_bucket = models.CharField("bucket", max_length=200, blank=True)
    storage_prefix = models.CharField("prefix", max_length=200, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "file cache settings"

    def __str__(self) -> str:
        return "File cache"

    def clean(self) -> None:
        """Raises ValidationError by field for what can mean nothing."""
        wrong: dict[str, str] = {}
        for name, check in (("allowed", origins_checked), ("private_allowed", private_checked)):
            try:
                check(getattr(self, name))
            except InputError as error:
                wrong[name] = str(error)
        if not 1 <= self.time_limit <= LONGEST_TIME:
            wrong["time_limit"] = f"1 to {LONGEST_TIME} seconds."
        if self.s3_endpoint and endpoint_read(self.s3_endpoint) is None:
            wrong["s3_endpoint"] = "Write https://s3.example, or leave it empty for Amazon's own."
        if bool(self.s3_access_key) != is_set(self, "s3_secret_key"):
            wrong |= {"s3_secret_key": "An access key and its secret key belong together."}
        if self.storage == self.Storage.S3 and not self.storage_bucket:
            wrong["storage_bucket"] = "Name the bucket that the files are kept in."
        if wrong:
            raise ValidationError(wrong)


class CachedFile(models.Model):
    """One address and what came from it. `claimed_*`: who downloads it at this moment.

    Attempts are numbered, so that who asked can tell an answer from one that is older than the question, whatever the
    machines' clocks say: `attempt` is the last that began, `attempt_ended` the last that ended.
    """

    class Fault(models.TextChoices):
        REFUSED = "refused", "Not allowed"
        MISSING = "missing", "Not there"
        TOO_LARGE = "too_large", "Too large"
        FAILED = "failed", "Failed"
        NOT_STORED = "not_stored", "Not stored"

    url = models.TextField()  # as it may be shown: passwords and signatures in it are left out
    url_digest = models.CharField(max_length=64, unique=True)  # SHA-256 of the whole address
    sha256 = models.CharField(max_length=64, blank=True, db_index=True)  # of the content; empty: nothing is kept
    size = models.PositiveBigIntegerField(default=0)
    stored_as = models.CharField(max_length=500, blank=True)  # `folder:NAME` or `s3:BUCKET/KEY`; empty: nothing is kept
    stored_at = models.DateTimeField(null=True)  # when this content came
    content_type = models.CharField(max_length=200, blank=True)
    etag = models.CharField(max_length=300, blank=True)
    last_modified = models.CharField(max_length=60, blank=True)
    fetched_at = models.DateTimeField(null=True)  # asked last with success, new or unchanged
    used_at = models.DateTimeField(null=True, db_index=True)
    hits = models.PositiveBigIntegerField(default=0)  # served from the cache
    bytes_served = models.PositiveBigIntegerField(default=0)
    downloads = models.PositiveIntegerField(default=0)
    bytes_fetched = models.PositiveBigIntegerField(default=0)
    failure = models.CharField(max_length=300, blank=True)  # of the last attempt, if it failed
    fault = models.CharField(max_length=20, choices=Fault, blank=True)  # which kind of failure
    failed_at = models.DateTimeField(null=True)
    attempt = models.PositiveIntegerField(default=0)
    attempt_ended = models.PositiveIntegerField(default=0)
    began_at = models.DateTimeField(null=True)  # the last attempt
    claimed_by = models.CharField(max_length=80, blank=True)
    claimed_at = models.DateTimeField(null=True)  # the claimant's last sign of life

    class Meta:
        ordering: ClassVar = ["-used_at", "-id"]

    def __str__(self) -> str:
        return self.url


class FileWish(models.Model):
    """Somebody asked for a file and comes again for the answer: which attempt is good enough."""

    file = models.ForeignKey(CachedFile, on_delete=models.CASCADE, related_name="wishes")
    by = models.CharField(max_length=120, blank=True)
    attempt = models.PositiveIntegerField()
    asked_at = models.DateTimeField()  # last

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["file", "by"], name="one_wish_per_asker")]

    def __str__(self) -> str:
        return f"{self.by}: {self.file_id}"
