"""What started work: deliveries of push webhooks."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


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
