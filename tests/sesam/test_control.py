"""A node's pages: who sees what, and what they say of each state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.access.levels import Level
from apps.repos.services import repository_fetch
from apps.runs.states import RunState
from apps.sesam import control
from apps.sesam.models import ApplyMode, ExtraNode, Layout, Node, Stage, Sync
from tests.sesam import rows
from tests.sesam.multinode import TEMPLATES, pipe, repository_files
from tests.support.cast import grant
from tests.support.gitrepo import GitRepo
from tests.ui.rows import freeze_make

pytestmark = [pytest.mark.django_db]

SignIn = Callable[[Level], Client]
PAGES = ("control/", "live/", "extras/", "snapshot/1/", "plan/", "compare/")


def address(node: Node, page: str = "control/") -> str:
    return f"/admin/sesam/node/{node.pk}/{page}"


@pytest.fixture
def node(db: None) -> Node:
    return rows.node_make("dev")


@pytest.fixture
def as_level(client: Client, teammate: User, node: Node) -> SignIn:
    def sign_in(level: Level) -> Client:
        grant(teammate, node, level)
        client.force_login(teammate)
        return client

    return sign_in


@pytest.fixture
def as_owner(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def shown(client: Client, node: Node, page: str = "control/") -> str:
    answer = client.get(address(node, page))
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.parametrize("page", PAGES)
def test_outsider_finds_nothing(client: Client, outsider: User, node: Node, page: str) -> None:
    client.force_login(outsider)
    answer = client.get(address(node, page))
    assert answer.status_code in {404, 405}
    assert b"dev.example" not in answer.content


def test_viewer_sees_no_buttons(as_level: SignIn, node: Node) -> None:
    rows.sync_make(node, 1)
    html = shown(as_level(Level.VIEW), node)
    assert rows.SUBJECTS[1] in html
    for word in ("Apply…", "Check now", "Restore", "Configure", "Grants", "Switch off…"):
        assert f">{word}<" not in html
    assert 'method="post"' not in html.split('id="content"')[1]


def test_syncer_sees_buttons_but_no_settings(as_level: SignIn, node: Node) -> None:
    html = shown(as_level(Level.IN_HOURS), node)
    for word in ("Apply…", "Plan", "Check now"):
        assert f">{word}<" in html
    for word in ("Configure", "Grants", "Switch off…"):
        assert f">{word}<" not in html


def test_live_gives_viewers_the_parts_without_buttons(as_level: SignIn, node: Node) -> None:
    assert set(as_level(Level.VIEW).get(address(node, "live/")).json()) == {
        "control-head", "control-banners", "control-running", "control-plan", "control-history",
    }  # fmt: skip
    assert "control-gate" in as_level(Level.ACT).get(address(node, "live/")).json()


NODE_PAGES = (
    "{node}control/",
    "{node}change/",
    "{node}snapshot/{snapshot}/",
    "{node}extras/",
    "{node}compare/?from=a&to=b",
)


@pytest.mark.parametrize("page", [*NODE_PAGES, "/admin/sesam/sync/{sync}/plan/"])
def test_every_page_warns_when_tls_is_not_verified(as_owner: Client, node: Node, page: str) -> None:
    had = rows.configuration(rows.pipe("a"))
    sync = rows.sync_make(node, 1, before=had, wanted=had)
    where = page.format(node=address(node, ""), sync=sync.pk, snapshot=rows.snapshot_make(node, had, sync).pk)
    for verify in (True, False):
        Node.objects.filter(pk=node.pk).update(verify_tls=verify)
        answer = as_owner.get(where)
        assert answer.status_code == 200
        assert (b"TLS is not verified." in answer.content) is not verify


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://dev.example/api", True),
        ("HTTP://10.0.0.7:9042", True),
        ("http://127.0.0.1:9042/api", False),
        ("http://[::1]/api", False),
        ("http://localhost:9042", False),
        ("https://dev.example/api", False),
    ],
)
def test_pages_warn_where_nothing_is_encrypted(as_owner: Client, node: Node, url: str, warned: bool) -> None:
    Node.objects.filter(pk=node.pk).update(url=url)
    for page in (f"/admin/sesam/node/{node.pk}/control/", f"/admin/sesam/node/{node.pk}/change/"):
        assert ("Nothing is encrypted on the way" in as_owner.get(page).content.decode()) is warned
    assert ("Not encrypted" in as_owner.get("/admin/sesam/node/").content.decode()) is warned


def test_secrets_are_on_no_page(as_owner: Client, node: Node) -> None:
    for page in ("control/", "live/", "change/"):
        assert rows.TOKEN not in shown(as_owner, node, page)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "drifted", "state_detail": "2 changed to apply."}, ["Drifted", "2 changed to apply."]),
        ({"state": "unreachable", "state_detail": "No connection."}, ["The node does not answer.", "No connection."]),
        ({"enabled": False, "state": "off"}, ["This node is off.", "Switch on", "not while it is off"]),
        (
            {"apply_mode": "heal", "auto_paused_at": timezone.now(), "auto_paused_reason": "Stock-taking."},
            ["Automatic applying is paused.", "Stock-taking.", ">Resume<"],
        ),
        (
            {"state": "asks", "questions": [{"kind": "removals", "number": 12, "text": "12 would go."}]},
            ["Needs confirmation", "12 would go.", 'value="removals:12"'],
        ),
        ({"state": "broken", "state_detail": "a.conf.json:3: Not JSON."}, ["What Git holds", "a.conf.json:3: Not"]),
        ({"interval": None}, ["on request only"]),
        ({"interval": 90, "apply_mode": "schedule"}, ["On schedule, every 90 s"]),
        ({"protected": ["watcher"], "ignore": ["a#/b"]}, ["protected: watcher; differs on purpose: a#/b"]),
    ],
)
def test_page_tells_the_state(as_owner: Client, fields: dict[str, Any], words: list[str]) -> None:
    html = shown(as_owner, rows.node_make("odd", **fields)).lower()
    assert [word for word in words if word.lower() not in html] == []


def test_freeze_is_told_and_closes_the_gate(as_level: SignIn, node: Node) -> None:
    freeze_make(None, "Stock-taking")
    html = shown(as_level(Level.ACT), node)
    assert "Everything is frozen by Olga" in html
    assert '<button class="dp-button dp-button-primary" disabled>Apply…' in html


def test_half_changed_node_says_what_it_holds(as_owner: Client, node: Node) -> None:
    journal = [
        {"what": "secrets", "state": "undone", "names": ["crm"], "overwritten": ["erp"]},
        {"what": "variables", "state": "owed"},
    ]
    owed = rows.sync_make(node, 1, state=RunState.LOST, journal=journal)
    Node.objects.filter(pk=node.pk).update(state="half", state_detail="It has the new variables.", owed=owed)
    html = shown(as_owner, node)
    assert "This node is half changed." in html
    assert "It has the new variables." in html
    assert "Variables: still to be put back." in html
    assert "Secrets: put back; taken away again: crm; overwritten, and nobody can read the former values: erp." in html


def test_problems_in_git_come_with_file_and_line(as_owner: Client, node: Node) -> None:
    problems = [{"file": "pipes/a.conf.json", "line": 3, "column": 7, "text": "Not JSON.", "error": True}]
    missing = {"variables": {"region": ["pipes/b.conf.json"]}, "secrets": {"key": ["systems/c.conf.json"]}}
    rows.sync_make(node, 1, action="plan", state=RunState.FAILED, problems=problems, missing=missing, counts={})
    html = shown(as_owner, node)
    assert "pipes/a.conf.json:3:7: Not JSON." in html
    assert "The variable region is missing; used by pipes/b.conf.json." in html
    assert "The secret key is missing; used by systems/c.conf.json." in html
    rows.sync_make(node, 2)  # a later one that could be applied
    assert "What Git holds cannot be applied" not in shown(as_owner, node)


def test_newest_plan_counts_until_something_ran(as_owner: Client, node: Node) -> None:
    counts = {"new": 3, "changed": 12, "removed": 1, "variables": 2, "secrets": 1}
    plan = rows.sync_make(node, 1, action="plan", counts=counts)
    html = shown(as_owner, node)
    assert 'data-words="+3 ~12 −1, 2 variables, 1 secret" data-old=""' in html
    assert f"/admin/sesam/sync/{plan.pk}/plan/" in html
    sync = rows.sync_make(node, 2)
    assert f'data-old="Sync #{sync.run_number} has run since."' in shown(as_owner, node)


def test_questions_of_the_newest_plan_can_be_answered(as_owner: Client, node: Node) -> None:
    asked = [{"kind": "removals", "number": 12, "text": "12 would go.", "confirmed": False}]
    rows.sync_make(node, 1, action="plan", questions=asked)
    assert 'value="removals:12"' in shown(as_owner, node)
    rows.sync_make(node, 2)
    assert 'value="removals:12"' not in shown(as_owner, node)


def test_history_is_paged(as_owner: Client, node: Node) -> None:
    for number in range(17):
        rows.sync_make(node, number, ago=timedelta(hours=30 - number))
    html = shown(as_owner, node)
    assert "Page 1 of 2" in html
    assert html.count(">Succeeded<") == 15
    assert shown(as_owner, node, "control/?page=2").count(">Succeeded<") == 2
    assert shown(as_owner, node, "control/?page=99999999999999999999").count(">Succeeded<") == 2


@pytest.mark.database
def test_queries_do_not_grow(as_owner: Client, node: Node) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            shown(as_owner, node)
        return len(found)

    had = rows.configuration(rows.pipe("a"))

    def more(start: int) -> None:
        for number in range(start, start + 6):
            rows.snapshot_make(node, had, rows.sync_make(node, number, before=had, wanted=had))

    more(1)
    before = count()
    more(20)
    assert count() == before


def test_ci_node_verifies_and_has_nothing_to_apply(as_owner: Client) -> None:
    node = rows.node_make("checker", layout="multi", environment="ci", url="", jwt="")
    rows.sync_make(node, 1, action="verify", counts={"entities": 12})
    html = shown(as_owner, node)
    assert ">Verified<" in html
    assert ">Verify</button>" in html
    for word in ("Apply…", "Restore", "Compare commits", "The node answered"):
        assert word not in html


@pytest.mark.database
def test_snapshot_page_tells_what_going_back_changes(as_level: SignIn, node: Node) -> None:
    had = rows.configuration(rows.pipe("orders"), rows.pipe("old"), variables={"region": "north"})
    now = rows.configuration(rows.pipe("orders", batch=5), rows.pipe("crm"), variables={"region": "south"})
    sync = rows.sync_make(node, 1, before=had, wanted=now)
    snapshot = rows.snapshot_make(node, had, sync)
    html = shown(as_level(Level.ACT), node, f"snapshot/{snapshot.pk}/")
    assert "Secrets cannot be restored." in html
    for name, words in (("old", "comes back"), ("crm", "goes away"), ("orders", "goes back"), ("region", "goes back")):
        assert words in html.split(f"<code>{name}</code>")[1].split("</li>")[0]
    other = rows.snapshot_make(rows.node_make("other"), had)
    assert as_level(Level.ACT).get(address(node, f"snapshot/{other.pk}/")).status_code == 404


def test_snapshot_page_asks_what_a_person_must_confirm(as_owner: Client, node: Node) -> None:
    """Or there would be no way to put it back."""
    had = rows.configuration(rows.pipe("orders"))
    now = rows.configuration(rows.pipe("orders"), *(rows.pipe(f"new-{number}") for number in range(12)))
    sync = rows.sync_make(node, 1, before=had, wanted=now)
    snapshot = rows.snapshot_make(node, had, sync)
    assert 'name="confirm" value="removals:12"' in shown(as_owner, node, f"snapshot/{snapshot.pk}/")
    asked = [{"kind": "removals", "number": 40, "text": "40 would be removed.", "confirmed": False}]
    rows.sync_make(node, 2, action="restore", state="failed", restored=snapshot, questions=asked)
    sync.node_url = "https://elsewhere.example/api"
    sync.save()
    html = shown(as_owner, node, f"snapshot/{snapshot.pk}/")
    assert 'value="removals:40"' in html
    assert 'value="removals:12"' not in html
    assert 'value="address:1"' in html
    assert "elsewhere.example" in html


def test_snapshot_page_without_anything_to_compare_with(as_owner: Client, node: Node) -> None:
    snapshot = rows.snapshot_make(node, rows.configuration(rows.pipe("a")))
    assert "What has changed since is not known here" in shown(as_owner, node, f"snapshot/{snapshot.pk}/")


# --- extra nodes ------------------------------------------------------------------------------


@pytest.fixture
def master(git_repo: Callable[..., GitRepo]) -> Node:
    repo = git_repo("conf")
    entities = [
        *(pipe(f"orders-{number}", reads=[f"raw-{number}"], node="eidsiva") for number in range(70)),
        *(pipe(f"merge-{number}", reads=[f"orders-{number}"]) for number in range(70)),
        pipe("lost", node="eidsiva", writes="all"),
        pipe("finds-nothing", reads=["all"]),
    ]
    template = {"_id": "##REPLACE_ID##-copy", "type": "pipe", "from": "##INBOUND_PARENT_PIPE.source.dataset##"}
    templates = {
        "pipe_on_master_from_extra_to_master": template,
        "pipe_on_extra_from_extra_to_master": template | {"_id": "##REPLACE_ID##-out"},
    }
    repo.commit({path: data.decode() for path, data in repository_files(entities, templates).items()}, "Plant")
    repository = repo.declare()
    repository_fetch(repository=repository)
    node = rows.node_make("main", repository, layout="multi", sync_root="")
    direct = rows.node_make("direct", repository)
    Node.objects.filter(pk=direct.pk).update(repository=None, parent=None)
    ExtraNode.objects.create(master=node, name="eidsiva", template_path=TEMPLATES, node=direct)
    told = [{"name": "eidsiva", "state": "refused", "result": "refused: outside business hours"}]
    rows.sync_make(node, 1, extras=told)
    return node


@pytest.mark.database
def test_extras_page_names_replicas_parents_and_templates(as_owner: Client, master: Node) -> None:
    html = shown(as_owner, master, "extras/")
    row = html.split("orders-0-copy")[1].split("</tr>")[0]
    for word in ("the master", "pipe_on_master_from_extra_to_master.json", "orders-0<", "merge-0<"):
        assert word in row
    assert "straight to direct" in html
    assert "refused: outside business hours" in html
    assert "Page 1 of 3" in html
    lost = html.split('id="unfound"')[1].split("</table>")[0]
    assert "##INBOUND_PARENT_PIPE.source.dataset##" in lost
    assert "<code>lost</code>" in lost


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("", 140),
        ("extra=eidsiva", 140),
        ("extra=nobody", 0),
        ("side=master", 70),
        ("side=extra&text=orders-1", 11),
        ("kind=system", 0),
        ("text=MERGE-69", 2),
        ("page=2&side=master", 70),
    ],
)
def test_extras_are_filtered(as_owner: Client, master: Node, query: str, total: int) -> None:
    html = shown(as_owner, master, f"extras/?{query}")
    assert f'>Replicas <span class="dp-muted">{total}</span>' in html


def test_fed_node_shows_its_own_extras(as_owner: Client, master: Node) -> None:
    direct = Node.objects.get(name="direct")
    assert "orders-0-copy" in shown(as_owner, direct, "extras/")
    html = shown(as_owner, direct)
    assert "as its extra node eidsiva" in html
    assert "With main" in html


def test_extras_of_what_follows_nothing(as_owner: Client, node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(repository=None, parent=None)
    assert "follows no repository" in shown(as_owner, node, "extras/")
    assert "This node follows nothing." in shown(as_owner, node)


# --- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (60, "minute"), (90, "90 s"), (300, "5 min"), (3600, "hour"), (7200, "2 h")]
)
def test_every_words(seconds: int, words: str) -> None:
    assert control.every_words(seconds) == words


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "no change"),
        ({"new": 0, "unchanged": 9}, "no change"),
        ({"new": 1, "removed": 2}, "+1 ~0 −2"),
        ({"variables": 1}, "+0 ~0 −0, 1 variable"),
        ({"changed": 1, "variables": {"new": 1, "changed": 2, "unchanged": 7}, "secrets": 2},
         "+0 ~1 −0, 3 variables, 2 secrets"),
    ],
)  # fmt: skip
def test_counts_in_words(counts: dict[str, Any], words: str) -> None:
    assert control.Counts.of(Sync(counts=counts)).words == words


def test_next_check_in_words() -> None:
    now = timezone.now()
    node = Node(name="dev")
    assert control.next_check(node, now) == "at once"
    node.check_after = now + timedelta(seconds=42)
    assert control.next_check(node, now) == "in 42 s"
    node.check_claimed_at = now
    assert control.next_check(node, now) == "looking now"
    ci = Node(name="ci", layout=Layout.MULTI, environment=Stage.CI)
    assert control.next_check(ci, now) == "on request only"
    ci.apply_mode = ApplyMode.PUSH
    assert control.next_check(ci, now) == "with the next push"


@pytest.mark.database
def test_repository_names_the_nodes_that_follow_it(client: Client, teammate: User, master: Node) -> None:
    rows.node_make("unseen", master.repository)
    grant(teammate, master, Level.VIEW)
    client.force_login(teammate)
    html = client.get(f"/admin/repos/repository/{master.repository_id}/page/").content.decode()
    assert f'href="/admin/sesam/node/{master.pk}/control/">main<' in html
    assert "unseen" not in html
