"""Sesam nodes, where their secrets come from, and what syncs found and did."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from apps.access.fields import EncryptedTextField
from apps.access.models import NAME_VALIDATOR, Subject
from apps.runs.states import RunState
from apps.sesam.soundness import extra_problems, is_in_clear, node_problems, same_place, store_problems, twin_problem
from apps.sesam.states import NodeState

SHORTEST_INTERVAL, LONGEST_INTERVAL = 5, 30 * 24 * 3600  # seconds
LONGEST_RUN = 7 * 24 * 3600  # seconds
MOST_SNAPSHOTS, OLDEST_SNAPSHOT = 10_000, 3650  # days


class SecretStore(models.Model):
    """Where the values of `$SECRET(…)` come from: HashiCorp Vault, or the panel itself."""

    class Kind(models.TextChoices):
        VAULT = "vault", "HashiCorp Vault"
        PANEL = "panel", "This panel"

    class Auth(models.TextChoices):
        TOKEN = "token", "Token"
        GITHUB = "github", "GitHub token"
        APPROLE = "approle", "AppRole"

    name = models.CharField(max_length=80, unique=True, validators=[NAME_VALIDATOR])
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.VAULT)
    url = models.CharField("URL", max_length=500, blank=True, help_text="Of Vault: https://vault.example:8200.")
    kv_version = models.PositiveSmallIntegerField("KV version", default=2, choices=[(1, "1"), (2, "2")])
    mount = models.CharField(max_length=200, blank=True, help_text="Where the KV engine is mounted: sesam/kv2.")
    path_prefix = models.CharField(
        max_length=200, blank=True, help_text="Put before each secret's name to make its path: manual/."
    )
    field = models.CharField(
        max_length=120, blank=True, help_text="Which value of the stored map. Empty: its first value."
    )
    auth = models.CharField("log-in", max_length=10, choices=Auth, default=Auth.TOKEN)
    auth_mount = models.CharField(
        max_length=200, blank=True, help_text="Where the log-in method is mounted, if not at github or approle."
    )
    namespace = models.CharField(max_length=200, blank=True, help_text="Vault Enterprise only.")
    token = EncryptedTextField(blank=True, help_text="Vault's token, or the GitHub token. It is never shown again.")
    role_id = models.CharField("role ID", max_length=200, blank=True, help_text="AppRole.")
    secret_id = EncryptedTextField("secret ID", blank=True, help_text="AppRole. It is never shown again.")
    ca_bundle = models.TextField("CA bundle", blank=True, help_text="PEM. Empty: the system's own authorities.")

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """A Vault needs an address, a mount, and what its log-in asks for."""
        if wrong := store_problems(self):
            raise ValidationError(wrong)


class StoredSecret(models.Model):
    """One secret of a store of the panel's own."""

    store = models.ForeignKey(SecretStore, models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=200)
    value = EncryptedTextField(help_text="It is never shown again.")

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["store", "name"], name="stored_secret_once")]

    def __str__(self) -> str:
        return self.name


class Layout(models.TextChoices):
    """How a repository's folder is laid out: one node's configuration, or a master's with extra nodes."""

    SINGLE = "single", "Single node"
    MULTI = "multi", "Multi-node"


class Stage(models.TextChoices):
    """Which of a multi-node repository's variables and whitelist count. `ci` verifies, and has no node."""

    CI = "ci", "ci: verify only"
    TEST = "test", "test"
    PROD = "prod", "prod"


class ApplyMode(models.TextChoices):
    """When Git's configuration goes to the node by itself."""

    MANUAL = "manual", "By hand only"
    PUSH = "push", "On push"
    SCHEDULE = "schedule", "On schedule: what is new in Git"
    HEAL = "heal", "Heal: also when the node drifted"


class Node(Subject):
    """A Sesam node. Its path as a subject is its name."""

    subject = models.OneToOneField(Subject, models.CASCADE, parent_link=True, primary_key=True, related_name="as_node")
    name = models.CharField(max_length=80, unique=True, validators=[NAME_VALIDATOR])
    enabled = models.BooleanField("on", default=True, help_text="A node that is off is neither checked nor changed.")

    url = models.CharField("API URL", max_length=500, blank=True, help_text="https://dev.example/api")
    jwt = EncryptedTextField("JWT", blank=True, help_text="The node's JSON Web Token. It is never shown again.")
    ca_bundle = models.TextField("CA bundle", blank=True, help_text="PEM. Empty: the system's own authorities.")
    verify_tls = models.BooleanField(
        "verify TLS", default=True, help_text="Off: anyone between the panel and the node can read and change it all."
    )

    repository = models.ForeignKey(
        "repos.Repository",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="nodes",
        help_text="Empty only for a node that is fed by a master as its extra node.",
    )
    branch = models.CharField(max_length=255, default="main", help_text="A branch or a tag.")
    layout = models.CharField(max_length=10, choices=Layout, default=Layout.SINGLE)
    sync_root = models.CharField(
        max_length=300, blank=True, help_text="The folder in the repository: sesam-home/sesam-node. Empty: its top."
    )
    environment = models.CharField(max_length=10, choices=Stage, default=Stage.TEST)
    variables_files = models.JSONField(
        default=list,
        blank=True,
        help_text="Relative to the node's folder. Empty: the layout's own (variables/variables-test.json); none: none.",
    )
    whitelist_file = models.CharField(
        max_length=300,
        blank=True,
        help_text="Relative to the node's folder. Empty: the layout's own (deployment/whitelist-test.txt); none: none.",
    )
    verify = models.JSONField(default=list, blank=True, help_text="variables, secrets: any missing one fails.")
    upload = models.JSONField(default=list, blank=True, help_text="variables, secrets: sent with the configuration.")
    secret_store = models.ForeignKey(SecretStore, models.PROTECT, null=True, blank=True, related_name="nodes")
    config_group = models.CharField(
        "configuration group", max_length=120, blank=True, help_text="Only this group of the node. Empty: all of it."
    )
    protected = models.JSONField(default=list, blank=True, help_text="Ids that a sync leaves as the node has them.")
    ignore = models.JSONField(
        default=list,
        blank=True,
        help_text="What differs on purpose: ID, or ID#/json/pointer; * stands for any letters.",
    )
    orchestrator = models.BooleanField(
        default=False, help_text="Keep what the node's orchestrator made of an entity that is unchanged in Git."
    )

    apply_mode = models.CharField("apply", max_length=10, choices=ApplyMode, default=ApplyMode.MANUAL)
    interval = models.PositiveIntegerField(
        null=True,
        blank=True,
        default=60,
        validators=[MinValueValidator(SHORTEST_INTERVAL), MaxValueValidator(LONGEST_INTERVAL)],
        help_text="Seconds between two checks. Empty: it is never looked at by itself.",
    )
    sync_as = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Whose rights and hours count when it applies by itself. Empty: the node's hours alone.",
    )
    removal_limit = models.PositiveIntegerField(
        default=10, help_text="To remove more entities than this, and than the share below, asks a person."
    )
    removal_share = models.PositiveSmallIntegerField(
        "removal share (%)", default=20, validators=[MaxValueValidator(100)]
    )
    keep_snapshots = models.PositiveSmallIntegerField(
        default=20, validators=[MinValueValidator(1), MaxValueValidator(MOST_SNAPSHOTS)]
    )
    snapshot_days = models.PositiveSmallIntegerField(
        default=90,
        validators=[MinValueValidator(1), MaxValueValidator(OLDEST_SNAPSHOT)],
        help_text="Snapshots older than this go; the newest stays.",
    )
    time_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_RUN)],
        help_text="Seconds for a whole sync.",
    )

    # What the panel knows. Written by checks and syncs only.
    state = models.CharField(max_length=12, choices=NodeState, default=NodeState.UNKNOWN, editable=False)
    state_since = models.DateTimeField(default=timezone.now, editable=False)
    state_detail = models.CharField(max_length=500, blank=True, editable=False)
    questions = models.JSONField(default=list, editable=False)  # the guard's, that wait for a person
    checked_at = models.DateTimeField(null=True, editable=False)  # the last check that ended, however
    check_after = models.DateTimeField(null=True, editable=False)  # the next is due then; None: at once
    check_claimed_at = models.DateTimeField(null=True, editable=False)  # a worker is at it since then
    check_failures = models.PositiveIntegerField(default=0, editable=False)  # in a row: the pauses grow
    answered_at = models.DateTimeField(null=True, editable=False)  # the node itself last answered
    seen_commit = models.CharField(max_length=64, blank=True, editable=False)  # where the branch was then
    seen_digest = models.CharField(max_length=64, blank=True, editable=False)  # of what the node had then
    seen_etag = models.CharField(max_length=200, blank=True, editable=False)
    compared = models.CharField(max_length=64, blank=True, editable=False)  # commit, digest and settings compared last
    # Applying by itself: for which commit, digest and settings last, how often in a row, and when.
    tried = models.CharField(max_length=64, blank=True, editable=False)
    tries = models.PositiveIntegerField(default=0, editable=False)
    tried_at = models.DateTimeField(null=True, editable=False)
    node_version = models.CharField(max_length=80, blank=True, editable=False)

    auto_paused_at = models.DateTimeField(null=True, editable=False)
    auto_paused_reason = models.CharField(max_length=300, blank=True, editable=False)
    # Coalescing: the newest commit asked for while a run was at work; its end looks here.
    wanted_commit = models.CharField(max_length=64, blank=True, editable=False)
    wanted_at = models.DateTimeField(null=True, editable=False)
    attempted_commit = models.CharField(max_length=64, blank=True, editable=False)
    applied_commit = models.CharField(max_length=64, blank=True, editable=False)  # last good commit on the node
    applied_at = models.DateTimeField(null=True, editable=False)
    applied_settings = models.CharField(max_length=64, blank=True, editable=False)  # that decided what it should have
    # A sync that changed something and could neither end nor be undone yet.
    owed = models.ForeignKey("sesam.Sync", models.SET_NULL, null=True, editable=False, related_name="+")

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_ci(self) -> bool:
        """It verifies a repository; there is no node behind it."""
        return self.environment == Stage.CI and self.layout == Layout.MULTI

    @property
    def is_in_clear(self) -> bool:
        """Its token, and all that is sent to it, leaves this machine without TLS."""
        return not self.is_ci and is_in_clear(self.url)

    @property
    def applies_by_itself(self) -> bool:
        return self.apply_mode != ApplyMode.MANUAL and self.auto_paused_at is None

    def clean(self) -> None:
        """What forms and declarations refuse alike."""
        self.sync_root = self.sync_root.strip("/")  # “/” is what many write for the top
        wrong = node_problems(self)
        if "url" not in wrong and self.enabled and not self.is_ci:
            others = Node.objects.filter(enabled=True).exclude(pk=self.pk)
            others = others.exclude(environment=Stage.CI, layout=Layout.MULTI).only("name", "url", "config_group")
            if twin := twin_problem(self, others):
                wrong["url"] = twin
        if wrong:
            raise ValidationError(wrong)

    def save(self, *args: Any, **kwargs: Any) -> None:
        # Derived, so that it can never differ.
        self.kind, self.path, self.parent_id = "node", self.name, self.repository_id
        super().save(*args, **kwargs)

    def save_settings(self) -> None:
        """The same as for each subject; and the node is looked at again at once, as it is now meant to be."""
        before = Node.objects.filter(pk=self.pk).values_list("url", "repository", "branch").first()
        super().save_settings()
        rows = Node.objects.filter(pk=self.pk)
        rows.update(check_after=None)
        if before is not None and not same_place(before[0], self.url):
            # Nothing was ever applied to what is behind the new address.
            rows.update(applied_commit="", applied_at=None)
        if before is not None and before[1:] != (self.repository_id, self.branch):
            rows.update(wanted_commit="")


class ExtraNode(models.Model):
    """A node that a multi-node repository's master feeds: through a Git repository of its own, or directly."""

    master = models.ForeignKey(Node, models.CASCADE, related_name="extras")
    name = models.CharField(max_length=80, validators=[NAME_VALIDATOR], help_text="As in metadata.node.")
    template_path = models.CharField(max_length=300, help_text="In the repository, beside node/: extra_nodes/NAME/.")
    proxy = models.BooleanField(default=False, help_text="Every pipe but those that the master feeds comes from it.")
    repository = models.ForeignKey(
        "repos.Repository", models.PROTECT, null=True, blank=True, related_name="extra_nodes"
    )
    branch = models.CharField(max_length=255, blank=True, default="", help_text="Of that repository. Empty: main.")
    node = models.OneToOneField(Node, models.PROTECT, null=True, blank=True, related_name="fed_by")

    class Meta:
        ordering: ClassVar = ["master__name", "name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["master", "name"],
                name="extra_node_once",
                violation_error_message="This master has an extra node of that name.",
            ),
            models.CheckConstraint(
                condition=models.Q(repository__isnull=True) ^ models.Q(node__isnull=True),
                name="extra_node_one_way",
                violation_error_message="Choose one: a Git repository, or a node.",
            ),
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        """What people and declarations call it."""
        return f"{self.master}/{self.name}"

    def clean(self) -> None:
        if wrong := extra_problems(self):
            raise ValidationError(wrong)


class StoredConfiguration(models.Model):
    """A configuration, kept once however often it was seen. Packed and read by `storage.py` alone."""

    digest = models.CharField(max_length=64, unique=True)
    data = models.BinaryField()
    size = models.PositiveBigIntegerField()  # bytes before packing
    stored_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.digest[:12]


class SyncAction(models.TextChoices):
    SYNC = "sync", "Sync"
    PLAN = "plan", "Plan"
    RESTORE = "restore", "Restore"
    VERIFY = "verify", "Verification"


class Sync(models.Model):
    """What one run found and did to a node. It outlives the run's row and log, so it keeps what history needs."""

    run = models.OneToOneField("runs.Run", models.SET_NULL, null=True, related_name="sync")
    run_number = models.BigIntegerField(null=True, editable=False)  # the run's id, kept when the run is pruned
    node = models.ForeignKey(Node, models.SET_NULL, null=True, related_name="syncs")
    node_name = models.CharField(max_length=80)
    node_url = models.CharField(max_length=500, blank=True, editable=False)  # the node that it wrote to
    action = models.CharField(max_length=10, choices=SyncAction, default=SyncAction.SYNC)
    ref = models.CharField(max_length=255, blank=True)
    commit = models.CharField(max_length=64, blank=True)
    commit_subject = models.CharField(max_length=300, blank=True)
    commit_author = models.CharField(max_length=200, blank=True)
    previous_commit = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=RunState, default=RunState.QUEUED)  # the run's, copied as it moves
    requested_name = models.CharField(max_length=150)
    requested_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    # What the node had, and what was wanted: the plan is made of these two and `rules` whenever it is looked at.
    before = models.ForeignKey(StoredConfiguration, models.PROTECT, null=True, related_name="+")
    wanted = models.ForeignKey(StoredConfiguration, models.PROTECT, null=True, related_name="+")
    rules = models.JSONField(default=dict)  # protected, ignored, group, orchestrator: as they were
    counts = models.JSONField(default=dict)  # new, changed, removed, unchanged, ignored, protected; variables; secrets
    problems = models.JSONField(default=list)  # of the source: file, line, column, text, error
    missing = models.JSONField(default=dict)  # {"variables": {name: [files]}, "secrets": {…}}
    refused = models.JSONField(default=list)  # the node's validation errors: entity, file, level, message, elements
    questions = models.JSONField(default=list)  # the guard's: kind, number, text, confirmed
    confirmed = models.JSONField(default=dict)  # what a person confirmed: {question kind: number}
    extras = models.JSONField(default=list)  # per extra node: name, way, replicas, result
    # Written before and after each write to the node, so that whoever comes after a kill knows what to undo.
    journal = models.JSONField(default=list)
    no_change = models.BooleanField(default=False)
    restored = models.ForeignKey("sesam.Snapshot", models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["node", "-id"], name="sync_newest")]

    def __str__(self) -> str:
        return f"{self.node_name} {self.commit[:8] or self.ref}"


class Snapshot(models.Model):
    """What a node had before it was changed: configuration and variables. Secrets cannot be read, so never they."""

    node = models.ForeignKey(Node, models.CASCADE, related_name="snapshots")
    sync = models.ForeignKey(Sync, models.SET_NULL, null=True, related_name="snapshots")
    content = models.ForeignKey(StoredConfiguration, models.PROTECT, related_name="+")
    commit = models.CharField(max_length=64, blank=True)  # the last good one at that time
    taken_at = models.DateTimeField(auto_now_add=True)
    entities = models.PositiveIntegerField(default=0)
    variables = models.PositiveIntegerField(null=True)  # None: they were not read

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.node} at {timezone.localtime(self.taken_at):%Y-%m-%d %H:%M:%S}"
