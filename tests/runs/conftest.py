from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from apps.access.models import Subject
from apps.runs import kinds
from apps.runs.models import Cause, Run
from apps.runs.services import run_request
from tests.support.kinds import Trial
from tests.support.runner import OPERATOR

Requester = Callable[..., Run]


@pytest.fixture(autouse=True)
def trial_kind() -> Iterator[None]:
    kinds.register(Trial())
    yield
    kinds._kinds.pop("trial")


@pytest.fixture
def subject(db: None) -> Subject:
    return Subject.objects.create(kind="environment", path="shop/prod")


@pytest.fixture
def request_run(subject: Subject) -> Requester:
    """Asks for a trial run; keyword arguments beyond run_request's are the run's params."""

    def ask(do: str = "nothing", *, params: dict[str, Any] | None = None, **more: Any) -> Run:
        given = {"kind": "trial", "subject": subject, "actor": OPERATOR, "cause": Cause.COMMAND} | more
        with transaction.atomic():
            return run_request(params={"do": do} | (params or {}), **given)

    return ask
