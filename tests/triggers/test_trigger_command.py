"""`manage.py trigger`: what it fires, prints and exits with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from apps.access.levels import Level
from apps.access.models import Freeze
from apps.agents.models import Order
from apps.runs.models import Run
from apps.runs.states import RunState
from apps.triggers.management.commands import trigger as command
from apps.triggers.models import Action, Firing, Trigger
from apps.triggers.services.prune import firings_prune
from tests.support.cast import grant
from tests.triggers.firing import begun, ended, fire, trigger_with

pytestmark = pytest.mark.django_db
Ran = tuple[int, str, str]


def run(*arguments: str) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("trigger", *arguments, stdout=out, stderr=err)
    except SystemExit as left:
        return int(str(left.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def agents_work(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """While the command waits, each look finds one run more that has ended so."""

    def work(*states: RunState) -> None:
        left = list(states)

        def look(_seconds: float) -> None:
            waiting = Run.objects.filter(state="queued").order_by("pk").first()
            if waiting is not None:
                ended(begun(waiting), left.pop(0))

        monkeypatch.setattr(command, "time", SimpleNamespace(sleep=look))  # and nobody else's time

    return work


def test_fire_counts_and_tells_what_it_led_to() -> None:
    trigger_with("web1")
    status, out, _ = run("fire", "web", "--payload", '{"a": 1}')
    number = Run.objects.get().pk
    assert (status, out.splitlines()) == (0, ["web fired: the count is 1.", f"  web1: run #{number} queued."])
    firing = Firing.objects.get()
    assert (firing.payload, firing.source, firing.cause, firing.by) == ({"a": 1}, "command", "command", "operator")
    assert firing.behind


def test_json_and_a_key() -> None:
    trigger_with("web1")
    told = [json.loads(run("fire", "web", "--json", "--key", "k")[1]) for _ in range(2)]
    assert told[0] == told[1]
    assert (told[0]["count"], told[0]["state"], told[0]["trigger"]) == (1, "fired", "web")
    assert told[0]["effects"][0] | {"run": 0} == {
        "target": "web1",
        "state": "started",
        "text": "",
        "run": 0,
        "run_state": "queued",
        "summary": "",
    }


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ((RunState.SUCCEEDED, RunState.SUCCEEDED), 0),
        ((RunState.SUCCEEDED, RunState.STOPPED), 4),
        ((RunState.FAILED, RunState.STOPPED), 1),
    ],
)
def test_wait_exits_as_the_worst_ended(agents_work: Any, states: tuple[RunState, ...], status: int) -> None:
    trigger_with("web1", "web2")
    agents_work(*states)
    found, out, _ = run("fire", "web", "--wait")
    assert found == status
    assert f"web2: run #{Run.objects.latest('pk').pk} {states[1]}." in out


def test_wait_for_what_starts_nothing(agents_work: Any) -> None:
    trigger = trigger_with("web1")
    Action.objects.create(trigger=trigger, kind="agents", when={"present": "/go"})
    assert run("fire", "web", "--wait")[0] == 0


def test_the_payload_from_a_file(tmp_path: Path) -> None:
    trigger_with()
    (tmp_path / "event.json").write_text('\n {"ref": "ü"}')
    assert run("fire", "web", "--payload", f"@{tmp_path}/event.json")[0] == 0
    assert Firing.objects.get().payload == {"ref": "ü"}


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("fire", "wbe"), 2, "no trigger is called 'wbe'; did you mean “web”?"),
        (("fire", "web", "--payload", "{"), 2, "line 1, column 2"),
        (("fire", "web", "--payload", "@/none"), 2, "--payload: /none cannot be read"),
        (("fire", "web", "--override", " "), 2, "needs a reason"),
        (("fire", "web", "--key", "x" * 201), 2, "Idempotency-Key"),
        (("fire", "web", "--as", "nobody"), 2, "nobody"),
        (("show", "web", "--as", "outsider"), 2, "no trigger is called 'web'."),
        (("fire", "web", "--as", "teammate"), 3, "lacks the right “fire_in_hours”"),
    ],
)
def test_what_is_wrong_is_told(
    arguments: tuple[str, ...], status: int, told: str, teammate: User, outsider: User
) -> None:
    grant(teammate, trigger_with(), Level.VIEW)
    found, _, err = run(*arguments)
    assert (found, told in err) == (status, True), err
    assert Firing.objects.count() == 0


def test_too_many_exit_as_failed_and_held_ones_say_until_when() -> None:
    trigger = trigger_with(rate_limit=1, when_closed="hold")
    now = timezone.now()
    Freeze.objects.create(subject=trigger, reason="x", starts_at=now, ends_at=now + timedelta(hours=1))
    status, out, _ = run("fire", "web")
    assert (status, " is held until " in out) == (0, True)
    assert run("fire", "web")[0] == 1


def test_list_and_show(outsider: User) -> None:
    trigger = trigger_with("web1", schedule="0 3 * * *")
    trigger_with(name="off", enabled=False)
    fire(trigger)
    lines = run("list")[1].splitlines()
    assert [line.split()[:3] for line in lines] == [["off", "OFF", "0"], ["web", "on", "1"]]
    assert [row["name"] for row in json.loads(run("list", "--json")[1])] == ["off", "web"]
    assert run("list", "--as", "outsider")[1] == ""
    shown = run("show", "web")[1]
    assert "web: on, count 1" in shown
    assert "agents       web1" in shown
    assert "fired  http, secret" in shown
    assert json.loads(run("show", "web", "--json")[1])["firings"][0]["count"] == 1


def test_old_firings_are_forgotten_but_the_newest_and_what_works(settings: Any) -> None:
    settings.RUN_KEEP_DAYS = 10
    trigger = trigger_with("web1", concurrency="each")
    firings = [fire(trigger) for _ in range(4)]
    for order in Order.objects.exclude(number=2):
        ended(begun(order.run))
    Firing.objects.update(received_at=timezone.now() - timedelta(days=11))
    assert firings_prune(timezone.now()) == 2
    assert set(Firing.objects.values_list("pk", flat=True)) == {firings[1].pk, firings[3].pk}
    assert Trigger.objects.get().count == 4
