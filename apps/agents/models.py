"""Agents, what they are to do, and the key with which the panel signs build scripts."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from apps.access.fields import EncryptedTextField
from apps.access.models import NAME_VALIDATOR


class Agent(models.Model):
    """A machine that runs `deploypanel-agent`. It connects to the panel, never the panel to it."""

    name = models.CharField(max_length=80, unique=True, validators=[NAME_VALIDATOR])
    enabled = models.BooleanField("on", default=True, help_text="An agent that is off is given no work.")
    note = models.CharField(max_length=200, blank=True, help_text="Where it stands, and what it is for.")

    # Who it is. Both secrets are kept as digests only.
    key_digest = models.CharField(max_length=64, blank=True, db_index=True, editable=False)  # empty: not enrolled
    code_digest = models.CharField(max_length=64, blank=True, db_index=True, editable=False)  # of an enrolment code
    code_expires_at = models.DateTimeField(null=True, editable=False)
    enrolled_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    # What it told of itself, and when.
    version = models.CharField(max_length=40, blank=True, editable=False)
    hostname = models.CharField(max_length=120, blank=True, editable=False)
    system = models.CharField(max_length=200, blank=True, editable=False)
    address = models.CharField(max_length=64, blank=True, editable=False)
    seen_at = models.DateTimeField(null=True, editable=False)
    # Its newest connection: an id of that connection, empty while it is away.
    session = models.CharField(max_length=40, blank=True, editable=False)
    transport = models.CharField(max_length=10, blank=True, editable=False)  # websocket or poll
    connected_at = models.DateTimeField(null=True, editable=False)
    disconnected_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """What one run asks of one agent. The run's state is the truth; `open` is a copy for a quick question."""

    run = models.OneToOneField("runs.Run", models.CASCADE, primary_key=True, related_name="order")
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="orders")
    # The trigger, without knowing triggers: orders of one agent for one subject are carried out one after the other.
    subject = models.ForeignKey("access.Subject", models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=200)  # the trigger's, as the agent knows it
    number = models.PositiveBigIntegerField()  # the trigger's count: goes up from order to order
    payload = models.JSONField(null=True)
    script = models.TextField(blank=True)  # a build script that the panel holds; empty: the agent's own
    fired_at = models.DateTimeField()
    max_age = models.PositiveIntegerField()  # seconds after which it is not begun any more
    open = models.BooleanField(default=True)  # the run has not ended
    events = models.PositiveIntegerField(default=0)  # of the agent's events, so many are stored

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["agent", "subject", "run"], condition=models.Q(open=True), name="order_open")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.number} on {self.agent}"


class SigningKey(models.Model):
    """With which the panel signs the build scripts that it holds. One row; agents pin its public half."""

    private_key = EncryptedTextField()  # PEM, RSA
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"signing key {self.pk}"
