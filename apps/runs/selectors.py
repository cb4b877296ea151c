"""Which runs a person may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Q

from apps.access.permissions import is_person, subjects_visible
from apps.runs.models import Run
from apps.runs.states import ENDED, StepState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet


def runs_visible(user: User | AnonymousUser) -> QuerySet[Run]:
    """The runs of all subjects that the person may see; those whose subject is gone only for superusers."""
    if not is_person(user):
        return Run.objects.none()
    if user.is_superuser:
        return Run.objects.all()
    return Run.objects.filter(subject__in=subjects_visible(user).values("pk"))


def run_visible_to(user: User | AnonymousUser, run: Run) -> bool:
    """Whether the person may see this run now."""
    return runs_visible(user).filter(pk=run.pk).exists()


def runs_recent(
    user: User | AnonymousUser | None = None, *, limit: int = 50, subject_id: int | None = None, state: str = ""
) -> QuerySet[Run]:
    """The newest runs, of one subject or in one state if given; all of them for the operator (`user` None)."""
    runs = Run.objects.all() if user is None else runs_visible(user)
    if subject_id is not None:
        runs = runs.filter(subject_id=subject_id)
    if state:
        runs = runs.filter(state=state)
    return runs.order_by("-pk")[:limit]


def runs_unfinished(subject_ids: Iterable[int]) -> QuerySet[Run]:
    """Waiting, queued and running work that holds these subjects, oldest first.

    `steps_total` and `steps_done` say how many of its steps are behind it.
    """
    ended = Q(steps__state__in=[StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.STOPPED])
    held = Run.objects.filter(subject_id__in=list(subject_ids), exclusive=True).exclude(state__in=ENDED)
    return held.annotate(steps_total=Count("steps"), steps_done=Count("steps", filter=ended)).order_by("id")
