"""Which code: Git repositories that the panel mirrors."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from apps.access.errors import InputError
from apps.access.fields import EncryptedTextField
from apps.access.models import NAME_VALIDATOR, Subject
from apps.repos.host_keys import host_keys_parse
from apps.repos.remote import remote_parse

LONGEST_INTERVAL = 30 * 24 * 3600  # seconds


class Repository(Subject):
    """A Git repository. Its path as a subject is its name."""

    subject = models.OneToOneField(
        Subject, models.CASCADE, parent_link=True, primary_key=True, related_name="as_repository"
    )
    name = models.CharField(max_length=80, unique=True, validators=[NAME_VALIDATOR])
    url = models.CharField(
        "URL", max_length=500, help_text="ssh://, https://, file:// or git@host:path. Secrets go into the fields below."
    )
    ssh_key = models.ForeignKey("access.SshKey", models.PROTECT, null=True, blank=True, related_name="repositories")
    username = models.CharField(max_length=120, blank=True, help_text="For https.")
    access_token = EncryptedTextField(blank=True, help_text="Token or password for https. It is never shown again.")
    host_keys = models.TextField(
        blank=True,
        help_text="The Git server's public host keys, one a line: “ssh-ed25519 AAAA…”. Without one, ssh is refused.",
    )
    webhook_secret = EncryptedTextField(blank=True, help_text="What the forge signs its deliveries with.")
    webhook_secret_old = EncryptedTextField(
        blank=True, verbose_name="former webhook secret", help_text="Still accepted, while you change it on the forge."
    )
    owners = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="owned_repositories")
    poll_interval = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(5), MaxValueValidator(LONGEST_INTERVAL)],
        help_text="Seconds between two looks for new commits. Empty: never; webhooks tell.",
    )

    fetched_at = models.DateTimeField(null=True, editable=False)
    fetch_rung_at = models.DateTimeField(null=True, editable=False)  # a worker was asked, and has not begun
    polled_at = models.DateTimeField(null=True, editable=False)
    # Branches as the last look or push told them: what is new is told by comparison. None: never looked.
    polled_refs = models.JSONField(null=True, editable=False)
    fetch_error = models.CharField(max_length=1000, blank=True, editable=False)

    class Meta:
        verbose_name_plural = "repositories"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError by field for a URL or host keys that the panel does not take."""
        wrong: dict[str, str] = {}
        for name, check in (("url", remote_parse), ("host_keys", host_keys_parse)):
            try:
                check(getattr(self, name))
            except InputError as error:
                wrong[name] = str(error)
        if wrong:
            raise ValidationError(wrong)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.kind, self.path = "repository", self.name  # derived, so that it can never differ
        super().save(*args, **kwargs)
