"""What starts work: named triggers with their firings, and deliveries of push webhooks."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from apps.access.models import Subject
from apps.runs.models import Cause


class Forge(models.TextChoices):
    GITHUB = "github", "GitHub"
    GITLAB = "gitlab", "GitLab"
    GITEA = "gitea", "Gitea"
    BITBUCKET = "bitbucket", "Bitbucket"
    GIT = "git", "post-receive hook"


class Delivery(models.Model):
    """One authenticated call of a push webhook, kept without secrets so that it can be sent again."""

    forge = models.CharField(max_length=10, choices=Forge)
    delivery_id = models.CharField(max_length=100)  # the forge's own, or a hash of the body where it has none
    repository = models.ForeignKey("repos.Repository", models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=60)
    ref = models.CharField(max_length=255, blank=True)
    before = models.CharField(max_length=64, blank=True)
    after = models.CharField(max_length=64, blank=True)
    pusher = models.CharField(max_length=150, blank=True)
    pushes = models.JSONField(default=list)  # what it tells, as read: enough to act on it again
    body = models.TextField(blank=True)  # what came, secrets masked, cut when it is very long
    received_at = models.DateTimeField(auto_now_add=True)
    handled_at = models.DateTimeField(null=True)
    answer = models.PositiveSmallIntegerField()
    outcome = models.JSONField(default=list)  # what it led to, a line for each environment and node
    runs = models.ManyToManyField("runs.Run", related_name="deliveries", blank=True)
    replay_of = models.ForeignKey("self", models.SET_NULL, null=True, related_name="replays")

    class Meta:
        verbose_name_plural = "deliveries"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["repository", "forge", "delivery_id"], name="delivery_once")
        ]

    def __str__(self) -> str:
        return f"{self.forge} {self.event} {self.ref}"


class Concurrency(models.TextChoices):
    """What becomes of a firing while the run of an earlier one is not finished."""

    EACH = "each", "Each firing runs, one after the other"
    LATEST = "latest", "One more run after this one, for the newest firing"
    SKIP = "skip", "It starts nothing"


class WhenClosed(models.TextChoices):
    """What becomes of a firing outside the business hours or during a freeze."""

    REFUSE = "refuse", "Refuse it"
    HOLD = "hold", "Hold it until the window opens"


class Trigger(Subject):
    """A name that can be fired, and what a firing does. Its path as a subject is its name."""

    subject = models.OneToOneField(
        Subject, models.CASCADE, parent_link=True, primary_key=True, related_name="as_trigger"
    )
    # Any text: old clients make triggers of whatever they ask for, even of no name at all.
    name = models.CharField(max_length=150, unique=True, blank=True)
    enabled = models.BooleanField("on", default=True, help_text="A trigger that is off refuses every firing.")
    concurrency = models.CharField(max_length=10, choices=Concurrency, default=Concurrency.LATEST)
    when_closed = models.CharField(max_length=10, choices=WhenClosed, default=WhenClosed.REFUSE)
    rate_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Firings in the time below; more are refused. Empty: any number."
    )
    rate_seconds = models.PositiveIntegerField("rate limit's seconds", default=60)
    act_as = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Whose rights and hours count for the deployments and syncs it starts. "
        "Empty: the panel itself, bound by their hours and freezes.",
    )

    agents = models.ManyToManyField("agents.Agent", blank=True, related_name="triggers")
    script = models.TextField(
        blank=True, help_text="The build script that its agents run. Empty: each agent has its own on its disk."
    )
    max_age = models.PositiveIntegerField(
        default=24 * 3600, help_text="Seconds: an agent that hears of a firing later than this does not run it."
    )
    time_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds for a whole run.")
    silence_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds without output.")

    schedule = models.CharField(max_length=100, blank=True, help_text="When it fires by itself, as cron: 0 3 * * *")
    next_at = models.DateTimeField(null=True, editable=False)  # by the schedule
    scheduled = models.CharField(max_length=100, blank=True, editable=False)  # the schedule that `next_at` comes from

    count = models.PositiveBigIntegerField(default=0, editable=False)
    fired_at = models.DateTimeField(null=True, editable=False)
    # Digests of the present and the former secret (services/secrets.py).
    secret_digest = models.CharField(max_length=200, blank=True, editable=False)
    secret_digest_old = models.CharField(max_length=200, blank=True, editable=False)
    made_by_request = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name or "(no name)"

    def save(self, *args: Any, **kwargs: Any) -> None:
        # Derived, so that it can never differ.
        self.kind, self.path = "trigger", self.name
        super().save(*args, **kwargs)


class PushSource(models.Model):
    """A push that fires a trigger. Empty lists: any branch, any path."""

    trigger = models.ForeignKey(Trigger, models.CASCADE, related_name="push_sources")
    repository = models.ForeignKey("repos.Repository", models.CASCADE, related_name="push_sources")
    branches = models.JSONField(default=list, blank=True, help_text="main, release/*")
    paths = models.JSONField(default=list, blank=True, help_text="web/**, docs/*.md: one changed file must match.")

    def __str__(self) -> str:
        return f"push to {self.repository}"


class EndSource(models.Model):
    """The end of a run of another subject that fires a trigger."""

    trigger = models.ForeignKey(Trigger, models.CASCADE, related_name="end_sources")
    of = models.ForeignKey(Subject, models.CASCADE, related_name="ends_heard", verbose_name="of")
    states = models.JSONField(default=list, blank=True, help_text="How it must have ended. Empty: succeeded.")

    def __str__(self) -> str:
        return f"end of {self.of}"


class Action(models.Model):
    """One thing that a firing does, if the rule on its payload holds."""

    class Kind(models.TextChoices):
        AGENTS = "agents", "Its agents run their scripts"  # without any such row they always do
        DEPLOY = "deploy", "Deploy an environment"
        SYNC = "sync", "Sync a node"
        SCRIPT = "script", "Run a script over SSH"

    trigger = models.ForeignKey(Trigger, models.CASCADE, related_name="actions")
    position = models.PositiveSmallIntegerField(default=0)
    kind = models.CharField(max_length=10, choices=Kind)
    environment = models.ForeignKey(
        "environments.Environment", models.CASCADE, null=True, blank=True, related_name="trigger_actions"
    )
    node = models.ForeignKey("sesam.Node", models.CASCADE, null=True, blank=True, related_name="trigger_actions")
    commit_from = models.CharField(
        max_length=200, blank=True, help_text="Where the payload has the commit or ref: /after. Empty: the branch."
    )
    script = models.TextField(blank=True, help_text="A build script, run on the hosts below.")
    hosts = models.ManyToManyField("environments.Host", blank=True, related_name="trigger_actions")
    cluster = models.ForeignKey(
        "environments.Cluster", models.PROTECT, null=True, blank=True, related_name="trigger_actions"
    )
    when = models.JSONField(null=True, blank=True, help_text='A rule: {"equals": {"/ref": "refs/heads/main"}}')

    class Meta:
        ordering: ClassVar = ["position", "pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.environment or self.node or ''}".strip()


class Firing(models.Model):
    """One time that somebody or something fired a trigger."""

    class State(models.TextChoices):
        HELD = "held", "Held until the window opens"
        CHECKING = "checking", "The changed paths are looked at"
        FIRED = "fired", "Fired"
        REFUSED = "refused", "Refused when its time had come"
        IGNORED = "ignored", "Nothing that it asks for had changed"

    class Source(models.TextChoices):
        OLD = "old", "Old protocol"
        HTTP = "http", "HTTP"
        ADMIN = "admin", "Admin"
        COMMAND = "command", "Command"
        PUSH = "push", "Push"
        SCHEDULE = "schedule", "Schedule"
        RUN = "run", "End of a run"

    trigger = models.ForeignKey(Trigger, models.CASCADE, related_name="firings")
    state = models.CharField(max_length=10, choices=State)
    count = models.PositiveBigIntegerField(null=True)  # the trigger's, once it has fired
    source = models.CharField(max_length=10, choices=Source)
    cause = models.CharField(max_length=10, choices=Cause)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    by = models.CharField(max_length=150)  # who, in words; stays when the account is gone
    behind = models.CharField(max_length=150, blank=True)
    address = models.CharField(max_length=64, blank=True)
    door = models.CharField(max_length=10)
    knock = models.JSONField(default=dict)  # who asked, so that the gate can be asked again in the same name
    payload = models.JSONField(null=True)
    idempotency_key = models.CharField(max_length=200, null=True)
    request_digest = models.CharField(max_length=64, blank=True)  # of what came with the key
    override = models.CharField(max_length=300, blank=True)
    text = models.CharField(max_length=500, blank=True)  # why it waits, or was refused
    received_at = models.DateTimeField(auto_now_add=True)
    opens_at = models.DateTimeField(null=True)  # while held or checking: when it is looked at again
    fired_at = models.DateTimeField(null=True)
    ended_run = models.ForeignKey("runs.Run", models.SET_NULL, null=True, related_name="firings_caused")
    depth = models.PositiveSmallIntegerField(default=0)  # of firings that led to runs that led to this one

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trigger", "count"], name="firing_count_once"),
            models.UniqueConstraint(fields=["trigger", "idempotency_key"], name="firing_key_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["trigger", "-received_at"], name="firing_newest"),
            models.Index(
                fields=["opens_at"], condition=models.Q(state__in=["held", "checking"]), name="firing_to_look_at"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.trigger} {self.count or self.state}"


class Effect(models.Model):
    """What one firing led to at one target: an agent, or an action of its trigger."""

    class State(models.TextChoices):
        PENDING = "pending", "Waits for its turn"
        STARTED = "started", "Started"
        MERGED = "merged", "Done by the run of a later firing"
        SKIPPED = "skipped", "Skipped: another run was not finished"
        UNMET = "unmet", "Not asked for by its rule"
        REFUSED = "refused", "Refused"
        FAILED = "failed", "Could not be started"

    firing = models.ForeignKey(Firing, models.CASCADE, related_name="effects")
    trigger = models.ForeignKey(Trigger, models.CASCADE, related_name="+")
    action = models.ForeignKey(Action, models.SET_NULL, null=True, related_name="effects")
    agent = models.ForeignKey("agents.Agent", models.SET_NULL, null=True, related_name="+")
    target = models.CharField(max_length=200)  # as people know it; stays when the target is gone
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    text = models.CharField(max_length=500, blank=True)
    run = models.ForeignKey("runs.Run", models.SET_NULL, null=True, related_name="effects")
    tried_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["trigger", "id"], condition=models.Q(state="pending"), name="effect_pending")
        ]

    def __str__(self) -> str:
        return f"{self.firing} → {self.target}"


class OldProtocol(models.Model):
    """One row: what old clients may (docs/triggers.md). Off until there is a secret, here or in the environment."""

    secret_digest = models.CharField(max_length=200, blank=True, editable=False)
    create_unknown = models.BooleanField(
        "make unknown triggers", default=True, help_text="A request with the server-wide secret makes the trigger."
    )

    class Meta:
        verbose_name = verbose_name_plural = "old clients"

    def __str__(self) -> str:
        return "Old clients"
