"""The plan page as people see it: side by side, on a phone, in the dark, by keyboard, and without scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.runs.models import Run, Step
from apps.runs.states import RunState
from apps.sesam.models import Sync
from apps.sesam.storage import configuration_keep
from tests.browser.conftest import Surfer
from tests.sesam.planned import COMMIT, configuration, node_made, pipe, sync_made, sync_started, two_sides

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LOOKS: dict[str, dict[str, bool]] = {
    "light": {},
    "dark": {"dark": True},
    "phone": {"phone": True},
    "phone-dark": {"phone": True, "dark": True},
}
ASKED = [
    {"kind": "removals", "number": 12, "text": "12 of the node's 40 pipes and systems would be removed: a, b and c."},
    {"kind": "metadata", "number": 1, "text": "The node has node metadata, and Git has none: it would be removed."},
]
REFUSED = [
    {
        "entity": "sap-invoice",
        "file": "node/pipes/sap-invoice.conf.json",
        "level": "error",
        "message": "The source system 'sap' does not exist.",
        "elements": ["source.system"],
    },
    {"entity": "", "level": "error", "message": "The license allows 20 pipes.", "elements": []},
]
PROBLEMS = [
    {"file": "node/pipes/a.conf.json", "line": 3, "column": 7, "text": "This is not JSON.", "error": True},
    {"file": "node/pipes/b.conf.json", "line": 0, "column": 0, "text": "Its _id is unlike its name.", "error": False},
]
MISSING = {
    "variables": {"crm_url": ["node/pipes/a.conf.json", "node/systems/crm.conf.json"]},
    "secrets": {"sap-password": ["node/systems/sap.conf.json"]},
}


@pytest.fixture
def open_page(owner: User, surf: Callable[..., Surfer], live_server: Any) -> Callable[..., Surfer]:
    def open_one(address: str, **look: bool) -> Surfer:
        surfer = surf(live_server.url, **look)
        surfer.enter("owner")
        surfer.go(address)
        return surfer

    return open_one


def plan_url(sync: Sync, query: str = "") -> str:
    return f"/admin/sesam/sync/{sync.pk}/plan/{query}"


def sync_large(changes: int = 40) -> Sync:
    """Many entities, one of them larger than a page shows at once."""
    before = [pipe(f"pipe-{number:03}") for number in range(60)] + [pipe("wide", rules=900)]
    wanted = [pipe(f"pipe-{number:03}", rules=4 + number % 2) for number in range(60)] + [pipe("wide", rules=901)]
    return sync_made(node_made(), sides=(configuration(*before), configuration(*wanted, folder="node/")))


@pytest.mark.parametrize("look", LOOKS)
def test_a_plan_reads_well(open_page: Callable[..., Surfer], look: str) -> None:
    surfer = open_page(plan_url(sync_made(node_made())), **LOOKS[look])
    page = surfer.page
    assert page.locator(".plan-tile").count() == 8
    assert "Removed" in page.inner_text("#entities")
    assert page.locator(".diff mark").count() > 5
    surfer.shoot(f"plan-{look}")
    assert surfer.faults() == []


@pytest.mark.parametrize("look", ["light", "phone-dark"])
def test_what_went_wrong_is_told_with_what_to_do(open_page: Callable[..., Surfer], look: str) -> None:
    sync = sync_made(
        node_made(verify_tls=False),
        action="sync",
        state=RunState.FAILED,
        summary="The node refused the configuration: 2 errors. Nothing was changed.",
        refused=REFUSED,
        problems=PROBLEMS[1:],
        missing=MISSING,
    )
    surfer = open_page(plan_url(sync), **LOOKS[look])
    first = surfer.page.locator("details.entity").first
    assert "sap-invoice" in first.inner_text()
    assert "The source system 'sap' does not exist." in first.inner_text()
    assert "The license allows 20 pipes." in surfer.page.inner_text("[aria-label='What the node said']")
    assert surfer.page.locator("[data-tls]").count() == 1
    surfer.shoot(f"plan-refused-{look}")
    assert surfer.faults() == []


@pytest.mark.parametrize("look", ["light", "phone-dark"])
def test_the_guards_questions_are_confirmed_here(open_page: Callable[..., Surfer], look: str) -> None:
    sync = sync_made(
        node_made(),
        action="sync",
        state=RunState.FAILED,
        summary="A person must confirm this before anything is written.",
        questions=ASKED,
    )
    surfer = open_page(plan_url(sync), **LOOKS[look])
    page = surfer.page
    page.locator("#apply button.dp-button-primary").click()
    assert not page.locator("dialog[open]").count()  # the boxes are required
    for box in page.locator(".plan-question input").all():
        box.check()
    page.locator("#apply button.dp-button-primary").click()
    page.wait_for_selector("#plan-dialog[open]")
    surfer.shoot(f"plan-asks-{look}", full=False)
    assert surfer.faults() == []
    # The run's own page listens to a WebSocket, which this server has not.
    page.route_web_socket("**/ws/**", lambda socket: None)
    page.locator("#plan-dialog [data-yes]").click()
    page.wait_for_url("**/admin/runs/run/*/change/")
    again = Sync.objects.latest("pk")
    assert (again.action, again.ref, again.confirmed) == ("sync", COMMIT, {"removals": 12, "metadata": 1})


def test_large_entities_come_when_they_are_opened(open_page: Callable[..., Surfer]) -> None:
    surfer = open_page(plan_url(sync_large(), "?text=wide"))
    page = surfer.page
    entity = page.locator("details.entity")
    assert entity.locator(".diff").count() == 0
    entity.locator("summary").first.click()
    page.wait_for_selector("details.entity .diff-added")
    assert "column_900" in entity.inner_text()
    fold = entity.locator(".diff-fold").first
    fold.locator("summary").click()
    assert fold.get_attribute("open") is not None
    surfer.shoot("plan-large-light", full=False)
    assert surfer.faults() == []


def test_everything_is_there_without_scripts(open_page: Callable[..., Surfer]) -> None:
    surfer = open_page(plan_url(sync_large(), "?text=wide"), script=False)
    surfer.page.locator("details.entity summary").click()
    surfer.page.get_by_role("link", name="Show the lines on a page of their own").click()
    assert "column_900" in surfer.page.inner_text(".diff")
    surfer.page.get_by_role("link", name="All entities").click()
    surfer.page.locator("details.entity").nth(19).wait_for()
    assert surfer.page.locator("details.entity").count() == 20


def test_changes_are_walked_by_keyboard(open_page: Callable[..., Surfer]) -> None:
    page = open_page(plan_url(sync_made(node_made()))).page
    seen = []
    for _ in range(3):
        page.keyboard.press("n")
        seen.append(page.evaluate("document.activeElement.className"))
    assert seen == ["diff-added", "diff-added", "diff-changed"]
    page.keyboard.press("p")
    assert page.evaluate("document.activeElement.textContent").find("cron_expression") > 0
    page.keyboard.press("Tab")
    page.fill("input[name=text]", "erp-order")
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    page.wait_for_url("**text=erp-ordern*")
    assert "No entity is like that" in page.inner_text("#entities")


@pytest.mark.parametrize("look", ["light", "phone-dark"])
def test_a_plan_at_work_becomes_the_plan(open_page: Callable[..., Surfer], look: str) -> None:
    sync = sync_started(node_made())
    states = ["succeeded", "succeeded", "running", "pending"]
    for position, (stage, state) in enumerate(zip(["fetch", "source", "compare", "guard"], states, strict=True)):
        Step.objects.create(run=sync.run, stage=stage, position=position, state=state)
    surfer = open_page(plan_url(sync), **LOOKS[look])
    page = surfer.page
    assert "Running" in page.inner_text("#plan-progress")
    surfer.shoot(f"plan-working-{look}")
    assert surfer.faults() == []
    before, wanted = (configuration_keep(side) for side in two_sides())
    Sync.objects.filter(pk=sync.pk).update(before=before, wanted=wanted)
    page.wait_for_selector("#entities .diff")  # as soon as it is known
    assert page.locator("#plan-progress[data-live]").count()
    now = timezone.now()
    Run.objects.filter(pk=sync.run_id).update(state=RunState.SUCCEEDED, ended_at=now)
    Sync.objects.filter(pk=sync.pk).update(state=RunState.SUCCEEDED, ended_at=now)
    page.wait_for_selector("#plan-progress:not([data-live])", state="attached")
    assert page.locator("#entities .diff").count()


@pytest.mark.parametrize("look", ["light", "dark", "phone-dark"])
def test_two_syncs_are_compared(open_page: Callable[..., Surfer], look: str) -> None:
    node = node_made()
    old = sync_made(node, sides=(configuration(), two_sides()[0]), action="sync", commit="0ld0ld00" * 5)
    new = sync_made(node)
    address = f"/admin/sesam/node/{node.pk}/compare/"
    surfer = open_page(f"{address}?old={old.pk}&new={new.pk}", **LOOKS[look])
    assert "crm-customer" in surfer.page.inner_text("#entities")
    surfer.shoot(f"plan-compare-{look}")
    assert surfer.faults() == []
    surfer.go(address)
    surfer.shoot(f"plan-compare-empty-{look}")
    assert surfer.faults() == []


def test_what_failed_before_the_comparison_says_so(open_page: Callable[..., Surfer]) -> None:
    sync = sync_made(
        node_made(), state=RunState.FAILED, summary="node/pipes/a.conf.json:3:7: This is not JSON. (and 3 more)",
        problems=PROBLEMS, missing=MISSING, before=None, wanted=None,
    )  # fmt: skip
    surfer = open_page(plan_url(sync))
    surfer.shoot("plan-broken-light")
    assert "push, and plan again" in surfer.page.inner_text("#plan-progress")
    assert surfer.faults() == []
    same = sync_made(Sync.objects.get(pk=sync.pk).node, sides=(two_sides()[0], two_sides()[0]), no_change=True)  # type: ignore[arg-type]
    surfer.go(plan_url(same))
    surfer.shoot("plan-same-light")
    assert "Both sides are the same" in surfer.page.inner_text("#entities")
    assert surfer.faults() == []


def test_a_printed_plan_has_all_lines_and_no_buttons(open_page: Callable[..., Surfer]) -> None:
    surfer = open_page(plan_url(sync_made(node_made())))
    surfer.page.emulate_media(media="print")
    assert not surfer.page.locator(".plan-filter input[name=text]").is_visible()
    assert surfer.page.locator(".plan-columns").first.is_visible()
    assert surfer.page.locator(".diff mark").first.is_visible()
    surfer.shoot("plan-print")
