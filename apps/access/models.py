"""Who may, and when: subjects, hours, freezes, keys and the audit trail."""

from __future__ import annotations

from typing import Any, ClassVar
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from apps.access.fields import EncryptedTextField
from apps.access.public_holidays import country_problem
from apps.access.windows import closed_read, open_read, weekly_read

NAME_VALIDATOR = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z",
    "Use letters, digits, dots, hyphens and underscores, and begin with a letter or digit.",
)


class Subject(models.Model):
    """Something that the panel acts upon and guards: a repository, an environment, later a node or a trigger.

    Each of those models is a Subject by inheritance, so permissions, freezes, business hours, runs
    and audit rows point at one table with real foreign keys.
    """

    kind = models.CharField(max_length=20, editable=False)
    # What people and commands call it: `shop`, `shop/prod`. Kept by the models that inherit.
    path = models.CharField(max_length=200, editable=False)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, editable=False, related_name="children")
    hours = models.ForeignKey(
        "access.BusinessHours",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="subjects",
        verbose_name="business hours",
        help_text="When work may start. Empty: at any time.",
    )

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["kind", "path"], name="subject_once")]
        permissions: ClassVar = [
            ("act_in_hours_subject", "Can act in business hours"),
            ("act_subject", "Can act at any time"),
            ("configure_subject", "Can configure"),
        ]

    def __str__(self) -> str:
        return self.path

    def save_settings(self) -> None:
        """Save what people set. What work keeps on the row (not editable) may have moved since it was read, and stays.

        A new row is saved as a whole.
        """
        names = None
        if not self._state.adding:
            fields = (field for field in self._meta.concrete_fields if not field.primary_key)
            names = [field.name for field in fields if field.editable or field.model is Subject]
        self.save(update_fields=names)


class SubjectUserPermission(UserObjectPermissionBase):
    """One right of one person on one subject (guardian's direct foreign-key form: deleted with it)."""

    content_object = models.ForeignKey(Subject, models.CASCADE)


class SubjectGroupPermission(GroupObjectPermissionBase):
    """One right of one group on one subject."""

    content_object = models.ForeignKey(Subject, models.CASCADE)


class BusinessHours(models.Model):
    """A named calendar: when work may start. Pure arithmetic on it is in `hours.py`."""

    name = models.CharField(max_length=80, unique=True, validators=[NAME_VALIDATOR])
    timezone = models.CharField("time zone", max_length=64, help_text="As in the tz database: Europe/Paris.")
    country = models.CharField(
        max_length=8, blank=True, help_text="Public holidays of this country (ISO code: FR) are closed."
    )
    subdivision = models.CharField(max_length=16, blank=True, help_text="State or region with holidays of its own: BY.")
    weekly = models.JSONField(
        default=dict,
        help_text='Windows by day: {"mon": "08:00-18:30", "fri": "08:00-12:00, 13:00-14:00"}. '
        '"22:00-02:00" crosses midnight.',
    )
    half_day_until = models.TimeField(
        null=True, blank=True, help_text="Closing time on the calendar's half-day holidays. Empty: as on other days."
    )
    closed = models.JSONField(
        default=list, blank=True, help_text='More closed days: "12-24" each year, "2026-05-15" once.'
    )
    open = models.JSONField(
        default=dict,
        blank=True,
        help_text='Open in spite of a holiday: {"05-08": "09:00-12:00", "2026-11-11": "08:00-18:30"}.',
    )

    class Meta:
        verbose_name = verbose_name_plural = "business hours"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Names each field that is wrong, with the day and the value."""
        problems = {}
        for field, read in (("weekly", weekly_read), ("closed", closed_read), ("open", open_read)):
            try:
                read(getattr(self, field))
            except ValueError as error:
                problems[field] = str(error)
        if self.timezone not in available_timezones():
            problems["timezone"] = f"{self.timezone}: no such time zone; use a name such as Europe/Paris."
        if problem := country_problem(self.country, self.subdivision):
            problems[problem[0]] = problem[1]
        if problems:
            raise ValidationError(problems)


class Freeze(models.Model):
    """A stop for everyone: for one subject, for all below one (a repository's environments), or for everything."""

    subject = models.ForeignKey(
        Subject, models.CASCADE, null=True, blank=True, related_name="freezes", help_text="Empty: everything."
    )
    reason = models.CharField(max_length=300)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until someone ends it.")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False)
    author_name = models.CharField(max_length=150, editable=False)

    class Meta:
        ordering: ClassVar = ["-starts_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(ends_at__isnull=True) | models.Q(ends_at__gt=models.F("starts_at")),
                name="freeze_ends_after_start",
                violation_error_message="A freeze must end after it starts.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.subject or 'everything'}: {self.reason}"


class SshKey(models.Model):
    """A private key with which the panel logs in, to hosts or to Git servers."""

    name = models.CharField(max_length=80, unique=True, validators=[NAME_VALIDATOR])
    private_key = EncryptedTextField(help_text="OpenSSH or PEM, without a passphrase. It is never shown again.")
    public_key = models.TextField(blank=True, editable=False)

    class Meta:
        verbose_name = "SSH key"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class ApiToken(models.Model):
    """What a person's programs show in place of a password. It may what its person may, and nothing more.

    Only a digest is kept. A token is 32 random bytes, so that a plain SHA-256 gives nothing away and finds the row.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80, help_text="What it is for: “nightly pipeline”.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=12, editable=False)  # its first letters, to know it again by
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_address = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        verbose_name = "API token"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return self.name


class SignInCount(models.Model):
    """Sign-ins that were tried and did not succeed: for a name from a network, for a name, or from a network."""

    name = models.CharField(max_length=150)  # as it was typed, whether anybody has it or not; empty: whatever name
    network = models.CharField(max_length=64)  # see `network_of`; empty: from anywhere
    count = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)  # when counting begins anew, and a block is over
    told = models.BooleanField(default=False)  # that it blocks is in the audit trail

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["name", "network"], name="sign_ins_counted_once")]

    def __str__(self) -> str:
        return f"{self.name or 'any name'} from {self.network or 'anywhere'}"


class AuditEntry(models.Model):
    """One act: who, what, on what, from which door, allowed or refused and why. Rows are only ever added.

    It points at nothing by foreign key: what it tells stays true when people and subjects are gone.
    The database itself refuses changes (a trigger made by the migration).
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=150)
    behind = models.CharField(max_length=150, blank=True)
    door = models.CharField(max_length=10)
    address = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=60, db_index=True)
    subject_id = models.BigIntegerField(null=True, db_index=True)
    subject = models.CharField(max_length=200, blank=True)
    allowed = models.BooleanField(default=True)
    reasons = models.JSONField(default=list)
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("Audit entries are never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("Audit entries are never deleted.")
