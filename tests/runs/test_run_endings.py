"""Each way in which a run can end, by a real runner process."""

from __future__ import annotations

import pytest
from django.conf import settings

from apps.runs.models import Step
from tests.runs.conftest import Requester
from tests.support.runner import log_text, run_now

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def test_run_that_works_succeeds(request_run: Requester) -> None:
    run = run_now(request_run("shell", params={"script": "echo hello; echo trouble >&2"}))
    assert run.state == "succeeded", log_text(run)
    assert log_text(run, stream="out") == "hello\n"
    assert log_text(run, stream="err") == "trouble\n"
    assert "$ sh -c" in log_text(run, stream="note")
    assert run.ended_at is not None
    assert run.started_at is not None
    assert not (settings.WORK_DIR / f"run-{run.pk}").exists()


def test_run_whose_script_fails_is_failed_with_a_hint(request_run: Requester) -> None:
    run = run_now(request_run("shell", params={"script": "exit 7"}))
    assert (run.state, run.summary) == ("failed", "The script ended with status 7.")
    assert "Look at the script." in log_text(run, stream="note")
    assert "Traceback" not in log_text(run)
    step = Step.objects.get(run=run)
    assert (step.state, step.exit_status) == ("failed", 7)
