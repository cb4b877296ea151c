"""What is done, and where: hosts, clusters, environments, deployments, and what each host runs."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from apps.access.errors import InputError
from apps.access.models import NAME_VALIDATOR, Subject
from apps.environments.host_key import host_key_parse
from apps.environments.rsync import options_parsed
from apps.runs.states import RunState

# Neither may begin with a hyphen: programs would take it for an option.
ADDRESS = re.compile(r"\A[A-Za-z0-9:\[][A-Za-z0-9.:%_\[\]-]*\Z")
REMOTE_USER = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9._@\\-]*\Z")
LONGEST_RUN = 7 * 24 * 3600  # seconds


class Host(models.Model):
    """A Linux machine that the panel reaches by SSH."""

    name = models.CharField(max_length=80, unique=True, validators=[NAME_VALIDATOR])
    address = models.CharField(max_length=255, help_text="Host name or IP address.")
    port = models.PositiveIntegerField(default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)])
    user = models.CharField(max_length=64, help_text="Who logs in, unless the environment names another.")
    ssh_key = models.ForeignKey("access.SshKey", models.PROTECT, related_name="hosts")
    jump_host = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="behind")
    active = models.BooleanField(default=True, help_text="Inactive hosts are left out of deployments, with a warning.")
    labels = models.JSONField(default=list, blank=True, help_text='For your own search: ["web", "paris"].')
    host_key = models.TextField(
        blank=True, help_text="Pinned public key: “ssh-ed25519 AAAA…”. Without one, the host is refused: scan it."
    )
    checked_at = models.DateTimeField(null=True, editable=False)
    check_report = models.JSONField(default=dict, editable=False)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Address and user end up in command lines of ssh; the key must be one; jump hosts must lead somewhere."""
        wrong = {}
        if not ADDRESS.match(self.address):
            wrong["address"] = "A host name or an IP address is needed."
        if not REMOTE_USER.match(self.user):
            wrong["user"] = "A user name has letters, digits, dots, hyphens and underscores."
        if self.host_key.strip():
            try:
                self.host_key = host_key_parse(self.host_key).line
            except InputError as error:
                wrong["host_key"] = str(error)
        if self.pk and self._jumps_in_a_circle():
            wrong["jump_host"] = "The jump hosts go round in a circle."
        if wrong:
            raise ValidationError(wrong)

    def _jumps_in_a_circle(self) -> bool:
        seen, host = {self.pk}, self.jump_host
        while host is not None and host.pk not in seen:
            seen.add(host.pk)
            host = host.jump_host
        return host is not None


class Cluster(models.Model):
    """Hosts that are deployed together."""

    name = models.CharField(max_length=80, unique=True, validators=[NAME_VALIDATOR])
    hosts = models.ManyToManyField(Host, related_name="clusters", blank=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Method(models.TextChoices):
    """How a commit gets to its target: into the folder itself, or beside it and switched by a symlink."""

    INPLACE = "inplace", "In place"
    SYMLINK = "symlink", "Releases and a symlink"


class Environment(Subject):
    """Where a repository's commits go. Its path as a subject is `REPOSITORY/NAME`."""

    subject = models.OneToOneField(
        Subject, models.CASCADE, parent_link=True, primary_key=True, related_name="as_environment"
    )
    repository = models.ForeignKey("repos.Repository", models.CASCADE, related_name="environments")
    name = models.CharField(max_length=80, validators=[NAME_VALIDATOR])
    order = models.PositiveSmallIntegerField(default=0, help_text="Place among the repository's environments.")
    branch = models.CharField(max_length=255, default="main")
    target_path = models.CharField(max_length=500, help_text="The folder on each host: /srv/shop.")
    remote_user = models.CharField(max_length=64, blank=True, help_text="Overrides the hosts' own user.")
    method = models.CharField(max_length=10, choices=Method, default=Method.SYMLINK)
    clusters = models.ManyToManyField(Cluster, related_name="environments", blank=True)
    rsync_options = models.CharField(max_length=500, default="-az --delete")
    keep_releases = models.PositiveSmallIntegerField(default=5, validators=[MinValueValidator(1)])
    shared_paths = models.JSONField(
        default=list,
        blank=True,
        help_text='Kept across releases and linked into each: ["uploads", "config/local.yml"].',
    )
    parallel = models.PositiveSmallIntegerField(default=20, validators=[MinValueValidator(1), MaxValueValidator(200)])
    tolerated_failures = models.PositiveSmallIntegerField(
        default=0, help_text="How many hosts may fail to copy before nothing is switched."
    )
    fail_on_tests = models.BooleanField(default=True, help_text="A failing test script fails the deployment.")
    time_limit = models.PositiveIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(LONGEST_RUN)], help_text="Seconds for a whole deployment."
    )
    silence_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(LONGEST_RUN)],
        help_text="Seconds without a line of output.",
    )
    stop_grace = models.PositiveSmallIntegerField(
        default=5, help_text="Seconds that a script has to end by itself when the run is stopped."
    )

    auto_deploy = models.BooleanField(default=False, help_text="Deploy each push to the branch.")
    deploy_as = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Whose permission and hours count for automatic deployments.",
    )
    auto_paused_at = models.DateTimeField(null=True, editable=False)
    auto_paused_reason = models.CharField(max_length=300, blank=True, editable=False)
    # Coalescing: the newest pushed commit; a run that ends starts another when it differs from the one attempted.
    wanted_commit = models.CharField(max_length=64, blank=True, editable=False)
    wanted_at = models.DateTimeField(null=True, editable=False)
    attempted_commit = models.CharField(max_length=64, blank=True, editable=False)

    deployed_commit = models.CharField(max_length=64, blank=True, editable=False)
    deployed_at = models.DateTimeField(null=True, editable=False)
    status_read_at = models.DateTimeField(null=True, editable=False)
    differs_since = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering: ClassVar = ["repository__name", "order", "name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["repository", "name"],
                name="environment_once",
                violation_error_message="This repository has an environment of that name.",
            )
        ]

    def __str__(self) -> str:
        return self.path

    def clean(self) -> None:
        """What forms and declarations refuse alike. Empty fields are their own business."""
        wrong: dict[str, str] = {}
        if self.target_path and not _is_target(self.target_path):
            wrong["target_path"] = "An absolute path is needed, such as /srv/shop, and not the root itself."
        if self.remote_user and not REMOTE_USER.match(self.remote_user):
            wrong["remote_user"] = "A user name has letters, digits, dots, hyphens and underscores."
        try:
            options_parsed(self.rsync_options, releases=self.method == Method.SYMLINK)
        except InputError as error:
            wrong["rsync_options"] = str(error)
        outside = [path for path in self.shared_paths if not _is_within(path)]
        if outside:
            wrong["shared_paths"] = f"{outside[0]!r} must lie within the release: relative, without “..”."
        if self.auto_deploy and self.deploy_as_id is None:
            wrong["deploy_as"] = "Automatic deployments need an account whose rights and hours count."
        if wrong:
            raise ValidationError(wrong)

    def save(self, *args: Any, **kwargs: Any) -> None:
        # Derived, so that it can never differ. Renaming a repository saves its environments (repos.services).
        self.kind, self.path, self.parent_id = "environment", f"{self.repository.name}/{self.name}", self.repository_id
        super().save(*args, **kwargs)


def _is_target(path: str) -> bool:
    pure = PurePosixPath(path)
    return pure.is_absolute() and ".." not in pure.parts and len(pure.parts) > 1 and "\n" not in path


def _is_within(path: object) -> bool:
    if not isinstance(path, str):
        return False
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and bool(pure.parts)


class Action(models.TextChoices):
    DEPLOY = "deploy", "Deployment"
    ROLLBACK = "rollback", "Rollback"


class Deployment(models.Model):
    """What one run brought where. It outlives the run's row and log, so it keeps what history needs."""

    run = models.OneToOneField("runs.Run", models.SET_NULL, null=True, related_name="deployment")
    run_number = models.BigIntegerField(null=True, editable=False)  # the run's id, kept when the run is pruned
    environment = models.ForeignKey(Environment, models.SET_NULL, null=True, related_name="deployments")
    environment_path = models.CharField(max_length=200)
    action = models.CharField(max_length=10, choices=Action, default=Action.DEPLOY)
    ref = models.CharField(max_length=255)  # what was asked for: a branch, a tag, a commit
    branch = models.CharField(max_length=255, blank=True)
    commit = models.CharField(max_length=64, blank=True)  # known at once for a push, else when the run resolves the ref
    commit_subject = models.CharField(max_length=300, blank=True)
    commit_author = models.CharField(max_length=200, blank=True)
    previous_commit = models.CharField(max_length=64, blank=True)
    release = models.CharField(max_length=500, blank=True)  # the release folder on the hosts
    cluster = models.ForeignKey(Cluster, models.SET_NULL, null=True, related_name="+")
    host = models.ForeignKey(Host, models.SET_NULL, null=True, related_name="+")
    target = models.CharField(max_length=100, blank=True)  # the cluster's or host's name; empty: the whole environment
    state = models.CharField(max_length=10, choices=RunState, default=RunState.QUEUED)  # the run's, copied as it moves
    requested_name = models.CharField(max_length=150)
    requested_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    hosts_total = models.PositiveSmallIntegerField(default=0)
    hosts_failed = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["environment", "-id"], name="deployment_newest")]

    def __str__(self) -> str:
        return f"{self.environment_path} {self.commit[:8] or self.ref}"


class ScriptOrder(models.Model):
    """What one run of the kind `script` does on which hosts: a build script, as it was when it was asked for."""

    run = models.OneToOneField("runs.Run", models.CASCADE, primary_key=True, related_name="script_order")
    name = models.CharField(max_length=200)  # of what asked for it, a trigger: the script is told
    number = models.PositiveBigIntegerField(null=True)  # which time it was fired
    script = models.TextField()
    payload = models.JSONField(null=True)
    hosts = models.ManyToManyField(Host, related_name="+")
    # Its hosts are those that it has when the run begins.
    cluster = models.ForeignKey(Cluster, models.SET_NULL, null=True, related_name="+")

    def __str__(self) -> str:
        return f"script of {self.name}"


class HostRelease(models.Model):
    """What one host runs of one environment, as its release file said when the panel last looked."""

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="host_releases")
    host = models.ForeignKey(Host, models.CASCADE, related_name="releases")
    branch = models.CharField(max_length=255, blank=True)
    commit = models.CharField(max_length=64, blank=True)
    release = models.CharField(max_length=500, blank=True)
    deployed_at = models.DateTimeField(null=True)
    in_progress = models.BooleanField(default=False)
    releases = models.JSONField(
        default=list
    )  # all that are on the host, newest first: folder, branch, commit, deployed_at
    read_at = models.DateTimeField()
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["environment", "host"], name="host_release_once")]

    def __str__(self) -> str:
        return f"{self.environment} on {self.host}"
