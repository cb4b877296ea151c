"""What is done with pushes, however the panel hears of them."""

from __future__ import annotations

from apps.triggers.services.deliver import Answer, deliveries_prune, delivery_resend, hook_receive
from apps.triggers.services.poll import polls_start_due, repositories_poll, repository_poll
from apps.triggers.services.push import Handled, pushes_handle

__all__ = [
    "Answer",
    "Handled",
    "deliveries_prune",
    "delivery_resend",
    "hook_receive",
    "polls_start_due",
    "pushes_handle",
    "repositories_poll",
    "repository_poll",
]
