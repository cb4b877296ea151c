"""The pages of triggers by level: who sees what, who may press what, and what is said when the answer is no."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.access.levels import Level
from apps.access.models import AuditEntry, BusinessHours
from apps.environments.models import Environment
from apps.runs.services import run_move
from apps.runs.states import RunState
from apps.triggers.models import Action, Firing, Trigger
from apps.triggers.services.secrets import secret_opens
from tests.support.cast import grant
from tests.triggers import firing as by_hand
from tests.triggers import rows
from tests.ui.rows import deployment_make, environment_make, fleet_make, repository_make

pytestmark = [pytest.mark.django_db]

PAGES = ("control/", "live/", "change/", "grants/", "history/", "delete/")
ACTS = ("fire", "secret", "forget", "switch")


@pytest.fixture
def web() -> Trigger:
    return rows.trigger_make("web")


@pytest.fixture
def closed(web: Trigger) -> Trigger:
    weekly = {_day_after_tomorrow(): "08:00-09:00"}
    web.hours = BusinessHours.objects.create(name="seldom", timezone="UTC", weekly=weekly)
    web.save()
    return web


def _day_after_tomorrow() -> str:
    return (timezone.now() + timedelta(days=2)).strftime("%a").lower()


@pytest.fixture
def as_level(client: Client, teammate: User, web: Trigger) -> Callable[[Level], Client]:
    def sign_in(level: Level) -> Client:
        grant(teammate, web, level)
        client.force_login(teammate)
        return client

    return sign_in


@pytest.fixture
def boss(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def address(trigger: Trigger, page: str) -> str:
    return f"/admin/triggers/trigger/{trigger.pk}/{page}"


def fire(client: Client, trigger: Trigger, payload: str = "", **fields: str) -> object:
    return client.post(address(trigger, "fire/"), {"confirmed": "1", "payload": payload} | fields, follow=True)


# --- who sees what --------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_outsider_finds_nothing(client: Client, outsider: User, web: Trigger, page: str) -> None:
    client.force_login(outsider)
    answer = client.get(address(web, page))
    assert answer.status_code in {302, 403, 404}
    if page in {"control/", "live/"}:
        assert answer.status_code == 404


@pytest.mark.database
@pytest.mark.parametrize("act", ACTS)
def test_outsider_cannot_act(client: Client, outsider: User, web: Trigger, act: str) -> None:
    client.force_login(outsider)
    assert client.post(address(web, f"{act}/"), {"confirmed": "1"}).status_code == 404
    web.refresh_from_db()
    assert (web.count, web.enabled, web.secret_digest) == (0, True, "")


def test_viewer_sees_no_buttons(as_level: Callable[[Level], Client], web: Trigger) -> None:
    page = as_level(Level.VIEW).get(address(web, "control/")).content.decode()
    assert "never fired" in page
    assert "<form" not in page.split('id="main"', 1)[1].split("control-head", 1)[1]
    assert "control-gate" not in as_level(Level.VIEW).get(address(web, "live/")).json()


@pytest.mark.database
@pytest.mark.parametrize("act", ACTS)
def test_viewer_is_refused_and_recorded(as_level: Callable[[Level], Client], web: Trigger, act: str) -> None:
    answer = as_level(Level.VIEW).post(address(web, f"{act}/"), {"confirmed": "1"})
    assert answer.status_code == 403
    assert "lacks the right" in answer.content.decode()
    assert AuditEntry.objects.filter(allowed=False, subject_id=web.pk).exists()


def test_firer_sees_the_button_and_no_settings(as_level: Callable[[Level], Client], web: Trigger) -> None:
    page = as_level(Level.IN_HOURS).get(address(web, "control/")).content.decode()
    assert "Fire…" in page
    for text in ("Configure</a>", "Make a secret", "Switch off"):
        assert text not in page


def test_what_cannot_be_seen_is_not_named(as_level: Callable[[Level], Client], web: Trigger, teammate: User) -> None:
    """Environments and runs of others: neither on the page, nor in what firings led to."""
    prod = environment_make(repository_make("zebrafish"), "prod")
    action = Action.objects.create(trigger=web, kind="deploy", environment=prod)
    firing = rows.firing_make(web)
    run = deployment_make(prod, 1).run
    rows.effect_make(firing, "zebrafish/prod", run=run, action=action)
    client = as_level(Level.CONFIGURE)
    for page in (address(web, "control/"), f"/admin/triggers/firing/{firing.pk}/change/", "/admin/triggers/firing/"):
        text = client.get(page).content.decode()
        assert "zebrafish" not in text
        assert "you may not see" in text
        assert run is not None
        assert f"/runs/run/{run.pk}/" not in text
    grant(teammate, prod, Level.VIEW)
    assert "zebrafish/prod" in client.get(address(web, "control/")).content.decode()


def test_a_payload_tells_only_of_what_can_be_seen(
    as_level: Callable[[Level], Client], web: Trigger, teammate: User
) -> None:
    """That of a push names the repository, its branches and people; that of a run's end the run and its summary."""
    repository = repository_make("zebrafish")
    prod = environment_make(repository, "prod")
    run = deployment_make(prod, 1).run
    told = {"of": "zebrafish/prod", "summary": "shop-1 is full", "by": "ada"}
    firings = [
        rows.firing_make(web, source="push", payload={"repository": "zebrafish", "ref": "refs/heads/takeover"}),
        rows.firing_make(web, source="run", payload=told, ended_run=run),
        rows.firing_make(web, source="run", payload=told),  # its run was pruned
        rows.firing_make(web, source="run", payload=[]),
    ]
    client = as_level(Level.CONFIGURE)
    for firing in firings:
        text = client.get(f"/admin/triggers/firing/{firing.pk}/change/").content.decode()
        assert "you may not see" in text
        assert not any(word in text for word in ("zebrafish", "takeover", "is full", "ada"))
    grant(teammate, repository, Level.VIEW)
    grant(teammate, prod, Level.VIEW)
    for firing, word in zip(firings[:3], ("takeover", "is full", "is full"), strict=True):
        assert word in client.get(f"/admin/triggers/firing/{firing.pk}/change/").content.decode()


# --- firing ---------------------------------------------------------------------------------


@pytest.mark.database
def test_fire_counts_and_keeps_the_payload(as_level: Callable[[Level], Client], web: Trigger, teammate: User) -> None:
    answer = as_level(Level.ACT).post(
        address(web, "fire/"), {"confirmed": "1", "payload": '{"ref": "main"}'}, follow=True
    )
    assert "Fired: the count is 1." in answer.content.decode()
    firing = Firing.objects.get()
    assert (firing.count, firing.payload, firing.user, firing.source) == (1, {"ref": "main"}, teammate, "admin")
    assert f"/admin/triggers/firing/{firing.pk}/change/" in answer.content.decode()


def test_fire_asks_without_a_script(as_level: Callable[[Level], Client], web: Trigger) -> None:
    client = as_level(Level.ACT)
    page = client.post(address(web, "fire/"), {"confirmed": "", "payload": "[1]"}).content.decode()
    assert "Fire web?" in page
    assert "[1]" in page
    assert not Firing.objects.exists()
    assert client.get(address(web, "fire/")).status_code == 405


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ('{"ref": main}', "line 1, column 9"),
        ("NaN", "NaN is no JSON"),
        ("[" * 60_000, "payload"),
        ('"' + "x" * 70_000 + '"', "64 KiB"),
        ('"\\u0000"', "payload"),
    ],
)
def test_payload_that_cannot_be_kept_stays_on_the_page(
    as_level: Callable[[Level], Client], web: Trigger, payload: str, told: str
) -> None:
    answer = as_level(Level.ACT).post(address(web, "fire/"), {"confirmed": "1", "payload": payload})
    page = answer.content.decode()
    assert told in page.split('id="payload-trouble"')[1].split("</p>")[0]
    assert not Firing.objects.exists()


def test_closed_hours_refuse_or_hold(as_level: Callable[[Level], Client], closed: Trigger) -> None:
    client = as_level(Level.IN_HOURS)
    assert "Firings are refused." in client.get(address(closed, "control/")).content.decode()
    refused = client.post(address(closed, "fire/"), {"confirmed": "1"})
    assert refused.status_code == 403
    assert "opens" in refused.content.decode()
    Trigger.objects.update(when_closed="hold")
    page = client.post(address(closed, "fire/"), {"confirmed": "1"}, follow=True).content.decode()
    assert "The firing is held until the window opens." in page
    assert "Held until the window opens" in page
    held = Firing.objects.get()
    assert (held.state, held.count) == ("held", None)


def test_superuser_overrides_with_a_reason(boss: Client, owner: User, closed: Trigger, teammate: User) -> None:
    grant(teammate, closed, Level.IN_HOURS)
    page = boss.get(address(closed, "control/")).content.decode()
    assert "Fire in spite of this" in page
    without = boss.post(address(closed, "fire/"), {"confirmed": "1", "overriding": "1"}, follow=True)
    assert "say why" in without.content.decode()
    boss.post(address(closed, "fire/"), {"confirmed": "1", "overriding": "1", "override": "The shop is down"})
    assert Firing.objects.get().override == "The shop is down"


@pytest.mark.database
def test_held_firing_is_released_or_cancelled(as_level: Callable[[Level], Client], web: Trigger) -> None:
    one, other = (
        rows.firing_make(web, state="held", opens_at=timezone.now() + timedelta(days=1), payload=n) for n in (1, 2)
    )
    client = as_level(Level.ACT)
    assert "Fire now" in client.get(address(web, "control/")).content.decode()
    done = client.post(f"/admin/triggers/firing/{one.pk}/release/", follow=True).content.decode()
    assert "Fired: the count is 1." in done
    client.post(f"/admin/triggers/firing/{other.pk}/cancel/")
    one.refresh_from_db()
    other.refresh_from_db()
    assert (one.state, one.count, one.payload) == ("fired", 1, 1)
    assert (other.state, other.count, other.text) == ("refused", None, "Cancelled by teammate.")
    for act in ("release", "cancel"):  # pressed again on a page that was left open
        for firing in (one, other):
            again = client.post(f"/admin/triggers/firing/{firing.pk}/{act}/", follow=True).content.decode()
            assert "not wait any more" in again
    web.refresh_from_db()
    assert web.count == 1


def test_held_firing_waits_for_viewers_and_closed_windows(as_level: Callable[[Level], Client], closed: Trigger) -> None:
    held = rows.firing_make(closed, state="held", opens_at=timezone.now() + timedelta(days=1))
    assert as_level(Level.VIEW).post(f"/admin/triggers/firing/{held.pk}/cancel/").status_code == 403
    refused = as_level(Level.IN_HOURS).post(f"/admin/triggers/firing/{held.pk}/release/")
    assert refused.status_code == 403
    held.refresh_from_db()
    assert held.state == "held"


def test_superuser_lets_a_held_firing_go_with_a_reason(boss: Client, closed: Trigger, owner: User) -> None:
    held = rows.firing_make(closed, state="held", opens_at=timezone.now() + timedelta(days=1))
    page = f"/admin/triggers/firing/{held.pk}/"
    assert "Fire in spite of this" in boss.get(f"{page}change/").content.decode()
    assert boss.post(f"{page}release/").status_code == 403
    boss.post(f"{page}release/", {"overriding": "1", "override": "The shop is down"})
    held.refresh_from_db()
    assert (held.state, held.override) == ("fired", "The shop is down")


# --- secrets and the switch -----------------------------------------------------------------


def test_secret_is_shown_once(as_level: Callable[[Level], Client], web: Trigger) -> None:
    client = as_level(Level.CONFIGURE)
    answer = client.post(address(web, "secret/"))
    fresh = answer.content.decode().split('id="fresh-secret">')[1].split("<")[0]
    assert "no-store" in answer["Cache-Control"]
    web.refresh_from_db()
    assert secret_opens(web, fresh)
    page = client.get(address(web, "control/")).content.decode()
    assert fresh not in page
    assert "Renew the secret" in page
    client.post(address(web, "secret/"))
    assert "Drop the former secret" in client.get(address(web, "control/")).content.decode()
    client.post(address(web, "forget/"))
    web.refresh_from_db()
    assert not secret_opens(web, fresh)


def test_switched_off_it_refuses(as_level: Callable[[Level], Client], web: Trigger) -> None:
    client = as_level(Level.CONFIGURE)
    client.post(address(web, "switch/"), {"on": "0"})
    page = client.get(address(web, "control/")).content.decode()
    assert "This trigger is off." in page
    assert client.post(address(web, "fire/"), {"confirmed": "1"}).status_code == 403
    client.post(address(web, "switch/"), {})  # the banner's button
    web.refresh_from_db()
    assert web.enabled


# --- the form -------------------------------------------------------------------------------


def form_of(trigger: Trigger | None = None, *actions: dict[str, str], **fields: str) -> dict[str, str]:
    """What the form sends: the trigger's fields, and one action for each of `actions`."""
    data = {
        "name": trigger.name if trigger else "web",
        "enabled": "on",
        "concurrency": "latest",
        "when_closed": "refuse",
        "rate_seconds": "60",
        "max_age": "86400",
    }
    for prefix, total in (("actions", len(actions)), ("push_sources", 0), ("end_sources", 0)):
        data |= {f"{prefix}-TOTAL_FORMS": str(total), f"{prefix}-INITIAL_FORMS": "0"}
    for number, action in enumerate(actions):
        data |= {f"actions-{number}-{key}": value for key, value in ({"position": "0"} | action).items()}
    return data | fields


@pytest.fixture
def prod() -> Environment:
    return environment_make(repository_make(), "prod", fleet_make(1))


def test_superuser_makes_one_with_everything(boss: Client, prod: Environment) -> None:
    agent = rows.agent_make()
    script = {"kind": "script", "script": rows.SCRIPT, "cluster": str(prod.clusters.get().pk), "when": ""}
    deploy = {
        "kind": "deploy",
        "environment": str(prod.pk),
        "commit_from": "/after",
        "when": '{"equals": {"/ref": "x"}}',
    }
    data = form_of(None, script, deploy, schedule="0 3 * * *", agents=str(agent.pk), script=rows.SCRIPT)
    data |= {"push_sources-TOTAL_FORMS": "1", "push_sources-0-repository": str(prod.repository.pk)}
    data |= {"push_sources-0-branches": "main\nrelease/*", "push_sources-0-paths": ""}
    data |= {"end_sources-TOTAL_FORMS": "1", "end_sources-0-of": str(prod.pk), "end_sources-0-states": "failed"}
    answer = boss.post("/admin/triggers/trigger/add/", data)
    assert answer.status_code == 302, answer.content.decode()
    trigger = Trigger.objects.get()
    assert answer["Location"] == address(trigger, "control/")
    assert [action.kind for action in trigger.actions.order_by("pk")] == ["script", "deploy"]
    assert trigger.actions.get(kind="deploy").when == {"equals": {"/ref": "x"}}
    assert trigger.push_sources.get().branches == ["main", "release/*"]
    assert trigger.end_sources.get().states == ["failed"]
    assert trigger.agents.get() == agent
    page = boss.get(address(trigger, "change/"))
    assert "{&quot;equals&quot;: {&quot;/ref&quot;: &quot;x&quot;}}" in page.content.decode()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": ""}, "needs a name"),
        ({"name": "a\x07b"}, "control characters"),
        ({"script": "steps: [{shell: [}]"}, "line 1"),
        ({"schedule": "every day"}, "is no schedule"),
        ({"rate_limit": "0"}, "from 1 on"),
        ({"max_age": "999999999999"}, "less than or equal"),
    ],
)
def test_form_names_what_is_wrong(boss: Client, fields: dict[str, str], told: str) -> None:
    answer = boss.post("/admin/triggers/trigger/add/", form_of(**fields))
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert not Trigger.objects.exists()


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ({"kind": "deploy"}, "Which environment"),
        ({"kind": "sync"}, "Which node"),
        ({"kind": "script", "script": rows.SCRIPT}, "Where does it run?"),
        ({"kind": "script", "script": "steps:\n- shel: x"}, "line 2"),
        ({"kind": "agents", "when": '{"equals": 1}'}, "give a mapping"),
        ({"kind": "agents", "when": "{"}, "Not JSON: line 1"),
        ({"kind": "deploy", "commit_from": "after"}, "pointer"),
    ],
)
def test_action_names_what_is_wrong(boss: Client, web: Trigger, action: dict[str, str], told: str) -> None:
    answer = boss.post(address(web, "change/"), form_of(web, action))
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert not Action.objects.exists()


@pytest.mark.database
def test_nobody_gains_rights_by_a_trigger(
    as_level: Callable[[Level], Client], web: Trigger, prod: Environment, teammate: User, owner: User
) -> None:
    client, deploy = as_level(Level.CONFIGURE), {"kind": "deploy", "environment": str(prod.pk)}
    script = {"kind": "script", "script": rows.SCRIPT, "cluster": str(prod.clusters.get().pk)}
    for level in (Level.NONE, Level.VIEW):
        grant(teammate, prod, level)
        for action in (deploy, script):
            assert client.post(address(web, "change/"), form_of(web, action)).status_code == 200, (level, action)
    assert client.post(address(web, "change/"), form_of(web, act_as=str(owner.pk))).status_code == 200
    agent = rows.agent_make()
    client.post(address(web, "change/"), form_of(web, agents=str(agent.pk)))
    assert (Action.objects.count(), web.agents.count()) == (0, 0)

    grant(teammate, prod, Level.IN_HOURS)
    assert client.post(address(web, "change/"), form_of(web, script)).status_code == 200
    assert client.post(address(web, "change/"), form_of(web, deploy)).status_code == 302
    assert Action.objects.get().environment == prod
    Action.objects.all().delete()

    # Who may only act in hours adds nothing to a trigger that acts as somebody whom hours do not bind.
    Trigger.objects.update(act_as=owner)
    answer = client.post(address(web, "change/"), form_of(web, deploy, act_as=str(owner.pk)))
    assert "You lack the right “deploy” on it" in answer.content.decode()
    assert not Action.objects.exists()


@pytest.mark.database
def test_who_lacks_the_right_does_not_hand_an_action_to_the_panel(
    as_level: Callable[[Level], Client], web: Trigger, outsider: User
) -> None:
    """Without “act as” the panel itself deploys, which may: also where the person named until now may not any more."""
    prod = environment_make(repository_make(), "prod")
    Trigger.objects.update(act_as=outsider)
    action = Action.objects.create(trigger=web, kind="deploy", environment=prod)
    kept = {"kind": "deploy", "environment": str(prod.pk), "id": str(action.pk), "trigger": str(web.pk)}
    more = {"actions-INITIAL_FORMS": "1"}
    client = as_level(Level.CONFIGURE)
    answer = client.post(address(web, "change/"), form_of(web, kept) | more)
    assert "You lack the right" in answer.content.decode()
    web.refresh_from_db()
    assert web.act_as == outsider
    assert client.post(address(web, "change/"), form_of(web, kept, act_as=str(outsider.pk)) | more).status_code == 302


def test_configurer_keeps_what_others_chose(as_level: Callable[[Level], Client], web: Trigger) -> None:
    """Saving a form changes nothing of what its reader may not choose."""
    agent, prod = rows.agent_make(), environment_make(repository_make(), "prod")
    web.agents.add(agent)
    action = Action.objects.create(trigger=web, kind="deploy", environment=prod)
    data = form_of(web, {"kind": "deploy", "environment": str(prod.pk), "id": str(action.pk), "trigger": str(web.pk)})
    data["actions-INITIAL_FORMS"] = "1"
    assert as_level(Level.CONFIGURE).post(address(web, "change/"), data).status_code == 302
    assert web.agents.get() == agent
    assert Action.objects.get().environment == prod


# --- lists ----------------------------------------------------------------------------------


def test_lists_ask_as_often_for_many_as_for_few(boss: Client, web: Trigger) -> None:
    agent = rows.agent_make()
    counts: dict[str, list[int]] = {}
    pages = ("/admin/triggers/trigger/", "/admin/triggers/firing/", address(web, "control/"), "/admin/agents/agent/")
    for first in (0, 1):
        for number in range(first, 1 + first * 6):
            trigger = rows.trigger_make(f"job-{number}")
            trigger.agents.add(agent, rows.agent_make(f"machine-{number}"))
            web.agents.add(rows.agent_make(f"web-{number}"))
            for one in (trigger, web):
                firing = rows.firing_make(one)
                rows.agent_effect_make(firing, agent, RunState.RUNNING)
        for page in pages:
            boss.get(page)  # what is asked only once
            with CaptureQueriesContext(connection) as queries:
                assert boss.get(page).status_code == 200
            counts.setdefault(page, []).append(len(queries))
    for page, (few, many) in counts.items():
        assert many <= few, (page, counts)


def test_empty_lists_say_what_comes_next(boss: Client) -> None:
    assert "/admin/triggers/trigger/add/" in boss.get("/admin/triggers/trigger/").content.decode()
    assert "No trigger yet" in boss.get("/admin/triggers/trigger/").content.decode()
    assert "No firing yet" in boss.get("/admin/triggers/firing/").content.decode()


def test_hostile_words_are_escaped(boss: Client) -> None:
    nasty = "<script>alert(1)</script>"
    trigger = rows.trigger_make(nasty, script=nasty)
    firing = rows.firing_make(trigger, payload={nasty: nasty}, by=nasty, text=nasty)
    rows.effect_make(firing, nasty, text=nasty, state="failed")
    for page in (
        address(trigger, "control/"),
        f"/admin/triggers/firing/{firing.pk}/change/",
        "/admin/triggers/firing/",
    ):
        assert nasty not in boss.get(page).content.decode()
    regions = boss.get(address(trigger, "live/")).json()
    assert not any(nasty in html for html in regions.values())


def test_a_trigger_is_deleted_with_its_firings_but_not_while_something_is_to_be_done(
    boss: Client, web: Trigger
) -> None:
    page = f"/admin/triggers/trigger/{web.pk}/delete/"
    firing = by_hand.fire(by_hand.trigger_with("web1", name="api"), payload=1)
    run = firing.effects.get().run
    assert run is not None
    busy = f"/admin/triggers/trigger/{firing.trigger_id}/delete/"
    assert f"run #{run.pk}, which is not finished" in boss.get(busy).content.decode()
    boss.post(busy, {"post": "yes"})
    assert Trigger.objects.count() == 2
    run_move(run_id=run.pk, to=RunState.STOPPED)
    assert boss.post(busy, {"post": "yes"}).status_code == 302
    by_hand.fire(web)
    assert "with 1 firing" in boss.get(page).content.decode()
    assert boss.post(page, {"post": "yes"}).status_code == 302
    assert not Firing.objects.exists()
    run.refresh_from_db()
    assert (run.subject, run.subject_path) == (None, "api")
