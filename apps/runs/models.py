"""A run is one piece of work: its row is the truth about it, whatever the queue believes."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from apps.runs.states import ACTIVE, RunState, StepState


class Cause(models.TextChoices):
    """What made a run start."""

    PERSON = "person", "Person"
    PUSH = "push", "Push"
    SCHEDULE = "schedule", "Schedule"
    COMMAND = "command", "Command"
    TRIGGER = "trigger", "Trigger"
    SYSTEM = "system", "System"


class Stream(models.TextChoices):
    """Where a line of the log came from: a program's output, or the panel itself."""

    OUT = "out", "Output"
    ERR = "err", "Errors"
    NOTE = "note", "Note"


class Run(models.Model):
    """One piece of work with a state, a live log, limits and an end. Moves are made by services only."""

    kind = models.CharField(max_length=30)  # a name in kinds.py's registry: deploy, rollback …
    subject = models.ForeignKey("access.Subject", models.SET_NULL, null=True, related_name="runs")
    subject_path = models.CharField(max_length=200)  # stays when the subject is gone
    exclusive = models.BooleanField(default=True)
    params = models.JSONField(default=dict)  # what the kind needs to do it; never a secret
    state = models.CharField(max_length=10, choices=RunState, default=RunState.QUEUED)
    summary = models.CharField(max_length=500, blank=True)  # one sentence on how it ended, or why it waits
    result = models.JSONField(default=dict)

    cause = models.CharField(max_length=10, choices=Cause)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_name = models.CharField(max_length=150)
    override_reason = models.CharField(max_length=300, blank=True)

    requested_at = models.DateTimeField(auto_now_add=True)
    not_before = models.DateTimeField(null=True)  # only while waiting: when the gate is asked again
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)  # what follows the end (statuses, notifications) was done once
    settling_at = models.DateTimeField(null=True)  # claimed by a settle task at this time
    settle_attempts = models.PositiveSmallIntegerField(
        default=0
    )  # claims whose worker died are tried again, not for ever

    stop_requested_at = models.DateTimeField(null=True)
    stop_requested_by = models.CharField(max_length=150, blank=True)
    time_limit = models.PositiveIntegerField()  # seconds in all
    silence_limit = models.PositiveIntegerField()  # seconds without a line of output

    rung_at = models.DateTimeField(null=True)  # when the queue was last told to start it
    spawned_at = models.DateTimeField(null=True)  # when `machine` last started a runner that has still to claim it
    spawns = models.PositiveSmallIntegerField(default=0)  # runners started for it; one that dies early never claims

    # The runner process. `machine` and `boot_id` say where a pid means anything at all.
    token = models.CharField(max_length=40, blank=True)
    machine = models.CharField(max_length=120, blank=True)
    boot_id = models.CharField(max_length=40, blank=True)
    pid = models.PositiveIntegerField(null=True)
    pid_started = models.FloatField(null=True)  # seconds since the boot
    heartbeat_at = models.DateTimeField(null=True)

    last_seq = models.PositiveIntegerField(default=0)
    log_lines = models.PositiveIntegerField(default=0)
    log_bytes = models.PositiveBigIntegerField(default=0)
    log_cut = models.BooleanField(default=False)  # the cap was reached: later output was not stored
    steps_version = models.PositiveIntegerField(default=0)  # goes up whenever a step changes

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subject"],
                condition=models.Q(exclusive=True, state__in=[str(state) for state in ACTIVE]),
                name="run_one_active_per_subject",
                violation_error_message="Another run of this subject is not finished yet.",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "not_before"], name="run_state"),
            models.Index(fields=["subject", "-id"], name="run_subject_newest"),
            models.Index(fields=["ended_at"], name="run_ended"),
            models.Index(fields=["started_at"], name="run_started"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind} {self.subject_path}"


class LogChunk(models.Model):
    """Some lines of one stream of one host, as one batch. `seq` counts up without gaps, by a single writer.

    `text` holds whole lines, each ended by a newline; `first_line` is the number of its first line in the run's log.
    """

    run = models.ForeignKey(Run, models.CASCADE, related_name="chunks")
    seq = models.PositiveIntegerField()
    host = models.CharField(max_length=80, blank=True)  # empty: the panel's own machine
    stream = models.CharField(max_length=4, choices=Stream)
    at = models.DateTimeField()
    first_line = models.PositiveIntegerField()
    text = models.TextField()

    class Meta:
        ordering: ClassVar = ["seq"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "seq"], name="log_chunk_once")]

    def __str__(self) -> str:
        return f"run {self.run_id} chunk {self.seq}"


class Step(models.Model):
    """One stage on one host (or on the panel itself, host empty): a cell of the run's matrix."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="steps")
    host = models.CharField(max_length=80, blank=True)
    stage = models.CharField(max_length=30)
    position = models.PositiveSmallIntegerField()  # order of the stages
    state = models.CharField(max_length=10, choices=StepState, default=StepState.PENDING)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    exit_status = models.IntegerField(null=True)
    message = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["position", "host"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "host", "stage"], name="step_once")]

    def __str__(self) -> str:
        return f"run {self.run_id} {self.stage} {self.host}".rstrip()


class Beat(models.Model):
    """A sign of life of one of the panel's processes (web, cluster, clock, panel), for /health and the watchdog."""

    name = models.CharField(max_length=120, primary_key=True)  # role@machine
    role = models.CharField(max_length=20)
    machine = models.CharField(max_length=120)
    pid = models.PositiveIntegerField()
    at = models.DateTimeField()
    detail = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """A right that one process of the installation holds at a time, such as being the clock."""

    name = models.CharField(max_length=60, primary_key=True)
    holder = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Tally(models.Model):
    """A sum that outlives the rows it was counted from (tally.py)."""

    series = models.CharField(max_length=40)
    labels = models.CharField(max_length=300, blank=True)  # JSON; empty: the row that says how far the series is
    values = models.JSONField(default=list)
    until = models.DateTimeField(null=True)  # rows up to here are in the sums

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["series", "labels"], name="tally_once")]

    def __str__(self) -> str:
        return f"{self.series} {self.labels}".rstrip()
