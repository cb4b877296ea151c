"""Deliveries that overtake each other on their way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from apps.access.actor import Actor, Door
from apps.environments.models import Environment
from apps.repos.models import Repository
from apps.runs.models import Run
from apps.triggers import services
from apps.triggers.models import Delivery
from apps.triggers.order import is_late
from apps.triggers.webhooks import PushEvent

A, B, C, X = (letter * 40 for letter in "abcd")


def move(before: str, after: str, ref: str = "refs/heads/main", **more: bool) -> PushEvent:
    return PushEvent(ref=ref, before=before, after=after, **more)


@pytest.mark.parametrize(
    ("push", "handled", "expected"),
    [
        (move(A, B), [], False),
        (move(B, C), [move(A, B)], False),
        (move(X, A), [move(A, B)], True),
        (move(X, A), [move(B, C), move(A, B)], True),
        (move(A, B), [move(A, B)], False),
        (move(B, A), [move(A, B)], False),  # set back
        (move(C, A), [move(A, B), move(B, C)], False),
        (move(A, B), [move(A, B), move(B, A)], False),  # and forth again
        (move(X, A), [move(A, ""), move("", X)], False),  # deleted and made anew in between
        (move("", A), [move(A, B)], False),
        (move(X, A, forced=True), [move(A, B)], False),
        (move(X, A), [move(A, B, "refs/heads/other")], False),
    ],
)
def test_late_only_where_it_is_certain(push: PushEvent, handled: list[PushEvent], expected: bool) -> None:
    assert is_late(push, handled) is expected


@pytest.mark.django_db
@pytest.mark.database
def test_a_late_delivery_does_not_take_the_branch_back(
    staging: Environment, call: Callable[..., Any], owner: User
) -> None:
    Repository.objects.update(poll_interval=60, polled_refs={})
    call("github", "github_push", changes={"before": A, "after": B}, delivery="1")
    answer = call("github", "github_push", changes={"before": X, "after": A}, delivery="2").json()
    assert answer["runs"] == []
    assert [line["text"] for line in answer["outcomes"]] == [
        "main: a later push was handled before this one; aaaaaaaa is not deployed."
    ]
    staging.refresh_from_db()
    assert staging.wanted_commit == B
    assert Repository.objects.get().polled_refs == {"refs/heads/main": B}
    Run.objects.update(state="succeeded")
    late = Delivery.objects.get(delivery_id="2")
    again = services.delivery_resend(delivery=late, actor=Actor(user=owner, door=Door.ADMIN))
    assert again.runs.count() == 1, "a person who sends it again means it"
